//! Keys and signatures made by GnuPG for tests, in a home directory of their own and at faked times.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jiff::Timestamp;
use tempfile::TempDir;

/// When keys are made.
pub(crate) const MADE: &str = "20260101T000000";
/// When documents are signed.
pub(crate) const SIGNED: &str = "20260201T000000";

/// When documents are verified.
pub(crate) fn now() -> Timestamp {
    "2026-03-01T00:00:00Z".parse().unwrap()
}

/// A GnuPG home directory.
pub(crate) struct Gpg {
    home: TempDir,
}

impl Gpg {
    pub(crate) fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Runs gpg at the time `at` and returns what it prints.
    pub(crate) fn run(&self, at: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new("gpg")
            .arg("--homedir")
            .arg(self.home.path())
            .args([
                "--batch",
                "--yes",
                "--quiet",
                "--no-tty",
                "--pinentry-mode",
                "loopback",
            ])
            .args(["--passphrase", "", "--faked-system-time", &format!("{at}!")])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("cannot run `gpg`; install the package `gnupg`");
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "gpg {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// Makes a primary key for `name`; `options` are those of `--quick-gen-key` behind the name.
    pub(crate) fn key(&self, at: &str, name: &str, options: &[&str]) {
        self.run(at, &[&["--quick-gen-key", name], options].concat(), b"");
    }

    pub(crate) fn fingerprint(&self, name: &str) -> String {
        let listing = self.run(MADE, &["--list-keys", "--with-colons", name], b"");
        let listing = String::from_utf8(listing).unwrap();
        let line = listing.lines().find(|line| line.starts_with("fpr:"));
        line.unwrap().split(':').nth(9).unwrap().to_owned()
    }

    /// Revokes the key of `name` with the certificate that gpg prepared.
    pub(crate) fn revoke(&self, name: &str) {
        let certificate = format!("openpgp-revocs.d/{}.rev", self.fingerprint(name));
        let text = fs::read_to_string(self.path(&certificate)).unwrap();
        self.run(
            SIGNED,
            &["--import"],
            text.replace(":-----", "-----").as_bytes(),
        );
    }

    pub(crate) fn export(&self, name: &str) -> Vec<u8> {
        self.run(SIGNED, &["--export", name], b"")
    }

    pub(crate) fn clearsign(&self, at: &str, name: &str, options: &[&str], text: &str) -> Vec<u8> {
        let arguments = [&["--local-user", name], options, &["--clearsign"]].concat();
        self.run(at, &arguments, text.as_bytes())
    }

    pub(crate) fn detach(&self, at: &str, name: &str, options: &[&str], text: &str) -> Vec<u8> {
        let arguments = [&["--local-user", name], options, &["--detach-sign"]].concat();
        self.run(at, &arguments, text.as_bytes())
    }

    /// Whether `gpgv` and `sqv` accept a detached signature.
    pub(crate) fn others_accept(&self, keyring: &[u8], text: &[u8], signature: &[u8]) -> [bool; 2] {
        let [key, data, sig] = ["k", "d", "s"].map(|name| self.path(name));
        fs::write(&key, keyring).unwrap();
        fs::write(&data, text).unwrap();
        fs::write(&sig, signature).unwrap();
        ["gpgv", "sqv"].map(|program| {
            run(
                Command::new(program)
                    .arg("--keyring")
                    .args([&key, &sig, &data]),
                program,
            )
        })
    }
}

fn run(command: &mut Command, program: &str) -> bool {
    command
        .output()
        .unwrap_or_else(|_| panic!("cannot run `{program}`; install the package `{program}`"))
        .status
        .success()
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let home: &Path = self.home.path();
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(home)
            .args(["--kill", "all"])
            .output();
    }
}
