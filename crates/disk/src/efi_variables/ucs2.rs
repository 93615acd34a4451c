//! Texts as EFI has them: UCS-2, little-endian, ended by a NUL.

use crate::error::{Error, Result};

/// `text` with its NUL; refuses what UCS-2 cannot hold, and NUL within.
pub(super) fn encode(what: &'static str, text: &str) -> Result<Vec<u8>> {
    if text.chars().any(|c| c == '\0' || c > '\u{ffff}') {
        return Err(Error::EfiValue {
            what,
            reason: format!("`{}` cannot be written in UCS-2", text.escape_debug()),
        });
    }
    Ok(text
        .encode_utf16()
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect())
}

/// The text up to the first NUL, and the bytes behind that NUL.
pub(super) fn decode<'a>(what: &'static str, bytes: &'a [u8]) -> Result<(String, &'a [u8])> {
    let length = bytes
        .chunks_exact(2)
        .position(|unit| unit == [0, 0])
        .ok_or_else(|| Error::EfiValue {
            what,
            reason: "a text has no end".to_owned(),
        })?;
    let units: Vec<u16> = bytes[..length * 2]
        .chunks_exact(2)
        .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
        .collect();
    let text = String::from_utf16(&units).map_err(|_| Error::EfiValue {
        what,
        reason: "a text is not UCS-2".to_owned(),
    })?;
    Ok((text, &bytes[length * 2 + 2..]))
}
