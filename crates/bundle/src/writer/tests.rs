#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::io::Read;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;
use crate::fixtures::shared;
use crate::reader::{Bundle, check};
use crate::signature::tests::{file_key, now};
use crate::signature::{Clock, FileKey, Trust};

const KEY: &[u8] = b"603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4 \
    000102030405060708090a0b0c0d0e0f";

fn artifact(name: &str, content: &[u8], compression: Compression, encrypted: bool) -> Artifact {
    Artifact {
        name: name.to_owned(),
        content: content.into(),
        compression,
        encrypted,
    }
}

fn described(names: &[&str]) -> Description {
    Description {
        version: "1".to_owned(),
        base: Section {
            hardware: Some(vec!["1.0".to_owned()]),
            images: Some(
                names
                    .iter()
                    .map(|name| Entry {
                        filename: Some((*name).to_owned()),
                        device: Some(format!("/dev/{name}")),
                        ..Entry::default()
                    })
                    .collect(),
            ),
            ..Section::default()
        },
        ..Description::default()
    }
}

fn make(
    description: Description,
    artifacts: &[Artifact],
    format: Format,
    signer: &FileKey,
) -> Result<(Vec<u8>, Written)> {
    let scratch = tempfile::tempdir().unwrap();
    let key = Key::parse(KEY).unwrap();
    let options = Options {
        format,
        syntax: Syntax::Libconfig,
        time: 1_700_000_000,
        level: 3,
        workers: 1,
        key: Some(&key),
        signer,
        scratch: scratch.path(),
    };
    write(Vec::new(), description, artifacts, &options)
}

#[test]
fn what_is_written_is_read() {
    let plain: Vec<u8> = (0..100_000_u32)
        .flat_map(|n| (n / 5).to_le_bytes())
        .collect();
    let all = [
        artifact("plain", &plain, Compression::None, false),
        artifact("zlib", &plain, Compression::Zlib, false),
        artifact("zstd", &plain, Compression::Zstd, false),
        artifact("plain.aes", &plain, Compression::None, true),
        artifact("zlib.aes", &plain, Compression::Zlib, true),
        artifact("zstd.aes", &plain, Compression::Zstd, true),
        artifact("empty", b"", Compression::None, false),
        artifact("empty.aes", b"", Compression::Zstd, true),
    ];
    let names: Vec<&str> = all.iter().map(|artifact| &*artifact.name).collect();
    let trust = Trust::new(&shared().read("rsa.crt"), Clock::At(now())).unwrap();
    let signer = file_key(shared(), "rsa");
    for format in [Format::Newc, Format::Crc] {
        let (bytes, written) = make(described(&names), &all, format, &signer).unwrap();
        let bundle = Bundle::open(bytes.as_slice(), &trust).unwrap();
        let key = Key::parse(KEY).unwrap();
        let contents = check(bundle, Some(&key)).unwrap();
        assert_eq!(contents.members.len(), all.len());
        for ((member, artifact), stored) in contents.members.iter().zip(&all).zip(&written.members)
        {
            let content = if artifact.name.starts_with("empty") {
                &[][..]
            } else {
                &plain
            };
            assert_eq!(
                member.content,
                Some((content.len() as u64, Digest::of(content)))
            );
            assert_eq!((&member.name, member.size), (&stored.name, stored.size));
        }
        assert!(!contents.follows && contents.unlisted.is_empty());
        let (again, _) = make(described(&names), &all, format, &signer).unwrap();
        assert!(bytes == again);
        assert_eq!(bytes.len() % 512, 0);
    }
}

#[test]
fn vectors_differ_where_content_does() {
    let names = ["a", "b", "c"];
    let all = [
        artifact("a", b"same", Compression::None, true),
        artifact("b", b"same", Compression::None, true),
        artifact("c", b"other", Compression::None, true),
    ];
    let signer = file_key(shared(), "rsa");
    let (_, written) = make(described(&names), &all, Format::Crc, &signer).unwrap();
    let images = written.description.base.images.unwrap();
    let iv = |index: usize| images[index].encryption.unwrap().iv.unwrap();
    assert_eq!(iv(0), iv(1));
    assert_ne!(iv(0), iv(2));
}

#[test]
fn gnu_cpio_lists_it() {
    use std::io::Write as _;
    let signer = file_key(shared(), "ec");
    let all = [artifact("a", b"content", Compression::None, false)];
    let (bytes, _) = make(described(&["a"]), &all, Format::Crc, &signer).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new("cpio")
        .args(["-idv", "--only-verify-crc"])
        .current_dir(directory.path())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cpio: {error}; apt-get install cpio"));
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(
        text.starts_with("sw-description\nsw-description.sig\na\n"),
        "{text}"
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    let signer = file_key(shared(), "rsa");
    let a = || artifact("a", b"x", Compression::None, false);
    let named = |name: &str| artifact(name, b"x", Compression::None, false);
    let good = described(&["a"]);
    let mut no_version = good.clone();
    no_version.version = String::new();
    let mut no_hardware = good.clone();
    no_hardware.base.hardware = None;
    let mut none_listed = good.clone();
    none_listed.base.hardware = Some(Vec::new());
    for (description, artifacts, words) in [
        (no_version, vec![a()], "`version`"),
        (no_hardware, vec![a()], "names no hardware"),
        (none_listed, vec![a()], "names no hardware"),
        (good.clone(), vec![a(), a()], "`a`: is given twice"),
        (
            good.clone(),
            vec![a(), named("b")],
            "`b`: no entry installs it",
        ),
        (good.clone(), vec![], "`a`: an entry installs it"),
        (
            described(&["a/b"]),
            vec![named("a/b")],
            "no plain file name",
        ),
        (
            described(&["sw-description"]),
            vec![named("sw-description")],
            "name of another member",
        ),
    ] {
        let error = make(description, &artifacts, Format::Crc, &signer).unwrap_err();
        assert!(matches!(error, Error::Unwritable { .. }), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
    assert!(make(good, &[a()], Format::Crc, &signer).is_ok());
}

#[test]
fn encryption_needs_a_key_of_256_bits() {
    let signer = file_key(shared(), "rsa");
    let scratch = tempfile::tempdir().unwrap();
    let short = Key::parse(&KEY[32..]).unwrap();
    for key in [None, Some(&short)] {
        let options = Options {
            format: Format::Crc,
            syntax: Syntax::Json,
            time: 0,
            level: 3,
            workers: 1,
            key,
            signer: &signer,
            scratch: scratch.path(),
        };
        let all = [artifact("a", b"x", Compression::None, true)];
        let error = write(Vec::new(), described(&["a"]), &all, &options).unwrap_err();
        assert!(error.to_string().contains("is to be encrypted"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_content_round_trips(content: Vec<u8>, compression in 0_usize..3, encrypted: bool) {
        let compression = [Compression::None, Compression::Zlib, Compression::Zstd][compression];
        let all = [artifact("a", &content, compression, encrypted)];
        let signer = file_key(shared(), "rsa");
        let (bytes, _) = make(described(&["a"]), &all, Format::Crc, &signer).unwrap();
        let trust = Trust::new(&shared().read("rsa.crt"), Clock::Unknown).unwrap();
        let mut bundle = Bundle::open(bytes.as_slice(), &trust).unwrap();
        let Some(crate::Item::Member(member)) = bundle.next_item().unwrap() else {
            panic!("there is a member");
        };
        let key = Key::parse(KEY).unwrap();
        let mut back = Vec::new();
        member.content(Some(&key)).unwrap().read_to_end(&mut back).unwrap();
        prop_assert_eq!(back, content);
    }
}
