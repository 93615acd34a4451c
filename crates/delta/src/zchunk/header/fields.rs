//! The fields behind the header checksum.

use super::{Checksum, Chunk, Compression, FORMAT, Header, PLAIN_DIGESTS, malformed, number};
use crate::{Error, Result};

/// The largest chunk taken, in bytes: `zck` makes none above 128 KiB by itself. Three of them are in memory at once.
const MAX_CHUNK: u64 = 4 << 20;
/// The most bytes a chunk is stored in: what Zstandard makes of incompressible data.
const MAX_STORED: u64 = MAX_CHUNK + MAX_CHUNK / 128 + 512;

const STREAMS: u64 = 1;
const OPTIONAL_ELEMENTS: u64 = 2;

/// The fields behind the header checksum.
pub(super) struct Fields<'a> {
    /// The whole header.
    bytes: &'a [u8],
    /// What has not been read of it.
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Reads the fields behind the checksum that ends at `start` of the whole header.
    pub(super) fn new(bytes: &'a [u8], start: usize) -> Self {
        Self {
            bytes,
            rest: &bytes[start..],
        }
    }

    /// Parses them to the end; `overall` is the kind of the data checksum.
    pub(super) fn parse(mut self, overall: Checksum) -> Result<Header> {
        self.take(overall.length(), "data checksum")?;
        let at = self.offset();
        let flags = self.number("flags")?;
        if flags & !(OPTIONAL_ELEMENTS | PLAIN_DIGESTS) != 0 {
            let reason = if flags & STREAMS == 0 {
                format!("`{flags:#x}` has unknown bits")
            } else {
                "data streams are not supported, by zchunk neither".to_owned()
            };
            return Err(malformed(at, "flags", reason));
        }
        let at = self.offset();
        let compression = match self.number("compression")? {
            0 => Compression::None,
            2 => Compression::Zstd,
            other => {
                return Err(malformed(
                    at,
                    "compression",
                    format!("`{other}` is unknown"),
                ));
            }
        };
        if flags & OPTIONAL_ELEMENTS != 0 {
            for _ in 0..self.number("number of optional elements")? {
                self.number("optional element id")?;
                let length = self.number("optional element length")?;
                self.take(
                    usize::try_from(length).unwrap_or(usize::MAX),
                    "optional element",
                )?;
            }
        }
        let at = self.offset();
        let index_length = self.number("index length")?;
        let index_start = self.offset() as u64;
        let header = self.index(compression, flags & PLAIN_DIGESTS != 0)?;
        if self.offset() as u64 - index_start != index_length {
            return Err(malformed(
                at,
                "index length",
                format!("`{index_length}` is not that of the index"),
            ));
        }
        let at = self.offset();
        let signatures = self.number("number of signatures")?;
        if signatures != 0 {
            return Err(malformed(
                at,
                "number of signatures",
                format!("`{signatures}`, but no kind of signature is defined"),
            ));
        }
        if !self.rest.is_empty() {
            return Err(malformed(
                self.offset(),
                "length",
                "there are bytes behind the last field".to_owned(),
            ));
        }
        Ok(header)
    }

    fn index(&mut self, compression: Compression, has_plain: bool) -> Result<Header> {
        let at = self.offset();
        let kind = self.number("chunk checksum kind")?;
        let checksum = Checksum::of_number(kind)
            .ok_or_else(|| malformed(at, "chunk checksum kind", format!("`{kind}` is unknown")))?;
        let at = self.offset();
        let count = self.number("number of chunks")?;
        if count == 0 {
            return Err(malformed(
                at,
                "number of chunks",
                "`0` leaves no place for the dictionary".to_owned(),
            ));
        }
        let mut header = Header {
            length: self.bytes.len() as u64,
            compression,
            checksum,
            chunks: Vec::new(),
            stored_digests: Vec::new(),
            plain_digests: Vec::new(),
        };
        let (mut offset, mut plain_offset) = (header.length, 0_u64);
        for number in 0..count {
            header
                .stored_digests
                .extend(self.take(checksum.length(), "chunk digest")?);
            if has_plain {
                header
                    .plain_digests
                    .extend(self.take(checksum.length(), "plain chunk digest")?);
            }
            let at = self.offset();
            let length = self.chunk_length("stored chunk", MAX_STORED)?;
            let plain_length = self.chunk_length("plain chunk", MAX_CHUNK)?;
            let unequal = compression == Compression::None && length != plain_length;
            if unequal || (length == 0) != (plain_length == 0) {
                return Err(malformed(
                    at,
                    "chunk length",
                    format!("`{length}` stored for `{plain_length}` plain bytes"),
                ));
            }
            header.chunks.push(Chunk {
                offset,
                length,
                plain_offset,
                plain_length,
            });
            offset += length as u64;
            if number > 0 {
                plain_offset += plain_length as u64;
            }
        }
        Ok(header)
    }

    fn chunk_length(&mut self, field: &'static str, limit: u64) -> Result<u32> {
        let length = self.number(field)?;
        if length > limit {
            return Err(Error::TooLarge {
                format: FORMAT,
                field,
                length,
                limit,
            });
        }
        Ok(length as u32)
    }

    fn number(&mut self, field: &'static str) -> Result<u64> {
        let at = self.offset();
        number::take(&mut self.rest).ok_or_else(|| {
            malformed(
                at,
                field,
                "the header ends within it or it is too large".to_owned(),
            )
        })
    }

    fn take(&mut self, length: usize, field: &'static str) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(|| {
            malformed(self.offset(), field, "the header ends within it".to_owned())
        })?;
        self.rest = rest;
        Ok(taken)
    }

    fn offset(&self) -> usize {
        self.bytes.len() - self.rest.len()
    }
}
