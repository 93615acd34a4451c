//! zchunk files, version 1 (`zchunk_format.txt` of zchunk 1.5), as `zck` and SWUpdate's handler `delta` use them.
//!
//! A zchunk file is a header, which lists chunks with their digests, and a body, the chunks themselves, each compressed
//! by itself. Who has the header ([`Header`]) and any older image ([`Index`]) knows which chunks are there already and
//! which byte ranges of the body are missing ([`Plan`]); [`apply`] puts the new image together.
//!
//! Nothing needs to be known about the older image: its chunks are found by content, and each is compared with its
//! digest when it is reused. An image that has nothing in common costs a whole download and nothing else.
//!
//! Numbers are little-endian groups of seven bits, one per byte; the *last* byte has its top bit set.
//!
//! | header | bytes | |
//! |---|---|---|
//! | id | 5 | `00 ZCK1`, detached from its body also `00 ZHR1` |
//! | checksum kind | number | 1: SHA-256; for the two checksums that follow |
//! | length | number | bytes behind the next field |
//! | header checksum | 20–64 | over the header without this field, with `00 ZCK1` as id |
//! | data checksum | 20–64 | over the body; zeros when chunks have plain digests |
//! | flags | number | 2: optional elements follow, 4: chunks have plain digests |
//! | compression | number | 0: none, 2: Zstandard |
//! | index length | number | bytes of the next three rows |
//! | chunk checksum kind | number | 0: SHA-1, 1: SHA-256, 2: SHA-512, 3: the first 16 bytes of SHA-512 |
//! | number of chunks | number | the dictionary, empty if there is none, is the first |
//! | per chunk | | digest of the stored bytes, digest of the plain bytes (flag 4), stored length, plain length |
//! | number of signatures | number | 0: no kind is defined |

mod apply;
mod body;
mod checksum;
mod chunker;
mod header;
mod index;
mod number;
mod plan;
mod resume;
#[cfg(test)]
mod tests;
mod write;

pub use apply::apply;
pub use body::Body;
pub use checksum::Checksum;
pub use header::{Chunk, Compression, Header};
pub use index::Index;
pub use plan::Plan;
pub use resume::read_back;
pub use write::{Options, write};
