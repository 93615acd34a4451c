use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;
use crate::content::Content;

const TIME: u32 = 1_700_000_000;

fn sample() -> Tree {
    let mut tree = Tree::new();
    tree.file("init", 0o755, b"#!/bin/false\n".as_slice())
        .unwrap();
    tree.file("usr/lib/modules/a.ko", 0o644, vec![7; 70_001])
        .unwrap();
    tree.file("usr/empty", 0o600, Vec::new()).unwrap();
    tree.directory("usr", 0o700).unwrap();
    tree.directory("proc", 0o555).unwrap();
    tree.symlink("lib", "usr/lib").unwrap();
    tree.character_device("dev/console", 0o600, (5, 1)).unwrap();
    tree.block_device("dev/vda", 0o660, (254, 300)).unwrap();
    tree.file("größe", 0o644, b"x".as_slice()).unwrap();
    tree
}

fn archive(tree: &Tree, format: Format) -> Vec<u8> {
    tree.write(Vec::new(), format, TIME).unwrap()
}

fn members(bytes: &[u8]) -> Vec<(Member, Vec<u8>)> {
    let mut reader = Reader::new(bytes);
    let mut members = Vec::new();
    while let Some((_, member)) = reader.next_member().unwrap() {
        let mut data = Vec::new();
        reader.read_to_end(&mut data).unwrap();
        members.push((member, data));
    }
    assert!(reader.into_inner().is_empty());
    members
}

fn cpio(directory: &Path, arguments: &[&str], input: &[u8]) -> (Vec<u8>, String) {
    let mut child = Command::new("cpio")
        .args(arguments)
        .current_dir(directory)
        .env("TZ", "UTC")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cpio: {error}; apt-get install cpio"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "cpio {arguments:?}: {errors}");
    (output.stdout, errors)
}

#[test]
fn cpio_lists_and_extracts_ours() {
    for format in [Format::Newc, Format::Crc] {
        let directory = tempfile::tempdir().unwrap();
        let bytes = archive(&sample(), format);
        let (listing, errors) = cpio(directory.path(), &["-tv", "--quiet"], &bytes);
        assert_eq!(errors, "");
        let listing = String::from_utf8(listing).unwrap();
        let lines: Vec<&str> = listing.lines().collect();
        assert_eq!(lines.len(), 12, "{listing}");
        let has = |mode: &str, rest: &str| {
            let found = lines
                .iter()
                .any(|l| l.starts_with(mode) && l.ends_with(rest));
            assert!(found, "no `{mode} … {rest}` in {listing}");
        };
        has("drwxr-xr-x", "Nov 14  2023 dev");
        has("crw-------", "5,   1 Nov 14  2023 dev/console");
        has("brw-rw----", "254, 300 Nov 14  2023 dev/vda");
        has("drwx------", "usr");
        has("lrwxrwxrwx", "lib -> usr/lib");
        has("-rwxr-xr-x", "init");

        let (_, errors) = cpio(
            directory.path(),
            &["-i", "--quiet", "init", "usr*", "lib"],
            &bytes,
        );
        assert_eq!(errors, "");
        let read = |name: &str| std::fs::read(directory.path().join(name)).unwrap();
        assert!(read("lib/modules/a.ko") == vec![7; 70_001]);
        assert_eq!(read("init"), b"#!/bin/false\n");
    }
}

#[test]
fn reads_those_of_cpio() {
    let directory = tempfile::tempdir().unwrap();
    let data: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
    std::fs::write(directory.path().join("data"), &data).unwrap();
    std::fs::create_dir(directory.path().join("sub")).unwrap();
    std::fs::write(directory.path().join("sub/x"), b"123").unwrap();
    for format in ["newc", "crc"] {
        let names = b"data\nsub\nsub/x\n";
        let arguments = ["-o", "--quiet", "--reproducible", "-H", format];
        let (bytes, _) = cpio(directory.path(), &arguments, names);
        let mut reader = Reader::new(bytes.as_slice());
        let mut seen = Vec::new();
        while let Some((_, member)) = reader.next_member().unwrap() {
            let mut content = Vec::new();
            if member.name != "sub/x" {
                reader.read_to_end(&mut content).unwrap();
            }
            seen.push((member.name, content));
        }
        assert_eq!(seen[0], ("data".to_owned(), data.clone()));
        let names: Vec<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["data", "sub", "sub/x"]);
        // cpio fills up to 512 bytes behind the trailer.
        assert!(reader.into_inner().iter().all(|byte| *byte == 0));
    }
}

