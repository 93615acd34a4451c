//! Digests, the content-addressed store, atomic files and locks.
//!
//! - [`Digest`], [`Hasher`]: SHA-256 values and how they are computed, from bytes or while a stream passes.
//! - [`atomic`]: files that are either the old or the new one, never half of each.
//! - [`FileLock`]: advisory locks that the kernel drops when their holder dies.
//! - [`Store`]: objects named by their digest, verified on the way in, resumable downloads, size accounting.

pub mod atomic;
mod digest;
mod error;
mod lock;
mod objects;

pub use digest::{Digest, Hasher, HashingReader, HashingWriter, ParseDigestError};
pub use error::{Error, Result};
pub use lock::{FileLock, Mode};
pub use objects::{Store, Usage};
