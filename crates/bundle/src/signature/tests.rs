#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::time::{SystemTime, UNIX_EPOCH};

use super::*;
use crate::error::{Error, Refusal, Result};
use crate::fixtures::{SIGNING, Workshop, shared};

const MESSAGE: &[u8] = b"software = { version = \"1\"; };\n";
const AUTHORITY: &[&str] = &[
    "basicConstraints=critical,CA:TRUE,pathlen:0",
    "keyUsage=critical,keyCertSign,cRLSign",
];

pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
}

fn trust(workshop: &Workshop, name: &str) -> Trust {
    Trust::new(&workshop.read(&format!("{name}.crt")), Clock::At(now())).unwrap()
}

pub(crate) fn file_key(workshop: &Workshop, name: &str) -> FileKey {
    FileKey::new(
        &workshop.read(&format!("{name}.key")),
        &workshop.read(&format!("{name}.crt")),
    )
    .unwrap()
}

#[track_caller]
fn refused(outcome: Result<Names>, refusal: Refusal, words: &str) {
    let error = outcome.unwrap_err();
    assert_eq!(error.refusal(), Some(refusal), "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn what_openssl_makes_is_read() {
    let workshop = shared();
    workshop.write("message", MESSAGE);
    for (name, options) in [
        ("rsa", &[][..]),
        ("rsa", &["-noattr"]),
        ("rsa", &["-md", "sha384"]),
        ("rsa", &["-md", "sha512"]),
        ("rsa", &["-md", "sha512", "-noattr"]),
        ("rsa", &["-nodetach"]),
        ("rsa", &["-keyid"]),
        ("ec", &[]),
        ("ec", &["-md", "sha384"]),
    ] {
        let signature = workshop.cms("message", name, options);
        let signer = verify(MESSAGE, &signature, &trust(workshop, name))
            .unwrap_or_else(|error| panic!("{name} {options:?}: {error}"));
        assert_eq!(signer.subject, format!("CN={name}"));
        assert!(inspect(MESSAGE, &signature).is_ok());
        let stranger = trust(workshop, "other");
        refused(
            verify(MESSAGE, &signature, &stranger),
            Refusal::WrongKey,
            "not trusted",
        );
        let altered = MESSAGE.to_ascii_uppercase();
        refused(
            verify(&altered, &signature, &trust(workshop, name)),
            Refusal::WrongKey,
            "is not over this",
        );
        refused(
            inspect(&altered, &signature),
            Refusal::WrongKey,
            "is not over this",
        );
    }
}

#[test]
fn what_openssl_makes_and_we_refuse() {
    let workshop = shared();
    workshop.write("other message", MESSAGE);
    let trust = trust(workshop, "rsa");
    for (options, words) in [
        (&["-nocerts"][..], "certificate is not in it"),
        (&["-md", "sha1"], "not supported"),
        (&["-keyopt", "rsa_padding_mode:pss"], "not supported"),
        (
            &["-signer", "other.crt", "-inkey", "other.key"],
            "exactly one signer",
        ),
        (
            &["-econtent_type", "pkcs7-data", "-stream", "-nodetach"],
            "",
        ),
    ] {
        let signature = workshop.cms("other message", "rsa", options);
        refused(
            verify(MESSAGE, &signature, &trust),
            Refusal::Malformed,
            words,
        );
    }
}

#[test]
fn openssl_reads_what_we_make() {
    let workshop = shared();
    workshop.write("ours", MESSAGE);
    for name in ["rsa", "ec"] {
        let key = file_key(workshop, name);
        let signature = sign(MESSAGE, &key).unwrap();
        verify(MESSAGE, &signature, &trust(workshop, name)).unwrap();
        let (file, certificate) = (format!("ours.{name}"), format!("{name}.crt"));
        workshop.write(&file, &signature);
        workshop.openssl(&[
            "cms",
            "-verify",
            "-inform",
            "DER",
            "-in",
            &file,
            "-content",
            "ours",
            "-binary",
            "-CAfile",
            &certificate,
            "-purpose",
            "smimesign",
            "-out",
            "/dev/null",
        ]);
    }
    let key = file_key(workshop, "rsa");
    assert_eq!(sign(MESSAGE, &key).unwrap(), sign(MESSAGE, &key).unwrap());
}

#[test]
fn chains_lead_to_an_authority() {
    let workshop = Workshop::new();
    let root = &["basicConstraints=critical,CA:TRUE"][..];
    workshop.self_signed("root", &["rsa:3072"], root);
    workshop.issued("middle", "root", AUTHORITY);
    workshop.issued("leaf", "middle", SIGNING);
    workshop.write("message", MESSAGE);
    let whole = workshop.cms("message", "leaf", &["-certfile", "middle.crt"]);
    let bare = sign(MESSAGE, &file_key(&workshop, "leaf")).unwrap();
    for (name, signature, good) in [
        ("root", &whole, true),
        ("middle", &whole, true),
        ("leaf", &whole, true),
        ("root", &bare, false),
        ("middle", &bare, true),
        ("leaf", &bare, true),
    ] {
        let outcome = verify(MESSAGE, signature, &trust(&workshop, name));
        assert_eq!(outcome.is_ok(), good, "{name}: {outcome:?}");
    }

    // A signer's certificate is no authority; an authority with path length 0 has none under it.
    workshop.issued("false", "leaf", SIGNING);
    workshop.issued("deep", "middle", AUTHORITY);
    workshop.issued("deeper", "deep", SIGNING);
    for (name, between, words) in [
        ("false", "leaf.crt", "no authority's"),
        ("deeper", "deep.crt", "path length"),
    ] {
        let chain = [workshop.read("middle.crt"), workshop.read(between)].concat();
        workshop.write("chain", &chain);
        let signature = workshop.cms("message", name, &["-certfile", "chain"]);
        refused(
            verify(MESSAGE, &signature, &trust(&workshop, "root")),
            Refusal::WrongKey,
            words,
        );
    }
}

#[test]
fn validity_is_what_the_clock_says() {
    let workshop = shared();
    let certificate = workshop.read("rsa.crt");
    let signature = sign(MESSAGE, &file_key(workshop, "rsa")).unwrap();
    let at = |clock| {
        let trust = Trust::new(&certificate, clock).unwrap();
        verify(MESSAGE, &signature, &trust)
    };
    let month = 31 * 86_400;
    assert!(at(Clock::At(now())).is_ok());
    assert!(at(Clock::Unknown).is_ok());
    for time in [0, now() - month, now() + month] {
        refused(at(Clock::At(time)), Refusal::Expired, "CN=rsa");
    }
}

#[test]
fn purpose_is_enforced() {
    let workshop = Workshop::new();
    for (name, extensions, verified, signs) in [
        ("plain", &[][..], true, true),
        ("mail", &["extendedKeyUsage=emailProtection"], true, true),
        ("code", &["extendedKeyUsage=codeSigning"], true, false),
        ("server", &["extendedKeyUsage=serverAuth"], false, false),
        (
            "cipher",
            &["keyUsage=critical,keyEncipherment"],
            false,
            false,
        ),
        (
            "strange",
            &["1.2.3.4.5=critical,ASN1:UTF8String:x"],
            false,
            true,
        ),
    ] {
        workshop.self_signed(name, &["rsa:3072"], extensions);
        workshop.write("message", MESSAGE);
        let signature = workshop.cms("message", name, &[]);
        let outcome = verify(MESSAGE, &signature, &trust(&workshop, name));
        assert_eq!(outcome.is_ok(), verified, "{name}: {outcome:?}");
        if !verified {
            assert_eq!(outcome.unwrap_err().refusal(), Some(Refusal::WrongKey));
        }
        let key = FileKey::new(
            &workshop.read(&format!("{name}.key")),
            &workshop.read(&format!("{name}.crt")),
        );
        let strange = name == "strange";
        assert_eq!(key.is_ok(), signs && !strange, "{name}: {key:?}");
    }
}

#[test]
fn unusable_keys_are_refused() {
    let workshop = shared();
    let key = |key: &str, certificate: &str| {
        FileKey::new(&workshop.read(key), &workshop.read(certificate))
            .unwrap_err()
            .to_string()
    };
    assert!(key("rsa.key", "other.crt").contains("belongs to another key"));
    assert!(key("rsa.crt", "rsa.crt").contains("`CERTIFICATE`"));
    assert!(key("rsa.key", "rsa.key").contains("certificate"));
    workshop.self_signed("short", &["rsa:2048"], SIGNING);
    assert!(key("short.key", "short.crt").contains("2048 bits, 3072 are needed"));
    let curve = ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"];
    workshop.self_signed("p384", &curve, SIGNING);
    assert!(key("p384.key", "p384.crt").contains("neither RSA nor ECDSA P-256"));
    assert!(Trust::new(b"", Clock::Unknown).is_err());
    assert!(matches!(
        Trust::new(b"-----BEGIN NONSENSE-----", Clock::Unknown),
        Err(Error::Key(_))
    ));
}

#[test]
fn damaged_signatures_do_not_panic() {
    let workshop = shared();
    let signature = sign(MESSAGE, &file_key(workshop, "rsa")).unwrap();
    let trust = trust(workshop, "rsa");
    for end in 0..signature.len() {
        let error = verify(MESSAGE, &signature[..end], &trust).unwrap_err();
        assert_eq!(error.refusal(), Some(Refusal::Malformed), "{end}: {error}");
    }
    let mut accepted = Vec::new();
    for position in 0..signature.len() {
        let mut altered = signature.clone();
        altered[position] ^= 0x01;
        if verify(MESSAGE, &altered, &trust).is_ok() {
            accepted.push(position);
        }
    }
    // What is neither signed nor decides anything: versions, the algorithms' summary.
    assert!(accepted.len() <= 20, "{accepted:?}");
}
