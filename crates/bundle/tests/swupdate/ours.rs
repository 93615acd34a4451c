//! Bundles that we write, installed by SWUpdate, compared byte for byte.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::collections::BTreeMap;
use std::fs;

use bedstone_bundle::crypt::Key;
use bedstone_bundle::description::{
    Alternative, Compression, Description, Entry, Property, Section, Syntax,
};
use bedstone_bundle::layout::{Delta, Image, Root, Slots, TwoSlots};
use bedstone_bundle::signature::{Clock, FileKey, Trust};
use bedstone_bundle::{Artifact, Bundle, Options, check, write};
use bedstone_delta::rdiff;
use bedstone_disk::cpio::Format;
use bedstone_store::Digest;

use crate::fixtures::{SIGNING, Workshop};
use crate::installation::install;

/// A key file as SWUpdate's `-K` takes it.
pub(crate) const KEY: &str = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4 \
    000102030405060708090a0b0c0d0e0f\n";

/// What the device trusts in most tests.
const TRUSTED: &str = "rsa.crt";

/// In which form a bundle is written.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) format: Format,
    pub(crate) compression: Compression,
    pub(crate) encrypted: bool,
    pub(crate) syntax: Syntax,
}

impl Form {
    /// All of them: 24.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for format in [Format::Crc, Format::Newc] {
            for compression in [Compression::None, Compression::Zlib, Compression::Zstd] {
                for encrypted in [false, true] {
                    for syntax in [Syntax::Libconfig, Syntax::Json] {
                        all.push(Self {
                            format,
                            compression,
                            encrypted,
                            syntax,
                        });
                    }
                }
            }
        }
        all
    }
}

/// Bytes that neither repeat nor resist compression altogether.
pub(crate) fn content(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b"abcdefghijklmnop"[(state >> 28) as usize]
        })
        .collect()
}

fn workshop() -> Workshop {
    let workshop = Workshop::new();
    workshop.write("aes.key", KEY.as_bytes());
    workshop
}

/// Makes the key that a test names.
fn signer(workshop: &Workshop, name: &str) -> FileKey {
    match name {
        "ec" => {
            let curve = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
            workshop.self_signed(name, &curve, SIGNING);
        }
        "plain" => workshop.self_signed(name, &["rsa:3072"], &[]),
        _ => workshop.self_signed(name, &["rsa:3072"], SIGNING),
    }
    key(workshop, name)
}

fn key(workshop: &Workshop, name: &str) -> FileKey {
    FileKey::new(
        &workshop.read(&format!("{name}.key")),
        &workshop.read(&format!("{name}.crt")),
    )
    .unwrap()
}

/// Writes `x.swu`, and reads it back.
fn write_bundle(
    workshop: &Workshop,
    description: Description,
    members: &[(&str, &[u8])],
    form: &Form,
    signer: &FileKey,
    trusted: &str,
) {
    let artifacts: Vec<Artifact> = members
        .iter()
        .map(|(name, content)| Artifact {
            name: (*name).to_owned(),
            content: (*content).into(),
            compression: form.compression,
            encrypted: form.encrypted,
        })
        .collect();
    let aes = Key::parse(KEY.as_bytes()).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let options = Options {
        format: form.format,
        syntax: form.syntax,
        time: 1_700_000_000,
        level: 3,
        workers: 1,
        key: Some(&aes),
        signer,
        scratch: scratch.path(),
    };
    let (bytes, _) = write(Vec::new(), description, &artifacts, &options).unwrap();
    workshop.write("x.swu", &bytes);
    let trust = Trust::new(&workshop.read(trusted), Clock::Unknown).unwrap();
    let bundle = Bundle::open(bytes.as_slice(), &trust).unwrap();
    let contents = check(bundle, Some(&aes)).unwrap();
    assert_eq!(contents.members.len(), members.len());
}

fn properties(pairs: &[(&str, &str)]) -> BTreeMap<String, Property> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Property::One((*value).to_owned())))
        .collect()
}

fn raw(file: &str, device: &str) -> Entry {
    Entry {
        filename: Some(file.to_owned()),
        handler: Some("raw".to_owned()),
        device: Some(device.to_owned()),
        ..Entry::default()
    }
}

fn described(section: Section) -> Description {
    Description {
        version: "1.0".to_owned(),
        base: Section {
            hardware: Some(vec!["1.0".to_owned()]),
            ..section
        },
        ..Description::default()
    }
}

/// A tree packed by tar.
fn archive(workshop: &Workshop) -> Vec<u8> {
    fs::create_dir_all(workshop.path("source/deep")).unwrap();
    workshop.write("source/deep/file", &content(9, 5000));
    let output = std::process::Command::new("tar")
        .args(["-cf", "-", "-C", "source", "."])
        .current_dir(workshop.directory())
        .output()
        .unwrap();
    assert!(output.status.success());
    output.stdout
}

