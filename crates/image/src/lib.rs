//! Manifest and lock to root file system, verity, UKI and disk.

pub mod rootfs;
