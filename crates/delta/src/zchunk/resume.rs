//! What an interrupted run has left behind.

use super::header::Header;
use crate::base::Base;
use crate::output::Prefix;
use crate::{Error, Result};

/// The chunks at the start of `target` that are those of `header` already, up to the first that is not.
///
/// Unlike [`Prefix::read_back`] it need not be told how far the interrupted run came: every chunk is compared with its
/// digest. Finds nothing when the header has no plain digests, or the target is shorter than the first chunk. Memory: one
/// chunk.
pub fn read_back<B: Base + ?Sized>(header: &Header, target: &B) -> Result<Prefix> {
    let size = target.size().map_err(Error::read("target"))?;
    let mut prefix = Prefix::none();
    let mut buffer = Vec::new();
    for (number, chunk) in header.chunks().iter().enumerate().skip(1) {
        if chunk.plain_end() > size {
            break;
        }
        buffer.resize(chunk.plain_length as usize, 0);
        target
            .read_exact_at(&mut buffer, chunk.plain_offset)
            .map_err(Error::read("target"))?;
        let sum = header.checksum().of(&[&buffer]);
        if header.plain_digest(number) != Some(sum.as_bytes()) {
            break;
        }
        prefix.add(&buffer);
    }
    Ok(prefix)
}
