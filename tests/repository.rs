//! A signed repository of small packages, in files.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bedstone_store::Digest;
use tempfile::TempDir;

use crate::package::{Entry, deb};
use crate::program::tool;

/// What the profile `minimal` asks for, and what every build needs beside it; here without content.
const NAMES: &[&str] = &[
    "base-files",
    "dbus",
    "e2fsprogs",
    "efibootguard",
    "erofs-utils",
    "iproute2",
    "kmod",
    "libpam-systemd",
    "linux-image-amd64",
    "login",
    "netbase",
    "passwd",
    "systemd-boot-efi",
    "systemd-resolved",
    "systemd-sysv",
    "systemd-timesyncd",
    "udev",
];
/// The suites that a build with default settings reads, without updates and security.
const SUITES: [&str; 2] = ["bookworm", "forky"];

/// A repository with `dists`, `pool` and a key of its own.
#[derive(Debug)]
pub struct Repository {
    directory: TempDir,
    packages: Vec<(String, Vec<u8>)>,
}

impl Repository {
    /// Makes the key and publishes the packages.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("bedstone-repository-")
            .tempdir()
            .expect("a temporary directory");
        let mut repository = Self {
            directory,
            packages: Vec::new(),
        };
        repository.key("key");
        for name in NAMES {
            repository.put(name, deb(&control(name), &[]));
        }
        repository.publish("");
        repository
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("file://{}", self.directory.path().display())
    }

    /// A manifest of a product that takes everything from here and trusts the key in `keyring`.
    pub fn manifest(&self, address: &str, keyring: &str) -> String {
        format!(
            "[product]\nname = \"stub\"\nversion = \"1\"\n\n[debian]\nsuite = \"bookworm\"\nsecurity = false\nupdates = false\n\
             mirror = \"{address}\"\nsigned-by = \"{}\"\n",
            self.path(&format!("{keyring}.gpg")).display()
        )
    }

    /// Makes a key that signs, and its key ring `NAME.gpg`.
    pub fn key(&self, name: &str) {
        let home = self.path(name);
        fs::create_dir(&home).expect("make a directory");
        tool(
            "gpg",
            self.gpg(name).args([
                "--quick-gen-key",
                &format!("{name} <{name}@example.invalid>"),
                "rsa2048",
                "sign",
                "never",
            ]),
        );
        let ring = tool("gpg", self.gpg(name).arg("--export"));
        fs::write(self.path(&format!("{name}.gpg")), ring).expect("write a key ring");
    }

    /// Adds a package, or puts another file in its place; it shows after the next [`Self::publish`].
    pub fn put(&mut self, name: &str, file: Vec<u8>) {
        self.packages.retain(|(known, _)| known != name);
        self.packages.push((name.to_owned(), file));
    }

    /// Adds a package with these entries.
    pub fn put_entries(&mut self, name: &str, entries: &[Entry<'_>]) {
        self.put(name, deb(&control(name), entries));
    }

    /// Writes packages and indexes and signs them; `fields` are further lines of the Release files.
    pub fn publish(&self, fields: &str) {
        let pool = self.path("pool");
        fs::create_dir_all(&pool).expect("make a directory");
        let mut index = String::new();
        for (name, file) in &self.packages {
            let filename = format!("pool/{name}.deb");
            fs::write(self.path(&filename), file).expect("write a package");
            let _ = writeln!(
                index,
                "{}Filename: {filename}\nSize: {}\nSHA256: {}\n",
                control(name),
                file.len(),
                Digest::of(file)
            );
        }
        for suite in SUITES {
            let directory = self.path(&format!("dists/{suite}"));
            let binary = directory.join("main/binary-amd64");
            fs::create_dir_all(&binary).expect("make a directory");
            fs::write(binary.join("Packages"), &index).expect("write an index");
            let release = format!(
                "Origin: Debian\nLabel: Debian\nSuite: {suite}\nCodename: {suite}\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n{fields}\
                 Architectures: all amd64\nComponents: main\nSHA256:\n {} {} main/binary-amd64/Packages\n",
                Digest::of(index.as_bytes()),
                index.len()
            );
            fs::write(directory.join("Release"), release).expect("write a Release file");
            tool(
                "gpg",
                self.gpg("key")
                    .args(["--yes", "--clearsign", "--output"])
                    .arg(directory.join("InRelease"))
                    .arg(directory.join("Release")),
            );
        }
    }

    /// Flips one bit in the middle of a file.
    pub fn damage(&self, name: &str) {
        flip(&self.path(name));
    }

    fn gpg(&self, home: &str) -> Command {
        let mut command = Command::new("gpg");
        command
            .args([
                "--batch",
                "--quiet",
                "--pinentry-mode",
                "loopback",
                "--passphrase",
                "",
                "--homedir",
            ])
            .arg(self.path(home));
        command
    }
}

impl Default for Repository {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        // The agents would outlive the test.
        for entry in fs::read_dir(self.directory.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            if entry.path().join("pubring.kbx").exists() {
                let _ = Command::new("gpgconf")
                    .arg("--homedir")
                    .arg(entry.path())
                    .args(["--kill", "gpg-agent"])
                    .status();
            }
        }
    }
}

/// The control file of a package without relations.
pub fn control(name: &str) -> String {
    let priority = if name == "base-files" {
        "required"
    } else {
        "optional"
    };
    format!(
        "Package: {name}\nVersion: 1.0\nArchitecture: amd64\nMaintainer: Test <test@example.invalid>\nPriority: {priority}\n\
         Section: misc\nDescription: stub\n"
    )
}

/// Flips one bit in the middle of a file.
pub fn flip(path: &Path) {
    let mut bytes = fs::read(path).expect("read a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("write a file");
}
