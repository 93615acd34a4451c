//! `BootOrder`, `BootNext` and the names of boot entries (UEFI 2.10 §3.1, §3.3).

use crate::error::{Error, Result};

/// The content of `BootOrder` for these entries; with one entry also that of `BootNext`.
pub fn encode(entries: &[u16]) -> Vec<u8> {
    entries.iter().flat_map(|e| e.to_le_bytes()).collect()
}

/// The entries that `BootOrder` or `BootNext` name.
pub fn decode(bytes: &[u8]) -> Result<Vec<u16>> {
    if !bytes.len().is_multiple_of(2) {
        return Err(Error::EfiValue {
            what: "boot order",
            reason: format!("{} bytes are not a list of 16-bit numbers", bytes.len()),
        });
    }
    Ok(bytes
        .chunks_exact(2)
        .map(|entry| u16::from_le_bytes([entry[0], entry[1]]))
        .collect())
}

/// The variable that holds the entry: `Boot` and four upper-case hexadecimal digits.
pub fn name(entry: u16) -> String {
    format!("Boot{entry:04X}")
}

/// The entry that a variable of this name holds; `None` for other variables, `BootNext` among them.
pub fn entry(name: &str) -> Option<u16> {
    let digits = name.strip_prefix("Boot").filter(|digits| {
        digits.len() == 4
            && digits
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'))
    })?;
    u16::from_str_radix(digits, 16).ok()
}
