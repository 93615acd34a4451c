//! EFI variables: what firmware remembers about keys and boot entries.
//!
//! - [`VariableStore`]: the flash file `OVMF_VARS*.fd` of edk2, read, changed and written back.
//! - [`SecureBootKeys`]: PK, KEK and db put into such a store, so that the firmware starts with Secure Boot enforced.
//! - [`signature_list`]: the content of PK, KEK, db and dbx.
//! - [`LoadOption`], [`DevicePath`]: the content of `Boot####`; [`boot_order`] that of `BootOrder` and `BootNext`.
//! - [`efivarfs`]: how Linux names and wraps variables under `/sys/firmware/efi/efivars`.
//!
//! Source: UEFI 2.10 §3.1, §3.3, §8.2, §10, §32.4; edk2 `Guid/VariableFormat.h`, `Pi/PiFirmwareVolume.h`.

pub mod boot_order;
mod device_path;
pub mod efivarfs;
mod enrol;
mod load_option;
pub mod signature_list;
mod store;
mod ucs2;

#[cfg(test)]
mod tests;

pub use device_path::{DevicePath, Node};
pub use enrol::SecureBootKeys;
pub use load_option::LoadOption;
pub use store::{Timestamp, Variable, VariableStore};

use crate::guid::Guid;

/// `EFI_GLOBAL_VARIABLE`: vendor of `BootOrder`, `Boot####`, `BootNext`, `PK`, `KEK`, `SecureBoot`.
pub const GLOBAL: Guid =
    Guid::from_bytes(0x8be4df61_93ca_11d2_aa0d_00e098032b8c_u128.to_be_bytes());
/// `EFI_IMAGE_SECURITY_DATABASE_GUID`: vendor of `db` and `dbx`.
pub const IMAGE_SECURITY: Guid =
    Guid::from_bytes(0xd719b2cb_3d3a_4596_a3bc_dad00e67656f_u128.to_be_bytes());
/// Vendor of the boot loader interface (systemd.io/BOOT_LOADER_INTERFACE): `LoaderDevicePartUUID`, `StubDevicePartUUID`.
pub const LOADER: Guid =
    Guid::from_bytes(0x4a67b082_0a4c_41cf_b6c7_440b29bb8c4f_u128.to_be_bytes());

/// Variable attributes: `EFI_VARIABLE_*` (UEFI 2.10 §8.2).
pub mod attributes {
    /// Kept without power.
    pub const NON_VOLATILE: u32 = 0x01;
    /// Visible until the operating system takes over.
    pub const BOOT_SERVICE: u32 = 0x02;
    /// Visible to the operating system too.
    pub const RUNTIME: u32 = 0x04;
    /// Changed only by what is signed and newer.
    pub const TIME_BASED_AUTHENTICATED: u32 = 0x20;
    /// What boot entries have: all three of the plain ones.
    pub const BOOT_ENTRY: u32 = NON_VOLATILE | BOOT_SERVICE | RUNTIME;
}
