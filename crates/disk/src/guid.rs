//! Identifiers of 128 bits: GUIDs of partition tables, UUIDs of dm-verity.

use std::fmt;
use std::str::FromStr;

use bedstone_store::{Digest, Hasher};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A GUID or UUID (RFC 9562), shown and ordered as text is: most significant digit first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid([u8; 16]);

impl Guid {
    /// All zero: an unused GPT entry.
    pub const NIL: Self = Self([0; 16]);
    /// Partition type: EFI system partition (UEFI 2.10 §5.3.3).
    pub const EFI_SYSTEM: Self = Self(0xc12a7328_f81f_11d2_ba4b_00a0c93ec93b_u128.to_be_bytes());
    /// Partition type: Microsoft basic data, which every system takes as a plain FAT volume.
    pub const BASIC_DATA: Self = Self(0xebd0a0a2_b9e5_4433_87c0_68b6b72699c7_u128.to_be_bytes());
    /// Partition type: Linux file system data.
    pub const LINUX_DATA: Self = Self(0x0fc63daf_8483_4772_8e79_3d69d8477de4_u128.to_be_bytes());

    /// Takes the 16 bytes in the order of the text.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes in the order of the text, as dm-verity and file systems store them.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads the form of GPT and UEFI: the first three groups little-endian (UEFI 2.10 appendix A).
    pub const fn from_disk(b: [u8; 16]) -> Self {
        Self([
            b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13],
            b[14], b[15],
        ])
    }

    /// The form of GPT and UEFI.
    pub const fn to_disk(self) -> [u8; 16] {
        // Swapping is its own inverse.
        Self::from_disk(self.0).0
    }

    /// Derives the identifier of `label` within `seed`: RFC 9562 version 8 from the first 16 bytes of
    /// SHA-256("bedstone guid", 0, seed, label).
    ///
    /// The same seed and label always give the same identifier; others give unrelated ones.
    pub fn derive(seed: &Digest, label: &str) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(b"bedstone guid\0");
        hasher.update(seed.as_bytes());
        hasher.update(label.as_bytes());
        let digest = hasher.finish();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.as_bytes()[..16]);
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// Whether all bits are zero.
    pub fn is_nil(&self) -> bool {
        *self == Self::NIL
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The text is not a GUID of the form `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a GUID of the form `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` in hexadecimal digits")]
pub struct ParseGuidError;

impl FromStr for Guid {
    type Err = ParseGuidError;

    /// Reads either letter case: tools and firmware disagree about it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text: &[u8; 36] = text.as_bytes().try_into().map_err(|_| ParseGuidError)?;
        let mut bytes = [0; 16];
        let mut digits = 0;
        for (index, character) in text.iter().enumerate() {
            if matches!(index, 8 | 13 | 18 | 23) {
                if *character != b'-' {
                    return Err(ParseGuidError);
                }
                continue;
            }
            let digit = (*character as char).to_digit(16).ok_or(ParseGuidError)?;
            bytes[digits / 2] = bytes[digits / 2] << 4 | digit as u8;
            digits += 1;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Guid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Guid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mixed_endian_on_disk() {
        // The EFI system partition's type as every GPT disk carries it.
        let disk = [
            0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e,
            0xc9, 0x3b,
        ];
        assert_eq!(Guid::EFI_SYSTEM.to_disk(), disk);
        assert_eq!(Guid::from_disk(disk), Guid::EFI_SYSTEM);
        assert_eq!(
            Guid::EFI_SYSTEM.to_string(),
            "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
        );
    }

    #[test]
    fn derives_version_8() {
        let seed = Digest::of(b"product");
        let guid = Guid::derive(&seed, "root-a");
        assert_eq!(guid, Guid::derive(&seed, "root-a"));
        assert_ne!(guid, Guid::derive(&seed, "root-b"));
        assert_ne!(guid, Guid::derive(&Digest::of(b"other"), "root-a"));
        let text = guid.to_string();
        assert_eq!(text.as_bytes()[14], b'8');
        assert!(b"89ab".contains(&text.as_bytes()[19]));
        // Changing the derivation would change the identity of every product in the field.
        assert_eq!(text, "d0533bf2-de02-80d3-a5ae-28f48860841d");
    }

    #[test]
    fn refuses_other_spellings() {
        for text in [
            "",
            "c12a7328f81f11d2ba4b00a0c93ec93b",
            "{c12a7328-f81f-11d2-ba4b-00a0c93ec93b}",
            "c12a7328-f81f-11d2-ba4b-00a0c93ec93",
            "c12a7328-f81f-11d2-ba4b-00a0c93ec93g",
            "c12a732-8f81f-11d2-ba4b-00a0c93ec93b",
        ] {
            assert!(text.parse::<Guid>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn round_trips(bytes: [u8; 16]) {
            let guid = Guid::from_bytes(bytes);
            prop_assert_eq!(guid.to_string().parse::<Guid>().unwrap(), guid);
            prop_assert_eq!(guid.to_string().to_uppercase().parse::<Guid>().unwrap(), guid);
            prop_assert_eq!(Guid::from_disk(guid.to_disk()), guid);
        }

        #[test]
        fn never_panics(text: String) {
            let _ = text.parse::<Guid>();
        }
    }
}