/// SWUpdate installs an image directly, one by way of its copy, a file and an archive.
pub(crate) fn installs(suite: &str, form: &Form, name: &str) {
    let workshop = workshop();
    let signer = signer(&workshop, name);
    let (direct, copied, file) = (content(1, 300_001), content(2, 70_000), content(3, 10_007));
    let packed = archive(&workshop);
    let description = described(Section {
        images: Some(vec![
            Entry {
                installed_directly: true,
                ..raw("direct.img", "/mnt/direct.out")
            },
            raw("copied.img", "/mnt/copied.out"),
        ]),
        files: Some(vec![
            Entry {
                filename: Some("file".to_owned()),
                handler: Some("rawfile".to_owned()),
                path: Some("/mnt/file.out".to_owned()),
                ..Entry::default()
            },
            Entry {
                filename: Some("tree.tar".to_owned()),
                handler: Some("archive".to_owned()),
                path: Some("/mnt/tree.out".to_owned()),
                properties: properties(&[("create-destination", "true")]),
                ..Entry::default()
            },
        ]),
        ..Section::default()
    });
    let members = [
        ("direct.img", direct.as_slice()),
        ("copied.img", &copied),
        ("file", &file),
        ("tree.tar", &packed),
    ];
    let certificate = format!("{name}.crt");
    write_bundle(
        &workshop,
        description,
        &members,
        form,
        &signer,
        &certificate,
    );
    for (name, length) in [("direct.out", direct.len()), ("copied.out", copied.len())] {
        workshop.write(name, &vec![0xff; length]);
    }
    let options = ["-K", "/mnt/aes.key"];
    let outcome = install(suite, workshop.directory(), &certificate, &options);
    assert!(outcome.successful, "{suite} {form:?}:\n{}", outcome.log);
    for (name, expected) in [
        ("direct.out", &direct),
        ("copied.out", &copied),
        ("file.out", &file),
        ("tree.out/deep/file", &content(9, 5000)),
    ] {
        assert!(workshop.read(name) == *expected, "{suite} {form:?}: {name}");
    }
}

/// The device trusts the authority that issued the signer's certificate.
pub(crate) fn installs_issued(suite: &str) {
    let workshop = workshop();
    let authority = ["basicConstraints=critical,CA:TRUE"];
    workshop.self_signed("rsa", &["rsa:3072"], &authority);
    workshop.issued("leaf", "rsa", SIGNING);
    let image = content(4, 40_000);
    let description = described(Section {
        images: Some(vec![raw("image", "/mnt/image.out")]),
        ..Section::default()
    });
    let members = [("image", image.as_slice())];
    let signer = key(&workshop, "leaf");
    write_bundle(
        &workshop,
        description,
        &members,
        &Form::all()[0],
        &signer,
        TRUSTED,
    );
    workshop.write("image.out", &vec![0; image.len()]);
    let outcome = install(suite, workshop.directory(), TRUSTED, &[]);
    assert!(outcome.successful, "{suite}:\n{}", outcome.log);
    assert!(workshop.read("image.out") == image);
}

/// Two modes write one member to two places; the device selects one.
pub(crate) fn installs_selected(suite: &str) {
    let workshop = workshop();
    let signer = signer(&workshop, "rsa");
    let image = content(5, 40_000);
    let mode = |device: &str| Alternative {
        section: Section {
            images: Some(vec![raw("image", device)]),
            ..Section::default()
        },
        ..Alternative::default()
    };
    let set = Alternative {
        alternatives: [
            ("a".to_owned(), mode("/mnt/a.out")),
            ("b".to_owned(), mode("/mnt/b.out")),
        ]
        .into(),
        ..Alternative::default()
    };
    let description = Description {
        alternatives: [("stable".to_owned(), set)].into(),
        ..described(Section::default())
    };
    let members = [("image", image.as_slice())];
    write_bundle(
        &workshop,
        description,
        &members,
        &Form::all()[0],
        &signer,
        TRUSTED,
    );
    let empty = vec![0; image.len()];
    workshop.write("a.out", &empty);
    workshop.write("b.out", &empty);
    let outcome = install(suite, workshop.directory(), TRUSTED, &["-e", "stable,b"]);
    assert!(outcome.successful, "{suite}:\n{}", outcome.log);
    assert!(workshop.read("a.out") == empty);
    assert!(workshop.read("b.out") == image);
}

