//! What tells a data partition that was never used from one that must not be touched.
//!
//! An image carries no data file system: the device makes it at its first start. A partition that is merely zero may be
//! one whose flash was erased or has died, so only a partition that the image marked is ever formatted:
//!
//! ```text
//! 0            blank mark, 32 bytes, then zeros up to 1 MiB: as written by the image, never used
//! ...          the file system leaves the last 64 KiB alone
//! - 4 KiB      creation mark, 32 bytes: being formatted, not used yet; removed when that is finished
//! ```
//!
//! With the two marks every interruption of the first start is told from damage: until the creation mark is gone, the
//! partition holds nothing of anyone's.

use crate::storage::le16;

/// How many bytes at the start of the partition [`judge`] wants.
pub const HEAD: usize = 1 << 20;
/// How many bytes at the end of the partition the file system must leave alone, and [`judge`] wants the last
/// [`TAIL_MARK`] of them.
pub const TAIL: u64 = 64 << 10;
/// How many bytes the creation mark and the zeros behind it take, at the very end of the partition.
pub const TAIL_MARK: usize = 4 << 10;

const BLANK: &[u8; 32] = b"bedstone blank data partition 1\n";
const CREATING: &[u8; 32] = b"bedstone data being created  1\n\0";

/// What a data partition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// As the image left it: to be formatted.
    Blank,
    /// Formatting was begun and not finished: to be formatted.
    Unfinished,
    /// An ext2, ext3 or ext4 superblock; `errors` when the kernel or a check found the file system damaged.
    Ext4 {
        /// The superblock's flag `EXT2_ERROR_FS`.
        errors: bool,
    },
    /// A LUKS header.
    Luks,
    /// Zeros without a mark: erased, or read from failing flash. Not to be touched.
    Erased,
    /// Anything else. Not to be touched.
    Unknown,
}

/// The first 4 KiB of a data partition in an image; the rest of the partition is zeros.
pub fn blank_head() -> [u8; 4096] {
    let mut bytes = [0; 4096];
    bytes[..BLANK.len()].copy_from_slice(BLANK);
    bytes
}

/// The last [`TAIL_MARK`] bytes of a partition that is being formatted; zeros there say that it is finished.
pub fn creation_mark() -> [u8; TAIL_MARK] {
    let mut bytes = [0; TAIL_MARK];
    bytes[..CREATING.len()].copy_from_slice(CREATING);
    bytes
}

/// Judges a partition by its first [`HEAD`] and last [`TAIL_MARK`] bytes; shorter input is judged as [`Content::Unknown`].
pub fn judge(head: &[u8], tail: &[u8]) -> Content {
    /// Offset of the superblock's field and of the superblock itself (Linux `fs/ext4/ext4.h`).
    const MAGIC: usize = 1024 + 0x38;
    const STATE: usize = 1024 + 0x3a;
    const ERRORS: u16 = 2;
    if head.len() < HEAD || tail.len() < TAIL_MARK {
        return Content::Unknown;
    }
    if *tail == creation_mark() {
        return Content::Unfinished;
    }
    let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    if head.starts_with(BLANK) && zero(&head[BLANK.len()..]) {
        return Content::Blank;
    }
    if head.starts_with(b"LUKS\xba\xbe") {
        return Content::Luks;
    }
    if le16(head, MAGIC) == 0xef53 {
        return Content::Ext4 {
            errors: le16(head, STATE) & ERRORS != 0,
        };
    }
    if zero(head) {
        return Content::Erased;
    }
    Content::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head() -> Vec<u8> {
        let mut head = blank_head().to_vec();
        head.resize(HEAD, 0);
        head
    }

    const FINISHED: [u8; TAIL_MARK] = [0; TAIL_MARK];

    #[test]
    fn only_what_is_marked_is_blank() {
        assert_eq!(judge(&head(), &FINISHED), Content::Blank);
        assert_eq!(judge(&vec![0; HEAD], &FINISHED), Content::Erased);
        assert_eq!(judge(&head()[..HEAD - 1], &FINISHED), Content::Unknown);
        assert_eq!(judge(&vec![1; HEAD], &creation_mark()), Content::Unfinished);
        let mut luks = vec![0; HEAD];
        luks[..6].copy_from_slice(b"LUKS\xba\xbe");
        assert_eq!(judge(&luks, &FINISHED), Content::Luks);
    }

    #[test]
    fn knows_what_mke2fs_makes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        file.as_file().set_len(16 << 20).unwrap();
        let status = std::process::Command::new("/sbin/mke2fs")
            .args(["-q", "-F", "-t", "ext4", &path])
            .status()
            .expect("mke2fs: apt-get install e2fsprogs");
        assert!(status.success());
        let mut bytes = std::fs::read(&path).unwrap();
        let judged = judge(&bytes[..HEAD], &FINISHED);
        assert_eq!(judged, Content::Ext4 { errors: false });
        bytes[1024 + 0x3a] = 3;
        let judged = judge(&bytes[..HEAD], &FINISHED);
        assert_eq!(judged, Content::Ext4 { errors: true });
    }

    proptest! {
        #[test]
        fn one_byte_makes_it_used(at in 0..HEAD, bit in 0_u8..8) {
            let mut head = head();
            head[at] ^= 1 << bit;
            prop_assert_ne!(judge(&head, &FINISHED), Content::Blank);
        }

        #[test]
        fn never_panics(head: Vec<u8>, tail: Vec<u8>) {
            judge(&head, &tail);
        }
    }
}
