//! The initramfs: our PID 1, the kernel modules it loads and their firmware, in one compressed archive.
//!
//! ```text
//! /init                        the program
//! /lib/modules/load            on each line a module's name and those of the modules above that it needs
//! /lib/modules/NAME.ko         each of them, uncompressed, with its signature
//! /lib/firmware/…              what they may ask for
//! ```
//!
//! The same input gives the same bytes: one zstd frame by one worker, no times, no owners.

use bedstone_disk::compress;
use bedstone_disk::cpio::{Format, Tree};

use crate::modules::{KernelModules, Result, Selection, Wanted};

/// Level 19 would make the archive a tenth smaller and the build two seconds longer.
const LEVEL: i32 = 12;

/// The root file systems that PID 1 mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootFileSystem {
    /// EROFS, read-only by design.
    Erofs,
    /// SquashFS.
    Squashfs,
    /// ext4, mounted read-only without its journal.
    Ext4,
}

/// What goes into an initramfs.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// The static program `bedstone-init` for the target.
    pub init: &'a [u8],
    /// The kernel's modules.
    pub kernel: &'a KernelModules,
    /// Those that are loaded before the root file system is there: see [`modules`].
    pub modules: &'a Selection,
    /// Their firmware: paths below `/lib/firmware`, and contents. Need not be all that they name: drivers name files for
    /// every variant of their hardware.
    pub firmware: &'a [(String, Vec<u8>)],
}

/// A finished initramfs and what its size is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initramfs {
    /// The compressed archive, as the kernel takes it.
    pub bytes: Vec<u8>,
    /// Bytes of the archive before compression.
    pub archive_size: u64,
    /// Path within the archive and size of each file, in the archive's order.
    pub files: Vec<(String, u64)>,
}

/// The modules that PID 1 needs before the root file system is there, for [`Selection::choose`]: `drivers` for the disk
/// first, because they work while the others load, then dm-verity and file systems.
///
/// Faster variants of SHA-256 are taken where the kernel has them: every block that is read is hashed.
pub fn modules(drivers: &[Wanted], root: RootFileSystem, encrypted_data: bool) -> Vec<Wanted> {
    const HASHES: [&str; 4] = ["sha256_ssse3", "sha2_ce", "sha256_arm64", "sha256_arm"];
    const CIPHERS: [&str; 8] = [
        "xts",
        "ecb",
        "aesni_intel",
        "aes_ce_blk",
        "aes_arm_bs",
        "algif_skcipher",
        "tpm_tis",
        "tpm_crb",
    ];
    let required = |name: &str| Wanted::Module(name.to_owned());
    let optional = |name: &str| Wanted::IfPresent(name.to_owned());
    let root = match root {
        RootFileSystem::Erofs => Some("erofs"),
        RootFileSystem::Squashfs => Some("squashfs"),
        // The data partition has it anyway.
        RootFileSystem::Ext4 => None,
    };
    let mut wanted = drivers.to_vec();
    wanted.extend(HASHES.map(optional));
    wanted.push(required("dm_verity"));
    wanted.extend(root.map(required));
    wanted.extend(["ext4", "overlay"].map(required));
    // Machines without UEFI have no use for it, and kernels for them need not have it.
    wanted.push(optional("efivarfs"));
    if encrypted_data {
        wanted.push(required("dm_crypt"));
        wanted.extend(CIPHERS.map(optional));
    }
    wanted
}

/// Builds the archive.
pub fn build(parts: &Parts<'_>) -> Result<Initramfs> {
    let mut tree = Tree::new();
    let mut files = Vec::new();
    let mut add = |path: String, mode, bytes: Vec<u8>| -> Result<()> {
        files.push((path.clone(), bytes.len() as u64));
        Ok(tree.file(&path, mode, bytes)?)
    };
    add("init".to_owned(), 0o755, parts.init.to_vec())?;
    let mut order = String::new();
    for (name, path) in parts.modules.files() {
        let needs = parts.modules.needs(name);
        let line: Vec<&str> = std::iter::once(name).chain(needs).collect();
        order.push_str(&line.join(" "));
        order.push('\n');
        add(
            format!("lib/modules/{name}.ko"),
            0o644,
            parts.kernel.read(path)?,
        )?;
    }
    add("lib/modules/load".to_owned(), 0o644, order.into_bytes())?;
    for (name, bytes) in parts.firmware {
        add(format!("lib/firmware/{name}"), 0o644, bytes.clone())?;
    }
    // PID 1 starts with these as its standard streams, before anything is mounted.
    tree.character_device("dev/console", 0o600, (5, 1))?;
    let archive = tree.write(Vec::new(), Format::Newc, 0)?;
    let archive_size = archive.len() as u64;
    let bytes = compress::compress(&mut archive.as_slice(), archive_size, Vec::new(), LEVEL, 1)?;
    files.sort_unstable();
    Ok(Initramfs {
        bytes,
        archive_size,
        files,
    })
}

#[cfg(test)]
mod tests;