#[test]
fn one_tree_one_archive() {
    let bytes = archive(&sample(), Format::Newc);
    let found = members(&bytes);
    let names: Vec<&str> = found
        .iter()
        .map(|(member, _)| member.name.as_str())
        .collect();
    let expected = [
        "dev",
        "dev/console",
        "dev/vda",
        "größe",
        "init",
        "lib",
        "proc",
        "usr",
        "usr/empty",
        "usr/lib",
        "usr/lib/modules",
        "usr/lib/modules/a.ko",
    ];
    assert_eq!(names, expected);
    for ((member, data), inode) in found.iter().zip(1..) {
        assert_eq!((member.inode, member.time), (inode, TIME));
        assert_eq!((member.uid, member.gid), (0, 0));
        assert_eq!(member.size as usize, data.len());
    }
    assert_eq!(found[2].0.device, (254, 300));
    assert_eq!(bytes, archive(&sample(), Format::Newc));
}

#[test]
fn members_in_any_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, [1, 2, 3, 250, 250]).unwrap();
    let mut writer = Writer::new(Vec::new(), Format::Crc);
    for name in ["sw-description", "a"] {
        let member = Member {
            name: name.to_owned(),
            mode: REGULAR | 0o644,
            links: 1,
            ..Member::default()
        };
        writer
            .append(&member, &Content::File(path.clone()))
            .unwrap();
    }
    let bytes = writer.finish().unwrap();
    let found = members(&bytes);
    assert_eq!(found[0].0.checksum, 506);
    assert_eq!(found[0].0.name, "sw-description");
}

#[test]
fn refuses_what_cpio_cannot_hold() {
    let mut tree = sample();
    for path in [
        "",
        "/x",
        "x/",
        "a//b",
        "./a",
        "../a",
        "a/..",
        "init/x",
        "init",
        "usr/lib/modules/a.ko",
    ] {
        assert!(tree.file(path, 0o644, Vec::new()).is_err(), "{path}");
    }
    let mut writer = Writer::new(Vec::new(), Format::Newc);
    for name in ["", "a\0b", TRAILER, &"x".repeat(4096)] {
        let member = Member {
            name: name.to_owned(),
            ..Member::default()
        };
        assert!(writer.append(&member, &Content::Bytes(Vec::new())).is_err());
    }
}

/// Reads everything or up to the first error.
fn drain(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    loop {
        match reader.next_member() {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

#[test]
fn every_prefix_and_changed_data_are_refused() {
    let mut tree = Tree::new();
    tree.file("a", 0o644, b"some data".as_slice()).unwrap();
    tree.symlink("b", "a").unwrap();
    let good = archive(&tree, Format::Crc);
    assert!(drain(&good));
    for length in 0..good.len() {
        assert!(!drain(&good[..length]), "{length}");
    }
    for bit in 0..9 * 8 {
        let mut bytes = good.clone();
        bytes[112 + bit / 8] ^= 1 << (bit % 8);
        assert!(!drain(&bytes), "{bit}");
    }
    let mut bytes = good.clone();
    bytes[54..62].copy_from_slice(b"7FFFFFFF");
    assert!(!drain(&bytes));
    bytes = good;
    bytes[94..102].copy_from_slice(b"FFFFFFFF");
    assert!(!drain(&bytes));
}

proptest! {
    #[test]
    fn damage_never_panics(at in 0_usize..1000, byte: u8) {
        let mut bytes = archive(&sample(), Format::Crc);
        bytes[at] = byte;
        drain(&bytes);
    }

    #[test]
    fn round_trips(files in proptest::collection::btree_map(
        "(d[a-z]{1,9}/){0,3}f[a-z]{1,9}", any::<Vec<u8>>(), 0..9,
    )) {
        let mut tree = Tree::new();
        for (path, data) in &files {
            tree.file(path, 0o644, data.clone()).unwrap();
        }
        let found = members(&archive(&tree, Format::Crc));
        let regular = found.into_iter().filter(|(member, _)| member.mode & TYPE_MASK == REGULAR);
        let back: Vec<_> = regular.map(|(member, data)| (member.name, data)).collect();
        prop_assert_eq!(back, files.into_iter().collect::<Vec<_>>());
    }
}
