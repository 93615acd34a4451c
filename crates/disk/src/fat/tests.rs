use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::storage::WriteAt;

mod foreign;

/// 2024-02-29 12:34:57: a leap day and an odd second.
const TIME: u64 = 1_709_210_097;

fn options(kind: Option<Kind>, size: u64) -> Options {
    Options {
        kind,
        size,
        volume_id: 0x1234_abcd,
        label: "BOOT0".to_owned(),
        time: TIME,
    }
}

fn run(program: &str, package: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env("TZ", "UTC")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; apt-get install {package}"));
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}

fn write(directory: &Path, options: &Options, tree: &Tree) -> PathBuf {
    let path = directory.join("volume");
    let mut file = File::create(&path).unwrap();
    plan(options, tree).unwrap().write(&mut file).unwrap();
    assert_eq!(file.metadata().unwrap().len(), options.size);
    path
}

fn fsck(path: &Path) {
    let text = run(
        "fsck.fat",
        "dosfstools",
        &["-n", "-v", path.to_str().unwrap()],
    );
    for complaint in [
        "differ",
        "rong",
        "Free cluster summary",
        "0xff",
        "orphan",
        "Dirty",
        "remove",
    ] {
        assert!(!text.contains(complaint), "{text}");
    }
}

/// A tree with every kind of name, and its files.
fn sample() -> (Tree, BTreeMap<String, Vec<u8>>) {
    let mut files = BTreeMap::new();
    let mut file = |name: &str, length: usize| {
        let bytes: Vec<u8> = (0..length).map(|i| (i * 7 + name.len()) as u8).collect();
        files.insert(name.to_owned(), bytes);
    };
    file("BGENV.DAT", 132_104);
    file("EFI/BOOT/BOOTX64.EFI", 70_001);
    file("EFI/BOOT/grub.cfg", 1);
    file("EFILABEL", 10);
    file("linux.efi", 300_000);
    file("empty", 0);
    file("a name of exactly 26 units", 512);
    file("a longer name, with a comma.and.dots.txt", 2048);
    // mtools knows no characters beyond the basic plane; the property test has them.
    file("größe-€.bin", 4096);
    file("deep/er/and/deeper/still/x", 3);
    for number in 0..40 {
        file(&format!("many/collision number {number}.text"), number);
    }
    let mut tree = Tree::new();
    for (name, bytes) in &files {
        tree.insert(name, bytes.clone()).unwrap();
    }
    tree.insert_directory("hollow").unwrap();
    (tree, files)
}

fn check_with_our_reader(path: &Path, files: &BTreeMap<String, Vec<u8>>) {
    let file = File::open(path).unwrap();
    let volume = Volume::open(&file).unwrap();
    assert_eq!(volume.label().unwrap().as_deref(), Some("BOOT0"));
    for (name, bytes) in files {
        assert!(volume.read(name, 1 << 20).unwrap() == *bytes, "{name}");
        let entry = volume.find(name).unwrap();
        assert_eq!(entry.name, name.rsplit('/').next().unwrap());
        let extents = volume.extents(&entry).unwrap();
        assert_eq!(extents.len(), usize::from(!bytes.is_empty()), "{name}");
    }
    assert!(volume.list("hollow").unwrap().is_empty());
    assert_eq!(volume.list("/").unwrap().len(), 11);
}

#[test]
fn fsck_and_mtools_agree_for_each_kind() {
    let (tree, files) = sample();
    let sizes = [
        (Some(Kind::Fat12), 1 << 20),
        (None, 3 << 20),
        (Some(Kind::Fat16), 16 << 20),
        (None, 64 << 20),
        (None, 511 << 20),
        (Some(Kind::Fat32), 40 << 20),
        (None, 600 << 20),
    ];
    for (kind, size) in sizes {
        let directory = tempfile::tempdir().unwrap();
        let path = write(directory.path(), &options(kind, size), &tree);
        fsck(&path);
        check_with_our_reader(&path, &files);
        let image = path.to_str().unwrap();
        let out = directory.path().join("out");
        std::fs::create_dir(&out).unwrap();
        let target = out.to_str().unwrap();
        run("mcopy", "mtools", &["-s", "-m", "-i", image, "::*", target]);
        for (name, bytes) in &files {
            assert!(std::fs::read(out.join(name)).unwrap() == *bytes, "{name}");
        }
        let modified = out
            .join("linux.efi")
            .metadata()
            .unwrap()
            .modified()
            .unwrap();
        let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(since.as_secs(), TIME & !1);
        let text = run("mdir", "mtools", &["-i", image]);
        assert!(
            text.contains("BOOT0") && text.contains("1234-ABCD"),
            "{text}"
        );
        assert!(text.contains("2024-02-29"), "{text}");
    }
}

