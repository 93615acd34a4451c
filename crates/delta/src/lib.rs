//! Deltas between images: what a device needs to download when it already holds most of an update.
//!
//! Every applier works in bounded memory, writes its output once and in order, and reports success only when the
//! output has the digest that was promised. Every reader takes bytes from strangers, is bounded and never panics.
//!
//! - [`zchunk`]: chunks found by content, reused from whatever image the device holds, the rest fetched by range.
//! - [`rdiff`]: librsync's signatures, deltas and patches, from one known image to another.
//! - [`http`]: the ranges of a file on an HTTP server, whichever way that server answers, or the whole of it.
//! - [`base`]: the old image, and the proof that it is the right one.
//! - [`output`]: the new image, and the proof that it is the right one.

pub mod base;
mod error;
pub mod http;
pub mod output;
pub mod rdiff;
mod read;
pub mod zchunk;

pub use error::{Error, Result, Source};
