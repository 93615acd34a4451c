use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::*;

fn bmaptool(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("bmaptool")
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("bmaptool: {error}; apt-get install bmap-tools"));
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

fn blocks(bmap: &Bmap) -> Vec<(u64, u64)> {
    bmap.ranges
        .iter()
        .map(|range| (range.first, range.last))
        .collect()
}

/// An image of which the first, some in the middle and the incomplete last block are mapped.
fn image(path: &Path) -> (Vec<u8>, Bmap) {
    let mut bytes = vec![0; 100 * 4096 + 1000];
    bytes[5] = 1;
    bytes[20 * 4096..30 * 4096].fill(7);
    bytes[100 * 4096 + 999] = 9;
    std::fs::write(path, &bytes).unwrap();
    let size = bytes.len() as u64;
    let middle = 20 * 4096..25 * 4096;
    let ranges = [
        size - 1..size,
        0..10,
        middle,
        24 * 4096 + 1..30 * 4096 - 5,
        3..3,
    ];
    let bmap = Bmap::new(&File::open(path).unwrap(), &ranges).unwrap();
    assert_eq!(blocks(&bmap), [(0, 0), (20, 29), (100, 100)]);
    (bytes, bmap)
}

#[test]
fn bmaptool_copies_by_our_map() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (bytes, bmap) = image(&path("image"));
    std::fs::write(path("image.bmap"), bmap.to_xml()).unwrap();
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    let (map, source, target) = (text("image.bmap"), text("image"), text("target"));
    let arguments = ["copy", "--bmap", &map, &source, &target];
    let (ok, output) = bmaptool(&arguments);
    assert!(ok, "{output}");
    assert!(std::fs::read(path("target")).unwrap() == bytes);

    let changed = File::options().write(true).open(path("image")).unwrap();
    changed.write_all_at(&[8], 25 * 4096).unwrap();
    let (ok, output) = bmaptool(&arguments);
    assert!(!ok && output.contains("checksum"), "{output}");
    let error = bmap
        .verify(&File::open(path("image")).unwrap())
        .unwrap_err();
    assert!(error.to_string().contains("20-29"), "{error}");
}

#[test]
fn reads_those_of_bmaptool() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    let file = File::create(&path).unwrap();
    file.set_len(10 << 20).unwrap();
    file.write_all_at(&[1; 9000], 1 << 20).unwrap();
    file.write_all_at(&[2; 4096], 5 << 20).unwrap();
    drop(file);
    let (ok, xml) = bmaptool(&["create", path.to_str().unwrap()]);
    assert!(ok, "{xml}");
    let xml = &xml[xml.find("<?xml").unwrap()..];
    let bmap = Bmap::from_xml(xml).unwrap();
    assert_eq!(blocks(&bmap), [(256, 258), (1280, 1280)]);
    bmap.verify(&File::open(&path).unwrap()).unwrap();
    assert_eq!(Bmap::from_xml(&bmap.to_xml()).unwrap(), bmap);
}

#[test]
fn long_ranges_are_split() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(150 << 20).unwrap();
    let everything = 0..150 << 20;
    let bmap = Bmap::new(&file, std::slice::from_ref(&everything)).unwrap();
    assert_eq!(
        blocks(&bmap),
        [(0, 16_383), (16_384, 32_767), (32_768, 38_399)]
    );
    assert_eq!(Bmap::from_xml(&bmap.to_xml()).unwrap(), bmap);
}

/// Gives altered XML its correct checksum.
fn seal(xml: &str) -> String {
    let start = xml.find("<BmapFileChecksum> ").unwrap() + 19;
    let blank = format!("{}{NO_CHECKSUM}{}", &xml[..start], &xml[start + 64..]);
    let checksum = Digest::of(blank.as_bytes()).to_string();
    blank.replacen(NO_CHECKSUM, &checksum, 1)
}

#[test]
fn refuses_contradictions() {
    let directory = tempfile::tempdir().unwrap();
    let (_, bmap) = image(&directory.path().join("image"));
    let xml = bmap.to_xml();
    assert_eq!(seal(&xml), xml);
    let cases = [
        (
            "<bmap version=\"2.0\">",
            "<bmap version=\"1.4\">",
            "version",
        ),
        (" 20-29 ", " 29-20 ", "out of order"),
        (" 20-29 ", " 0-29 ", "out of order"),
        (" 20-29 ", " 20-2900 ", "out of order"),
        (" 20-29 ", " 20-x ", "block numbers"),
        (" 20-29 ", " +20-29 ", "block numbers"),
        (" 101 ", " 102 ", "BlocksCount"),
        (" 12 ", " 13 ", "BlocksCount"),
        (" sha256 ", " sha1 ", "sha256"),
        (" 4096 ", " 512 ", "4096"),
        ("</Range>", "</range>", "end tag"),
        ("chksum=\"", "chksum=\"0", "SHA-256"),
        ("<BlocksCount>", "<Other>", "end tag"),
        (
            "<BlockMap>",
            "<ImageSize> 1 </ImageSize><BlockMap>",
            "twice",
        ),
    ];
    for (old, new, reason) in cases {
        let changed = xml.replacen(old, new, 1);
        assert_ne!(changed, xml, "{old}");
        let error = Bmap::from_xml(&seal(&changed)).unwrap_err().to_string();
        assert!(error.contains(reason), "{new}: {error}");
        assert!(Bmap::from_xml(&changed).is_err());
    }
}

proptest! {
    #[test]
    fn damage_is_refused(at in 0_usize..1000, byte in 0_u8..128, length in 0_usize..1500) {
        let range = |first, last| Mapped { first, last, digest: Digest::of(b"a") };
        let bmap = Bmap {
            image_size: 50_000,
            ranges: vec![range(0, 3), range(5, 5)],
        };
        let xml = bmap.to_xml();
        let at = at % xml.len();
        let mut bytes = xml.clone().into_bytes();
        let same = bytes[at] == byte;
        bytes[at] = byte;
        let changed = String::from_utf8(bytes).unwrap();
        prop_assert_eq!(Bmap::from_xml(&changed).is_ok(), same);
        if changed.len() > length {
            prop_assert!(Bmap::from_xml(&changed[..length]).is_err());
        }
    }

    #[test]
    fn text_never_panics(text in "[<>a-zRé =\"'/!?-]{0,200}") {
        let _ = Bmap::from_xml(&text);
        let _ = Bmap::from_xml(&format!("<bmap version=\"2.0\">{text}"));
        let _ = Bmap::from_xml(&format!("<bmap version=\"2.0\"><BlockMap><Range {text}"));
    }
}