#[test]
fn the_same_bytes_each_time() {
    let (tree, files) = sample();
    let mut backwards = Tree::new();
    backwards.insert_directory("hollow").unwrap();
    for (name, bytes) in files.iter().rev() {
        backwards.insert(name, bytes.clone()).unwrap();
    }
    let options = options(None, 16 << 20);
    let first = plan(&options, &tree).unwrap();
    assert_eq!(first, plan(&options, &backwards).unwrap());
    let ends = first
        .pieces()
        .iter()
        .map(|piece| piece.offset + piece.length);
    let starts = first.pieces().iter().skip(1).map(|piece| piece.offset);
    assert!(ends.zip(starts).all(|(end, start)| end <= start));
    assert_eq!(first.pieces()[1].offset % 4096, 0);
    assert_eq!(first.size(), 16 << 20);
}

#[test]
fn files_come_from_paths() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    std::fs::write(&source, b"content").unwrap();
    let mut tree = Tree::new();
    tree.insert("COPY.TXT", source.clone()).unwrap();
    let path = write(directory.path(), &options(None, 2 << 20), &tree);
    let bytes = std::fs::read(&path).unwrap();
    let volume = Volume::open(&bytes).unwrap();
    assert_eq!(volume.read("copy.txt", 100).unwrap(), b"content");
    assert!(volume.read("copy.txt", 6).is_err());

    let planned = plan(&options(None, 2 << 20), &tree).unwrap();
    std::fs::write(&source, b"short").unwrap();
    let error = planned.write(&mut std::io::Cursor::new(Vec::new()));
    assert!(error.unwrap_err().to_string().contains("shorter"));
}

#[test]
fn refuses_what_fat_cannot_hold() {
    let mut tree = Tree::new();
    tree.insert("dir/file", b"".as_slice()).unwrap();
    let long = "x".repeat(256);
    let names = [
        "",
        "/",
        "a//b",
        ".",
        "..",
        "dir/..",
        "a.",
        "a ",
        "a:b",
        "a\\b",
        "a\nb",
        &long,
        "dir/file",
        "DIR/other",
        "dir/FILE",
        "dir/file/below",
        "dir",
    ];
    for name in names {
        assert!(tree.insert(name, b"x".as_slice()).is_err(), "{name}");
    }
    let planned = |kind, size, tree: &Tree| plan(&options(kind, size), tree);
    assert!(planned(None, (1 << 20) + 1, &tree).is_err());
    assert!(planned(Some(Kind::Fat12), 1 << 30, &tree).is_err());
    assert!(planned(Some(Kind::Fat32), 16 << 20, &tree).is_err());
    assert!(planned(None, 4 << 10, &tree).is_err());
    assert!(planned(None, 4 << 40, &tree).is_err());
    let mut full = Tree::new();
    full.insert("big", vec![1; 2 << 20]).unwrap();
    let error = planned(None, 2 << 20, &full).unwrap_err().to_string();
    assert!(
        error.contains("`big`") && error.contains("do not fit"),
        "{error}"
    );
    let mut crowded = Tree::new();
    for number in 0..600 {
        crowded.insert(&format!("F{number}"), Vec::new()).unwrap();
    }
    assert!(planned(None, 2 << 20, &crowded).is_err());
    for label in ["lower", "ELEVEN CHARS", " X", "A+B"] {
        let options = Options {
            label: label.to_owned(),
            ..options(None, 1 << 20)
        };
        assert!(plan(&options, &Tree::new()).is_err(), "{label}");
    }
}

#[test]
fn times_are_clamped() {
    let directory = tempfile::tempdir().unwrap();
    let times = [
        (0, "1980-01-01"),
        (u64::MAX, "2107-12-31"),
        (951_868_799, "2000-02-29"),
    ];
    for (time, date) in times {
        let mut tree = Tree::new();
        tree.insert("F", b"x".as_slice()).unwrap();
        let options = Options {
            time,
            ..options(None, 1 << 20)
        };
        let path = write(directory.path(), &options, &tree);
        let text = run("mdir", "mtools", &["-i", path.to_str().unwrap()]);
        assert!(text.contains(date), "{time}: {text}");
    }
}

