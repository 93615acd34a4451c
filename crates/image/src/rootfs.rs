//! From locked packages to a configured, sealed Debian tree.
pub mod cache;
pub mod change;
mod control;
mod database;
mod layer;
mod placement;
mod stages;
mod unpacked;

use bedstone_store::Digest;
use std::path::PathBuf;

pub use placement::LeftOut;

/// Decides whether a package's file goes into the image: package name and path relative to the root.
pub type Keep<'a> = &'a (dyn Fn(&str, &str) -> bool + Sync);

/// A package to install, as the lock names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Architecture: Debian's name, or `all`.
    pub architecture: String,
    /// SHA-256 of the .deb.
    pub digest: Digest,
    /// Where the .deb is.
    pub path: PathBuf,
}
