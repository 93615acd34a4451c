use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::text::SizeText;

/// Sizes of the partitions. The layout is fixed: ESP, two boot slots, two root slots, data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Partitions {
    /// EFI system partition, which holds the boot loader.
    pub esp: SizeText,
    /// Each of the two boot slots: kernel, initramfs and command line in one signed file. Leave room for a larger kernel.
    pub boot: SizeText,
    /// Each of the two root slots: file system and hash tree. Leave room for growth: it cannot change in the field.
    pub root: SizeText,
    /// The data partition, mounted at `/var`.
    pub data: SizeText,
    /// How the data partition is encrypted.
    pub data_encryption: DataEncryption,
}

impl Default for Partitions {
    fn default() -> Self {
        Self {
            esp: SizeText::fixed("16M"),
            boot: SizeText::fixed("64M"),
            root: SizeText::fixed("1G"),
            data: SizeText::fixed("1G"),
            data_encryption: DataEncryption::None,
        }
    }
}

/// How the data partition is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DataEncryption {
    /// Not at all.
    #[default]
    None,
    /// With a key that the device's TPM 2.0 releases only to a verified boot.
    Tpm2,
}

/// The file system of the root slots; dm-verity protects each of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Root {
    /// Which file system.
    #[serde(rename = "type")]
    pub file_system: FileSystem,
    /// How it is compressed; without it `lz4` for erofs and `zstd` for squashfs. ext4 cannot be compressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
}

/// A read-only root file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FileSystem {
    /// Fast to read at random, the default.
    #[default]
    Erofs,
    /// Smallest.
    Squashfs,
    /// Not compressed; for boards whose kernel has neither of the others.
    Ext4,
}

/// A compression of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Not compressed.
    None,
    /// Fast.
    Lz4,
    /// lz4 with more effort at build time, as fast to read.
    Lz4hc,
    /// Smaller; erofs needs a kernel of 6.10 or later for it.
    Zstd,
}

impl Root {
    /// The compression that is used.
    pub fn effective_compression(&self) -> Compression {
        self.compression.unwrap_or(match self.file_system {
            FileSystem::Erofs => Compression::Lz4,
            FileSystem::Squashfs => Compression::Zstd,
            FileSystem::Ext4 => Compression::None,
        })
    }
}
