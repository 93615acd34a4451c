use super::*;
use ring::rand::SystemRandom;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

fn load(directory: &Path) -> DevKeys {
    DevKeys::load_or_create(directory, &Openssl::default(), &SystemRandom::new()).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn openssl(arguments: &[&str], file: &Path) -> String {
    let output = Command::new("openssl")
        .args(arguments)
        .arg("-in")
        .arg(file)
        .output()
        .expect("install Debian's package openssl");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn made_once_marked_and_private() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state/keys");
    let first = load(&path);
    assert!(first.created);
    let second = load(&path);
    assert!(!second.created);
    assert_eq!(second.db, first.db);
    assert_eq!(second.evidence_key(), first.evidence_key());
    assert_eq!(mode(&path), 0o700);
    for key in [&first.pk, &first.kek, &first.db] {
        assert_eq!(mode(&key.key_path), 0o600);
        assert!(
            key.private_key()
                .unwrap()
                .starts_with(b"-----BEGIN PRIVATE KEY")
        );
        let text = openssl(&["x509", "-noout", "-text"], &key.certificate_path);
        for part in [
            "Bedstone DEVELOPMENT key - not for products",
            "3072 bit",
            "Not Before: Jan  1 00:00:00 2024",
            "Not After : Dec 31 23:59:59 2049",
            "sha256WithRSAEncryption",
        ] {
            assert!(text.contains(part), "no `{part}` in {text}");
        }
        let verified = Command::new("openssl")
            .args(["verify", "-check_ss_sig", "-CAfile"])
            .args([&key.certificate_path, &key.certificate_path])
            .output()
            .unwrap();
        assert!(verified.status.success(), "{verified:?}");
    }
    assert_ne!(first.pk.certificate, first.db.certificate);
    assert_eq!(mode(&path.join("development-evidence.key.pem")), 0o600);
    assert!(
        fs::read_to_string(path.join("README"))
            .unwrap()
            .contains("not for products")
    );
    // openssl finds the same public key in our Ed25519 file.
    assert_eq!(
        openssl(
            &["pkey", "-pubout"],
            &path.join("development-evidence.key.pem")
        ),
        first.evidence_key().to_pem().unwrap()
    );
}

/// Counts, and takes its time, so that others come meanwhile.
struct Counting {
    calls: AtomicUsize,
    key: Vec<u8>,
}

impl RsaGenerator for Counting {
    fn generate_pkcs8(&self, bits: u32) -> Result<Vec<u8>> {
        assert_eq!(bits, 3072);
        self.calls.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(std::time::Duration::from_millis(20));
        Ok(self.key.clone())
    }
}

#[test]
fn one_of_many_makes_them() {
    let directory = tempfile::tempdir().unwrap();
    let generator = Counting {
        calls: AtomicUsize::new(0),
        key: Openssl::default().generate_pkcs8(2048).unwrap(),
    };
    let created: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    DevKeys::load_or_create(directory.path(), &generator, &SystemRandom::new())
                        .unwrap()
                        .created
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| usize::from(thread.join().unwrap()))
            .sum()
    });
    assert_eq!(created, 1);
    assert_eq!(generator.calls.load(Ordering::SeqCst), 4);
}

#[test]
fn completes_what_was_cut_off_and_keeps_what_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let generator = Counting {
        calls: AtomicUsize::new(0),
        key: Openssl::default().generate_pkcs8(2048).unwrap(),
    };
    let load = || DevKeys::load_or_create(directory.path(), &generator, &SystemRandom::new());
    let first = load().unwrap();
    fs::remove_file(&first.kek.certificate_path).unwrap();
    let second = load().unwrap();
    assert_eq!(second.kek, first.kek);
    assert!(second.kek.certificate_path.exists());
    fs::write(&first.kek.key_path, b"damaged").unwrap();
    assert!(load().unwrap_err().to_string().contains("PEM"));
    assert_eq!(fs::read(&first.kek.key_path).unwrap(), b"damaged");
}

#[test]
fn names_the_program_that_is_missing() {
    let missing = Openssl {
        program: "/nonexistent/openssl".into(),
    };
    let error = missing.generate_pkcs8(2048).unwrap_err().to_string();
    assert!(
        error.contains("/nonexistent/openssl") && error.contains("apt-get"),
        "{error}"
    );
}
