//! Which chunks an old image has.

use std::sync::mpsc::sync_channel;

use super::checksum::Checksum;
use super::chunker;
use crate::base::Base;
use crate::{Error, Result};

/// Bytes that travel together from the cutting to the hashing thread.
const BATCH: usize = 1 << 20;
/// Batches under way.
const BATCHES: usize = 3;

/// The chunks of an old image by the digests of their plain bytes.
#[derive(Debug, Clone, Default)]
pub struct Index {
    /// Digests in rising order, cut or filled up to 32 bytes, with the offset of the chunk's first occurrence.
    chunks: Vec<([u8; 32], u64)>,
}

impl Index {
    /// Has no chunks: everything has to be fetched.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Reads the first `length` bytes of `base` and cuts them as zchunk does.
    ///
    /// `checksum` is that of the header to come. Memory: some MiB and 40 bytes per chunk, of which there are about 26
    /// per MiB. Reading and cutting go on in the calling thread, hashing in a second one.
    pub fn of<B: Base + ?Sized>(base: &B, length: u64, checksum: Checksum) -> Result<Self> {
        let length = length.min(base.size().map_err(Error::read("old image"))?);
        let chunks = cut_and_hash(base, length, checksum)?;
        Ok(Self { chunks })
    }

    /// The offset of a chunk in the old image.
    pub(super) fn find(&self, plain_digest: &[u8]) -> Option<u64> {
        let digest = key(plain_digest);
        self.chunks
            .binary_search_by_key(&digest, |chunk| chunk.0)
            .ok()
            .map(|at| self.chunks[at].1)
    }
}

/// The digests and offsets of all chunks, sorted, each digest once.
fn cut_and_hash<B: Base + ?Sized>(
    base: &B,
    length: u64,
    checksum: Checksum,
) -> Result<Vec<([u8; 32], u64)>> {
    let (cut, to_hash) = sync_channel::<Batch>(BATCHES);
    let (hashed, reusable) = sync_channel::<Vec<u8>>(BATCHES);
    std::thread::scope(|scope| {
        let hashing = scope.spawn(move || {
            let mut chunks = Vec::new();
            for batch in to_hash {
                let mut at = 0;
                for &length in &batch.lengths {
                    let digest = key(checksum.of(&[&batch.bytes[at..at + length]]).as_bytes());
                    chunks.push((digest, batch.offset + at as u64));
                    at += length;
                }
                // The cutting thread may be done.
                let _ = hashed.try_send(batch.bytes);
            }
            chunks.sort_unstable();
            chunks.dedup_by_key(|chunk| chunk.0);
            chunks.shrink_to_fit();
            chunks
        });
        let outcome = cut_into_batches(base, length, |batch| {
            cut.send(batch)
                .expect("the hashing thread lives until the channel is closed");
            reusable.try_recv().unwrap_or_default()
        });
        drop(cut);
        let chunks = hashing.join().expect("hashing does not panic");
        outcome.map(|()| chunks)
    })
}

/// Whole chunks, one after the other.
struct Batch {
    /// Offset of the first one in the image.
    offset: u64,
    bytes: Vec<u8>,
    lengths: Vec<usize>,
}

/// Reads `length` bytes and hands them on in batches; `pass_on` may return a used buffer.
fn cut_into_batches<B: Base + ?Sized>(
    base: &B,
    length: u64,
    mut pass_on: impl FnMut(Batch) -> Vec<u8>,
) -> Result<()> {
    let mut bytes = Vec::with_capacity(BATCH);
    let mut offset = 0;
    while offset < length {
        let start = bytes.len();
        let rest = length - offset - start as u64;
        let filled = start
            + usize::try_from(rest)
                .map_or(BATCH, |rest| rest.min(BATCH))
                .min(BATCH - start);
        bytes.resize(filled, 0);
        base.read_exact_at(&mut bytes[start..], offset + start as u64)
            .map_err(Error::read("old image"))?;
        let ends = offset + filled as u64 == length;
        let mut lengths = Vec::new();
        let mut at = 0;
        while at < filled && (ends || filled - at > chunker::MAX) {
            let length = chunker::chunk_length(&bytes[at..]);
            lengths.push(length);
            at += length;
        }
        let batch = Batch {
            offset,
            bytes,
            lengths,
        };
        offset += at as u64;
        let tail = batch.bytes[at..].to_vec();
        bytes = pass_on(batch);
        bytes.clear();
        bytes.extend_from_slice(&tail);
    }
    Ok(())
}

/// A digest as the index keeps it.
fn key(digest: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    let length = digest.len().min(32);
    key[..length].copy_from_slice(&digest[..length]);
    key
}
