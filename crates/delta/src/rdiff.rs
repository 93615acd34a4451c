//! librsync's file formats, as its program `rdiff` writes and reads them (librsync, `doc/formats.md`).
//!
//! A *signature* describes an old image block by block. From it and a new image a *delta* is made, and the delta turns
//! the old image into the new one. Neither format says which image it belongs to: whoever applies a delta must be told
//! what the old and the new image are ([`crate::output::Image`]), and [`apply`] cannot be called without.
//!
//! All integers are big-endian.
//!
//! | signature | bytes | |
//! |---|---|---|
//! | magic | 4 | [`Kind`] |
//! | block length | 4 | bytes of the old image per block; the last block may be shorter |
//! | strong length | 4 | bytes kept of each strong sum |
//! | per block | 4 + strong length | weak (rolling) sum, strong sum |
//!
//! | delta | bytes | |
//! |---|---|---|
//! | magic | 4 | `72 73 02 36` |
//! | `01`–`40` | 1 | literal of that many bytes, which follow |
//! | `41`–`44` | 1 + 1, 2, 4 or 8 | literal; its length, then its bytes |
//! | `45`–`54` | 1 + (1, 2, 4 or 8) + (1, 2, 4 or 8) | copy; offset in the old image, length |
//! | `00` | 1 | end |

mod command;
mod delta;
mod patch;
mod rolling;
mod signature;
mod strong;
mod table;
#[cfg(test)]
mod tests;

pub use delta::delta;
pub use patch::apply;
pub use signature::{Kind, Options, Rolling, Signature, Strong, signature};

/// What a delta begins with.
const DELTA_MAGIC: u32 = 0x7273_0236;
