use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::*;

/// One tar entry to write.
struct Item<'a> {
    flag: u8,
    path: &'a [u8],
    link: &'a [u8],
    content: &'a [u8],
}

fn item<'a>(flag: u8, path: &'a str, link: &'a str, content: &'a str) -> Item<'a> {
    Item {
        flag,
        path: path.as_bytes(),
        link: link.as_bytes(),
        content: content.as_bytes(),
    }
}

fn file<'a>(path: &'a str, content: &'a str) -> Item<'a> {
    item(b'0', path, "", content)
}

fn block(item: &Item<'_>, magic: [u8; 8]) -> Vec<u8> {
    let mut block = [0u8; 512];
    block[..item.path.len()].copy_from_slice(item.path);
    block[100..107].copy_from_slice(b"0000755");
    block[108..115].copy_from_slice(b"0000001");
    block[116..123].copy_from_slice(b"0000002");
    block[124..135].copy_from_slice(format!("{:011o}", item.content.len()).as_bytes());
    block[136..147].copy_from_slice(b"00000000010");
    block[156] = item.flag;
    block[157..157 + item.link.len()].copy_from_slice(item.link);
    block[257..265].copy_from_slice(&magic);
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut bytes = block.to_vec();
    bytes.extend_from_slice(item.content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn tar(items: &[Item<'_>]) -> Vec<u8> {
    let mut bytes: Vec<u8> = items
        .iter()
        .flat_map(|item| block(item, *b"ustar\x0000"))
        .collect();
    bytes.extend([0; 1024]);
    bytes
}

fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in members {
        let header = format!(
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
            0,
            0,
            0,
            100_644,
            content.len()
        );
        bytes.extend(header.as_bytes());
        bytes.extend(*content);
        if content.len() % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

fn control() -> Vec<u8> {
    tar(&[item(b'5', "./", "", ""), file("./control", "Package: x\n")])
}

fn deb(items: &[Item<'_>]) -> Vec<u8> {
    deb_of(&tar(items))
}

fn deb_of(data: &[u8]) -> Vec<u8> {
    ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar", &control()),
        ("data.tar", data),
    ])
}

type Listing = Vec<(Entry, Vec<u8>)>;

fn list(reader: impl Read) -> Result<(ControlFiles, Listing)> {
    let mut deb = Deb::open("x.deb", reader)?;
    let mut listing = Vec::new();
    while let Some(entry) = deb.next_entry()? {
        let mut content = Vec::new();
        deb.read_to_end(&mut content)
            .map_err(|error| error.downcast::<Error>().unwrap())?;
        listing.push((entry, content));
    }
    let control = deb.control().clone();
    Ok((control, listing))
}

fn refusal(bytes: &[u8]) -> String {
    list(bytes).unwrap_err().to_string()
}

#[test]
fn reads_every_kind() {
    let (control, listing) = list(&*deb(&[
        item(b'5', "./", "", ""),
        item(b'5', "./usr/", "", ""),
        file("./usr/a", "hello"),
        item(b'1', "./usr/b", "./usr/a", ""),
        item(b'2', "./usr/c", "../../etc/x", ""),
        item(0, "old/", "", ""),
    ]))
    .unwrap();
    assert_eq!(control.stanza(), b"Package: x\n");
    let kinds: Vec<_> = listing
        .iter()
        .map(|(entry, _)| (entry.path.to_str().unwrap(), entry.kind.clone()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("", Kind::Directory),
            ("usr", Kind::Directory),
            ("usr/a", Kind::File { size: 5 }),
            ("usr/b", Kind::Hardlink("usr/a".into())),
            ("usr/c", Kind::Symlink("../../etc/x".into())),
            ("old", Kind::Directory),
        ]
    );
    let (entry, content) = &listing[2];
    assert_eq!(content, b"hello");
    assert_eq!(
        (entry.mode, entry.uid, entry.gid, entry.mtime),
        (0o755, 1, 2, 8)
    );
}

#[test]
fn long_names_of_both_kinds() {
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let gnu_path = format!("{long}\0");
    let pax = format!("{} path={long}2\n", long.len() + 11);
    let pax_link = format!("{} linkpath={long}\n", long.len() + 14);
    let (_, listing) = list(&*deb(&[
        item(b'L', "././@LongLink", "", &gnu_path),
        file("short", "content"),
        item(b'x', "pax", "", &pax),
        file("short", "x"),
        item(b'x', "pax", "", &pax_link),
        item(b'1', "hard", "short", ""),
    ]))
    .unwrap();
    let paths: Vec<_> = listing
        .iter()
        .map(|(entry, _)| entry.path.to_str().unwrap().to_owned())
        .collect();
    assert_eq!(paths, [long.clone(), format!("{long}2"), "hard".to_owned()]);
    assert_eq!(listing[2].0.kind, Kind::Hardlink(long.into()));
}

#[test]
fn ustar_prefix_and_base_256() {
    let mut bytes = block(&file("name", ""), *b"ustar\x0000");
    bytes[345..348].copy_from_slice(b"a/b");
    bytes[136..148].copy_from_slice(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe");
    bytes[148..156].fill(b' ');
    let sum: u32 = bytes[..512].iter().map(|&byte| u32::from(byte)).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes.extend([0; 1024]);
    let (_, listing) = list(&*deb_of(&bytes)).unwrap();
    assert_eq!(listing[0].0.path, Path::new("a/b/name"));
    assert_eq!(listing[0].0.mtime, -2);
}

#[test]
fn refuses_what_no_package_holds() {
    let xattr = "31 SCHILY.xattr.security.x=abc\n";
    for (items, reason) in [
        (vec![file("../x", "")], "`..`"),
        (vec![file("/etc/passwd", "")], "absolute"),
        (vec![file("a/../../x", "")], "`..`"),
        (vec![file("a\nb", "")], "line break"),
        (vec![item(b'3', "tty", "", "")], "character device"),
        (vec![item(b'4', "sda", "", "")], "block device"),
        (vec![item(b'6', "pipe", "", "")], "fifo"),
        (vec![item(b'S', "sparse", "", "")], "type `S`"),
        (vec![item(b'g', "global", "", xattr)], "type `g`"),
        (vec![item(b'x', "pax", "", xattr), file("x", "")], "xattr"),
        (vec![item(b'1', "x", "../etc/shadow", "")], "link target"),
        (vec![item(b'1', "x", "y", "")], "no earlier file"),
        (vec![item(b'2', "x", "", "")], "link target is empty"),
        (
            vec![item(b'2', "x", "/etc", ""), file("x/passwd", "")],
            "below a symbolic link",
        ),
        (vec![file("x", ""), file("x", "")], "twice"),
        (vec![file("x", ""), file("x/y", "")], "below a file"),
        (vec![item(b'5', "x", "", "content")], "without content"),
        (
            vec![item(b'L', "x", "", "no-nul"), file("x", "")],
            "long name",
        ),
        (vec![item(b'x', "pax", "", "10 uid=99\n")], "ends early"),
        (
            vec![item(b'x', "pax", "", "18 uid=4294967295\n"), file("x", "")],
            "uid",
        ),
    ] {
        let message = refusal(&deb(&items));
        assert!(message.contains(reason), "{message} lacks {reason}");
        assert!(
            message.starts_with("package `x.deb`: `data.tar`"),
            "{message}"
        );
    }
}

#[test]
fn refuses_malformed_containers() {
    let control = control();
    let empty = tar(&[]);
    let version: (&str, &[u8]) = ("debian-binary", b"2.0\n");
    for (members, reason) in [
        (vec![("debian-binary", &b"3.0\n"[..])], "version"),
        (vec![("control.tar", &control[..])], "`debian-binary`"),
        (vec![version, ("data.tar", &empty)], "`control.tar`"),
        (vec![version, ("control.tar", &control)], "ends early"),
        (vec![version, ("control.tar", &empty)], "no `control`"),
        (
            vec![version, ("control.tar.lz4", &control)],
            "unknown compression",
        ),
        (
            vec![
                version,
                ("control.tar", &control),
                ("other", b""),
                ("data.tar", &empty),
            ],
            "`data.tar`",
        ),
        (
            vec![
                version,
                ("control.tar", &control),
                ("data.tar", &empty),
                ("more", b""),
            ],
            "garbage",
        ),
        (
            vec![
                version,
                ("control.tar", &control),
                ("data.tar", &empty[..512]),
            ],
            "",
        ),
    ] {
        let result = list(&*ar(&members));
        if reason.is_empty() {
            // One zero block ends the archive as well as two do.
            result.unwrap();
        } else {
            let message = result.unwrap_err().to_string();
            assert!(message.contains(reason), "{message} lacks {reason}");
        }
    }
    let mut trailing = empty.clone();
    trailing.extend([1; 512]);
    assert!(refusal(&deb_of(&trailing)).contains("garbage"));
    assert!(refusal(b"PK").contains("ends early"));
    assert!(refusal(b"PK\x03\x04 not a package").contains("magic"));
}

#[test]
fn skips_extensions() {
    let bytes = ar(&[
        ("debian-binary", b"2.0\n"),
        ("_gpgorigin", b"odd"),
        ("control.tar", &control()),
        ("_more", b""),
        ("data.tar", &tar(&[file("x", "1")])),
        ("_last", b"odd"),
    ]);
    assert_eq!(list(&*bytes).unwrap().1.len(), 1);
}

#[test]
fn holds_the_limits() {
    let limits = Limits {
        bytes: 100,
        entries: 3,
        path_bytes: 100,
    };
    let drain = |items: &[Item<'_>]| -> Result<()> {
        let bytes = deb(items);
        let mut deb = Deb::open_limited("x.deb", &*bytes, Limits::CONTROL, limits)?;
        while deb.next_entry()?.is_some() {}
        Ok(())
    };
    let big = "x".repeat(101);
    let message = drain(&[file("big", &big)]).unwrap_err().to_string();
    assert!(message.contains("more than 100 bytes"), "{message}");
    let many = [file("a", ""), file("b", ""), file("c", ""), file("d", "")];
    let message = drain(&many).unwrap_err().to_string();
    assert!(message.contains("more than 3 entries"), "{message}");
}

/// Writes a package with dpkg-deb and returns its bytes and what `dpkg-deb -c` lists.
fn dpkg_deb(directory: &Path, arguments: &[&str]) -> Vec<u8> {
    let tree = directory.join("tree");
    let output = directory.join("out.deb");
    let status = Command::new("dpkg-deb")
        .args(["--root-owner-group"])
        .args(arguments)
        .arg("--build")
        .args([&tree, &output])
        .output()
        .expect("cannot run `dpkg-deb`; install the package `dpkg`");
    assert!(status.status.success(), "{status:?}");
    std::fs::read(output).unwrap()
}

#[test]
fn reads_what_dpkg_deb_writes() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    let deep = tree.join("usr").join("d".repeat(150)).join("e".repeat(150));
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::create_dir_all(tree.join("DEBIAN")).unwrap();
    let stanza = "Package: t\nVersion: 1\nArchitecture: all\nMaintainer: T <t@t>\nDescription: t\n";
    std::fs::write(tree.join("DEBIAN/control"), stanza).unwrap();
    std::fs::write(deep.join("file"), vec![7; 100_000]).unwrap();
    std::fs::hard_link(deep.join("file"), tree.join("usr/second")).unwrap();
    std::os::unix::fs::symlink("l".repeat(150), tree.join("usr/link")).unwrap();

    let mut listings = Vec::new();
    for arguments in [
        &["-Znone"][..],
        &["-Zgzip"],
        &["-Zxz"],
        &["-Zzstd"],
        &["-Zxz", "--no-uniform-compression"],
    ] {
        let bytes = dpkg_deb(directory.path(), arguments);
        let (control, listing) = list(&*bytes).unwrap();
        assert_eq!(control.stanza(), stanza.as_bytes());
        // A cut anywhere is an error; only the byte that pads the last member may be missing.
        for length in (0..bytes.len() - 1).step_by(bytes.len() / 200 + 1) {
            assert!(
                list(&bytes[..length]).is_err(),
                "{arguments:?} cut at {length}"
            );
        }
        listings.push(listing);
    }
    assert!(listings.windows(2).all(|pair| pair[0] == pair[1]));
    let listing = &listings[0];
    assert_eq!(listing.len(), 7);
    assert_eq!(
        listing
            .iter()
            .map(|(_, content)| content.len())
            .sum::<usize>(),
        100_000
    );
}

proptest! {
    #[test]
    fn flipped_bytes_and_noise_never_panic(index: prop::sample::Index, value: u8, noise: Vec<u8>) {
        let mut bytes = deb(&[file("a", "hello"), item(b'2', "b", "a", ""), file("c/d", "x")]);
        let at = index.index(bytes.len());
        bytes[at] = value;
        let _ = list(&*bytes);
        let _ = list(&*deb_of(&noise));
        let _ = list(&*noise);
    }

    #[test]
    fn contents_round_trip(contents in prop::collection::vec(".{0,700}", 0..6)) {
        let names: Vec<_> = (0..contents.len()).map(|index| format!("./f{index}")).collect();
        let items: Vec<_> = names.iter().zip(&contents).map(|(name, content)| file(name, content)).collect();
        let (_, listing) = list(&*deb(&items)).unwrap();
        prop_assert_eq!(listing.len(), contents.len());
        for ((entry, read), content) in listing.iter().zip(&contents) {
            prop_assert_eq!(read, content.as_bytes());
            prop_assert_eq!(&entry.kind, &Kind::File { size: content.len() as u64 });
        }
    }
}
