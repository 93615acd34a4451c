//! Block maps (bmap 2.0): which blocks of an image must be written to a device, and their digests.
//!
//! A block that is not mapped is not written, and keeps what the device held before. So the map cannot be taken from the
//! holes of the image file, as tools do: zeros that mean something, such as a free FAT entry, have to be mapped. Whoever
//! makes the image knows; see [`crate::assemble`]. Source: bmap-tools, `bmaptools/BmapCreate.py`, `BmapCopy.py`.

mod xml;

#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::ops::Range;

use bedstone_store::{Digest, Hasher};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::storage::ReadAt;
use xml::{Event, Events};

/// Bytes of a block.
pub const BLOCK: u64 = 4096;

const FORMAT: &str = "block map";
/// Longest range in blocks: 64 MiB, so that several threads have something to do.
const RANGE_LIMIT: u64 = (64 << 20) / BLOCK;

/// A block map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bmap {
    /// Bytes of the image.
    pub image_size: u64,
    /// The mapped ranges, ascending and disjoint.
    pub ranges: Vec<Mapped>,
}

/// A range of mapped blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// The first block.
    pub first: u64,
    /// The last block.
    pub last: u64,
    /// Digest of their bytes; the image's last block may be incomplete.
    pub digest: Digest,
}

impl Bmap {
    /// Maps the given ranges of bytes of `image`, rounded to whole blocks, in any order.
    pub fn new(image: &(impl ReadAt + Sync + ?Sized), ranges: &[Range<u64>]) -> Result<Self> {
        let image_size = image.size().map_err(Error::stream("measure", "image"))?;
        let mut blocks: Vec<Range<u64>> = ranges
            .iter()
            .filter(|range| !range.is_empty())
            .map(|range| range.start / BLOCK..range.end.min(image_size).div_ceil(BLOCK))
            .collect();
        blocks.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<u64>> = Vec::new();
        for range in blocks {
            match merged.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        let ranges: Result<Vec<Mapped>> = merged
            .into_iter()
            .flat_map(|range| {
                let starts = range.clone().step_by(RANGE_LIMIT as usize);
                starts.map(move |start| (start, range.end.min(start + RANGE_LIMIT) - 1))
            })
            .collect::<Vec<_>>()
            .into_par_iter()
            .map(|(first, last)| {
                let digest = digest(image, image_size, first, last)?;
                Ok(Mapped {
                    first,
                    last,
                    digest,
                })
            })
            .collect();
        Ok(Self {
            image_size,
            ranges: ranges?,
        })
    }

    /// Compares `image` with the map; names the first range that differs.
    pub fn verify(&self, image: &(impl ReadAt + Sync + ?Sized)) -> Result<()> {
        let size = image.size().map_err(Error::stream("measure", "image"))?;
        if size < self.image_size {
            let reason = format!("{size} bytes, the map is of {}", self.image_size);
            return Err(Error::malformed("image", "size", reason));
        }
        let first_error = self.ranges.par_iter().find_map_first(|range| {
            match digest(image, self.image_size, range.first, range.last) {
                Ok(digest) if digest == range.digest => None,
                Ok(_) => {
                    let reason = format!("{}-{} differ from the map", range.first, range.last);
                    Some(Error::malformed("image", "blocks", reason))
                }
                Err(error) => Some(error),
            }
        });
        first_error.map_or(Ok(()), Err)
    }

    /// The map's file: XML as `bmaptool` reads it, with a checksum of its own.
    pub fn to_xml(&self) -> String {
        let mapped: u64 = self.ranges.iter().map(|r| r.last - r.first + 1).sum();
        let mut ranges = String::new();
        for range in &self.ranges {
            let blocks = match (range.first, range.last) {
                (first, last) if first == last => first.to_string(),
                (first, last) => format!("{first}-{last}"),
            };
            // Writing to a string cannot fail.
            let _ = writeln!(
                ranges,
                "        <Range chksum=\"{}\"> {blocks} </Range>",
                range.digest
            );
        }
        let xml = format!(
            "<?xml version=\"1.0\" ?>\n\
             <bmap version=\"2.0\">\n    \
                 <ImageSize> {} </ImageSize>\n    \
                 <BlockSize> {BLOCK} </BlockSize>\n    \
                 <BlocksCount> {} </BlocksCount>\n    \
                 <MappedBlocksCount> {mapped} </MappedBlocksCount>\n    \
                 <ChecksumType> sha256 </ChecksumType>\n    \
                 <BmapFileChecksum> {NO_CHECKSUM} </BmapFileChecksum>\n    \
                 <BlockMap>\n{ranges}    </BlockMap>\n\
             </bmap>\n",
            self.image_size,
            self.image_size.div_ceil(BLOCK),
        );
        let checksum = Digest::of(xml.as_bytes()).to_string();
        xml.replacen(NO_CHECKSUM, &checksum, 1)
    }

    /// Reads a map's file of version 2 with SHA-256, blocks of 4096 bytes and a correct checksum of its own.
    pub fn from_xml(xml: &str) -> Result<Self> {
        let bad = |field, reason: &str| Error::malformed(FORMAT, field, reason);
        let mut fields: [Option<&str>; NAMES.len()] = [None; NAMES.len()];
        let mut ranges = Vec::new();
        let mut events = Events::new(xml);
        let root = events.next_element()?;
        if root != Event::Open("bmap") || events.attribute("version") != Some("2.0") {
            return Err(bad("version", "not a block map of version 2.0"));
        }
        while let Event::Open(name) = events.next_element()? {
            if name == "BlockMap" {
                while let Event::Open(name) = events.next_element()? {
                    if name != "Range" {
                        return Err(bad("BlockMap", "an element other than `Range`"));
                    }
                    let digest = events
                        .attribute("chksum")
                        .and_then(|text| text.parse().ok());
                    let digest = digest.ok_or_else(|| bad("Range", "no SHA-256 in `chksum`"))?;
                    ranges.push(read_range(events.text()?, digest)?);
                }
                continue;
            }
            let text = events.text()?;
            let Some(place) = NAMES.iter().position(|known| *known == name) else {
                continue;
            };
            if fields[place].replace(text).is_some() {
                return Err(bad(NAMES[place], "is given twice"));
            }
        }
        let field = |place: usize| fields[place].ok_or_else(|| bad(NAMES[place], "is missing"));
        let number = |place| decimal(field(place)?).ok_or_else(|| bad(NAMES[place], "no number"));
        let checksum = field(CHECKSUM)?;
        let blank = xml.replacen(checksum, NO_CHECKSUM, 1);
        if checksum.len() != NO_CHECKSUM.len()
            || Digest::of(blank.as_bytes()).to_string() != checksum
        {
            return Err(bad(NAMES[CHECKSUM], "does not match"));
        }
        if field(3)? != "sha256" || number(1)? != BLOCK {
            return Err(bad("BlockSize", "only 4096 with sha256 is known"));
        }
        let image_size = number(0)?;
        let blocks = image_size.div_ceil(BLOCK);
        let mut next = 0;
        for range in &ranges {
            if range.first < next || range.last < range.first || range.last >= blocks {
                return Err(bad("Range", "out of order, or outside the image"));
            }
            next = range.last + 1;
        }
        let mapped: u64 = ranges
            .iter()
            .map(|range| range.last - range.first + 1)
            .sum();
        if number(2)? != blocks || number(4)? != mapped {
            return Err(bad("BlocksCount", "contradicts image size or ranges"));
        }
        Ok(Self { image_size, ranges })
    }
}

/// Stands for the file's checksum while that is computed.
const NO_CHECKSUM: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const NAMES: [&str; 6] = [
    "ImageSize",
    "BlockSize",
    "BlocksCount",
    "ChecksumType",
    "MappedBlocksCount",
    "BmapFileChecksum",
];
const CHECKSUM: usize = 5;

fn read_range(text: &str, digest: Digest) -> Result<Mapped> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (decimal(first), decimal(last)) {
        (Some(first), Some(last)) => Ok(Mapped {
            first,
            last,
            digest,
        }),
        _ => Err(Error::malformed(FORMAT, "Range", "no block numbers")),
    }
}

fn decimal(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn digest(image: &(impl ReadAt + ?Sized), size: u64, first: u64, last: u64) -> Result<Digest> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    let mut position = first * BLOCK;
    let end = size.min((last + 1) * BLOCK);
    while position < end {
        let length = buffer.len().min((end - position) as usize);
        image
            .read_exact_at(&mut buffer[..length], position)
            .map_err(Error::stream("read", "image"))?;
        hasher.update(&buffer[..length]);
        position += length as u64;
    }
    Ok(hasher.finish())
}
