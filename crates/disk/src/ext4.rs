//! Making an ext4 file system independent of when it was written.
//!
//! `mke2fs -d` copies the change time of each source file, which nobody can choose, and e2fsprogs before 1.47.1 writes
//! times of its own. [`set_times`] puts one time in the place of all of them but the modification times.
//! Layout: Linux `Documentation/filesystems/ext4/{super,group_descr,inodes}.rst`.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::{Error, Result};

const FORMAT: &str = "ext4";
/// The superblock: 1024 bytes from 1024 on.
const SUPERBLOCK: u64 = 1024;
const MAGIC: u16 = 0xef53;
/// Features that say how group descriptors look (incompatible `64bit`), and that checksums cover what is changed here
/// (read-only compatible `metadata_csum`).
const INCOMPATIBLE_64BIT: u32 = 0x80;
const METADATA_CHECKSUMS: u32 = 0x400;
/// Largest number of block groups: 1 TiB in groups of 128 MiB.
const MAX_GROUPS: u32 = 8192;
/// Offsets in an inode: change and access time; their extra bits; creation time and its extra bits.
const CHANGE: usize = 0x0c;
const ACCESS: usize = 0x08;
const CHANGE_EXTRA: usize = 0x84;
const MODIFY_EXTRA: usize = 0x88;
const ACCESS_EXTRA: usize = 0x8c;
const CREATE: usize = 0x90;
const CREATE_EXTRA: usize = 0x94;
const LINKS: usize = 0x1a;

/// Sets change, access and creation time of every used inode, and the file system's own times, to `seconds` since 1970.
///
/// The file system must be one that was just made: unmounted, without metadata checksums.
pub fn set_times(path: &Path, seconds: u32) -> Result<()> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(Error::io("open", path))?;
    let read = |offset: u64, length: usize| -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, offset)
            .map_err(Error::io("read", path))?;
        Ok(bytes)
    };
    let write = |offset: u64, bytes: &[u8]| {
        file.write_all_at(bytes, offset)
            .map_err(Error::io("write", path))
    };
    let mut superblock = read(SUPERBLOCK, 1024)?;
    let geometry = Geometry::parse(&superblock)?;
    // s_mtime, s_wtime, s_lastcheck, s_mkfs_time.
    for offset in [0x2c, 0x30, 0x40, 0x108] {
        superblock[offset..offset + 4].copy_from_slice(&seconds.to_le_bytes());
    }
    superblock[0x2c..0x30].fill(0);
    write(SUPERBLOCK, &superblock)?;

    let table_at = geometry.block_size * if geometry.block_size == 1024 { 2 } else { 1 };
    for group in 0..geometry.groups {
        let at = table_at + u64::from(group) * geometry.descriptor_size;
        let descriptor = read(at, 64.min(geometry.descriptor_size as usize))?;
        let low = le32(&descriptor, 8);
        let high = if descriptor.len() >= 64 {
            le32(&descriptor, 0x28)
        } else {
            0
        };
        let start = (u64::from(high) << 32 | u64::from(low))
            .checked_mul(geometry.block_size)
            .ok_or_else(|| malformed("group descriptor", "the inode table lies beyond any disk"))?;
        let length = u64::from(geometry.inodes_per_group) * geometry.inode_size;
        let mut table = read(start, length as usize)?;
        for inode in table.chunks_exact_mut(geometry.inode_size as usize) {
            if inode[LINKS..LINKS + 2] != [0, 0] || inode[..2] != [0, 0] {
                set_inode(inode, seconds);
            }
        }
        write(start, &table)?;
    }
    file.sync_all().map_err(Error::io("flush", path))
}

fn set_inode(inode: &mut [u8], seconds: u32) {
    for offset in [CHANGE, ACCESS, CREATE] {
        inode[offset..offset + 4].copy_from_slice(&seconds.to_le_bytes());
    }
    for offset in [CHANGE_EXTRA, MODIFY_EXTRA, ACCESS_EXTRA, CREATE_EXTRA] {
        inode[offset..offset + 4].fill(0);
    }
}

#[derive(Debug)]
struct Geometry {
    block_size: u64,
    inode_size: u64,
    inodes_per_group: u32,
    groups: u32,
    descriptor_size: u64,
}

