//! Manifest and lock to root file system, verity, UKI and disk.
//!
//! - [`document`]: TOML that people write, with every problem's line.
//! - [`manifest`]: what a product is; [`profile`]: packages and settings that serve requirements.
//! - [`archives`], [`locking`]: which repositories, and which exact packages of them.
//! - [`customise`]: from both to packages and changes of the tree.
//! - [`kernel`]: configurations, held against a hardening baseline.
//! - [`initramfs`]: PID 1 and what it loads, packed.
//! - [`modules`]: the kernel modules and firmware that an image needs.
//! - [`product`]: a manifest with all that follows from it alone.
//! - [`rootfs`]: the configured, sealed Debian tree.
//! - [`build`]: from all of that to signed images.
//! - [`record`]: `image.json`, what a build left.

pub mod archives;
pub mod build;
pub mod customise;
pub mod document;
mod elf;
mod error;
pub mod initramfs;
pub mod kernel;
pub mod locking;
pub mod manifest;
pub mod modules;
pub mod product;
pub mod profile;
pub mod record;
pub mod rootfs;

pub use elf::is_static;
pub use error::{Error, Result};
