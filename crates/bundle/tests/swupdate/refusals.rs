//! What must be refused: by us always, and what SWUpdate does with it, release by release.

use std::time::{SystemTime, UNIX_EPOCH};

use bedstone_bundle::crypt::Key;
use bedstone_bundle::signature::{Clock, Trust};
use bedstone_bundle::{Bundle, Refusal, check};
use bedstone_store::Digest;

use crate::fixtures::{SIGNING, Workshop};
use crate::installation::install;
use crate::ours::{KEY, content};
use crate::roots::SUITES;

const HEAD: [&str; 2] = ["sw-description", "sw-description.sig"];
const WHOLE: &[&str] = &[HEAD[0], HEAD[1], "image"];

/// One way to spoil a bundle.
struct Case {
    what: &'static str,
    refusal: Refusal,
    /// The releases that install it all the same.
    installed_by: &'static [&'static str],
    /// Attributes of the image.
    attributes: &'static str,
    /// Leaves the digest out.
    no_digest: bool,
    signer: &'static str,
    cms: &'static [&'static str],
    format: &'static str,
    members: &'static [&'static str],
    /// Changes the finished bundle.
    spoil: fn(&mut Vec<u8>),
}

/// Refused as malformed by everybody, until something is changed.
const CASE: Case = Case {
    what: "",
    refusal: Refusal::Malformed,
    installed_by: &[],
    attributes: "",
    no_digest: false,
    signer: "rsa",
    cms: &[],
    format: "crc",
    members: WHOLE,
    spoil: |_| {},
};

fn find(bytes: &[u8], what: &[u8]) -> usize {
    let mut windows = bytes.windows(what.len());
    windows.position(|window| window == what).unwrap()
}

/// Where the image is.
fn payload(bytes: &[u8]) -> usize {
    find(bytes, &content(21, 50_000)[..32])
}

fn flip(bytes: &mut [u8]) {
    let at = payload(bytes);
    bytes[at] ^= 1;
}

fn structure() -> Vec<Case> {
    vec![
        Case {
            what: "other archive format",
            format: "odc",
            ..CASE
        },
        Case {
            what: "signature first",
            members: &[HEAD[1], HEAD[0], "image"],
            ..CASE
        },
        Case {
            what: "no signature",
            members: &[HEAD[0], "image"],
            refusal: Refusal::NotSigned,
            ..CASE
        },
        Case {
            what: "no image",
            members: &HEAD,
            refusal: Refusal::Incomplete,
            ..CASE
        },
        Case {
            what: "cut off",
            spoil: |bytes| bytes.truncate(bytes.len() / 2),
            refusal: Refusal::Truncated,
            ..CASE
        },
        Case {
            what: "flipped payload",
            spoil: |bytes| flip(bytes),
            refusal: Refusal::HashMismatch,
            ..CASE
        },
        Case {
            what: "swapped payload of the same sum",
            spoil: |bytes| {
                let at = payload(bytes);
                assert_ne!(bytes[at], bytes[at + 1]);
                bytes.swap(at, at + 1);
            },
            refusal: Refusal::HashMismatch,
            ..CASE
        },
        Case {
            what: "flipped payload without checksums",
            format: "newc",
            spoil: |bytes| flip(bytes),
            refusal: Refusal::HashMismatch,
            ..CASE
        },
        Case {
            what: "altered description",
            format: "newc",
            spoil: |bytes| {
                let at = find(bytes, b"version") + 11;
                bytes[at] ^= 1;
            },
            refusal: Refusal::WrongKey,
            ..CASE
        },
        Case {
            what: "member twice",
            members: &[HEAD[0], HEAD[1], "image", "image"],
            // The first one counts.
            installed_by: &SUITES,
            ..CASE
        },
    ]
}

fn signatures() -> Vec<Case> {
    vec![
        Case {
            what: "stranger",
            signer: "other",
            refusal: Refusal::WrongKey,
            ..CASE
        },
        Case {
            what: "no certificate",
            cms: &["-nocerts"],
            ..CASE
        },
        Case {
            what: "server's certificate",
            signer: "server",
            refusal: Refusal::WrongKey,
            // wolfSSL does not look at the purpose.
            installed_by: &["trixie"],
            ..CASE
        },
        Case {
            what: "expired",
            signer: "expired",
            refusal: Refusal::Expired,
            ..CASE
        },
        Case {
            what: "RSA-PSS",
            cms: &["-keyopt", "rsa_padding_mode:pss"],
            // Ours to refuse: what one release does not take, nobody should make.
            installed_by: &["bookworm", "forky"],
            ..CASE
        },
    ]
}

