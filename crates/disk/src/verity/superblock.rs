use super::{DIGEST, FORMAT};
use crate::error::{Error, Result};
use crate::guid::Guid;
use crate::storage::{le16, le32, le64};

const MAGIC: &[u8; 8] = b"verity\0\0";
const MAX_SALT: usize = 256;

/// The parameters of a hash tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// Identifier of this image.
    pub uuid: Guid,
    /// Bytes of a data block: a power of two from 512 to 65536.
    pub data_block_size: u32,
    /// Bytes of a hash block, likewise.
    pub hash_block_size: u32,
    /// Number of data blocks, not zero.
    pub data_blocks: u64,
    /// Salt, at most 256 bytes, hashed before each block.
    pub salt: Vec<u8>,
}

impl Superblock {
    /// Its length on disk; zeros fill the rest of the hash block.
    pub const SIZE: usize = 512;

    /// Reads a superblock. Only SHA-256 and hash type 1 are known, as everything in use has them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let bad = |field, reason: &str| Err(Error::malformed(FORMAT, field, reason));
        if bytes.len() < Self::SIZE {
            return bad("length", "shorter than 512 bytes");
        }
        if &bytes[..8] != MAGIC {
            return bad("signature", "not `verity`");
        }
        if le32(bytes, 8) != 1 || le32(bytes, 12) != 1 {
            return bad("version", "not version 1 with hash type 1");
        }
        let mut algorithm = [0; 32];
        algorithm[..6].copy_from_slice(b"sha256");
        if bytes[32..64] != algorithm {
            return bad("algorithm", "not `sha256`");
        }
        let salt_length = usize::from(le16(bytes, 80));
        if salt_length > MAX_SALT {
            return bad("salt", "longer than 256 bytes");
        }
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&bytes[16..32]);
        let superblock = Self {
            uuid: Guid::from_bytes(uuid),
            data_block_size: le32(bytes, 64),
            hash_block_size: le32(bytes, 68),
            data_blocks: le64(bytes, 72),
            salt: bytes[88..88 + salt_length].to_vec(),
        };
        superblock.check()?;
        Ok(superblock)
    }

    /// The 512 bytes on disk.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.check()?;
        let mut bytes = Vec::with_capacity(Self::SIZE);
        bytes.extend(MAGIC);
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(self.uuid.as_bytes());
        bytes.extend(b"sha256");
        bytes.resize(64, 0);
        bytes.extend(self.data_block_size.to_le_bytes());
        bytes.extend(self.hash_block_size.to_le_bytes());
        bytes.extend(self.data_blocks.to_le_bytes());
        bytes.extend((self.salt.len() as u16).to_le_bytes());
        bytes.resize(88, 0);
        bytes.extend(&self.salt);
        bytes.resize(Self::SIZE, 0);
        Ok(bytes)
    }

    /// The block, in hash blocks from the device's start, where the tree of an image begins whose superblock lies at
    /// `hash_offset` bytes: what the kernel's table calls `hash_start_block`.
    pub fn hash_start_block(&self, hash_offset: u64) -> u64 {
        let end = hash_offset.saturating_add(Self::SIZE as u64);
        end.div_ceil(u64::from(self.hash_block_size))
    }

    /// The number of hash blocks of each level, leaves first; none when a single data block needs no tree.
    pub fn levels(&self) -> Vec<u64> {
        // The kernel pads digests to a power of two, which 32 is.
        let fanout = u64::from(self.hash_block_size) / DIGEST as u64;
        let mut levels = Vec::new();
        let mut blocks = self.data_blocks;
        while blocks > 1 {
            blocks = blocks.div_ceil(fanout);
            levels.push(blocks);
        }
        levels
    }

    fn check(&self) -> Result<()> {
        let bad = |field, reason: &str| Err(Error::malformed(FORMAT, field, reason));
        let known = |size: u32| size.is_power_of_two() && (512..=65_536).contains(&size);
        if !known(self.data_block_size) || !known(self.hash_block_size) {
            return bad("block size", "not a power of two from 512 to 65536");
        }
        if self.data_blocks == 0 {
            return bad("data blocks", "there are none");
        }
        // Data and tree together must have an addressable size; the tree is never larger than the data and a bit.
        let bytes = self
            .data_blocks
            .checked_mul(u64::from(self.data_block_size));
        if bytes.is_none_or(|bytes| bytes > 1 << 60) {
            return bad("data blocks", "more than any device holds");
        }
        if self.salt.len() > MAX_SALT {
            return bad("salt", "longer than 256 bytes");
        }
        Ok(())
    }
}
