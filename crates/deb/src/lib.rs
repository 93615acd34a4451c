//! Debian's formats and repositories.
//!
//! - [`archive`]: binary packages, read as a stream; [`Compression`]: what they and index files are compressed with.

pub mod archive;
mod compression;
mod error;

pub use compression::{Compression, Decoder};
pub use error::{Error, Result};
