//! How Linux shows EFI variables in efivarfs, by default at `/sys/firmware/efi/efivars`.
//!
//! Pure functions; reading and writing the files, and clearing the immutable flag that the kernel sets on most of them, is
//! the caller's work. A variable is written with a single `write(2)` of the whole content.

use super::ucs2;
use crate::error::{Error, Result};
use crate::guid::Guid;

/// The file name of a variable: name, hyphen, vendor in lower case.
pub fn file_name(name: &str, vendor: Guid) -> String {
    format!("{name}-{vendor}")
}

/// The file content that sets a variable: its attributes (little-endian, 4 bytes), then its value.
pub fn encode(attributes: u32, value: &[u8]) -> Vec<u8> {
    let mut out = attributes.to_le_bytes().to_vec();
    out.extend_from_slice(value);
    out
}

/// The attributes and the value in a file's content.
pub fn decode(content: &[u8]) -> Result<(u32, &[u8])> {
    let (attributes, value) = content
        .split_first_chunk::<4>()
        .ok_or_else(|| Error::EfiValue {
            what: "variable file",
            reason: "it is shorter than the attributes".to_owned(),
        })?;
    Ok((u32::from_le_bytes(*attributes), value))
}

/// The partition that `StubDevicePartUUID` or `LoaderDevicePartUUID` names: a GUID as UTF-16 text, in either case.
pub fn partition(value: &[u8]) -> Result<Guid> {
    let what = "partition variable";
    let (text, _) = ucs2::decode(what, value)?;
    text.parse().map_err(|_| Error::EfiValue {
        what,
        reason: format!("`{}` is not a GUID", text.escape_debug()),
    })
}
