//! A product with releases: root file systems with hash trees, kernel images, signed bundles.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::fs;
use std::io::Cursor;
use std::process::Command;

use bedstone_bundle::description::{Compression, Syntax};
use bedstone_bundle::layout::{Delta, Image, Root, Slots, TwoSlots};
use bedstone_bundle::signature::FileKey;
use bedstone_bundle::{Artifact, Options, write};
use bedstone_delta::{rdiff, zchunk};
use bedstone_disk::content::Content;
use bedstone_disk::cpio::Format;
use bedstone_disk::guid::Guid;
use bedstone_disk::layout::disk_guid;
use bedstone_disk::uki::Recipe;
use bedstone_disk::verity::{self, RootArguments};
use bedstone_store::Digest;
use tempfile::TempDir;

/// Bytes of a root file system without its hash tree. Nothing mounts it, so any bytes do.
const ROOT: usize = 300_000;
/// The stub of Debian's package systemd-boot-efi.
const STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";

/// Keys and everything that stays from release to release.
#[derive(Debug)]
pub struct Product {
    /// What its identifiers are derived from.
    pub digest: Digest,
    /// Whose bundles its devices take, PEM.
    pub certificate: Vec<u8>,
    key: FileKey,
    directory: TempDir,
}

/// A release.
#[derive(Debug)]
pub struct Release {
    /// Its version.
    pub version: &'static str,
    /// The root file system with its hash tree.
    pub root: Vec<u8>,
    /// Bytes of it without the hash tree.
    pub data: usize,
    /// The kernel image.
    pub kernel: Vec<u8>,
    /// The root hash that the kernel image names.
    pub root_hash: Digest,
    /// The bundle with the whole root file system.
    pub bundle: Vec<u8>,
}

/// How a bundle carries the root file system.
#[derive(Debug, Clone, Copy)]
pub enum Carried<'a> {
    /// As it is.
    Whole,
    /// As a delta of librsync.
    Rdiff {
        /// What it is the difference to.
        base: &'a [u8],
        /// Whether the whole one is in the bundle too.
        with_whole: bool,
    },
    /// As the header of a zchunk file.
    Zchunk {
        /// Where the file is.
        url: &'a str,
        /// Whether the whole one is in the bundle too.
        with_whole: bool,
    },
}

