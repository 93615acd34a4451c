use bedstone_store::{Digest, Hasher};
use rayon::prelude::*;

use super::tree::{hash, salted};
use super::{Block, DIGEST, FORMAT, Superblock};
use crate::error::{Error, Result};
use crate::storage::ReadAt;

/// Checks every data and hash block of `image` against `root`, on all threads of the current rayon pool.
///
/// `hash_offset` is where the superblock lies, in bytes. Names the first corrupt block of the highest corrupt level,
/// data blocks last. Memory stays below 1/10000 of the image's size.
pub fn verify(
    image: &(impl ReadAt + Sync + ?Sized),
    superblock: &Superblock,
    hash_offset: u64,
    root: &Digest,
) -> Result<()> {
    let tree = Tree::new(image, superblock, hash_offset)?;
    let mut expected = root.as_bytes().to_vec();
    let Some(top) = tree.levels.len().checked_sub(1) else {
        return tree.check(Block::Data(0), &expected, &mut Vec::new());
    };
    for level in (1..=top).rev() {
        let mut digests = Vec::new();
        let mut block = Vec::new();
        for index in 0..tree.levels[level].blocks {
            tree.check(tree.block(level, index), slot(&expected, index), &mut block)?;
            digests.extend_from_slice(&block);
        }
        expected = digests;
    }
    let first_error = (0..tree.levels[0].blocks)
        .into_par_iter()
        .find_map_first(|leaf| tree.check_leaf(leaf, &expected).err());
    first_error.map_or(Ok(()), Err)
}

/// Checks the data block `index` and the hash blocks between it and `root`: what the kernel does when it is read.
pub fn verify_block(
    image: &(impl ReadAt + Sync + ?Sized),
    superblock: &Superblock,
    hash_offset: u64,
    root: &Digest,
    index: u64,
) -> Result<()> {
    let tree = Tree::new(image, superblock, hash_offset)?;
    if index >= superblock.data_blocks {
        return Err(Error::Missing {
            place: "dm-verity image",
            name: Block::Data(index).to_string(),
        });
    }
    let mut expected = root.as_bytes().to_vec();
    let mut block = Vec::new();
    for level in (0..tree.levels.len()).rev() {
        // The top has one block, so these powers stay within the number of data blocks times the fan-out.
        let below = tree.fanout.pow(level as u32);
        let place = index / below;
        tree.check(
            tree.block(level, place / tree.fanout),
            &expected,
            &mut block,
        )?;
        expected = slot(&block, place % tree.fanout).to_vec();
    }
    tree.check(Block::Data(index), &expected, &mut block)
}

struct Tree<'a, S: ?Sized> {
    image: &'a S,
    superblock: &'a Superblock,
    salted: Hasher,
    /// Digests in a hash block.
    fanout: u64,
    /// Byte offset of the tree on the image.
    start: u64,
    /// Leaves first.
    levels: Vec<Level>,
}

struct Level {
    /// Index of its first block, counted in hash blocks from the start of the tree.
    first: u64,
    blocks: u64,
}

impl<'a, S: ReadAt + Sync + ?Sized> Tree<'a, S> {
    fn new(image: &'a S, superblock: &'a Superblock, hash_offset: u64) -> Result<Self> {
        // Guards the arithmetic below against parameters that never were a superblock.
        superblock.to_bytes()?;
        let hash_block = u64::from(superblock.hash_block_size);
        let mut levels = Vec::new();
        let mut first = 0;
        for blocks in superblock.levels().into_iter().rev() {
            levels.push(Level { first, blocks });
            first += blocks;
        }
        levels.reverse();
        let size = image.size().map_err(Error::stream("measure", "image"))?;
        let data = superblock.data_blocks * u64::from(superblock.data_block_size);
        let start = superblock
            .hash_start_block(hash_offset)
            .checked_mul(hash_block)
            .filter(|start| {
                start
                    .checked_add(first * hash_block)
                    .is_some_and(|end| end <= size)
            });
        // A single data block needs no tree, so none need be there.
        let start = if levels.is_empty() { Some(0) } else { start };
        let Some(start) = start.filter(|_| data <= hash_offset && data <= size) else {
            let reason = "data and tree do not fit into the image one after the other";
            return Err(Error::malformed(FORMAT, "hash offset", reason));
        };
        Ok(Self {
            image,
            superblock,
            salted: salted(&superblock.salt),
            fanout: hash_block / DIGEST as u64,
            start,
            levels,
        })
    }

    fn block(&self, level: usize, index: u64) -> Block {
        Block::Hash(self.levels[level].first + index)
    }

    /// Checks the leaf `leaf` against the digests of the level above, and the data blocks under it.
    fn check_leaf(&self, leaf: u64, expected: &[u8]) -> Result<()> {
        let mut digests = Vec::new();
        self.check(self.block(0, leaf), slot(expected, leaf), &mut digests)?;
        let size = u64::from(self.superblock.data_block_size);
        let first = leaf * self.fanout;
        let count = self.fanout.min(self.superblock.data_blocks - first);
        let mut data = vec![0; (count * size) as usize];
        self.image
            .read_exact_at(&mut data, first * size)
            .map_err(Error::stream("read", "image"))?;
        for (block, index) in data.chunks_exact(size as usize).zip(0..) {
            if hash(&self.salted, block).as_bytes() != slot(&digests, index) {
                let block = Block::Data(first + index);
                return Err(Error::Corrupt { block });
            }
        }
        Ok(())
    }

    /// Reads a block into `buffer` and compares its hash.
    fn check(&self, block: Block, expected: &[u8], buffer: &mut Vec<u8>) -> Result<()> {
        let (start, index, size) = match block {
            Block::Data(index) => (0, index, self.superblock.data_block_size),
            Block::Hash(index) => (self.start, index, self.superblock.hash_block_size),
        };
        buffer.resize(size as usize, 0);
        self.image
            .read_exact_at(buffer, start + index * u64::from(size))
            .map_err(Error::stream("read", "image"))?;
        if hash(&self.salted, buffer).as_bytes() != expected {
            return Err(Error::Corrupt { block });
        }
        Ok(())
    }
}

/// The digest of block `index` among those in `digests`.
fn slot(digests: &[u8], index: u64) -> &[u8] {
    let at = index as usize * DIGEST;
    &digests[at..at + DIGEST]
}
