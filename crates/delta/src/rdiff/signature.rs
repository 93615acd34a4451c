//! Signatures: an old image described block by block.

use std::io::{Read, Write};

use super::rolling::{RabinKarp, Roll, Rsync};
use super::strong::LANES;
use super::table::Table;
use crate::{Error, Result};

/// The largest block taken, in bytes. librsync recommends 27 kB for an image of 735 MB.
const MAX_BLOCK: u32 = 16 << 20;
/// The largest signature taken, in bytes: that of an image of 60 GB in blocks of 4096 bytes.
const MAX_SIGNATURE: u64 = 512 << 20;

const FORMAT: &str = "rdiff signature";

/// The weak sum of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rolling {
    /// The sum of rsync, all that librsync before 2.2 knows.
    Rsync,
    /// The Rabin-Karp sum, librsync's default since 2.2.
    RabinKarp,
}

/// The strong sum of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strong {
    /// MD4, of which collisions can be made by hand. Only for what old tools have left.
    Md4,
    /// BLAKE2b, librsync's default since 1.0.
    Blake2,
}

impl Strong {
    /// Bytes of a strong sum that is not truncated.
    pub fn length(self) -> u32 {
        match self {
            Self::Md4 => 16,
            Self::Blake2 => 32,
        }
    }
}

/// Which sums a signature consists of: its magic number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The weak sum.
    pub rolling: Rolling,
    /// The strong sum.
    pub strong: Strong,
}

impl Kind {
    fn magic(self) -> u32 {
        let strong = match self.strong {
            Strong::Md4 => 0x7273_0136,
            Strong::Blake2 => 0x7273_0137,
        };
        match self.rolling {
            Rolling::Rsync => strong,
            Rolling::RabinKarp => strong + 0x10,
        }
    }

    fn of_magic(magic: u32) -> Option<Self> {
        [Rolling::Rsync, Rolling::RabinKarp]
            .into_iter()
            .flat_map(|rolling| {
                [Strong::Md4, Strong::Blake2].map(|strong| Self { rolling, strong })
            })
            .find(|kind| kind.magic() == magic)
    }

    /// The weak sum of `block` as it stands in a signature.
    fn weak(self, block: &[u8]) -> u32 {
        match self.rolling {
            Rolling::Rsync => Rsync::of(block).value(),
            Rolling::RabinKarp => RabinKarp::of(block).value(),
        }
    }
}

/// How to make a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Which sums.
    pub kind: Kind,
    /// Bytes per block, at most 16 MiB. Small blocks find more and cost more: 36 bytes of signature each.
    pub block_length: u32,
    /// Bytes kept of each strong sum.
    pub strong_length: u32,
}

impl Options {
    /// What `rdiff signature` chooses for an image of `length` bytes: about as many blocks as bytes per block.
    pub fn recommended(length: u64) -> Self {
        let block = if length <= 256 * 256 {
            256
        } else {
            (length.isqrt() & !127).min(MAX_BLOCK as u64)
        };
        Self {
            kind: Kind {
                rolling: Rolling::RabinKarp,
                strong: Strong::Blake2,
            },
            block_length: block as u32,
            strong_length: Strong::Blake2.length(),
        }
    }

    fn check(self) -> Result<()> {
        if !(1..=MAX_BLOCK).contains(&self.block_length) {
            return Err(Error::Unwritable {
                format: FORMAT,
                field: "block length",
                value: self.block_length as u64,
                range: "1 to 16 MiB",
            });
        }
        if !(1..=self.kind.strong.length()).contains(&self.strong_length) {
            return Err(Error::Unwritable {
                format: FORMAT,
                field: "strong sum length",
                value: self.strong_length as u64,
                range: "1 to the length of the sum",
            });
        }
        Ok(())
    }
}

/// Writes the signature of what `input` yields to `output`.
pub fn signature(input: &mut impl Read, options: Options, output: &mut impl Write) -> Result<()> {
    options.check()?;
    let block_length = options.block_length as usize;
    let kept = options.strong_length as usize;
    let write = |output: &mut dyn Write, bytes: &[u8]| {
        output.write_all(bytes).map_err(Error::write(FORMAT))
    };
    for number in [
        options.kind.magic(),
        options.block_length,
        options.strong_length,
    ] {
        write(output, &number.to_be_bytes())?;
    }
    // As many groups of blocks as fill 256 KiB, at least one.
    let group = block_length * LANES;
    let mut buffer = vec![0; group * ((256 << 10) / group).max(1)];
    let mut sums = Vec::new();
    loop {
        let filled = crate::read::fill(input, &mut buffer).map_err(Error::read("image"))?;
        sums.clear();
        for blocks in buffer[..filled].chunks(group) {
            let strong = options.kind.strong.of_many(blocks.chunks(block_length));
            for (block, strong) in blocks.chunks(block_length).zip(strong) {
                sums.extend(options.kind.weak(block).to_be_bytes());
                sums.extend(&strong[..kept]);
            }
        }
        write(output, &sums)?;
        if filled < buffer.len() {
            return Ok(());
        }
    }
}

