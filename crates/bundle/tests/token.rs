//! Keys in a PKCS #11 token (SoftHSM) sign what openssl and this crate verify.

#![cfg(feature = "pkcs11")]
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]
#![allow(clippy::panic, reason = "a test may fail anywhere")]

#[path = "../src/fixtures.rs"]
mod fixtures;

use std::path::Path;
use std::process::Command;

use bedstone_bundle::signature::{Clock, Token, TokenKey, Trust, sign, verify};
use fixtures::{SIGNING, Workshop};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const MESSAGE: &[u8] = b"software = { version = \"1\"; };\n";
/// Set in the process in which the token's library reads its configuration.
const INSIDE: &str = "BEDSTONE_TEST_TOKEN";

fn softhsm(workshop: &Workshop, arguments: &[&str]) {
    let output = Command::new("softhsm2-util")
        .args(arguments)
        .env("SOFTHSM2_CONF", workshop.path("softhsm.conf"))
        .current_dir(workshop.directory())
        .output()
        .unwrap_or_else(|error| panic!("softhsm2-util: {error}; apt-get install softhsm2"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
}

/// A token “bundles” with the keys `rsa` and `ec`.
fn token() -> Workshop {
    let workshop = Workshop::new();
    let directory = workshop.directory().display().to_string();
    std::fs::create_dir(workshop.path("tokens")).unwrap();
    let configuration =
        format!("directories.tokendir = {directory}/tokens\nobjectstore.backend = file\n");
    workshop.write("softhsm.conf", configuration.as_bytes());
    let pins = ["--so-pin", "5678", "--pin", "1234"];
    softhsm(
        &workshop,
        &[&["--init-token", "--free", "--label", "bundles"][..], &pins].concat(),
    );
    workshop.self_signed("rsa", &["rsa:3072"], SIGNING);
    let curve = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    workshop.self_signed("ec", &curve, SIGNING);
    for (name, id) in [("rsa", "01"), ("ec", "02")] {
        let key = format!("{name}.key");
        softhsm(
            &workshop,
            &[
                "--import", &key, "--token", "bundles", "--label", name, "--id", id, "--pin",
                "1234",
            ],
        );
    }
    workshop
}

/// The library takes its configuration from the environment, which only a new process can have another one of.
#[test]
fn keys_in_tokens_sign() {
    if let Some(directory) = std::env::var_os(INSIDE) {
        return inside(Path::new(&directory));
    }
    let workshop = token();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "keys_in_tokens_sign", "--nocapture"])
        .env(INSIDE, workshop.directory())
        .env("SOFTHSM2_CONF", workshop.path("softhsm.conf"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for name in ["rsa", "ec"] {
        let certificate = workshop.read(&format!("{name}.crt"));
        let signature = workshop.read(&format!("{name}.sig"));
        let trust = Trust::new(&certificate, Clock::Unknown).unwrap();
        let signer = verify(MESSAGE, &signature, &trust).unwrap();
        assert_eq!(signer.subject, format!("CN={name}"));
        workshop.write("message", MESSAGE);
        let (file, authority) = (format!("{name}.sig"), format!("{name}.crt"));
        let mut arguments = vec!["cms", "-verify", "-inform", "DER", "-in", &file];
        arguments.extend(["-content", "message", "-binary", "-CAfile", &authority]);
        arguments.extend(["-out", "/dev/null"]);
        workshop.openssl(&arguments);
    }
}

fn inside(directory: &Path) {
    let read = |name: &str| std::fs::read(directory.join(name)).unwrap();
    let open = |uri: &str, pin: &str, certificate: &str| {
        let token = Token::parse(uri).unwrap();
        TokenKey::open(Path::new(MODULE), &token, pin, &read(certificate))
    };
    for name in ["rsa", "ec"] {
        let uri = format!("pkcs11:token=bundles;object={name}");
        let key = open(&uri, "1234", &format!("{name}.crt")).unwrap();
        let signature = sign(MESSAGE, &key).unwrap();
        std::fs::write(directory.join(format!("{name}.sig")), signature).unwrap();
    }
    for (uri, pin, certificate, words) in [
        (
            "pkcs11:token=none;object=rsa",
            "1234",
            "rsa.crt",
            "no token `none`",
        ),
        (
            "pkcs11:token=bundles;object=none",
            "1234",
            "rsa.crt",
            "0 private keys",
        ),
        (
            "pkcs11:token=bundles;object=rsa",
            "9999",
            "rsa.crt",
            "cannot log in",
        ),
    ] {
        let error = open(uri, pin, certificate).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let error = open("pkcs11:token=bundles;object=ec", "1234", "rsa.crt");
    assert!(error.is_err());
    let missing = TokenKey::open(
        Path::new("/nonexistent.so"),
        &Token::parse("pkcs11:token=bundles;object=rsa").unwrap(),
        "1234",
        &read("rsa.crt"),
    );
    assert!(missing.unwrap_err().to_string().contains("cannot load"));
}

#[test]
fn uris_are_read() {
    let token = Token::parse("pkcs11:token=My%20Token;object=bundle%2Dkey;type=private").unwrap();
    assert_eq!(
        (token.token.as_str(), token.object.as_str()),
        ("My Token", "bundle-key")
    );
    assert!(Token::is_uri("pkcs11:") && !Token::is_uri("key.pem"));
    for uri in [
        "token=a;object=b",
        "pkcs11:token=a",
        "pkcs11:object=a",
        "pkcs11:token=a;object=b;object=c",
        "pkcs11:token=a;object=b;slot-id=1",
        "pkcs11:token=a;object=%4",
        "pkcs11:token=a;object=%zz",
        "pkcs11:token",
    ] {
        assert!(Token::parse(uri).is_err(), "{uri}");
    }
}
