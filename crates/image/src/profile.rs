//! Profiles: packages and settings that serve requirements, as data in `catalog/profiles`.
//!
//! - [`Catalog`]: the files of `catalog/`, compiled in, a directory on top of them if wanted.
//! - [`Profile`]: one profile as written; every entry says which requirement it serves and why.
//! - [`Profiles`]: the chosen profiles with what they extend, narrowed to a suite and architecture.
//! - [`Reason`]: why something is in the image, down to the requirement.

mod catalog;
mod model;
mod set;

pub use catalog::{Catalog, CatalogError};
pub use model::{
    Action, Blacklist, Deviation, KernelChoice, KernelParameters, ModuleSet, PackageSet, Profile,
    ProfileFile, ServiceSet, Settings,
};
pub(crate) use set::names;
pub use set::{Profiles, Reason};

#[cfg(test)]
mod tests;
