#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

use proptest::prelude::*;

use super::*;
use crate::error::Error;

const HASH: &str = "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8";

/// The shape of isar-cip-core's template after its placeholders were filled in.
const CIP: &str = r#"
software =
{
    version = "1.8";
    name = "cip software update";
    hardware-compatibility: [ "cip-core-1.0" ];
    images: ({
            filename = "cip-core-image.verity";
            device = "C:BOOT0:linux.efi->fedcba98-7654-3210-cafe-5e0710000001,C:BOOT1:linux.efi->fedcba98-7654-3210-cafe-5e0710000002";
            type = "roundrobin";
            compressed = "zstd";
            properties: {
                subtype = "image";
                configfilecheck = "/etc/os-release@not_match@IMAGE_UUID=11111111-2222-4333-8444-555555555555";
                chainhandler = [ "raw", "delta" ];
            };
            sha256 = "HASH";
    });
    files: ({
            filename = "linux.efi";
            path = "linux.efi";
            type = "roundrobin";
            device = "C:BOOT0:linux.efi->BOOT0,C:BOOT1:linux.efi->BOOT1";
            filesystem = "vfat";
            properties: { subtype = "kernel"; };
            sha256 = "HASH";
    });
}
"#;

fn parse(text: &str) -> Result<Description> {
    Description::parse(text.replace("HASH", HASH).as_bytes())
}

/// A description around attributes of an image.
fn image(attributes: &str) -> Result<Description> {
    parse(&format!(
        "software = {{\n version = \"1\";\n images: ({{\n {attributes} }});\n}};"
    ))
}

#[track_caller]
fn refuses(outcome: Result<Description>, line: u32, words: &str) {
    let error = outcome.unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(error, Error::Description { line: found, .. } if found == line),
        "{text}"
    );
    assert!(text.contains(words), "{text}");
}

#[test]
fn reads_the_template_of_cip() {
    let description = parse(CIP).unwrap();
    assert_eq!(description.version, "1.8");
    let section = description.select(None, None);
    assert_eq!(section.hardware.as_deref().unwrap(), ["cip-core-1.0"]);
    let image = &section.images.as_ref().unwrap()[0];
    assert_eq!(image.handler.as_deref(), Some("roundrobin"));
    assert_eq!(image.compression, Compression::Zstd);
    assert_eq!(image.line, 7);
    assert_eq!(
        image.properties["subtype"],
        Property::One("image".to_owned())
    );
    assert_eq!(
        image.properties["chainhandler"],
        Property::Many(vec!["raw".to_owned(), "delta".to_owned()])
    );
    assert_eq!(description.entries_of("linux.efi").len(), 1);
}

#[test]
fn reads_every_attribute() {
    let entry = image(
        "filename = \"f\"; sha256 = \"HASH\"; type = \"raw\"; device = \"/dev/x\"; path = \"/p\"; filesystem = \"ext4\";\n\
         name = \"n\"; version = \"2\"; volume = \"v\"; mtdname = \"m\"; data = \"d\"; size = 5; offset = \"4K\";\n\
         compressed = true; encrypted = true; ivt = \"000102030405060708090A0B0C0D0E0F\";\n\
         installed-directly = true; preserve-attributes = true; install-if-different = true; install-if-higher = true;\n\
         preinstall = \"a\"; postinstall = \"b\"; hook = \"c\"; properties: { k = \"v\"; };",
    )
    .unwrap()
    .base
    .images
    .unwrap()
    .remove(0);
    assert_eq!(entry.offset, 4096);
    assert_eq!(entry.size, Some(5));
    assert_eq!(entry.compression, Compression::Zlib);
    assert_eq!(entry.encryption.unwrap().iv.unwrap()[15], 15);
    assert!(entry.installed_directly && entry.preserve_attributes);
    assert!(entry.install_if_different && entry.install_if_higher);
    for (text, offset) in [
        ("0", 0),
        ("12", 12),
        ("\"0x10\"", 16),
        ("\"3M\"", 3 << 20),
        ("\"1G\"", 1 << 30),
    ] {
        let attributes = format!("device = \"d\"; offset = {text};");
        assert_eq!(
            image(&attributes).unwrap().base.images.unwrap()[0].offset,
            offset
        );
    }
}

