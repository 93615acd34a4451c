use bedstone_store::{Digest, Hasher};
use rayon::prelude::*;

use super::tree::{hash, salted};
use super::{Block, DIGEST, FORMAT, Superblock};
use crate::error::{Error, Result};
use crate::storage::{Aligned, ReadAt};

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
    verify_rest(image, superblock, hash_offset, root, &[])
}

/// Does what [`verify`] does but for data blocks that were read already: `known` are the hashes that [`Leaves`] computed of
/// the first leaves. The data under a leaf whose hash is right is not read again.
pub fn verify_rest(
    image: &(impl ReadAt + Sync + ?Sized),
    superblock: &Superblock,
    hash_offset: u64,
    root: &Digest,
    known: &[Digest],
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
    let size = (tree.fanout * u64::from(superblock.data_block_size)) as usize;
    let first_error = (0..tree.levels[0].blocks)
        .into_par_iter()
        .map_init(
            || None,
            |buffer, leaf| {
                let digests = tree.leaf(leaf, &expected)?;
                let known = known.get(leaf as usize).map(Digest::as_bytes);
                if known.is_some_and(|known| known == slot(&expected, leaf)) {
                    return Ok(());
                }
                let buffer = buffer.get_or_insert_with(|| Aligned::new(size));
                tree.check_data(leaf, &digests, buffer)
            },
        )
        .find_map_first(Result::err);
    first_error.map_or(Ok(()), Err)
}

/// Hashes data blocks as they pass, leaf by leaf: all the data blocks that one hash block covers.
#[derive(Debug)]
pub struct Leaves {
    salted: Hasher,
    data_block: usize,
    hash_block: usize,
    whole: u64,
}

impl Leaves {
    /// Begins at the first data block.
    pub fn new(superblock: &Superblock) -> Result<Self> {
        // Guards the arithmetic against parameters that never were a superblock.
        superblock.to_bytes()?;
        let hash_block = superblock.hash_block_size as usize;
        Ok(Self {
            salted: salted(&superblock.salt),
            data_block: superblock.data_block_size as usize,
            hash_block,
            whole: superblock.data_blocks / (hash_block / DIGEST) as u64,
        })
    }

    /// Leaves that are full; only these can be hashed so.
    pub fn whole(&self) -> u64 {
        self.whole
    }

    /// Bytes of data under a full leaf.
    pub fn data(&self) -> usize {
        self.hash_block / DIGEST * self.data_block
    }

    /// The hash of the leaf over as many bytes of data, as the level above it holds it.
    pub fn hash(&self, data: &[u8]) -> Digest {
        let mut block = Vec::with_capacity(self.hash_block);
        for data in data.chunks_exact(self.data_block) {
            block.extend_from_slice(hash(&self.salted, data).as_bytes());
        }
        hash(&self.salted, &block)
    }
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

    /// Checks the leaf `leaf` against the digests of the level above, and returns those in it.
    fn leaf(&self, leaf: u64, expected: &[u8]) -> Result<Vec<u8>> {
        let mut digests = Vec::new();
        self.check(self.block(0, leaf), slot(expected, leaf), &mut digests)?;
        Ok(digests)
    }

    /// Checks the data blocks under the leaf `leaf`, which go through `buffer`.
    fn check_data(&self, leaf: u64, digests: &[u8], buffer: &mut [u8]) -> Result<()> {
        let size = u64::from(self.superblock.data_block_size);
        let first = leaf * self.fanout;
        let count = self.fanout.min(self.superblock.data_blocks - first);
        let data = &mut buffer[..(count * size) as usize];
        self.image
            .read_exact_at(data, first * size)
            .map_err(Error::stream("read", "image"))?;
        for (block, index) in data.chunks_exact(size as usize).zip(0..) {
            if hash(&self.salted, block).as_bytes() != slot(digests, index) {
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