/// A signature, read and indexed.
#[derive(Debug)]
pub struct Signature {
    options: Options,
    weak: Vec<u32>,
    /// The strong sums one after the other.
    strong: Vec<u8>,
    table: Table,
}

impl Signature {
    /// Reads a signature to its end.
    pub fn read(input: &mut impl Read) -> Result<Self> {
        let malformed = |offset, field, reason: String| Error::Malformed {
            format: FORMAT,
            offset,
            field,
            reason,
        };
        let mut header = [0; 12];
        let filled = crate::read::fill(input, &mut header).map_err(Error::read(FORMAT))?;
        if filled < header.len() {
            return Err(malformed(
                filled as u64,
                "header",
                "the file ends within it".to_owned(),
            ));
        }
        let [magic, block_length, strong_length] = [0, 4, 8].map(|at| be32(&header[at..]));
        let kind = Kind::of_magic(magic).ok_or_else(|| {
            malformed(0, "magic", format!("`{magic:08x}` is none of a signature"))
        })?;
        if block_length == 0 || block_length > i32::MAX as u32 {
            return Err(malformed(4, "block length", format!("`{block_length}`")));
        }
        if block_length > MAX_BLOCK {
            return Err(Error::TooLarge {
                format: FORMAT,
                field: "block",
                length: block_length as u64,
                limit: MAX_BLOCK as u64,
            });
        }
        if !(1..=kind.strong.length()).contains(&strong_length) {
            return Err(malformed(
                8,
                "strong sum length",
                format!("`{strong_length}` for a sum of {}", kind.strong.length()),
            ));
        }
        let kept = strong_length as usize;
        let (mut weak, mut strong) = (Vec::new(), Vec::new());
        let mut entries = vec![0; (4 + kept) * 2048];
        let mut offset = header.len() as u64;
        loop {
            let filled = crate::read::fill(input, &mut entries).map_err(Error::read(FORMAT))?;
            let (whole, rest) = entries[..filled].split_at(filled - filled % (4 + kept));
            for entry in whole.chunks_exact(4 + kept) {
                weak.push(be32(entry));
                strong.extend_from_slice(&entry[4..]);
            }
            offset += filled as u64;
            if offset > MAX_SIGNATURE {
                return Err(Error::TooLarge {
                    format: FORMAT,
                    field: "file",
                    length: offset,
                    limit: MAX_SIGNATURE,
                });
            }
            if !rest.is_empty() {
                return Err(malformed(
                    offset,
                    "block sums",
                    "the file ends within them".to_owned(),
                ));
            }
            if filled < entries.len() {
                break;
            }
        }
        let table = Table::new(&weak, |a, b| {
            strong[a * kept..][..kept] == strong[b * kept..][..kept]
        });
        Ok(Self {
            options: Options {
                kind,
                block_length,
                strong_length,
            },
            weak,
            strong,
            table,
        })
    }

    /// The sums and lengths it was made with.
    pub fn options(&self) -> Options {
        self.options
    }

    /// The number of blocks.
    pub fn blocks(&self) -> usize {
        self.weak.len()
    }

    /// Whether some block may have this weak sum. Says no most of the time when there is none.
    pub(super) fn may_have(&self, weak: u32) -> bool {
        self.table.may_have(weak)
    }

    /// The number of a block equal to `data`, whose weak sum is `weak`: `preferred` if that is one.
    pub(super) fn find(&self, weak: u32, data: &[u8], preferred: usize) -> Option<usize> {
        let mut sum = None;
        let mut equal = |block: usize| {
            self.weak.get(block) == Some(&weak) && {
                let sum = sum.get_or_insert_with(|| self.options.kind.strong.of(data));
                self.has_strong(block, sum)
            }
        };
        if equal(preferred) {
            return Some(preferred);
        }
        self.table.candidates(weak).find(|&block| equal(block))
    }

    /// How many of the blocks from number `first` on are equal to those in `data`, which has at most [`LANES`].
    pub(super) fn run(&self, first: usize, data: &[u8]) -> usize {
        let block_length = self.options.block_length as usize;
        let kind = self.options.kind;
        let strong = kind.strong.of_many(data.chunks_exact(block_length));
        data.chunks_exact(block_length)
            .zip(&strong)
            .enumerate()
            .take_while(|&(at, (block, sum))| {
                self.has_strong(first + at, sum) && self.weak[first + at] == kind.weak(block)
            })
            .count()
    }

    fn has_strong(&self, block: usize, sum: &super::strong::Sum) -> bool {
        let kept = self.options.strong_length as usize;
        self.strong.get(block * kept..(block + 1) * kept) == Some(&sum[..kept])
    }
}

/// The big-endian number in the first four of `bytes`, which are at least four.
fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
