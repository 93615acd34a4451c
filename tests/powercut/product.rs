//! A product with releases: root file systems with hash trees, kernel images, signed bundles.

use std::fs;
use std::path::Path;
use std::process::Command;

use bedstone_bundle::description::{Compression, Syntax};
use bedstone_bundle::layout::{Slots, TwoSlots};
use bedstone_bundle::signature::FileKey;
use bedstone_bundle::{Artifact, Options, write};
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
pub(crate) struct Product {
    pub(crate) digest: Digest,
    pub(crate) certificate: Vec<u8>,
    key: FileKey,
    directory: TempDir,
}

/// A release.
pub(crate) struct Release {
    pub(crate) version: &'static str,
    pub(crate) root: Vec<u8>,
    pub(crate) kernel: Vec<u8>,
    pub(crate) root_hash: Digest,
    pub(crate) bundle: Vec<u8>,
}

impl Product {
    pub(crate) fn new() -> Self {
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

    pub(crate) fn release(&self, version: &'static str) -> Release {
        let path = |name: &str| self.directory.path().join(format!("{version}-{name}"));
        let root = path("root");
        // Every block differs from every other, and from those of other releases.
        let mut bytes = Vec::with_capacity(ROOT + 32);
        while bytes.len() < ROOT {
            let next = Digest::of(format!("{version} {}", bytes.len()).as_bytes());
            bytes.extend(next.as_bytes());
        }
        fs::write(&root, bytes).expect("a root file system");
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
        let root = fs::read(&root).expect("a root file system");
        let bundle = self.bundle(version, &root, &kernel, &path("scratch"));
        Release {
            version,
            root,
            kernel,
            root_hash: arguments.hash,
            bundle,
        }
    }

    fn bundle(&self, version: &str, root: &[u8], kernel: &[u8], scratch: &Path) -> Vec<u8> {
        fs::create_dir(scratch).expect("a directory");
        let two = TwoSlots {
            version: version.to_owned(),
            name: "power cuts".to_owned(),
            hardware: vec!["board".to_owned()],
            slots: Slots {
                roots: ["a".to_owned(), "b".to_owned()],
                boots: ["BOOT0".to_owned(), "BOOT1".to_owned()],
                kernel: "linux.efi".to_owned(),
            },
            root: "root.img".to_owned(),
            kernel: "linux.efi".to_owned(),
            boot_loader: None,
        };
        let artifact = |name: &str, bytes: &[u8]| Artifact {
            name: name.to_owned(),
            content: Content::Bytes(bytes.to_vec()),
            compression: Compression::Zstd,
            encrypted: false,
        };
        let options = Options {
            format: Format::Crc,
            syntax: Syntax::Libconfig,
            time: 0,
            level: 3,
            workers: 1,
            key: None,
            signer: &self.key,
            scratch,
        };
        let artifacts = [artifact("linux.efi", kernel), artifact("root.img", root)];
        let (bytes, _) = write(Vec::new(), two.describe(), &artifacts, &options).expect("a bundle");
        bytes
    }
}
