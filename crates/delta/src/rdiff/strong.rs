//! Strong sums: MD4 (RFC 1320) and BLAKE2b with 32 bytes of output (RFC 7693).

use blake2b_simd::Params;
use blake2b_simd::many::{HashManyJob, hash_many};
use md4::{Digest, Md4};

use super::signature::Strong;

/// Blocks that are hashed side by side.
pub(super) const LANES: usize = blake2b_simd::many::MAX_DEGREE;

/// Bytes of an untruncated strong sum, the shorter ones padded with zeros.
pub(super) type Sum = [u8; 32];

impl Strong {
    /// The sum of `block`.
    pub(super) fn of(self, block: &[u8]) -> Sum {
        let mut sum = [0; 32];
        match self {
            Self::Md4 => sum[..16].copy_from_slice(&Md4::digest(block)),
            Self::Blake2 => {
                sum.copy_from_slice(Params::new().hash_length(32).hash(block).as_bytes());
            }
        }
        sum
    }

    /// The sums of up to [`LANES`] blocks, side by side where the processor can.
    pub(super) fn of_many<'a>(self, blocks: impl Iterator<Item = &'a [u8]>) -> [Sum; LANES] {
        let mut sums = [[0; 32]; LANES];
        match self {
            Self::Md4 => {
                for (sum, block) in sums.iter_mut().zip(blocks) {
                    *sum = self.of(block);
                }
            }
            Self::Blake2 => {
                let mut params = Params::new();
                params.hash_length(32);
                let mut jobs: [Option<HashManyJob<'_>>; LANES] = std::array::from_fn(|_| None);
                for (job, block) in jobs.iter_mut().zip(blocks) {
                    *job = Some(HashManyJob::new(&params, block));
                }
                hash_many(jobs.iter_mut().flatten());
                for (sum, job) in sums.iter_mut().zip(jobs.iter().flatten()) {
                    sum.copy_from_slice(job.to_hash().as_bytes());
                }
            }
        }
        sums
    }
}
