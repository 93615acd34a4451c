//! Manifest and lock to root file system, verity, UKI and disk.

mod error;
pub mod rootfs;

pub use error::{Error, Result};
