#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use super::*;
use crate::error::Refusal;
use crate::fixtures::{Workshop, shared};
use crate::signature::Clock;
use crate::signature::tests::now;

const KEY: &str = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4 \
    000102030405060708090a0b0c0d0e0f";

fn trust() -> Trust {
    Trust::new(&shared().read("rsa.crt"), Clock::At(now())).unwrap()
}

fn open(bytes: &[u8]) -> Result<Bundle<&[u8]>> {
    Bundle::open(bytes, &trust())
}

fn whole(bytes: &[u8], key: Option<&Key>) -> Result<Contents> {
    check(open(bytes)?, key)
}

/// A bundle of files in a workshop of its own.
struct Maker {
    workshop: Workshop,
    format: &'static str,
    signed: Vec<&'static str>,
}

impl Maker {
    fn new() -> Self {
        let workshop = Workshop::new();
        for name in ["rsa.key", "rsa.crt", "other.key", "other.crt"] {
            workshop.write(name, &shared().read(name));
        }
        Self {
            workshop,
            format: "crc",
            signed: Vec::new(),
        }
    }

    /// A description of images, each with its file and further attributes.
    fn describe(&self, images: &[(&str, &str)]) {
        let mut text = "software = {\n version = \"1\";\n images: (".to_owned();
        for (index, (file, attributes)) in images.iter().enumerate() {
            let digest = bedstone_store::Digest::of(&self.workshop.read(file));
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(
                text,
                "{comma}\n {{ filename = \"{file}\"; sha256 = \"{digest}\"; {attributes} }}"
            );
        }
        text += ");\n};\n";
        self.workshop.write("sw-description", text.as_bytes());
    }

    /// Signs and packs.
    fn make(&self, members: &[&str]) -> Vec<u8> {
        self.workshop.cms("sw-description", "rsa", &self.signed);
        self.workshop.cpio(self.format, members)
    }
}

/// A small bundle of two plain members.
fn small() -> (Maker, Vec<u8>) {
    let maker = Maker::new();
    maker.workshop.write("a", b"first");
    maker.workshop.write("b", &[7; 1001]);
    maker.describe(&[("a", "device = \"/dev/a\";"), ("b", "device = \"/dev/b\";")]);
    let bytes = maker.make(&["sw-description", "sw-description.sig", "a", "b"]);
    (maker, bytes)
}

