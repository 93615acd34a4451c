use super::FORMAT;
use crate::error::{Error, Result};

const MAGIC: &[u8; 4] = b"QFI\xfb";
const LENGTH: usize = 104;
const EXTENSION_END: u32 = 0;
const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;
/// Longest name of a backing file.
const NAME_LIMIT: usize = 1023;

/// What the header of an image tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the disk that the guest sees.
    pub size: u64,
    /// Binary logarithm of the cluster size.
    pub cluster_bits: u32,
    /// Byte offset and number of entries of the L1 table.
    pub l1_table: (u64, u32),
    /// Byte offset and number of clusters of the refcount table.
    pub refcount_table: (u64, u32),
    /// The image below, if this is an overlay.
    pub backing: Option<Backing>,
}

/// The image that an overlay lies over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backing {
    /// Its file name; a relative one starts at the overlay's directory.
    pub file: String,
    /// Its format. QEMU refuses to guess it.
    pub format: Option<BackingFormat>,
}

/// Format of a backing file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackingFormat {
    /// The bytes as they are.
    Raw,
    /// Another qcow2 image.
    Qcow2,
}

impl BackingFormat {
    fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

impl Header {
    /// Reads a header of version 3 from the first bytes of an image; 64 KiB always suffice.
    ///
    /// Refuses encryption, snapshots, external data and other features that change how clusters are read.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let bad = |field, reason: &str| Err(Error::malformed(FORMAT, field, reason));
        if bytes.len() < LENGTH || &bytes[..4] != MAGIC {
            return bad("header", "no qcow2 image");
        }
        if be32(bytes, 4) != 3 {
            return bad("version", "not 3");
        }
        let cluster_bits = be32(bytes, 20);
        if !(9..=21).contains(&cluster_bits) {
            return bad("cluster size", "not from 512 bytes to 2 MiB");
        }
        if be32(bytes, 32) != 0 || be32(bytes, 60) != 0 {
            return bad("header", "encryption and snapshots are not known");
        }
        // Bit 0: not closed cleanly. All others change the format.
        if be64(bytes, 72) & !1 != 0 || be32(bytes, 96) != 4 {
            return bad(
                "features",
                "one that is not known, or refcounts other than 16 bits",
            );
        }
        let length = be32(bytes, 100) as usize;
        if length < LENGTH || !length.is_multiple_of(8) || length > bytes.len() {
            return bad("header length", "too short, too long, or no multiple of 8");
        }
        let format = backing_format(&bytes[length..])?;
        let name_at = be64(bytes, 8);
        let name_length = be32(bytes, 16) as usize;
        let backing = if name_at == 0 {
            None
        } else {
            let name = usize::try_from(name_at)
                .ok()
                .filter(|_| name_length <= NAME_LIMIT)
                .and_then(|start| bytes.get(start..start.checked_add(name_length)?));
            let Some(Ok(file)) = name.map(std::str::from_utf8) else {
                return bad("backing file", "a name outside the header, or not UTF-8");
            };
            Some(Backing {
                file: file.to_owned(),
                format,
            })
        };
        let l1_table = (be64(bytes, 40), be32(bytes, 36));
        let size = be64(bytes, 24);
        // An L2 table fills a cluster with entries of 8 bytes.
        let covered = 1_u128 << (2 * cluster_bits - 3);
        if u128::from(l1_table.1) * covered < u128::from(size) {
            return bad("L1 table", "does not cover the disk");
        }
        Ok(Self {
            size,
            cluster_bits,
            l1_table,
            refcount_table: (be64(bytes, 48), be32(bytes, 56)),
            backing,
        })
    }

    /// The bytes at the start of the image.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut extensions = Vec::new();
        let mut put_extension = |kind: u32, data: &[u8]| {
            extensions.extend(kind.to_be_bytes());
            extensions.extend((data.len() as u32).to_be_bytes());
            extensions.extend(data);
            extensions.resize(extensions.len().next_multiple_of(8), 0);
        };
        if let Some(format) = self.backing.as_ref().and_then(|backing| backing.format) {
            put_extension(EXTENSION_BACKING_FORMAT, format.name().as_bytes());
        }
        put_extension(EXTENSION_END, &[]);
        let name = self
            .backing
            .as_ref()
            .map_or("", |backing| backing.file.as_str());
        if name.len() > NAME_LIMIT || self.backing.is_some() && name.is_empty() {
            let reason = "the name of a backing file has 1 to 1023 bytes";
            return Err(Error::unwritable(FORMAT, name, reason));
        }
        let name_at = self
            .backing
            .as_ref()
            .map_or(0, |_| LENGTH + extensions.len());

        let mut bytes = Vec::with_capacity(LENGTH + extensions.len() + name.len());
        bytes.extend(MAGIC);
        bytes.extend(3_u32.to_be_bytes());
        bytes.extend((name_at as u64).to_be_bytes());
        bytes.extend((name.len() as u32).to_be_bytes());
        bytes.extend(self.cluster_bits.to_be_bytes());
        bytes.extend(self.size.to_be_bytes());
        bytes.extend(0_u32.to_be_bytes()); // encryption
        bytes.extend(self.l1_table.1.to_be_bytes());
        bytes.extend(self.l1_table.0.to_be_bytes());
        bytes.extend(self.refcount_table.0.to_be_bytes());
        bytes.extend(self.refcount_table.1.to_be_bytes());
        bytes.resize(96, 0); // snapshots, feature bits
        bytes.extend(4_u32.to_be_bytes()); // refcounts of 2^4 bits
        bytes.extend((LENGTH as u32).to_be_bytes());
        bytes.extend(extensions);
        bytes.extend(name.as_bytes());
        Ok(bytes)
    }
}

/// Looks through the header extensions for the format of the backing file.
fn backing_format(mut rest: &[u8]) -> Result<Option<BackingFormat>> {
    let bad = |reason| Err(Error::malformed(FORMAT, "header extension", reason));
    let mut format = None;
    loop {
        if rest.len() < 8 {
            return bad("the list has no end");
        }
        let (kind, length) = (be32(rest, 0), be32(rest, 4) as usize);
        if kind == EXTENSION_END {
            return Ok(format);
        }
        let Some(data) = rest[8..].get(..length) else {
            return bad("longer than the header");
        };
        if kind == EXTENSION_BACKING_FORMAT {
            format = match data {
                b"raw" => Some(BackingFormat::Raw),
                b"qcow2" => Some(BackingFormat::Qcow2),
                _ => return bad("a backing file that is neither raw nor qcow2"),
            };
        }
        rest = rest.get(8 + length.next_multiple_of(8)..).unwrap_or(&[]);
    }
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from(be32(bytes, at)) << 32 | u64::from(be32(bytes, at + 4))
}
