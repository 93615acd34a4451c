//! `image.json`: what a build left, for programs.
//!
//! The shape is documented in `docs/reference/image-json.md`. Fields may be added within a version; a reader ignores
//! those that it does not know. Everything but `steps` is the same whenever the same lock is built.

use std::fs;
use std::path::Path;

use bedstone_store::{Digest, atomic};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The version of the shape that this code writes, and the newest that it reads.
pub const VERSION: u32 = 1;

/// The name of the file in a build's output directory.
pub const FILE_NAME: &str = "image.json";

/// What a build left in its output directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Version of this shape.
    pub version: u32,
    /// Always `bedstone.image`.
    pub kind: String,
    /// The product.
    pub product: Product,
    /// Debian suite, for example `bookworm`.
    pub suite: String,
    /// Debian architecture, for example `amd64`.
    pub architecture: String,
    /// The image's own time, seconds since 1970: `SOURCE_DATE_EPOCH` of the build.
    pub epoch: i64,
    /// SHA-256 of the lock file.
    pub lock: Digest,
    /// SHA-256 of the manifest after its layers were joined and its defaults filled in.
    pub manifest: Digest,
    /// Number of Debian packages in the root file system.
    pub packages: usize,
    /// The files beside this one.
    pub artifacts: Vec<Artifact>,
    /// The verified root file system.
    pub root: Root,
    /// The partitions of the disk image.
    pub partitions: Vec<Partition>,
    /// The kernel.
    pub kernel: Kernel,
    /// The keys that signed.
    pub signing: Signing,
    /// What the device is, as bundles for it say in `hardware-compatibility`; none when it takes no updates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<String>,
    /// What was done, in order, with times; the only part that differs between two builds of one lock.
    pub steps: Vec<Step>,
}

/// The product that the manifest names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// Machine name.
    pub name: String,
    /// Version.
    pub version: String,
}

/// One file of the build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// What it is: `disk`, `disk-zstd`, `disk-qcow2`, `bmap`, `rootfs`, `uki`, `kernel`, `initramfs`, `boot-loader`,
    /// `lock`, `manifest`, `provenance`, `kernel-check`, `kernel-config`, `dpkg-status`.
    pub kind: String,
    /// File name, relative to the output directory.
    pub file: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub sha256: Digest,
}

/// The dm-verity root (format 1, SHA-256, data and hash blocks of 4096 bytes).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// `erofs`, `squashfs` or `ext4`.
    #[serde(rename = "type")]
    pub file_system: String,
    /// Root hash.
    pub hash: Digest,
    /// Salt, hexadecimal.
    pub salt: String,
    /// Number of data blocks.
    pub data_blocks: u64,
    /// Where the verity superblock starts in the slot, in bytes.
    pub hash_offset: u64,
    /// UUID in the verity superblock.
    pub uuid: String,
}

/// One partition of the disk image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// GPT name: `esp`, `boot0`, `boot1`, `root-a`, `root-b`, `data`.
    pub label: String,
    /// First byte.
    pub start: u64,
    /// Length in bytes.
    pub size: u64,
    /// Partition type GUID.
    #[serde(rename = "type")]
    pub kind: String,
    /// Unique partition GUID (PARTUUID).
    pub guid: String,
}

/// The kernel and the outcome of its hardening check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// Release, as `uname -r` says it.
    pub release: String,
    /// Recommendations that the configuration follows.
    pub followed: usize,
    /// Deviations that the manifest accepts, each with a reason.
    pub accepted: usize,
}

/// The keys that signed the boot chain and the provenance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signing {
    /// Whether these are development keys, made on first use: not for products.
    pub development: bool,
    /// SHA-256 of the Secure Boot certificate (DER).
    pub certificate: Digest,
}

/// One step of the build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Machine name, as in the events.
    pub task: String,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Whether the result was in the cache.
    pub cached: bool,
}

impl ImageRecord {
    /// Reads `image.json` of the output directory `directory`.
    pub fn read(directory: &Path) -> Result<Self> {
        /// Read first, so that a newer file is refused for its version and not for what it lacks.
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let path = directory.join(FILE_NAME);
        let text = fs::read(&path).map_err(|source| Error::NoRecord {
            directory: directory.to_path_buf(),
            source,
        })?;
        let refused = |source| Error::Record {
            path: path.clone(),
            source,
        };
        let head: Head = serde_json::from_slice(&text).map_err(refused)?;
        if head.version != VERSION {
            return Err(Error::RecordVersion {
                path,
                found: head.version,
            });
        }
        serde_json::from_slice(&text).map_err(refused)
    }

    /// Writes `image.json` into `directory`, last of all, so that it never names a file that is not there.
    pub fn write(&self, directory: &Path) -> Result<()> {
        let path = directory.join(FILE_NAME);
        let mut text = serde_json::to_vec_pretty(self).map_err(|source| Error::Record {
            path: path.clone(),
            source,
        })?;
        text.push(b'\n');
        Ok(atomic::write(path, &text)?)
    }

    /// The artifact of this kind.
    pub fn artifact(&self, kind: &str) -> Option<&Artifact> {
        self.artifacts.iter().find(|artifact| artifact.kind == kind)
    }
}
