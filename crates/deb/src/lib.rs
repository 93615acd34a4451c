//! Debian's formats and repositories.
//!
//! - [`deb822`]: control stanzas, read without copying and written back.
//! - [`version`]: version numbers in Debian's order; [`relation`]: the syntax of `Depends` and its kin.
//! - [`index`]: many `Packages` files as one [`Universe`](index::Universe) of packages.
//! - [`resolve`]: which packages a request needs, by apt's rules.
//! - [`explain`]: why a package is there, and why a request cannot be met.
//! - [`lock`]: the answer, written down: `bedstone.lock`.

pub mod deb822;
mod error;
pub mod explain;
pub mod index;
pub mod lock;
pub mod relation;
pub mod resolve;
pub mod version;

pub use error::{Error, Result};
