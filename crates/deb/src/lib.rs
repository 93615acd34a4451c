//! Debian's formats and repositories.
//!
//! - [`archive`]: binary packages, read as a stream; [`Compression`]: what they and index files are compressed with.
//! - [`sources`]: repositories, mirrors, the host's apt configuration, directories of packages.
//! - [`keyring`]: who may sign, and which signatures count; [`release`]: Release files, verified.

pub mod archive;
mod compression;
mod error;
#[cfg(test)]
mod gpg;
pub mod keyring;
pub mod release;
pub mod sources;
mod stanza;

pub use compression::{Compression, Decoder};
pub use error::{Error, Result};
