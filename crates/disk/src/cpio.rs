//! cpio archives of the formats “newc” (070701) and “crc” (070702): initramfs and `.swu`.
//!
//! A member is a header of 110 ASCII bytes, its name with NUL, its data; header with name and data are each padded to
//! 4 bytes. The member `TRAILER!!!` ends the archive. Source: Linux
//! `Documentation/driver-api/early-userspace/buffer-format.rst`, cpio(5).

mod read;
mod tree;
mod write;

#[cfg(test)]
mod tests;

pub use read::Reader;
pub use tree::Tree;
pub use write::Writer;

const FORMAT: &str = "cpio archive";
const HEADER: usize = 110;
const TRAILER: &str = "TRAILER!!!";
/// Longest name, NUL included: PATH_MAX of Linux.
const NAME_LIMIT: usize = 4096;

/// Bits of [`Member::mode`] that tell the type (`S_IFMT`).
pub const TYPE_MASK: u32 = 0o170_000;
/// A regular file.
pub const REGULAR: u32 = 0o100_000;
/// A directory.
pub const DIRECTORY: u32 = 0o040_000;
/// A symbolic link; its target is the data.
pub const SYMLINK: u32 = 0o120_000;
/// A character device.
pub const CHARACTER_DEVICE: u32 = 0o020_000;
/// A block device.
pub const BLOCK_DEVICE: u32 = 0o060_000;

/// Which of the two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `070701`, without checksums.
    Newc,
    /// `070702`: each regular file carries the sum of its bytes.
    Crc,
}

/// A member's header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Member {
    /// Its path, relative.
    pub name: String,
    /// Inode number; it matters for hard links only.
    pub inode: u32,
    /// Type and permissions, as in `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Number of hard links.
    pub links: u32,
    /// Time of last change, in seconds since 1970.
    pub time: u32,
    /// Bytes of data.
    pub size: u32,
    /// Major and minor number of a device node.
    pub device: (u32, u32),
    /// Sum of the data's bytes in the format “crc”, otherwise 0.
    pub checksum: u32,
}

/// Adds the bytes up, as the format “crc” does.
fn sum(start: u32, bytes: &[u8]) -> u32 {
    // A piece of this size cannot overflow 32 bits, so the inner sum vectorises.
    bytes.chunks(1 << 16).fold(start, |sum, part| {
        sum.wrapping_add(part.iter().map(|byte| u32::from(*byte)).sum())
    })
}