#[test]
fn refuses_what_it_does_not_know() {
    for (attributes, words) in [
        (
            "filname = \"x\";",
            "`images[0].filname` is not an attribute",
        ),
        (
            "encrypted = \"aes-ctr-256\";",
            "`images[0].encrypted` is text, not true or false",
        ),
        ("encrypted = \"true\";", "is text, not true or false"),
        ("encrypted = 1;", "is a whole number, not true or false"),
        ("compressed = \"xz\";", "names `xz`"),
        ("compressed = \"lz4\";", "names `lz4`"),
        (
            "compressed = 1;",
            "`images[0].compressed` is a whole number",
        ),
        (
            "installed-directly = \"true\";",
            "is text, not true or false",
        ),
        (
            "device = 5;",
            "`images[0].device` is a whole number, not text",
        ),
        ("size = \"5\";", "is text, not a whole number"),
        ("size = -5;", "is negative"),
        ("offset = \"5Q\";", "is not a number of bytes"),
        ("offset = \"010\";", "is not a number of bytes"),
        ("offset = \"99999999999G\";", "is not a number of bytes"),
        ("filename = \"x\";", "`images[0].sha256` is missing"),
        ("sha256 = \"HASH\";", "`images[0].filename` is missing"),
        (
            "filename = \"x\"; sha256 = \"abc\";",
            "not 64 hexadecimal digits",
        ),
        (
            "filename = \"../x\"; sha256 = \"HASH\";",
            "no plain file name",
        ),
        (
            "filename = \"a/b\"; sha256 = \"HASH\";",
            "no plain file name",
        ),
        ("filename = \"\"; sha256 = \"HASH\";", "no plain file name"),
        (
            "ivt = \"00\"; encrypted = true;",
            "not 32 hexadecimal digits",
        ),
        (
            "ivt = \"00000000000000000000000000000000\";",
            "`encrypted` is not true",
        ),
        ("aes-key = \"00\";", "is not supported"),
        ("ref = \"#./x\";", "is not supported"),
        (
            "properties: { a = 5; };",
            "`images[0].properties.a` is a whole number",
        ),
        ("properties: ( );", "is a list, not a group"),
    ] {
        let outcome = image(attributes);
        // An entry as a whole is at fault on the line where it begins.
        let line = match &outcome {
            Err(Error::Description { line, .. }) => *line,
            other => panic!("{attributes}: {other:?}"),
        };
        assert!((3..=4).contains(&line), "{attributes}: line {line}");
        refuses(outcome, line, words);
    }
}

#[test]
fn refuses_other_roots() {
    for (text, line, words) in [
        ("version = \"1\";", 1, "`software` is missing"),
        ("software = 5;", 1, "is a whole number, not a group"),
        ("software = { };", 1, "`version` is missing"),
        (
            "software = { version = 1; };",
            1,
            "`version` is a whole number",
        ),
        (
            "software = { version = \"1\"; };\nother = 1;",
            2,
            "`other` is not",
        ),
        (
            "software = { version = \"1\";\n imagse: (); };",
            2,
            "`imagse` is not",
        ),
        (
            "software = { version = \"1\";\n images = 5; };",
            2,
            "`images` is a whole number, not a list",
        ),
        (
            "software = { version = \"1\";\n images: ( 5 ); };",
            2,
            "`images[0]` is a whole number",
        ),
        (
            "software = { version = \"1\";\n partitions: ( ); };",
            2,
            "UBI",
        ),
        (
            "software = { version = \"1\";\n reboot = \"maybe\"; };",
            2,
            "neither",
        ),
        (
            "software = { version = \"1\";\n stable: { copy: { nonsense = 1; }; }; };",
            2,
            "`stable.copy.nonsense`",
        ),
        (
            "software = { version = \"1\";\n stable: { ref = \"#./x\"; }; };",
            2,
            "`stable.ref`",
        ),
        (
            "software = { version = \"1\";\n bootenv: ( { value = \"x\"; } ); };",
            2,
            "no `name`",
        ),
        (
            "software = { version = \"1\";\n bootenv: (); uboot: (); };",
            1,
            "another name",
        ),
        (
            "software = { version = \"1\"; images: ( { filename = \"a\"; sha256 = \"HASH\"; },\n\
             { filename = \"a\"; sha256 = \"HASH\"; compressed = \"zlib\"; } ); };",
            2,
            "`compressed of a` differs from what line 1 says",
        ),
    ] {
        refuses(parse(text), line, words);
    }
}

