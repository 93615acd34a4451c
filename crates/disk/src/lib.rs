//! The formats below the file system: what firmware, boot loader and kernel read before the root is mounted.
//!
//! Every writer gives the same bytes for the same input; every reader takes bytes from strangers, is bounded in memory
//! and never panics.
//!
//! - [`guid`]: identifiers, random to the eye, derived from digests.
//! - [`gpt`]: partition tables.
//! - [`fat`]: FAT12/16/32 volumes: written from a tree, read, files replaced in place.
//! - [`verity`]: dm-verity hash trees: made, checked, described on the kernel command line.
//! - [`cpio`]: initramfs and `.swu` archives.
//! - [`bgenv`]: EFI Boot Guard's environment and how it selects what to boot.
//! - [`boot_partition`]: a slot's environment and kernel, changed on a device.
//! - [`pe`]: PE32 and PE32+ images, their sections and certificate tables.
//! - [`uki`]: unified kernel images in the section layout of systemd-stub.
//! - [`authenticode`]: signatures of EFI programs, made and verified.
//! - [`module_signature`]: signatures of kernel modules.
//! - [`efi_variables`]: EFI variables: the store of OVMF, signature lists, boot entries, device paths, efivarfs.
//! - [`ext4`]: file systems made independent of the time.
//! - [`data_partition`]: what tells a data partition that was never used from one that must not be touched.
//! - [`sparse`], [`bmap`], [`qcow2`], [`compress`]: forms in which an image travels.
//! - [`layout`], [`assemble`]: from parts to a disk image.
//! - [`model`]: from a disk image to which slot boots and whether it is intact.
//! - [`storage`], [`content`]: what the modules above read and write.

pub mod assemble;
pub mod authenticode;
pub mod bgenv;
pub mod bmap;
pub mod boot_partition;
pub mod compress;
pub mod content;
pub mod cpio;
pub mod data_partition;
pub mod efi_variables;
mod error;
pub mod ext4;
pub mod fat;
pub mod gpt;
pub mod guid;
pub mod layout;
pub mod model;
pub mod module_signature;
pub mod pe;
pub mod qcow2;
pub mod sparse;
pub mod storage;
pub mod uki;
pub mod verity;

pub use error::{Error, Result};
