use super::*;
use crate::pe::tests::{debian_stub, synthetic};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// A key pair as files, for the tools that judge our signatures.
struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new(name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |file: &str| directory.path().join(file).display().to_string();
        let output = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256"])
            .args(["-days", "3650", "-subj", &format!("/CN={name}/O=Tests")])
            .args(["-keyout", &path("key.pem"), "-out", &path("cert.pem")])
            .output()
            .expect("install Debian's package openssl");
        assert!(output.status.success());
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn key(&self) -> RsaKey {
        let read = |name| std::fs::read(self.path(name)).unwrap();
        RsaKey::new(&read("key.pem"), &read("cert.pem")).unwrap()
    }
}

fn files() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| Files::new("Test"))
}

fn sbsigntool(program: &str, key_files: &Files, image: &Path, more: &[&str]) -> Output {
    Command::new(program)
        .arg("--cert")
        .arg(key_files.path("cert.pem"))
        .args(more)
        .arg(image)
        .output()
        .expect("install Debian's package sbsigntool")
}

#[test]
fn sbverify_accepts_and_refuses() {
    let key = files().key();
    for (index, image) in [debian_stub(), synthetic(&[(".text", &[1; 701])])]
        .into_iter()
        .enumerate()
    {
        let signed = sign(&image, &key).unwrap();
        assert_eq!(signed, sign(&image, &key).unwrap());
        // Signing again replaces.
        assert_eq!(signed, sign(&signed, &key).unwrap());
        let path = files().path(&format!("signed-{index}.efi"));
        std::fs::write(&path, &signed).unwrap();
        let output = sbsigntool("sbverify", files(), &path, &[]);
        let warned = String::from_utf8_lossy(&output.stderr).contains("warning");
        // Debian's stub has a symbol table behind its sections, which sbverify remarks upon.
        assert!(
            output.status.success() && (index == 0 || !warned),
            "{output:?}"
        );

        let mut altered = signed.clone();
        altered[0x500] ^= 1;
        std::fs::write(&path, &altered).unwrap();
        assert!(!sbsigntool("sbverify", files(), &path, &[]).status.success());
        assert!(matches!(
            verify(&altered, &[key.certificate_der()]),
            Err(Error::SignedDigest { .. } | Error::Pe { .. })
        ));
    }
}

#[test]
fn reads_what_sbsign_makes() {
    let image = files().path("by-sbsign.efi");
    std::fs::write(&image, debian_stub()).unwrap();
    let key_path = files().path("key.pem").display().to_string();
    let output = sbsigntool("sbsign", files(), &image, &["--key", &key_path]);
    assert!(output.status.success(), "{output:?}");
    let theirs = std::fs::read(files().path("by-sbsign.efi.signed")).unwrap();
    let key = files().key();
    let signature = verify(&theirs, &[key.certificate_der()]).unwrap();
    assert_eq!(signature.certificate, key.certificate_der());
    assert!(
        signature.subject.contains("CN=Test"),
        "{}",
        signature.subject
    );
    let ours = sign(&debian_stub(), &key).unwrap();
    assert_eq!(
        verify(&ours, &[key.certificate_der()]).unwrap().digest,
        signature.digest
    );
    // Taking theirs off and putting ours on is the same as signing the bare image.
    assert_eq!(sign(&theirs, &key).unwrap(), ours);
}

#[test]
fn finds_the_trusted_one_among_several() {
    let other = Files::new("Other");
    let (first, second) = (files().key(), other.key());
    let image = debian_stub();
    let once = sign(&image, &first).unwrap();
    let twice = add_signature(&once, &second).unwrap();
    for key in [&first, &second] {
        let found = verify(&twice, &[key.certificate_der()]).unwrap();
        assert_eq!(found.certificate, key.certificate_der());
    }
    let path = other.path("twice.efi");
    std::fs::write(&path, &twice).unwrap();
    assert!(sbsigntool("sbverify", &other, &path, &[]).status.success());
    let error = verify(&once, &[second.certificate_der()]).unwrap_err();
    assert!(error.to_string().contains("CN=Test"), "{error}");
    assert!(matches!(verify(&image, &[]), Err(Error::Unsigned)));
}

#[test]
fn refuses_keys_that_do_not_match() {
    let other = Files::new("Other");
    let read = |files: &Files, name| std::fs::read(files.path(name)).unwrap();
    let key = read(files(), "key.pem");
    let cases = [
        (key.clone(), read(&other, "cert.pem"), "another key"),
        (
            read(files(), "cert.pem"),
            read(files(), "cert.pem"),
            "CERTIFICATE",
        ),
        (b"x".to_vec(), read(files(), "cert.pem"), "RSA private key"),
        (key, b"x".to_vec(), "certificate"),
    ];
    for (key, certificate, part) in cases {
        let error = RsaKey::new(&key, &certificate).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn refuses_bytes_between_sections() {
    let mut image = synthetic(&[(".text", &[1; 700]), (".data", &[2; 700])]);
    // The first section's content now ends 0x200 bytes before the second's begins.
    image[0x58 + 240 + 16..][..4].copy_from_slice(&0x200_u32.to_le_bytes());
    let error = sign(&image, &files().key()).unwrap_err().to_string();
    assert!(error.contains("between sections"), "{error}");
}

fn signed_small() -> &'static [u8] {
    static SIGNED: OnceLock<Vec<u8>> = OnceLock::new();
    SIGNED.get_or_init(|| sign(&synthetic(&[(".text", &[1; 700])]), &files().key()).unwrap())
}

#[test]
fn every_altered_byte_is_refused() {
    let certificate = files().key().certificate_der().to_vec();
    let good = signed_small();
    let padding = pe::Image::parse(good).unwrap().certificates().unwrap()[0]
        .content
        .iter()
        .rev()
        .take_while(|byte| **byte == 0)
        .count();
    for at in 0..good.len() {
        let checksum = 0x58 + 64..0x58 + 68;
        if checksum.contains(&at) || at >= good.len() - padding {
            continue;
        }
        let mut bad = good.to_vec();
        bad[at] ^= 0x01;
        if verify(&bad, &[&certificate]).is_ok() {
            // Left unprotected by Authenticode itself: revision and type in the certificate table do not sign anything,
            // and neither does the unused digest algorithm set of the outer structure.
            let table = pe::Image::parse(good).unwrap().unsigned_fields().2;
            assert!(at >= table, "byte {at:#x} is not covered");
        }
    }
}

proptest! {
    #[test]
    fn any_signature(bytes: Vec<u8>) {
        let _ = pkcs7::decode(&bytes);
    }

    #[test]
    fn altered_signatures(at: prop::sample::Index, value: u8, cut: prop::sample::Index) {
        let mut bytes = signed_small().to_vec();
        let table = pe::Image::parse(&bytes).unwrap().unsigned_fields().2;
        let mut signature = bytes.split_off(table + 8);
        let at = at.index(signature.len());
        signature[at] = value;
        let _ = pkcs7::decode(&signature);
        signature.truncate(cut.index(signature.len()));
        let _ = pkcs7::decode(&signature);
    }
}