impl Geometry {
    fn parse(superblock: &[u8]) -> Result<Self> {
        if u16::from_le_bytes([superblock[0x38], superblock[0x39]]) != MAGIC {
            return Err(malformed("superblock", "no ext4 magic"));
        }
        if le32(superblock, 0x64) & METADATA_CHECKSUMS != 0 {
            return Err(malformed("superblock", "it has metadata checksums"));
        }
        let log = le32(superblock, 0x18);
        let inode_size = u64::from(u16::from_le_bytes([superblock[0x58], superblock[0x59]]));
        let per_group = le32(superblock, 0x20);
        let inodes_per_group = le32(superblock, 0x28);
        if log > 6 || !(160..=4096).contains(&inode_size) || per_group == 0 {
            return Err(malformed("superblock", "its sizes are not those of ext4"));
        }
        if inodes_per_group == 0 || inodes_per_group > 8 * (1024 << log) {
            return Err(malformed("superblock", "its inodes do not fit into groups"));
        }
        let blocks = u64::from(le32(superblock, 0x150)) << 32 | u64::from(le32(superblock, 0x04));
        let first = u64::from(le32(superblock, 0x14));
        let groups = blocks.saturating_sub(first).div_ceil(u64::from(per_group));
        let wide = le32(superblock, 0x60) & INCOMPATIBLE_64BIT != 0;
        let descriptor_size = if wide {
            u64::from(u16::from_le_bytes([superblock[0xfe], superblock[0xff]])).max(64)
        } else {
            32
        };
        Ok(Self {
            block_size: 1024 << log,
            inode_size,
            inodes_per_group,
            groups: u32::try_from(groups)
                .ok()
                .filter(|groups| *groups <= MAX_GROUPS)
                .ok_or_else(|| malformed("superblock", "too many block groups"))?,
            descriptor_size,
        })
    }
}

fn le32(bytes: &[u8], offset: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(word)
}

fn malformed(field: &'static str, reason: &str) -> Error {
    Error::malformed(FORMAT, field, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::process::Command;

    fn run(program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program)
            .args(arguments)
            .env("E2FSPROGS_FAKE_TIME", "1600000000")
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}; apt-get install e2fsprogs"));
        assert!(output.status.success(), "{program}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Makes a file system of two files, at another moment each time it is called.
    fn file_system(directory: &Path, name: &str) -> std::path::PathBuf {
        let tree = directory.join(format!("tree-{name}"));
        fs::create_dir_all(tree.join("sub")).unwrap();
        for file in ["a", "sub/b"] {
            let path = tree.join(file);
            fs::write(&path, file).unwrap();
            run("touch", &["-d", "@1500000000", path.to_str().unwrap()]);
        }
        for path in [tree.join("sub"), tree.clone()] {
            run("touch", &["-d", "@1500000000", path.to_str().unwrap()]);
        }
        let image = directory.join(name);
        let uuid = "01234567-89ab-cdef-0123-456789abcdef";
        run(
            "/sbin/mke2fs",
            &[
                "-q",
                "-F",
                "-t",
                "ext4",
                "-U",
                uuid,
                "-E",
                &format!("hash_seed={uuid}"),
                "-O",
                "^has_journal,^metadata_csum",
                "-d",
                tree.to_str().unwrap(),
                image.to_str().unwrap(),
                "4096",
            ],
        );
        image
    }

    #[test]
    fn two_moments_give_the_same_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let first = file_system(directory.path(), "first");
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let second = file_system(directory.path(), "second");
        assert_ne!(fs::read(&first).unwrap(), fs::read(&second).unwrap());
        for image in [&first, &second] {
            set_times(image, 1_600_000_000).unwrap();
            run("/sbin/e2fsck", &["-fn", image.to_str().unwrap()]);
        }
        assert_eq!(fs::read(&first).unwrap(), fs::read(&second).unwrap());
    }

    #[test]
    fn refuses_what_is_no_ext4() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), vec![0; 8192]).unwrap();
        assert!(set_times(file.path(), 0).is_err());
        fs::write(file.path(), [0; 10]).unwrap();
        assert!(set_times(file.path(), 0).is_err());
    }
}
