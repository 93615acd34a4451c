//! Bundles made with plain tools, as SWUpdate's documentation and CIP make them: SWUpdate installs them and we read the same.

use std::process::Command;

use bedstone_bundle::crypt::Key;
use bedstone_bundle::signature::{Clock, Trust};
use bedstone_bundle::{Bundle, check};
use bedstone_store::Digest;

use crate::fixtures::{SIGNING, Workshop};
use crate::installation::install;
use crate::ours::{KEY, content};

/// Runs a program in the workshop, its output into a file.
fn filter(workshop: &Workshop, program: &str, arguments: &[&str], output: &str) {
    let done = Command::new(program)
        .args(arguments)
        .current_dir(workshop.directory())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; apt-get install {program}"));
    assert!(done.status.success(), "{program} {arguments:?}");
    workshop.write(output, &done.stdout);
}

pub(crate) fn read_by_all(suite: &str) {
    let workshop = Workshop::new();
    workshop.self_signed("rsa", &["rsa:3072"], SIGNING);
    workshop.write("aes.key", KEY.as_bytes());
    let plain = content(11, 200_000);
    workshop.write("image", &plain);
    filter(&workshop, "gzip", &["-c", "image"], "image.zlib");
    filter(&workshop, "zstd", &["-q", "-c", "image"], "image.zstd");
    let (key, iv) = KEY.trim_end().split_once(' ').unwrap();
    for name in ["image", "image.zlib", "image.zstd"] {
        let output = format!("{name}.aes");
        let mut arguments = vec!["enc", "-aes-256-cbc", "-K", key, "-iv", iv];
        arguments.extend(["-in", name, "-out", &output]);
        workshop.openssl(&arguments);
    }
    let trust = Trust::new(&workshop.read("rsa.crt"), Clock::Unknown).unwrap();
    let key = Key::parse(KEY.as_bytes()).unwrap();
    for (format, options) in [
        ("newc", &["-noattr"][..]),
        ("crc", &[]),
        ("crc", &["-md", "sha512"]),
        ("crc", &["-nodetach"]),
    ] {
        for (name, attributes) in [
            ("image", ""),
            ("image.zlib", "compressed = \"zlib\";"),
            ("image.zstd", "compressed = \"zstd\";"),
            ("image.aes", "encrypted = true;"),
            ("image.zlib.aes", "compressed = \"zlib\"; encrypted = true;"),
            ("image.zstd.aes", "compressed = \"zstd\"; encrypted = true;"),
        ] {
            let digest = Digest::of(&workshop.read(name));
            let text = format!(
                "software =\n{{\n    version = \"1.0\";\n    hardware-compatibility: [ \"1.0\" ];\n    images: ({{\n\
                 filename = \"{name}\"; type = \"raw\"; device = \"/mnt/out\"; {attributes}\n\
                 installed-directly = true; sha256 = \"{digest}\";\n    }});\n}}\n"
            );
            workshop.write("sw-description", text.as_bytes());
            workshop.cms("sw-description", "rsa", options);
            let members = ["sw-description", "sw-description.sig", name];
            let bytes = workshop.cpio(format, &members);
            workshop.write("x.swu", &bytes);
            let bundle = Bundle::open(bytes.as_slice(), &trust).unwrap();
            let contents = check(bundle, Some(&key)).unwrap();
            let expected = (plain.len() as u64, Digest::of(&plain));
            assert_eq!(contents.members[0].content, Some(expected), "{text}");
            assert!(!contents.follows);

            workshop.write("out", &vec![0; plain.len()]);
            let decrypt = ["-K", "/mnt/aes.key"];
            let outcome = install(suite, workshop.directory(), "rsa.crt", &decrypt);
            assert!(outcome.successful, "{suite} {options:?}:\n{}", outcome.log);
            assert!(workshop.read("out") == plain, "{suite} {options:?}: {name}");
        }
    }
}

/// Signers that we accept, and not every SWUpdate.
pub(crate) fn accepted_by_us(suite: &str) {
    let workshop = Workshop::new();
    let authority = [
        "basicConstraints=critical,CA:TRUE",
        "keyUsage=critical,keyCertSign,cRLSign",
    ];
    workshop.self_signed("root", &["rsa:3072"], &authority[..1]);
    workshop.issued("middle", "root", &authority);
    workshop.issued("leaf", "middle", SIGNING);
    let purpose = ["extendedKeyUsage=codeSigning"];
    workshop.self_signed("code", &["rsa:3072"], &purpose);
    let image = content(12, 20_000);
    workshop.write("image", &image);
    let text = format!(
        "software = {{ version = \"1.0\"; hardware-compatibility: [ \"1.0\" ]; images: ({{ filename = \"image\";\n\
         type = \"raw\"; device = \"/mnt/out\"; sha256 = \"{}\"; }}); }};\n",
        Digest::of(&image)
    );
    workshop.write("sw-description", text.as_bytes());
    for (signer, trusted, options, installed_by) in [
        // wolfSSL, in trixie, does not follow a certificate between the signer's and the trusted one.
        (
            "leaf",
            "root.crt",
            &["-certfile", "middle.crt"][..],
            &["bookworm", "forky"][..],
        ),
        // It does not look at the purpose either, which the others want to be told.
        ("code", "code.crt", &[], &["trixie"]),
    ] {
        workshop.cms("sw-description", signer, options);
        let members = ["sw-description", "sw-description.sig", "image"];
        let bytes = workshop.cpio("crc", &members);
        workshop.write("x.swu", &bytes);
        let trust = Trust::new(&workshop.read(trusted), Clock::Unknown).unwrap();
        assert!(check(Bundle::open(bytes.as_slice(), &trust).unwrap(), None).is_ok());
        workshop.write("out", &vec![0; image.len()]);
        let outcome = install(suite, workshop.directory(), trusted, &[]);
        let installed = workshop.read("out") == image;
        let expected = installed_by.contains(&suite);
        assert_eq!(installed, expected, "{suite} {signer}:\n{}", outcome.log);
    }
}
