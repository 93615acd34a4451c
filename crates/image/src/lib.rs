//! Manifest and lock to root file system, verity, UKI and disk.
//!
//! - [`initramfs`]: PID 1 and what it loads, packed.
//! - [`modules`]: the kernel modules and firmware that an image needs.

pub mod initramfs;
pub mod modules;
