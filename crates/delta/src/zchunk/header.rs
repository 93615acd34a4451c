//! Headers: the list of chunks.

mod fields;

use std::io::Read;

use super::checksum::Checksum;
use super::number;
use crate::{Error, Result};
use fields::Fields;

const FORMAT: &str = "zchunk header";

/// The largest header taken, in bytes: that of an image of about 10 GB.
const MAX_HEADER: u64 = 16 << 20;

const ID: &[u8; 5] = b"\0ZCK1";
const DETACHED_ID: &[u8; 5] = b"\0ZHR1";

const PLAIN_DIGESTS: u64 = 4;

/// How chunks are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    None,
    /// As one or more Zstandard frames each.
    Zstd,
}

/// Where a chunk is in the file and in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Offset of its stored bytes from the start of the file.
    pub offset: u64,
    /// Number of its stored bytes.
    pub length: u32,
    /// Offset of its plain bytes in the image. The dictionary is not part of it.
    pub plain_offset: u64,
    /// Number of its plain bytes.
    pub plain_length: u32,
}

impl Chunk {
    /// The end of its plain bytes in the image.
    pub(super) fn plain_end(&self) -> u64 {
        self.plain_offset + self.plain_length as u64
    }
}

/// The header of a zchunk file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    length: u64,
    compression: Compression,
    checksum: Checksum,
    chunks: Vec<Chunk>,
    /// Digests of all stored chunks one after the other.
    stored_digests: Vec<u8>,
    /// Digests of all plain chunks one after the other, or nothing.
    plain_digests: Vec<u8>,
}