#[test]
fn groups_are_found_where_swupdate_finds_them() {
    let text = "software = { version = \"1\"; scripts: ( { device = \"root\"; } );
        stable: { a: { images: ( { device = \"stable.a\"; } ); }; b: { images: ( { device = \"stable.b\"; } ); }; };
        board: { hardware-compatibility: [ \"7\" ]; images: ( { device = \"board\"; } );
                 stable: { a: { images: ( { device = \"board.stable.a\"; } ); }; }; };
        hardware-compatibility: [ \"1\" ]; };";
    let description = parse(text).unwrap();
    let device = |board, selection| {
        let section = description.select(board, selection);
        let device = section
            .images
            .map(|images| images[0].device.clone().unwrap());
        assert_eq!(section.scripts.unwrap()[0].device.as_deref(), Some("root"));
        (device, section.hardware.unwrap().remove(0))
    };
    let some = |device: &str, hardware: &str| (Some(device.to_owned()), hardware.to_owned());
    assert_eq!(device(None, None), (None, "1".to_owned()));
    assert_eq!(device(None, Some(("stable", "b"))), some("stable.b", "1"));
    assert_eq!(device(Some("board"), None), some("board", "7"));
    assert_eq!(
        device(Some("board"), Some(("stable", "a"))),
        some("board.stable.a", "7")
    );
    assert_eq!(
        device(Some("board"), Some(("stable", "b"))),
        some("stable.b", "7")
    );
    assert_eq!(
        device(Some("none"), Some(("none", "b"))),
        (None, "1".to_owned())
    );
    assert_eq!(description.sections().len(), 7);
}

#[test]
fn what_cannot_be_written_is_refused() {
    let with = |entry: Entry| Description {
        version: "1".to_owned(),
        base: Section {
            images: Some(vec![entry]),
            ..Section::default()
        },
        ..Description::default()
    };
    for entry in [
        Entry {
            device: Some("a\u{1}b".to_owned()),
            ..Entry::default()
        },
        Entry {
            filename: Some("a".to_owned()),
            ..Entry::default()
        },
        Entry {
            filename: Some("a/b".to_owned()),
            sha256: Some(Digest::of(b"")),
            ..Entry::default()
        },
    ] {
        assert!(with(entry).to_text(Syntax::Libconfig).is_err());
    }
}

prop_compose! {
    fn entry()(
        file in proptest::option::of("[a-z]{1,8}"),
        device in proptest::option::of("[ -~\n\t]{0,20}"),
        compression in 0_usize..3,
        iv: Option<[u8; 16]>,
        encrypted: bool,
        flags: [bool; 4],
        size in proptest::option::of(0..=i64::MAX as u64),
        offset in 0..=i64::MAX as u64,
        properties in proptest::collection::btree_map("[a-z]{1,4}", ("[ -~]{0,6}", proptest::option::of("[ -~]{0,6}")), 0..3),
    ) -> Entry {
        Entry {
            sha256: file.as_ref().map(|name| Digest::of(name.as_bytes())),
            // One member has one form; here it follows from the name.
            compression: match file.as_ref().map_or(compression, |name| name.len() % 3) {
                0 => Compression::None,
                1 => Compression::Zlib,
                _ => Compression::Zstd,
            },
            encryption: (file.is_none() && encrypted).then_some(Encryption { iv }),
            size: if file.is_some() { None } else { size },
            filename: file,
            device,
            offset,
            installed_directly: flags[0],
            preserve_attributes: flags[1],
            install_if_different: flags[2],
            install_if_higher: flags[3],
            properties: properties
                .into_iter()
                .map(|(name, (first, second))| (name, match second {
                    None => Property::One(first),
                    Some(second) => Property::Many(vec![first, second]),
                }))
                .collect(),
            ..Entry::default()
        }
    }
}

prop_compose! {
    fn section()(
        hardware in proptest::option::of(proptest::collection::vec("[ -~]{1,5}", 0..3)),
        images in proptest::option::of(proptest::collection::vec(entry(), 0..3)),
        files in proptest::option::of(proptest::collection::vec(entry(), 0..2)),
        variables in proptest::option::of(proptest::collection::vec(("[a-z]{1,3}", "[ -~]{0,5}"), 0..2)),
    ) -> Section {
        let variables = variables.map(|pairs| pairs.into_iter().map(|(name, value)| Variable { name, value }).collect());
        Section { hardware, images, files, bootenv: variables, ..Section::default() }
    }
}

/// Without lines, which a description that was made does not have.
fn unlined(mut description: Description) -> Description {
    fn clear(section: &mut Section) {
        for list in [
            &mut section.images,
            &mut section.files,
            &mut section.scripts,
        ] {
            list.iter_mut().flatten().for_each(|entry| entry.line = 0);
        }
    }
    fn descend(alternatives: &mut BTreeMap<String, Alternative>) {
        for alternative in alternatives.values_mut() {
            clear(&mut alternative.section);
            descend(&mut alternative.alternatives);
        }
    }
    clear(&mut description.base);
    descend(&mut description.alternatives);
    description
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn both_syntaxes_round_trip(base in section(), inner in section(), version in "[0-9.]{1,5}", reboot: Option<bool>) {
        let mode = Alternative { section: inner, ..Alternative::default() };
        let set = Alternative { alternatives: [("mode".to_owned(), mode)].into(), ..Alternative::default() };
        let description = Description {
            version,
            reboot,
            base,
            alternatives: [("set".to_owned(), set)].into(),
            ..Description::default()
        };
        for syntax in [Syntax::Libconfig, Syntax::Json] {
            let text = description.to_text(syntax).unwrap();
            let read = Description::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
            prop_assert_eq!(unlined(read), description.clone(), "{}", text);
        }
    }

    #[test]
    fn damaged_descriptions_do_not_panic(position in 0..CIP.len(), byte: u8) {
        let mut text = CIP.as_bytes().to_vec();
        text[position] = byte;
        let _ = Description::parse(&text);
        let _ = Description::parse(&text[..position]);
    }
}