/// What stands in for CIP's handler, which Debian does not have: tells what it was given, then writes to files.
const ROUNDROBIN: &str = r#"
require("swupdate")
local function handle(image)
    local told = io.open("/mnt/told", "a")
    told:write(image.properties.subtype, " ", image.device, "\n")
    told:close()
    if image.properties.subtype == "image" then
        image.device = "/mnt/root.out"
        image.properties.rdiffbase = "/mnt/base.img"
        local result = swupdate.call_handler(image.properties.chainhandler or "raw", image)
        return result
    end
    image.device, image.filesystem, image.path = "", "", "/mnt/kernel.out"
    local result = swupdate.call_handler("rawfile", image)
    return result
end
swupdate.register_handler("roundrobin", handle,
    swupdate.HANDLER_MASK.IMAGE_HANDLER | swupdate.HANDLER_MASK.FILE_HANDLER)
"#;

fn two_slots(root: Root) -> TwoSlots {
    TwoSlots {
        version: "2".to_owned(),
        name: "demo".to_owned(),
        hardware: vec!["1.0".to_owned()],
        slots: Slots {
            roots: ["AAAA".to_owned(), "BBBB".to_owned()],
            boots: ["BOOT0".to_owned(), "BOOT1".to_owned()],
            kernel: "linux.efi".to_owned(),
        },
        root,
        kernel: "linux.efi".to_owned(),
        boot_loader: None,
    }
}

/// CIP's layout reaches a handler of that name with all it needs.
pub(crate) fn installs_two_slots(suite: &str) {
    let workshop = workshop();
    let signer = signer(&workshop, "rsa");
    workshop.write("swupdate_handlers.lua", ROUNDROBIN.as_bytes());
    let (root, kernel) = (content(6, 400_000), content(7, 30_000));
    let two = two_slots(Root::Full("root.img".to_owned()));
    let form = Form {
        compression: Compression::Zstd,
        ..Form::all().remove(0)
    };
    let members = [("root.img", root.as_slice()), ("linux.efi", &kernel)];
    write_bundle(&workshop, two.describe(), &members, &form, &signer, TRUSTED);
    workshop.write("root.out", &vec![0; root.len()]);
    let outcome = install(suite, workshop.directory(), TRUSTED, &[]);
    assert!(outcome.successful, "{suite}:\n{}", outcome.log);
    assert!(workshop.read("root.out") == root);
    assert!(workshop.read("kernel.out") == kernel);
    assert_eq!(
        String::from_utf8(workshop.read("told")).unwrap(),
        "image C:BOOT0:linux.efi->AAAA,C:BOOT1:linux.efi->BBBB\n\
         kernel C:BOOT0:linux.efi->BOOT0,C:BOOT1:linux.efi->BOOT1\n"
    );
}

fn rdiff_between(mut old: &[u8], mut new: &[u8]) -> Vec<u8> {
    let (mut signature, mut delta) = (Vec::new(), Vec::new());
    let options = rdiff::Options::recommended(old.len() as u64);
    rdiff::signature(&mut old, options, &mut signature).unwrap();
    let signature = rdiff::Signature::read(&mut signature.as_slice()).unwrap();
    rdiff::delta(&signature, &mut new, &mut delta).unwrap();
    delta
}

/// A difference with the whole root file system beside it: SWUpdate takes the one, and the other when it is selected.
pub(crate) fn installs_differences(suite: &str) {
    let workshop = workshop();
    let signer = signer(&workshop, "rsa");
    workshop.write("swupdate_handlers.lua", ROUNDROBIN.as_bytes());
    let (old, kernel) = (content(8, 400_000), content(7, 30_000));
    let mut root = old.clone();
    root.splice(100_000..120_000, content(9, 21_000));
    let image = |bytes: &[u8]| Image {
        size: bytes.len() as u64,
        sha256: Digest::of(bytes),
    };
    let two = two_slots(Root::Delta {
        member: "root.img.rdiff".to_owned(),
        delta: Delta::Rdiff {
            base: image(&old),
            output: image(&root),
        },
        full: Some("root.img".to_owned()),
    });
    let form = Form {
        compression: Compression::Zstd,
        ..Form::all().remove(0)
    };
    let delta = rdiff_between(&old, &root);
    let members = [
        ("root.img.rdiff", delta.as_slice()),
        ("root.img", &root),
        ("linux.efi", &kernel),
    ];
    write_bundle(&workshop, two.describe(), &members, &form, &signer, TRUSTED);
    for (base, options) in [(old, &[][..]), (Vec::new(), &["-e", "bedstone,full"])] {
        workshop.write("base.img", &base);
        workshop.write("root.out", &vec![0; root.len()]);
        let outcome = install(suite, workshop.directory(), TRUSTED, options);
        assert!(outcome.successful, "{suite} {options:?}:\n{}", outcome.log);
        assert!(workshop.read("root.out") == root, "{suite} {options:?}");
        assert!(workshop.read("kernel.out") == kernel, "{suite} {options:?}");
    }
}
