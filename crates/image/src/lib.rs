//! Manifest and lock to root file system, verity, UKI and disk.
//!
//! - [`modules`]: the kernel modules and firmware that an image needs.
//! - [`record`]: `image.json`, what a build left.
//! - [`rootfs`]: the configured, sealed Debian tree.

mod error;
pub mod modules;
pub mod record;
pub mod rootfs;

pub use error::{Error, Result};
