use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::*;

fn qemu_img(arguments: &[&str]) -> String {
    let output = Command::new("qemu-img")
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("qemu-img: {error}; apt-get install qemu-utils"));
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "qemu-img {arguments:?}: {text}");
    text
}

/// A disk with data in some places, some of them zeros that were written.
fn disk(path: &Path, size: u64) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    for (at, length, byte) in [
        (0, 512, 1),
        (100_000, 300_000, 2),
        (1 << 20, 1 << 20, 0),
        (513 << 20, 70_000, 3),
        (size - 512, 512, 4),
    ] {
        file.write_all_at(&vec![byte; length], at).unwrap();
    }
}

#[test]
fn qemu_reads_ours() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    for size in [600 << 20, (5 << 30) + 512] {
        let (raw, image) = (path("raw"), path("image"));
        disk(Path::new(&raw), size);
        convert(Path::new(&raw), Path::new(&image)).unwrap();
        let text = qemu_img(&["check", "-f", "qcow2", &image]);
        assert!(text.contains("No errors were found"), "{text}");
        let text = qemu_img(&["compare", "-f", "raw", "-F", "qcow2", &raw, &image]);
        assert!(text.contains("Images are identical"), "{text}");
        // 10 clusters of data at most, 3 L2 tables, and a handful of others.
        assert!(std::fs::metadata(&image).unwrap().len() < 20 * CLUSTER);
    }
}

#[test]
fn holes_in_the_source_do_not_matter() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let mut bytes = vec![0; 8 << 20];
    for at in [0, 70_000, 3 << 20, (8 << 20) - 1] {
        bytes[at] = 1;
    }
    std::fs::write(path("dense"), &bytes).unwrap();
    let sparse = File::create(path("sparse")).unwrap();
    sparse.set_len(bytes.len() as u64).unwrap();
    crate::sparse::write(&sparse, &bytes, 0).unwrap();
    for name in ["dense", "sparse"] {
        convert(&path(name), &path(&format!("{name}.qcow2"))).unwrap();
    }
    let read = |name: &str| std::fs::read(path(name)).unwrap();
    assert!(read("dense.qcow2") == read("sparse.qcow2"));
}

#[test]
fn many_clusters() {
    // More than one block of refcounts and 2 GiB of disk; the data clusters stay holes.
    let clusters = CLUSTER / 2 + 3;
    let mut layout = write::Layout::new(clusters * CLUSTER).unwrap();
    for cluster in 0..clusters {
        assert_eq!(layout.place(cluster), cluster + 1);
    }
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    let file = File::create(&image).unwrap();
    for (offset, bytes) in layout.pieces(None).unwrap() {
        file.write_all_at(&bytes, offset).unwrap();
    }
    let text = qemu_img(&["check", "-f", "qcow2", image.to_str().unwrap()]);
    assert!(text.contains("No errors were found"), "{text}");
    assert!(text.contains("32771/32771 = 100.00% allocated"), "{text}");
}

#[test]
fn overlays() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let size = 600 << 20;
    disk(Path::new(&path("raw")), size);
    convert(Path::new(&path("raw")), Path::new(&path("image"))).unwrap();
    for (file, format) in [("raw", BackingFormat::Raw), ("image", BackingFormat::Qcow2)] {
        let backing = Backing {
            file: file.to_owned(),
            format: Some(format),
        };
        let top = path("top");
        overlay(Path::new(&top), backing.clone(), size).unwrap();
        let text = qemu_img(&["check", "-f", "qcow2", &top]);
        assert!(text.contains("No errors were found"), "{text}");
        qemu_img(&["compare", "-f", "raw", "-F", "qcow2", &path("raw"), &top]);
        let text = qemu_img(&["info", "-f", "qcow2", &top]);
        assert!(text.contains(&format!("backing file: {file}")), "{text}");
        let header = Header::from_bytes(&std::fs::read(&top).unwrap()).unwrap();
        assert_eq!((header.size, header.backing), (size, Some(backing)));
    }
    let nameless = Backing {
        file: String::new(),
        format: None,
    };
    assert!(overlay(Path::new(&path("x")), nameless, size).is_err());
    assert!(convert(Path::new(&path("absent")), Path::new(&path("x"))).is_err());
}

#[test]
fn reads_headers_of_qemu() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    qemu_img(&["create", "-q", "-f", "qcow2", &path("base"), "100M"]);
    qemu_img(&[
        "create",
        "-q",
        "-f",
        "qcow2",
        "-b",
        "base",
        "-F",
        "qcow2",
        &path("top"),
    ]);
    let read = |name: &str| Header::from_bytes(&std::fs::read(path(name)).unwrap());
    assert_eq!(read("base").unwrap().backing, None);
    let top = read("top").unwrap();
    assert_eq!(top.size, 100 << 20);
    let backing = top.backing.unwrap();
    assert_eq!(
        (backing.file.as_str(), backing.format),
        ("base", Some(BackingFormat::Qcow2))
    );
    qemu_img(&[
        "create",
        "-q",
        "-f",
        "qcow2",
        "-o",
        "compat=0.10",
        &path("old"),
        "1M",
    ]);
    assert!(read("old").is_err());
}

#[test]
fn odd_sizes_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let raw = directory.path().join("raw");
    std::fs::write(&raw, [1; 1000]).unwrap();
    let error = convert(&raw, &directory.path().join("image")).unwrap_err();
    assert!(error.to_string().contains("1000 bytes"), "{error}");
    assert!(!directory.path().join("image").exists());
}

proptest! {
    #[test]
    fn damage_never_panics(at in 0_usize..140, bytes: [u8; 8], length in 0_usize..200) {
        let header = Header {
            size: 1 << 30,
            cluster_bits: 16,
            l1_table: (CLUSTER, 2),
            refcount_table: (2 * CLUSTER, 1),
            backing: Some(Backing {
                file: "base.raw".to_owned(),
                format: Some(BackingFormat::Raw),
            }),
        };
        let mut image = header.to_bytes().unwrap();
        prop_assert_eq!(Header::from_bytes(&image).unwrap(), header);
        let end = image.len().min(at + 8);
        if at < end {
            image[at..end].copy_from_slice(&bytes[..end - at]);
        }
        let _ = Header::from_bytes(&image);
        image.truncate(length);
        let _ = Header::from_bytes(&image);
    }
}
