//! AES-CBC with padding as in PKCS #7 (NIST SP 800-38A, RFC 5652 §6.3), the one encryption that every SWUpdate reads.
//!
//! It hides; it proves nothing. What was decrypted is only to be used when the member's digest was checked.

mod cbc;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fmt::Write as _;

use bedstone_store::Digest;

pub use cbc::Decrypting;
pub(crate) use cbc::encrypt;

use crate::error::{Error, Result};

/// Bytes of a block, and of an initialisation vector.
pub const BLOCK: usize = 16;

/// A symmetric key with the initialisation vector that goes with it, as SWUpdate's `-K` takes them.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    key: Vec<u8>,
    iv: [u8; BLOCK],
}

impl Key {
    /// Reads a key file: the key as 32, 48 or 64 hexadecimal digits, a blank, the initialisation vector as 32.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let refuse = |reason: &str| Error::Key(format!("decryption key: {reason}"));
        let text = std::str::from_utf8(text).map_err(|_| refuse("not text"))?;
        let mut words = text.split_ascii_whitespace();
        let (Some(key), Some(iv), None) = (words.next(), words.next(), words.next()) else {
            return Err(refuse(
                "one line with key and initialisation vector is needed",
            ));
        };
        let key = match key.len() {
            32 => from_hex::<16>(key).map(Vec::from),
            48 => from_hex::<24>(key).map(Vec::from),
            64 => from_hex::<32>(key).map(Vec::from),
            _ => None,
        };
        Ok(Self {
            key: key.ok_or_else(|| refuse("the key is not 32, 48 or 64 hexadecimal digits"))?,
            iv: from_hex(iv)
                .ok_or_else(|| refuse("the initialisation vector is not 32 hexadecimal digits"))?,
        })
    }

    /// The vector for content with this digest: different for different content, the same for the same, and known to
    /// nobody without the key, so that equal input gives equal bytes without using a vector twice.
    pub(crate) fn iv_for(&self, content: &Digest) -> [u8; BLOCK] {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &self.key);
        let mut context = ring::hmac::Context::with_key(&key);
        context.update(b"bedstone bundle initialisation vector\0");
        context.update(content.as_bytes());
        let mut iv = [0; BLOCK];
        iv.copy_from_slice(&context.sign().as_ref()[..BLOCK]);
        iv
    }

    /// Whether it is one of 256 bits.
    pub(crate) fn is_aes_256(&self) -> bool {
        self.key.len() == 32
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

/// Exactly `N` bytes in hexadecimal.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let high = (pair[0] as char).to_digit(16)?;
        let low = (pair[1] as char).to_digit(16)?;
        *byte = (high << 4 | low) as u8;
    }
    Some(bytes)
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
