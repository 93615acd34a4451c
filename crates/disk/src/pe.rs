//! PE32 and PE32+ images: the container of EFI programs, kernels and unified kernel images.
//!
//! Source: Microsoft *PE Format* (2024-07), UEFI 2.10 §2.1.1. [`Image`] reads one strictly: what it accepts, firmware
//! and signing tools read the same way; [`Headers`] does so without the content. [`append_sections`], [`replace_section`], [`strip_certificates`],
//! [`append_certificate`] return a changed copy, with the header's checksum set; equal input gives equal bytes.

mod edit;
mod image;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use edit::is_nx_compatible;
pub use edit::{
    NewSection, append_certificate, append_sections, checksum, clear_nx_compatible,
    replace_section, strip_certificates,
};
pub use image::{Certificate, Headers, Image, Section};

/// Section characteristics: `IMAGE_SCN_*`.
pub mod characteristics {
    /// `IMAGE_SCN_CNT_CODE`: holds code.
    pub const CODE: u32 = 0x0000_0020;
    /// `IMAGE_SCN_CNT_INITIALIZED_DATA`: holds data.
    pub const INITIALIZED_DATA: u32 = 0x0000_0040;
    /// `IMAGE_SCN_MEM_READ`: may be read.
    pub const READ: u32 = 0x4000_0000;
}
