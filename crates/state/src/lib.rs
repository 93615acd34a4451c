//! What a device keeps beside its two slots, and what initramfs and agent must agree on about it.
//!
//! - [`minimum`]: the lowest version that the device may run, kept by the firmware.
//! - [`variables`]: EFI variables, through efivarfs.
//! - [`version`], [`os_release`]: which version an image is, and how versions compare.
//! - [`etc`]: the changes of `/etc`, one layer for each slot, carried over to a new image by a three-way merge.
//! - [`copy`]: files copied with everything that belongs to them.

pub mod copy;
mod error;
pub mod etc;
pub mod minimum;
pub mod os_release;
pub mod variables;
pub mod version;

pub use error::{Error, Result};
