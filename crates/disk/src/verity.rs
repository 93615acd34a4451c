//! dm-verity hash trees, format version 1, as `veritysetup` writes and the kernel reads them.
//!
//! The tree is appended to the image whose blocks it hashes, so that one partition holds both:
//!
//! ```text
//! 0                 data blocks
//! hash offset       superblock, 512 bytes, padded to a block
//! + 1 block         the top level (one block), then each level below it, the leaves last
//! ```
//!
//! A hash block is filled with SHA-256(salt, block) of the blocks below it, 32 bytes each, and zeros. The root hash is
//! that of the top block; it is not stored but travels in the signed kernel command line ([`RootArguments`]).
//! Source: cryptsetup's wiki "DMVerity", `lib/verity/verity.c`; Linux `Documentation/admin-guide/device-mapper/verity.rst`.

mod arguments;
mod superblock;
mod tree;
mod verify;

#[cfg(test)]
mod tests;

use std::fmt;

pub use arguments::RootArguments;
pub use superblock::Superblock;
pub use tree::{Formatted, append, format};
pub use verify::{Leaves, verify, verify_block, verify_rest};

/// Bytes of the data and hash blocks that [`format()`] makes.
pub const BLOCK: u64 = 4096;

const FORMAT: &str = "dm-verity superblock";
const DIGEST: usize = 32;

/// A block of a protected image, by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Block {
    /// A data block, counted from the image's start.
    Data(u64),
    /// A block of the hash tree, counted in hash blocks from the start of the tree.
    Hash(u64),
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(index) => write!(f, "data block {index}"),
            Self::Hash(index) => write!(f, "hash block {index}"),
        }
    }
}