#[track_caller]
fn refused(outcome: Result<Contents>, refusal: Refusal, words: &str) {
    let error = outcome.unwrap_err();
    assert_eq!(error.refusal(), Some(refusal), "{error:?}");
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn plain_tools_bundles_are_read() {
    let (maker, bytes) = small();
    let mut bundle = open(&bytes).unwrap();
    assert_eq!(bundle.signer().subject, "CN=rsa");
    assert_eq!(bundle.description().version, "1");
    let mut seen = BTreeMap::new();
    while let Some(item) = bundle.next_item().unwrap() {
        let Item::Member(member) = item else {
            panic!("{item:?}");
        };
        let name = member.name.clone();
        let device = member.entries[0].device.clone().unwrap();
        let mut content = Vec::new();
        member
            .content(None)
            .unwrap()
            .read_to_end(&mut content)
            .unwrap();
        seen.insert(name, (device, content));
    }
    assert_eq!(seen["a"], ("/dev/a".to_owned(), b"first".to_vec()));
    assert_eq!(seen["b"], ("/dev/b".to_owned(), vec![7; 1001]));

    let newc = maker
        .workshop
        .cpio("newc", &["sw-description", "sw-description.sig", "b", "a"]);
    assert_eq!(whole(&newc, None).unwrap().members.len(), 2);
}

#[test]
fn every_form_is_decoded() {
    let maker = Maker::new();
    let plain: Vec<u8> = (0..300_000_u32)
        .flat_map(|n| (n / 7).to_le_bytes())
        .collect();
    let workshop = &maker.workshop;
    workshop.write("plain", &plain);
    let tool = |program: &str, arguments: &[&str], output: &str| {
        let out = std::process::Command::new(program)
            .args(arguments)
            .current_dir(workshop.directory())
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}; apt-get install {program}"));
        assert!(out.status.success());
        workshop.write(output, &out.stdout);
    };
    tool("gzip", &["-9", "-c", "plain"], "gz");
    tool("zstd", &["-19", "-c", "plain"], "zst");
    let (key, iv) = KEY.split_once(' ').unwrap();
    for input in ["plain", "gz", "zst"] {
        let output = format!("{input}.aes");
        workshop.openssl(&[
            "enc",
            "-aes-256-cbc",
            "-K",
            key,
            "-iv",
            iv,
            "-in",
            input,
            "-out",
            &output,
        ]);
    }
    maker.describe(&[
        ("plain", ""),
        ("gz", "compressed = \"zlib\";"),
        ("zst", "compressed = \"zstd\";"),
        ("plain.aes", "encrypted = true;"),
        ("gz.aes", "compressed = \"zlib\"; encrypted = true;"),
        (
            "zst.aes",
            "compressed = \"zstd\"; encrypted = true; ivt = \"000102030405060708090a0b0c0d0e0f\";",
        ),
    ]);
    let bytes = maker.make(&[
        "sw-description",
        "sw-description.sig",
        "plain",
        "gz",
        "zst",
        "plain.aes",
        "gz.aes",
        "zst.aes",
    ]);
    let expected = Some((plain.len() as u64, bedstone_store::Digest::of(&plain)));
    let key = Key::parse(KEY.as_bytes()).unwrap();
    let contents = whole(&bytes, Some(&key)).unwrap();
    assert!(contents.members.iter().all(|m| m.content == expected));
    let contents = whole(&bytes, None).unwrap();
    let decoded = contents.members.iter().filter(|m| m.content.is_some());
    assert_eq!(decoded.count(), 3);

    let mut bundle = open(&bytes).unwrap();
    let mut keyless = 0;
    while let Some(Item::Member(member)) = bundle.next_item().unwrap() {
        if member.is_encrypted() {
            let error = member.content(None).unwrap_err();
            assert_eq!(error.refusal(), Some(Refusal::Encrypted));
            keyless += 1;
        }
    }
    assert_eq!(keyless, 3);

    let wrong = Key::parse(KEY.replacen('6', "7", 1).as_bytes()).unwrap();
    refused(
        whole(&bytes, Some(&wrong)),
        Refusal::Encrypted,
        "`plain.aes` cannot be decrypted",
    );
}

#[test]
fn the_order_of_the_head_matters() {
    let (maker, _) = small();
    let pack = |members: &[&str]| whole(&maker.workshop.cpio("crc", members), None);
    let (text, signature) = ("sw-description", "sw-description.sig");
    refused(
        pack(&[signature, text, "a", "b"]),
        Refusal::Malformed,
        "first member",
    );
    refused(
        pack(&["a", text, signature, "b"]),
        Refusal::Malformed,
        "first member",
    );
    refused(pack(&[text, "a", "b"]), Refusal::NotSigned, "not signed");
    refused(
        pack(&[text, "a", signature, "b"]),
        Refusal::NotSigned,
        "not signed",
    );
    refused(pack(&[text]), Refusal::NotSigned, "not signed");
    refused(
        pack(&[text, signature, "a"]),
        Refusal::Incomplete,
        "lacks `b`",
    );
    refused(
        pack(&[text, signature, "a", "b", "a"]),
        Refusal::Malformed,
        "`a`: is there twice",
    );
    refused(
        pack(&[text, signature, "a", "b", text]),
        Refusal::Malformed,
        "is there twice",
    );
    assert!(pack(&[text, signature, "b", "a"]).is_ok());
}

#[test]
fn what_is_not_listed_is_reported() {
    let (maker, _) = small();
    for index in 0..150 {
        maker.workshop.write(&format!("x{index}"), b"junk");
    }
    let mut members = vec!["sw-description", "sw-description.sig", "a"];
    let names: Vec<String> = (0..150).map(|index| format!("x{index}")).collect();
    members.extend(names.iter().map(String::as_str));
    members.push("b");
    let mut bytes = maker.workshop.cpio("crc", &members);
    let contents = whole(&bytes, None).unwrap();
    assert_eq!(contents.unlisted_count, 150);
    assert_eq!(contents.unlisted.len(), 100);
    assert_eq!(contents.unlisted[0], "x0");
    assert!(!contents.follows);
    bytes.extend(b"more");
    assert!(whole(&bytes, None).unwrap().follows);
}

