//! Manifest and lock to root file system, verity, UKI and disk.

pub mod customise;
pub mod document;
pub mod kernel;
pub mod manifest;
pub mod profile;
pub mod rootfs;