#[test]
fn replaces_only_what_changes() {
    let (tree, files) = sample();
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), &options(None, 16 << 20), &tree);
    let mut bytes = std::fs::read(&path).unwrap();
    let before = bytes.clone();
    let mut new = files["BGENV.DAT"].clone();
    for at in [0, 1021, 1024, 132_103] {
        new[at] ^= 0xff;
    }
    let writes = Volume::open(&bytes)
        .unwrap()
        .replace("bgenv.dat", &new)
        .unwrap();
    assert_eq!(writes.len(), 4);
    for write in &writes {
        write.apply(&mut bytes).unwrap();
    }
    let changed = bytes.iter().zip(&before).filter(|(a, b)| a != b).count();
    assert_eq!(changed, 4);
    let volume = Volume::open(&bytes).unwrap();
    assert!(volume.read("BGENV.DAT", 1 << 20).unwrap() == new);
    assert!(volume.replace("BGENV.DAT", &new).unwrap().is_empty());
    assert!(volume.replace("BGENV.DAT", &new[1..]).is_err());
    assert!(volume.replace("EFI", &[]).is_err());
    assert!(matches!(
        volume.replace("nothing", &[]),
        Err(Error::Missing { .. })
    ));
    std::fs::write(&path, &bytes).unwrap();
    fsck(&path);
}

/// Looks at everything in a volume, whatever is wrong with it.
fn explore(bytes: &Vec<u8>) {
    let Ok(volume) = Volume::open(bytes) else {
        return;
    };
    let _ = volume.label();
    let mut directories = vec![String::new()];
    let mut looked_at = 0;
    while let Some(directory) = directories.pop() {
        for entry in volume.list(&directory).unwrap_or_default() {
            looked_at += 1;
            if looked_at > 40 {
                return;
            }
            let path = format!("{directory}/{}", entry.name);
            let _ = volume.read(&path, 1 << 20);
            let _ = volume.replace(&path, b"x");
            if entry.is_directory && path.len() < 60 {
                directories.push(path);
            }
        }
    }
}

fn small() -> Vec<u8> {
    let mut tree = Tree::new();
    tree.insert("dir/a long name.txt", vec![1; 5000]).unwrap();
    tree.insert("FILE", vec![2; 3000]).unwrap();
    let mut bytes = std::io::Cursor::new(Vec::new());
    plan(&options(None, 1 << 18), &tree)
        .unwrap()
        .write(&mut bytes)
        .unwrap();
    bytes.into_inner()
}

proptest! {
    #[test]
    fn damage_never_panics(
        at in prop_oneof![0_usize..64, 3584_usize..6000, 20_000_usize..36_000],
        byte: u8,
        length in 0_usize..1 << 18,
    ) {
        let mut bytes = small();
        bytes[at] = byte;
        explore(&bytes);
        bytes.truncate(length);
        explore(&bytes);
    }

    #[test]
    fn noise_behind_a_boot_sector_never_panics(noise: Vec<u8>, fill: u8) {
        let mut bytes = small();
        bytes[512..].fill(fill);
        bytes.write_all_at(&noise, 512).unwrap();
        explore(&bytes);
    }

    #[test]
    fn trees_round_trip(
        names in proptest::collection::btree_set("[a-zA-Z0-9 ._~+é€😀-]{1,40}", 1..40),
        length in 0_usize..5000,
    ) {
        let mut tree = Tree::new();
        let mut files = Vec::new();
        for (name, index) in names.iter().zip(0..) {
            let bytes = vec![index; length / (usize::from(index) + 1)];
            let path = format!("d/{name}");
            if tree.insert(&path, bytes.clone()).is_ok() {
                files.push((path, bytes));
            }
        }
        let mut image = std::io::Cursor::new(Vec::new());
        plan(&options(None, 1 << 20), &tree).unwrap().write(&mut image).unwrap();
        let image = image.into_inner();
        let volume = Volume::open(&image).unwrap();
        for (path, bytes) in &files {
            prop_assert_eq!(&volume.read(path, 1 << 20).unwrap(), bytes);
        }
        let listed = if files.is_empty() { 0 } else { volume.list("d").unwrap().len() };
        prop_assert_eq!(listed, files.len());
    }
}