#[test]
fn odd_members_are_refused() {
    let (maker, _) = small();
    std::fs::create_dir(maker.workshop.path("d")).unwrap();
    maker.workshop.write("d/e", b"");
    let fifo = maker.workshop.path("l");
    let made = std::process::Command::new("mkfifo").arg(fifo).status();
    assert!(made.unwrap().success());
    for (member, words) in [
        ("d", "no regular file"),
        ("d/e", "no plain file name"),
        ("l", "no regular file"),
    ] {
        let bytes = maker.workshop.cpio(
            "newc",
            &["sw-description", "sw-description.sig", member, "a", "b"],
        );
        refused(whole(&bytes, None), Refusal::Malformed, words);
    }
    let odc = maker
        .workshop
        .cpio("odc", &["sw-description", "sw-description.sig", "a", "b"]);
    refused(
        whole(&odc, None),
        Refusal::Malformed,
        "neither “newc” nor “crc”",
    );
}

#[test]
fn another_signature_is_refused() {
    let (maker, _) = small();
    let members = ["sw-description", "sw-description.sig", "a", "b"];
    maker.workshop.cms("sw-description", "other", &[]);
    let bytes = maker.workshop.cpio("crc", &members);
    refused(
        whole(&bytes, None),
        Refusal::WrongKey,
        "`CN=other`, which is not trusted",
    );
    // Shown to a person it may be.
    let contents = check(Bundle::inspect(bytes.as_slice()).unwrap(), None).unwrap();
    assert_eq!(contents.members.len(), 2);

    let mut text = maker.workshop.read("sw-description");
    maker.workshop.cms("sw-description", "rsa", &[]);
    text.push(b'\n');
    maker.workshop.write("sw-description", &text);
    let bytes = maker.workshop.cpio("crc", &members);
    refused(whole(&bytes, None), Refusal::WrongKey, "is not over this");
    // Signed bytes come first: what is not signed is not even looked at.
    maker.workshop.write("sw-description", b"nonsense");
    let bytes = maker.workshop.cpio("crc", &members);
    refused(whole(&bytes, None), Refusal::WrongKey, "is not over this");
    maker.workshop.write("sw-description.sig", b"nonsense");
    let bytes = maker.workshop.cpio("crc", &members);
    refused(
        whole(&bytes, None),
        Refusal::Malformed,
        "malformed signature",
    );
}

#[test]
fn an_expired_signer_is_refused_unless_there_is_no_clock() {
    let (_, bytes) = small();
    let certificate = shared().read("rsa.crt");
    let at = |clock| {
        let trust = Trust::new(&certificate, clock).unwrap();
        Bundle::open(bytes.as_slice(), &trust).and_then(|bundle| check(bundle, None))
    };
    refused(
        at(Clock::At(now() + 40 * 86_400)),
        Refusal::Expired,
        "CN=rsa",
    );
    assert!(at(Clock::Unknown).is_ok());
}

#[test]
fn payloads_are_held_against_their_digests() {
    for format in ["newc", "crc"] {
        let (maker, _) = small();
        let members = ["sw-description", "sw-description.sig", "a", "b"];
        // The same sum of bytes, in another order.
        maker.workshop.write("a", b"firts");
        let bytes = maker.workshop.cpio(format, &members);
        refused(
            whole(&bytes, None),
            Refusal::HashMismatch,
            "member `a` has sha256:",
        );
    }
    let (_, mut bytes) = small();
    let at = bytes
        .windows(5)
        .position(|window| window == b"first")
        .unwrap();
    bytes[at] ^= 1;
    refused(whole(&bytes, None), Refusal::HashMismatch, "checksum");
}