impl Header {
    /// Reads the header from `input`, which is left at the first byte of the body.
    ///
    /// Chunks may be 4 MiB, the header 16 MiB long.
    pub fn read(input: &mut impl Read) -> Result<Self> {
        let mut bytes = Vec::new();
        let mut more = |bytes: &mut Vec<u8>, count: u64, field: &'static str| {
            let start = bytes.len();
            let read = input
                .by_ref()
                .take(count)
                .read_to_end(bytes)
                .map_err(Error::read(FORMAT))?;
            if (read as u64) < count {
                return Err(malformed(
                    start + read,
                    field,
                    "the file ends within it".to_owned(),
                ));
            }
            Ok(())
        };
        more(&mut bytes, 5, "id")?;
        if bytes != ID && bytes != DETACHED_ID {
            return Err(malformed(0, "id", "not a zchunk file".to_owned()));
        }
        let mut lead_number = |bytes: &mut Vec<u8>, field: &'static str| {
            let start = bytes.len();
            loop {
                more(bytes, 1, field)?;
                if bytes.last().is_some_and(|byte| byte & 0x80 != 0) {
                    break;
                }
                if bytes.len() - start > 9 {
                    return Err(malformed(start, field, "too large a number".to_owned()));
                }
            }
            number::take(&mut &bytes[start..])
                .ok_or_else(|| malformed(start, field, "too large a number".to_owned()))
        };
        let kind = lead_number(&mut bytes, "checksum kind")?;
        let checksum = Checksum::of_number(kind)
            .ok_or_else(|| malformed(5, "checksum kind", format!("`{kind}` is unknown")))?;
        let length = lead_number(&mut bytes, "length")?;
        if length > MAX_HEADER {
            return Err(Error::TooLarge {
                format: FORMAT,
                field: "header",
                length,
                limit: MAX_HEADER,
            });
        }
        let lead = bytes.len();
        more(&mut bytes, checksum.length() as u64, "header checksum")?;
        let start = bytes.len();
        more(&mut bytes, length, "header")?;
        let computed = checksum.of(&[ID, &bytes[5..lead], &bytes[start..]]);
        if computed.as_bytes() != &bytes[lead..start] {
            return Err(malformed(
                lead,
                "header checksum",
                "the header is corrupt".to_owned(),
            ));
        }
        Fields::new(&bytes, start).parse(checksum)
    }

    /// Parses a header that is alone in `bytes`, as it is in a `.swu`.
    pub fn parse(mut bytes: &[u8]) -> Result<Self> {
        let whole = bytes.len();
        let header = Self::read(&mut bytes)?;
        if bytes.is_empty() {
            Ok(header)
        } else {
            Err(malformed(
                whole - bytes.len(),
                "end",
                "more bytes follow".to_owned(),
            ))
        }
    }

    /// A header for `chunks`, given as pairs of digests, stored and plain, and lengths, stored and plain.
    pub(super) fn new(chunks: impl IntoIterator<Item = ([u8; 32], [u8; 32], u32, u32)>) -> Self {
        let checksum = Checksum::Sha256;
        let mut header = Self {
            length: 0,
            compression: Compression::Zstd,
            checksum,
            // No dictionary.
            chunks: vec![Chunk {
                offset: 0,
                length: 0,
                plain_offset: 0,
                plain_length: 0,
            }],
            stored_digests: vec![0; checksum.length()],
            plain_digests: vec![0; checksum.length()],
        };
        let (mut offset, mut plain_offset) = (0, 0);
        for (stored, plain, length, plain_length) in chunks {
            header.chunks.push(Chunk {
                offset,
                length,
                plain_offset,
                plain_length,
            });
            header.stored_digests.extend(stored);
            header.plain_digests.extend(plain);
            offset += length as u64;
            plain_offset += plain_length as u64;
        }
        header.length = header.to_bytes().len() as u64;
        for chunk in &mut header.chunks {
            chunk.offset += header.length;
        }
        header
    }

    /// The header as bytes, with SHA-256 for its own checksum.
    ///
    /// What [`Header::read`] has read from such a file comes out as it was.
    pub fn to_bytes(&self) -> Vec<u8> {
        let overall = Checksum::Sha256;
        let mut index = Vec::new();
        number::put(&mut index, self.checksum.number());
        number::put(&mut index, self.chunks.len() as u64);
        for (at, chunk) in self.chunks.iter().enumerate() {
            index.extend(self.stored_digest(at));
            index.extend(self.plain_digest(at).unwrap_or_default());
            number::put(&mut index, chunk.length as u64);
            number::put(&mut index, chunk.plain_length as u64);
        }
        let mut rest = vec![0; overall.length()];
        number::put(&mut rest, PLAIN_DIGESTS);
        number::put(&mut rest, 2);
        number::put(&mut rest, index.len() as u64);
        rest.extend(index);
        number::put(&mut rest, 0);
        let mut bytes = ID.to_vec();
        number::put(&mut bytes, overall.number());
        number::put(&mut bytes, rest.len() as u64);
        let sum = overall.of(&[&bytes, &rest]);
        bytes.extend(sum.as_bytes());
        bytes.extend(rest);
        bytes
    }

    /// Length of the header in bytes: where the body begins.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Length of header and body in bytes.
    pub fn file_length(&self) -> u64 {
        self.chunks
            .last()
            .map_or(self.length, |last| last.offset + last.length as u64)
    }

    /// Length of the image in bytes.
    pub fn plain_length(&self) -> u64 {
        self.chunks.last().map_or(0, Chunk::plain_end)
    }

    /// How chunks are stored.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// The kind of the chunks' digests.
    pub fn checksum(&self) -> Checksum {
        self.checksum
    }

    /// The chunks; the first one is the dictionary, of length 0 when there is none.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// The digest of the stored bytes of chunk `number`.
    pub(super) fn stored_digest(&self, number: usize) -> &[u8] {
        let length = self.checksum.length();
        &self.stored_digests[number * length..][..length]
    }

    /// The digest of the plain bytes of chunk `number`. Without it, no chunk can be found in an old image.
    pub(super) fn plain_digest(&self, number: usize) -> Option<&[u8]> {
        let length = self.checksum.length();
        self.plain_digests
            .get(number * length..(number + 1) * length)
    }
}

fn malformed(offset: usize, field: &'static str, reason: String) -> Error {
    Error::Malformed {
        format: FORMAT,
        offset: offset as u64,
        field,
        reason,
    }
}