fn attributes() -> Vec<Case> {
    vec![
        Case {
            what: "no digest",
            no_digest: true,
            ..CASE
        },
        Case {
            what: "cipher by name",
            attributes: "encrypted = \"aes-ctr-256\";",
            // Taken for false: ciphertext would be installed.
            installed_by: &["bookworm", "trixie"],
            ..CASE
        },
        Case {
            what: "unknown attribute",
            attributes: "instaled-directly = true;",
            // Ignored.
            installed_by: &SUITES,
            ..CASE
        },
        Case {
            what: "ill-typed attribute",
            attributes: "installed-directly = \"yes\";",
            // Taken for false.
            installed_by: &SUITES,
            ..CASE
        },
        Case {
            what: "unknown compression",
            attributes: "compressed = \"brotli\";",
            ..CASE
        },
    ]
}

pub(crate) fn table() {
    let workshop = Workshop::new();
    workshop.self_signed("rsa", &["rsa:3072"], SIGNING);
    workshop.self_signed("other", &["rsa:3072"], SIGNING);
    workshop.self_signed("server", &["rsa:3072"], &["extendedKeyUsage=serverAuth"]);
    expired(&workshop);
    workshop.write("aes.key", KEY.as_bytes());
    let image = content(21, 50_000);
    workshop.write("image", &image);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let key = Key::parse(KEY.as_bytes()).unwrap();
    let mut wrong = Vec::new();
    let mut cases = structure();
    cases.extend(signatures());
    cases.extend(attributes());
    for case in cases {
        let bytes = make(&workshop, &case, &image);
        workshop.write("x.swu", &bytes);
        let trusted = match case.signer {
            "other" => "rsa.crt".to_owned(),
            signer => format!("{signer}.crt"),
        };
        let trust = Trust::new(&workshop.read(&trusted), Clock::At(now.as_secs())).unwrap();
        let outcome = Bundle::open(bytes.as_slice(), &trust)
            .and_then(|bundle| check(bundle, Some(&key)))
            .map_err(|error| error.refusal());
        if outcome != Err(Some(case.refusal)) {
            wrong.push(format!("{}: by us {outcome:?}", case.what));
        }
        for suite in SUITES {
            workshop.write("out", &vec![0; image.len()]);
            let decrypt = ["-K", "/mnt/aes.key"];
            install(suite, workshop.directory(), &trusted, &decrypt);
            // 2022.12 says sometimes that it was successful when it refused; only the target counts.
            let installed = workshop.read("out") == image;
            if installed != case.installed_by.contains(&suite) {
                wrong.push(format!("{}: installed by {suite}: {installed}", case.what));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn make(workshop: &Workshop, case: &Case, image: &[u8]) -> Vec<u8> {
    let digest = if case.no_digest {
        String::new()
    } else {
        format!("sha256 = \"{}\";", Digest::of(image))
    };
    let text = format!(
        "software =\n{{\n version = \"1.0\";\n hardware-compatibility: [ \"1.0\" ];\n images: ({{\n\
         filename = \"image\"; type = \"raw\"; device = \"/mnt/out\"; {digest} {} }});\n}}\n",
        case.attributes
    );
    workshop.write("sw-description", text.as_bytes());
    workshop.cms("sw-description", case.signer, case.cms);
    let mut bytes = workshop.cpio(case.format, case.members);
    (case.spoil)(&mut bytes);
    bytes
}

/// A certificate whose time is over.
fn expired(workshop: &Workshop) {
    workshop.write("expired.ext", SIGNING.join("\n").as_bytes());
    let mut request = vec!["req", "-new", "-nodes", "-newkey", "rsa:3072"];
    request.extend(["-keyout", "expired.key", "-out", "expired.csr"]);
    request.extend(["-subj", "/CN=expired"]);
    workshop.openssl(&request);
    let mut sign = vec!["x509", "-req", "-in", "expired.csr", "-days", "-1"];
    sign.extend(["-signkey", "expired.key", "-extfile", "expired.ext"]);
    sign.extend(["-out", "expired.crt"]);
    workshop.openssl(&sign);
}
