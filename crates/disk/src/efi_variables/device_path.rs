use super::ucs2;
use crate::error::{Error, Result};
use crate::guid::Guid;

const WHAT: &str = "device path";
const MEDIA: u8 = 0x04;
const HARD_DRIVE: u8 = 0x01;
const FILE_PATH: u8 = 0x04;
const END: [u8; 4] = [0x7f, 0xff, 4, 0];
/// `PartitionFormat` GPT and `SignatureType` GUID of a hard drive node.
const GPT_GUID: [u8; 2] = [0x02, 0x02];

/// Where firmware finds something: a chain of nodes (UEFI 2.10 §10.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DevicePath(pub Vec<Node>);

/// One step of a device path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A GPT partition, `HD(number,GPT,guid,start,size)` (§10.3.5.1). A path that begins with it is completed by the firmware.
    HardDrive {
        /// Number of the partition, from 1.
        number: u32,
        /// First block (LBA).
        start: u64,
        /// Number of blocks.
        size: u64,
        /// The partition's unique GUID.
        partition: Guid,
    },
    /// A file on the device before it, with backslashes (§10.3.5.4).
    FilePath(String),
    /// Any other node.
    Other {
        /// `Type`.
        kind: u8,
        /// `SubType`.
        subtype: u8,
        /// What follows the 4-byte header.
        data: Vec<u8>,
    },
}

impl DevicePath {
    /// The file `path`, with backslashes, on a GPT partition: `number` from 1, `start` and `size` in blocks.
    pub fn file(number: u32, start: u64, size: u64, partition: Guid, path: &str) -> Self {
        Self(vec![
            Node::HardDrive {
                number,
                start,
                size,
                partition,
            },
            Node::FilePath(path.to_owned()),
        ])
    }

    /// Encodes the nodes and the end node.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        for node in &self.0 {
            let (kind, subtype, data) = node.parts()?;
            let length = u16::try_from(data.len() + 4)
                .map_err(|_| fault(format!("a node of {} bytes is too long", data.len())))?;
            out.extend_from_slice(&[kind, subtype]);
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(&data);
        }
        out.extend_from_slice(&END);
        Ok(out)
    }

    /// Decodes `bytes`, which must end with the only end node.
    pub fn decode(mut bytes: &[u8]) -> Result<Self> {
        let mut nodes = Vec::new();
        loop {
            let header: [u8; 4] = bytes
                .get(..4)
                .and_then(|header| header.try_into().ok())
                .ok_or_else(|| fault("it has no end"))?;
            if header == END {
                return match bytes.len() {
                    4 => Ok(Self(nodes)),
                    more => Err(fault(format!("{} bytes follow its end", more - 4))),
                };
            }
            let length = usize::from(u16::from_le_bytes([header[2], header[3]]));
            let node = bytes
                .get(..length)
                .filter(|_| length >= 4)
                .ok_or_else(|| fault(format!("a node claims {length} bytes")))?;
            nodes.push(Node::decode(header[0], header[1], &node[4..]));
            bytes = &bytes[length..];
        }
    }
}

impl Node {
    fn parts(&self) -> Result<(u8, u8, Vec<u8>)> {
        Ok(match self {
            Self::HardDrive {
                number,
                start,
                size,
                partition,
            } => {
                let mut data = number.to_le_bytes().to_vec();
                data.extend_from_slice(&start.to_le_bytes());
                data.extend_from_slice(&size.to_le_bytes());
                data.extend_from_slice(&partition.to_disk());
                data.extend_from_slice(&GPT_GUID);
                (MEDIA, HARD_DRIVE, data)
            }
            Self::FilePath(path) => (MEDIA, FILE_PATH, ucs2::encode(WHAT, path)?),
            Self::Other {
                kind,
                subtype,
                data,
            } => (*kind, *subtype, data.clone()),
        })
    }

    fn decode(kind: u8, subtype: u8, data: &[u8]) -> Self {
        let known = match (kind, subtype) {
            (MEDIA, HARD_DRIVE) => Self::hard_drive(data),
            (MEDIA, FILE_PATH) => match ucs2::decode(WHAT, data) {
                Ok((path, [])) => Some(Self::FilePath(path)),
                _ => None,
            },
            _ => None,
        };
        known.unwrap_or_else(|| Self::Other {
            kind,
            subtype,
            data: data.to_vec(),
        })
    }

    fn hard_drive(data: &[u8]) -> Option<Self> {
        let data: &[u8; 38] = data.try_into().ok()?;
        (data[36..] == GPT_GUID).then_some(())?;
        Some(Self::HardDrive {
            number: u32::from_le_bytes(data[..4].try_into().ok()?),
            start: u64::from_le_bytes(data[4..12].try_into().ok()?),
            size: u64::from_le_bytes(data[12..20].try_into().ok()?),
            partition: Guid::from_disk(data[20..36].try_into().ok()?),
        })
    }
}

fn fault(reason: impl Into<String>) -> Error {
    Error::EfiValue {
        what: WHAT,
        reason: reason.into(),
    }
}
