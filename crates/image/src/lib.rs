//! Manifest and lock to root file system, verity, UKI and disk.
//!
//! - [`modules`]: the kernel modules and firmware that an image needs.

pub mod modules;
