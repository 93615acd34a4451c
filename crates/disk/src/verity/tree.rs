use std::fs::{File, OpenOptions};
use std::path::Path;

use bedstone_store::{Digest, Hasher};
use rayon::prelude::*;

use super::{BLOCK, DIGEST, Superblock};
use crate::error::{Error, Result};
use crate::guid::Guid;
use crate::storage::{ReadAt, WriteAt};

/// Data blocks that one thread reads and hashes at a time: 1 MiB.
const BATCH: u64 = 256;

/// A hash tree in memory, about 1/127 of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formatted {
    /// The parameters.
    pub superblock: Superblock,
    /// The hash that everything else follows from.
    pub root: Digest,
    /// Superblock padded to a block, then the levels from the top: what belongs at the hash offset.
    pub bytes: Vec<u8>,
}

impl Formatted {
    /// Where in the device [`Formatted::bytes`] belong: right behind the data blocks.
    pub fn hash_offset(&self) -> u64 {
        self.superblock.data_blocks * BLOCK
    }
}

/// Hashes `image` in blocks of [`BLOCK`] bytes on all threads of the current rayon pool. An incomplete last block
/// counts as filled up with zeros.
///
/// Fails when the image is empty or the salt longer than 256 bytes.
pub fn format(image: &(impl ReadAt + Sync + ?Sized), salt: &[u8], uuid: Guid) -> Result<Formatted> {
    let size = image.size().map_err(Error::stream("measure", "image"))?;
    let superblock = Superblock {
        uuid,
        data_block_size: BLOCK as u32,
        hash_block_size: BLOCK as u32,
        data_blocks: size.div_ceil(BLOCK),
        salt: salt.to_vec(),
    };
    let head = superblock.to_bytes()?;
    let levels = superblock.levels();
    let blocks = 1 + levels.iter().sum::<u64>();
    let mut bytes = vec![0; (blocks * BLOCK) as usize];
    bytes[..head.len()].copy_from_slice(&head);

    let salted = salted(salt);
    if levels.is_empty() {
        let mut block = vec![0; BLOCK as usize];
        image
            .read_exact_at(&mut block[..size as usize], 0)
            .map_err(Error::stream("read", "image"))?;
        let root = hash(&salted, &block);
        return Ok(Formatted {
            superblock,
            root,
            bytes,
        });
    }

    // Levels lie top first: the leaves fill the end, each next level goes right before the one it hashes.
    let leaves = bytes.len() - (levels[0] * BLOCK) as usize;
    bytes[leaves..]
        .par_chunks_mut(BATCH as usize * DIGEST)
        .enumerate()
        .try_for_each_init(
            || vec![0; (BATCH * BLOCK) as usize],
            |buffer, (batch, digests)| {
                let start = batch as u64 * BATCH * BLOCK;
                let length = (BATCH * BLOCK).min(size.saturating_sub(start)) as usize;
                image.read_exact_at(&mut buffer[..length], start)?;
                let padded = length.next_multiple_of(BLOCK as usize);
                buffer[length..padded].fill(0);
                fill(&salted, &buffer[..padded], digests);
                Ok(())
            },
        )
        .map_err(Error::stream("read", "image"))?;

    let mut below = leaves;
    for pair in levels.windows(2) {
        let start = below - (pair[1] * BLOCK) as usize;
        let (upper, lower) = bytes.split_at_mut(below);
        let level = &lower[..(pair[0] * BLOCK) as usize];
        fill(&salted, level, &mut upper[start..]);
        below = start;
    }
    let root = hash(&salted, &bytes[below..below + BLOCK as usize]);
    Ok(Formatted {
        superblock,
        root,
        bytes,
    })
}

/// Pads the image file at `path` to whole blocks and appends superblock and tree to it.
pub fn append(path: &Path, salt: &[u8], uuid: Guid) -> Result<Formatted> {
    let mut file: File = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(Error::io("open", path))?;
    let formatted = format(&file, salt, uuid)?;
    file.write_all_at(&formatted.bytes, formatted.hash_offset())
        .map_err(Error::io("write", path))?;
    Ok(formatted)
}

/// A hasher that has taken in the salt, to be cloned for each block.
pub(super) fn salted(salt: &[u8]) -> Hasher {
    let mut hasher = Hasher::new();
    hasher.update(salt);
    hasher
}

pub(super) fn hash(salted: &Hasher, block: &[u8]) -> Digest {
    let mut hasher = salted.clone();
    hasher.update(block);
    hasher.finish()
}

fn fill(salted: &Hasher, blocks: &[u8], digests: &mut [u8]) {
    let places = digests.chunks_exact_mut(DIGEST);
    for (block, place) in blocks.chunks_exact(BLOCK as usize).zip(places) {
        place.copy_from_slice(hash(salted, block).as_bytes());
    }
}
