//! Disk images and what firmware starts from them, read and written natively and deterministically.
//!
//! - [`guid`]: identifiers of partitions, disks and EFI variables.
//! - [`pe`]: PE32 and PE32+ images, their sections and certificate tables.
//! - [`uki`]: unified kernel images in the section layout of systemd-stub.
//! - [`authenticode`]: signatures of EFI programs, made and verified.
//! - [`efi_variables`]: EFI variables: the store of OVMF, signature lists, boot entries, device paths, efivarfs.

pub mod authenticode;
pub mod efi_variables;
mod error;
pub mod guid;
pub mod pe;
pub mod uki;

pub use error::{Error, Result};