#[test]
fn a_failed_read_stays_failed() {
    let (maker, _) = small();
    maker.workshop.write("a", b"other");
    let bytes = maker
        .workshop
        .cpio("newc", &["sw-description", "sw-description.sig", "a", "b"]);
    let mut bundle = open(&bytes).unwrap();
    let Some(Item::Member(member)) = bundle.next_item().unwrap() else {
        panic!("there is a member");
    };
    let mut content = member.content(None).unwrap();
    let mut sink = Vec::new();
    let error = Error::from_read(content.read_to_end(&mut sink).unwrap_err());
    assert_eq!(error.refusal(), Some(Refusal::HashMismatch));
    assert!(content.read(&mut [0; 8]).is_err());
    drop(content);
    let Some(Item::Member(member)) = bundle.next_item().unwrap() else {
        panic!("there is another member");
    };
    let mut stored = member.stored();
    assert_eq!(
        std::io::copy(&mut stored, &mut std::io::sink()).unwrap(),
        1001
    );
    assert_eq!(stored.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn compressed_members_are_refused_for_what_is_wrong_with_them() {
    let maker = Maker::new();
    let workshop = &maker.workshop;
    let plain = vec![42; 100_000];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(plain.as_slice(), 3).unwrap();
    let wide = {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(24).unwrap();
        let random: Vec<u8> = (0..5_000_000_u32)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        encoder.write_all(&random).unwrap();
        encoder.finish().unwrap()
    };
    for (compression, bytes) in [
        ("zlib", b"no gzip".to_vec()),
        ("zlib", gzip[..gzip.len() - 9].to_vec()),
        ("zlib", [gzip.as_slice(), b"more"].concat()),
        ("zlib", Vec::new()),
        ("zstd", b"no zstd".to_vec()),
        ("zstd", zstd[..zstd.len() - 2].to_vec()),
        ("zstd", [zstd.as_slice(), b"more"].concat()),
        ("zstd", wide),
    ] {
        workshop.write("x", &bytes);
        maker.describe(&[("x", &format!("compressed = \"{compression}\";"))]);
        let mut bundle = maker.make(&["sw-description", "sw-description.sig", "x"]);
        refused(
            whole(&bundle, None),
            Refusal::Malformed,
            "`x` cannot be decompressed",
        );
        // With the digest wrong as well, that is the reason given.
        if let Some(at) = bundle
            .windows(bytes.len().max(1))
            .rposition(|window| window == bytes)
        {
            bundle[at + bytes.len() / 2] ^= 0x10;
            refused(whole(&bundle, None), Refusal::HashMismatch, "`x`");
        }
    }
    // Two frames one after the other are one content, as for every reader of zstd.
    workshop.write("x", &[zstd.as_slice(), zstd.as_slice()].concat());
    maker.describe(&[("x", "compressed = \"zstd\";")]);
    let bundle = maker.make(&["sw-description", "sw-description.sig", "x"]);
    let contents = whole(&bundle, None).unwrap();
    assert_eq!(contents.members[0].content.unwrap().0, 200_000);
}

#[test]
fn sizes_are_those_of_the_archive() {
    let (maker, _) = small();
    for (size, good) in [(5, true), (6, false)] {
        maker.describe(&[("a", &format!("size = {size};"))]);
        let bytes = maker.make(&["sw-description", "sw-description.sig", "a"]);
        assert_eq!(whole(&bytes, None).is_ok(), good);
    }
}

#[test]
fn every_prefix_is_refused() {
    let (_, bytes) = small();
    let trailer = bytes
        .windows(10)
        .position(|window| window == b"TRAILER!!!")
        .unwrap();
    for end in 0..trailer {
        let error = whole(&bytes[..end], None).unwrap_err();
        assert_eq!(
            error.refusal(),
            Some(Refusal::Truncated),
            "{end}: {error:?}"
        );
    }
}

#[test]
fn no_flipped_bit_changes_what_is_read() {
    let (_, bytes) = small();
    let expected = whole(&bytes, None).unwrap();
    let mut passed = 0;
    for position in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[position] ^= 1 << (position % 8);
        match whole(&altered, None) {
            Err(error) => assert!(error.refusal().is_some(), "{position}: {error:?}"),
            Ok(contents) => {
                passed += 1;
                assert_eq!(contents.members, expected.members, "{position}");
                assert!(contents.unlisted.is_empty());
            }
        }
    }
    // Owners, times, padding: five headers of which 60 digits decide nothing, 512 bytes of filling.
    assert!(passed < 1200, "{passed}");
}