impl Product {
    /// A product with a key of its own that signs its bundles.
    pub fn create() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let made = Command::new("openssl")
            .args([
                "req", "-x509", "-nodes", "-newkey", "rsa:3072", "-days", "30",
            ])
            .args(["-subj", "/CN=Test", "-keyout", "key", "-out", "certificate"])
            .args(["-addext", "keyUsage=critical,digitalSignature"])
            .args(["-addext", "extendedKeyUsage=emailProtection,codeSigning"])
            .current_dir(directory.path())
            .output()
            .expect("openssl: apt-get install openssl");
        assert!(made.status.success());
        let read = |name| fs::read(directory.path().join(name)).expect("a file of openssl");
        let (key, certificate) = (read("key"), read("certificate"));
        Self {
            digest: Digest::of(b"power cuts"),
            key: FileKey::new(&key, &certificate).expect("a key"),
            certificate,
            directory,
        }
    }

    /// A release whose root file system has nothing in common with that of another.
    pub fn release(&self, version: &'static str) -> Release {
        self.release_of(version, &noise(version, ROOT))
    }

    /// A release that differs from an older one in a tenth of its root file system, what follows having moved by some bytes.
    pub fn release_after(&self, older: &Release, version: &'static str) -> Release {
        let mut data = older.root[..older.data].to_vec();
        let changed = data.len() / 3..data.len() / 3 + data.len() / 10;
        data.splice(changed.clone(), noise(version, changed.len() + 7));
        data.truncate(older.data);
        self.release_of(version, &data)
    }

    /// A release with this root file system.
    pub fn release_of(&self, version: &'static str, data: &[u8]) -> Release {
        let path = |name: &str| self.directory.path().join(format!("{version}-{name}"));
        let root = path("root");
        fs::write(&root, data).expect("a root file system");
        let uuid = Guid::derive(&Digest::of(version.as_bytes()), "root");
        let formatted = verity::append(&root, &[7; 32], uuid).expect("a hash tree");
        let arguments = RootArguments::new(&formatted, "erofs");
        let stub = fs::read(STUB)
            .unwrap_or_else(|error| panic!("{STUB}: {error}; apt-get install systemd-boot-efi"));
        let command_line = format!(
            "quiet {arguments} bedstone.disk={}",
            disk_guid(&self.digest)
        );
        let kernel = Recipe {
            stub: &stub,
            os_release: "ID=test\n",
            uname: "6.1.0-test",
            command_line: &command_line,
            initrd: version.as_bytes(),
            linux: &stub,
        }
        .build()
        .expect("a kernel image");
        let mut release = Release {
            version,
            root: fs::read(&root).expect("a root file system"),
            data: data.len(),
            kernel,
            root_hash: arguments.hash,
            bundle: Vec::new(),
        };
        release.bundle = self.bundle(&release, &Carried::Whole);
        release
    }

    /// A bundle of a release.
    pub fn bundle(&self, release: &Release, carried: &Carried<'_>) -> Vec<u8> {
        let output = image(&release.root);
        let whole = artifact("root.img", &release.root, Compression::Zstd);
        let (delta, member, with_whole) = match carried {
            Carried::Whole => (None, None, true),
            Carried::Rdiff { base, with_whole } => {
                let delta = Delta::Rdiff {
                    base: image(base),
                    output,
                };
                let member = rdiff_between(base, &release.root);
                (Some(delta), Some((member, Compression::Zstd)), *with_whole)
            }
            Carried::Zchunk { url, with_whole } => {
                let url = (*url).to_owned();
                let delta = Delta::Zchunk { url, output };
                let (header, _) = zchunk_file(&release.root);
                (Some(delta), Some((header, Compression::None)), *with_whole)
            }
        };
        let root = match delta {
            None => Root::Full(whole.name.clone()),
            Some(delta) => Root::Delta {
                member: "root.delta".to_owned(),
                delta,
                full: with_whole.then(|| whole.name.clone()),
            },
        };
        let artifacts: Vec<Artifact> = [
            Some(artifact("linux.efi", &release.kernel, Compression::Zstd)),
            member.map(|(bytes, compression)| artifact("root.delta", &bytes, compression)),
            with_whole.then_some(whole),
        ]
        .into_iter()
        .flatten()
        .collect();
        self.write(release.version, root, &artifacts)
    }

    /// A bundle of these artifacts.
    pub fn write(&self, version: &str, root: Root, artifacts: &[Artifact]) -> Vec<u8> {
        let two = TwoSlots {
            version: version.to_owned(),
            name: "power cuts".to_owned(),
            hardware: vec!["board".to_owned()],
            slots: Slots {
                roots: ["a".to_owned(), "b".to_owned()],
                boots: ["BOOT0".to_owned(), "BOOT1".to_owned()],
                kernel: "linux.efi".to_owned(),
            },
            root,
            kernel: "linux.efi".to_owned(),
            boot_loader: None,
        };
        let scratch = tempfile::tempdir().expect("a directory");
        let options = Options {
            format: Format::Crc,
            syntax: Syntax::Libconfig,
            time: 0,
            level: 3,
            workers: 1,
            key: None,
            signer: &self.key,
            scratch: scratch.path(),
        };
        let (bytes, _) = write(Vec::new(), two.describe(), artifacts, &options).expect("a bundle");
        bytes
    }
}

/// Bytes that repeat nowhere, and that no other seed gives.
pub fn noise(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 32);
    while bytes.len() < length {
        let next = Digest::of(format!("{seed} {}", bytes.len()).as_bytes());
        bytes.extend(next.as_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A member of a bundle.
pub fn artifact(name: &str, bytes: &[u8], compression: Compression) -> Artifact {
    Artifact {
        name: name.to_owned(),
        content: Content::Bytes(bytes.to_vec()),
        compression,
        encrypted: false,
    }
}

/// What a bundle says of an image.
pub fn image(bytes: &[u8]) -> Image {
    Image {
        size: bytes.len() as u64,
        sha256: Digest::of(bytes),
    }
}

/// The delta from one image to another.
pub fn rdiff_between(mut old: &[u8], mut new: &[u8]) -> Vec<u8> {
    let (mut signature, mut delta) = (Vec::new(), Vec::new());
    let options = rdiff::Options::recommended(old.len() as u64);
    rdiff::signature(&mut old, options, &mut signature).expect("a signature");
    let signature = rdiff::Signature::read(&mut signature.as_slice()).expect("a signature");
    rdiff::delta(&signature, &mut new, &mut delta).expect("a delta");
    delta
}

/// The header of a zchunk file, and all of it.
pub fn zchunk_file(mut image: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let options = zchunk::Options {
        level: 1,
        threads: 2,
    };
    let mut file = Vec::new();
    let mut spool = Cursor::new(Vec::new());
    let header = zchunk::write(&mut image, options, &mut spool, &mut file).expect("a zchunk file");
    (header.to_bytes(), file)
}
