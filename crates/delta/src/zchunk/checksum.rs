//! The checksums of zchunk files.

use ring::digest::{Algorithm, Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512};

/// A kind of checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// SHA-1, 20 bytes.
    Sha1,
    /// SHA-256, 32 bytes. The only one with which SWUpdate finds chunks in an old image.
    Sha256,
    /// SHA-512, 64 bytes.
    Sha512,
    /// The first 16 bytes of SHA-512, the default of `zck` for chunks.
    Sha512Half,
}

impl Checksum {
    /// The kind with this number in a header.
    pub(super) fn of_number(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Sha1,
            1 => Self::Sha256,
            2 => Self::Sha512,
            3 => Self::Sha512Half,
            _ => return None,
        })
    }

    /// The number of this kind in a header.
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Sha1 => 0,
            Self::Sha256 => 1,
            Self::Sha512 => 2,
            Self::Sha512Half => 3,
        }
    }

    /// Bytes of a checksum.
    pub fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
            Self::Sha512Half => 16,
        }
    }

    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Sha1 => &SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &SHA256,
            Self::Sha512 | Self::Sha512Half => &SHA512,
        }
    }

    /// The checksum of `parts` one after the other.
    pub(super) fn of(self, parts: &[&[u8]]) -> Sum {
        let mut context = Context::new(self.algorithm());
        for part in parts {
            context.update(part);
        }
        Sum {
            digest: context.finish(),
            length: self.length(),
        }
    }
}

/// A checksum of some kind.
pub(super) struct Sum {
    digest: ring::digest::Digest,
    length: usize,
}

impl Sum {
    /// Its bytes.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.digest.as_ref()[..self.length]
    }
}
