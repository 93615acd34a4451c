//! Debian's formats and repositories.
//!
//! Formats:
//! - [`deb822`]: control stanzas, read without copying and written back.
//! - [`version`]: version numbers in Debian's order; [`relation`]: the syntax of `Depends` and its kin.
//! - [`archive`]: binary packages, read as a stream; [`Compression`]: what they and index files are compressed with.
//!
//! Repositories:
//! - [`sources`]: repositories, mirrors, the host's apt configuration, directories of packages.
//! - [`keyring`]: who may sign, and which signatures count; [`release`]: Release files, verified.
//! - [`fetch`]: indexes and packages, into the store.
//!
//! Resolution:
//! - [`index`]: many `Packages` files as one [`Universe`](index::Universe) of packages.
//! - [`resolve`]: which packages a request needs, by apt's rules.
//! - [`explain`]: why a package is there, and why a request cannot be met.
//! - [`lock`]: the answer, written down: `bedstone.lock`.

pub mod archive;
mod compression;
pub mod deb822;
mod error;
pub mod explain;
pub mod fetch;
#[cfg(test)]
mod gpg;
pub mod index;
pub mod keyring;
pub mod lock;
pub mod relation;
pub mod release;
pub mod resolve;
pub mod sources;
mod stanza;
pub mod version;

pub use compression::{Compression, Decoder};
pub use error::{Error, Result};
