use std::fmt;

use bedstone_store::Digest;

use super::{BLOCK, Superblock};
use crate::error::{Error, Result};
use crate::guid::Guid;

const PREFIX: &str = "bedstone.root.";
const FORMAT: &str = "kernel command line";

/// What the signed kernel command line says about the root file system, in place of `root=` and `roothash=`, which
/// would wake generators of systemd.
///
/// Shown as the arguments themselves:
/// `bedstone.root.hash=… bedstone.root.salt=… bedstone.root.data-blocks=… bedstone.root.hash-offset=…
/// bedstone.root.uuid=… bedstone.root.fs=…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootArguments {
    /// Root hash of the dm-verity tree.
    pub hash: Digest,
    /// Its salt.
    pub salt: Vec<u8>,
    /// Number of data blocks of 4096 bytes.
    pub data_blocks: u64,
    /// Byte offset of the superblock on the partition.
    pub hash_offset: u64,
    /// Identifier of the image, as in the superblock.
    pub uuid: Guid,
    /// File system type, such as `erofs`.
    pub file_system: String,
}

impl RootArguments {
    /// The arguments for an image that was just formatted.
    pub fn new(formatted: &super::Formatted, file_system: &str) -> Self {
        Self {
            hash: formatted.root,
            salt: formatted.superblock.salt.clone(),
            data_blocks: formatted.superblock.data_blocks,
            hash_offset: formatted.hash_offset(),
            uuid: formatted.superblock.uuid,
            file_system: file_system.to_owned(),
        }
    }

    /// Finds the arguments in a kernel command line. Each must be there once; others of the prefix `bedstone.root.` are
    /// refused, because a misspelt security parameter must not pass for an absent one.
    pub fn parse(command_line: &str) -> Result<Self> {
        const NAMES: [&str; 6] = ["hash", "salt", "data-blocks", "hash-offset", "uuid", "fs"];
        let mut values: [Option<&str>; 6] = [None; 6];
        for argument in command_line.split_ascii_whitespace() {
            let Some(argument) = argument.strip_prefix(PREFIX) else {
                continue;
            };
            let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
            let bad = |reason: &str| {
                let reason = format!("`{PREFIX}{name}` {reason}");
                Err(Error::malformed(FORMAT, "argument", reason))
            };
            let Some(place) = NAMES.iter().position(|known| *known == name) else {
                return bad("is not known");
            };
            if values[place].replace(value).is_some() {
                return bad("is given twice");
            }
        }
        let get = |place: usize| {
            let name = NAMES[place];
            let reason = || format!("`{PREFIX}{name}` is missing");
            values[place].ok_or_else(|| Error::malformed(FORMAT, "argument", reason()))
        };
        let wrong = |place: usize, reason: &str| {
            let reason = format!("`{PREFIX}{}` is {reason}", NAMES[place]);
            Error::malformed(FORMAT, "argument", reason)
        };
        let number = |place| decimal(get(place)?).ok_or_else(|| wrong(place, "no decimal number"));
        let file_system = get(5)?;
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if file_system.is_empty() || !file_system.chars().all(known) {
            return Err(wrong(5, "no name of a file system"));
        }
        let arguments = Self {
            hash: get(0)?.parse().map_err(|_| wrong(0, "no SHA-256 digest"))?,
            salt: hexadecimal(get(1)?).ok_or_else(|| wrong(1, "not hexadecimal"))?,
            data_blocks: number(2)?,
            hash_offset: number(3)?,
            uuid: get(4)?.parse().map_err(|_| wrong(4, "no UUID"))?,
            file_system: file_system.to_owned(),
        };
        arguments.superblock().to_bytes()?;
        Ok(arguments)
    }

    /// The parameters of the tree, which need not be read from the disk.
    pub fn superblock(&self) -> Superblock {
        Superblock {
            uuid: self.uuid,
            data_block_size: BLOCK as u32,
            hash_block_size: BLOCK as u32,
            data_blocks: self.data_blocks,
            salt: self.salt.clone(),
        }
    }
}

impl fmt::Display for RootArguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}hash={} {PREFIX}salt=", self.hash)?;
        for byte in &self.salt {
            write!(f, "{byte:02x}")?;
        }
        write!(
            f,
            " {PREFIX}data-blocks={} {PREFIX}hash-offset={} {PREFIX}uuid={} {PREFIX}fs={}",
            self.data_blocks, self.hash_offset, self.uuid, self.file_system
        )
    }
}

fn decimal(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let pairs = digits?;
    let bytes = pairs.chunks(2).map(|pair| match pair {
        [high, low] => Some((high << 4 | low) as u8),
        _ => None,
    });
    bytes.collect()
}
