//! From an old image and a zchunk file to the new image.

use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use zstd::bulk::Decompressor;

use super::body::Body;
use super::header::{Compression, Header};
use super::plan::Plan;
use crate::base::Base;
use crate::output::{Image, Output, Prefix, produce};
use crate::{Error, Result, Source};

/// Plain bytes that may be fetched ahead of the writing.
const AHEAD: usize = 2 << 20;

/// Makes the image `expected` from what `plan` found in the old image `base` and what it did not, from `body`.
///
/// `target` receives the bytes once and in order, in pieces of 256 KiB, without those of `prefix`: it must be
/// positioned behind them. It is neither flushed nor synced. What lies within the prefix is not fetched again. `body`
/// is read in a thread of its own, ahead of the writing, so that neither waits for the other.
///
/// Every chunk is compared with its digest before it is written. Succeeds only when the whole output has the length and
/// digest of `expected`. Memory: some MiB and three chunks, whatever the header says.
pub fn apply<B: Base + ?Sized>(
    header: &Header,
    plan: &Plan,
    base: &B,
    body: Option<&mut dyn Body>,
    expected: &Image,
    prefix: Prefix,
    target: &mut dyn Write,
) -> Result<()> {
    if header.plain_length() != expected.length {
        return Err(Error::WrongLength {
            expected: expected.length,
            found: header.plain_length(),
        });
    }
    let written = prefix.length();
    let largest = header
        .chunks()
        .iter()
        .map(|chunk| chunk.plain_length as usize)
        .max()
        .unwrap_or(0);
    let (fetched, chunks) = sync_channel(AHEAD / largest.max(16 << 10));
    std::thread::scope(|scope| {
        if plan.missing(header, written).next().is_some() {
            let Some(body) = body else {
                let ranges = plan.ranges(header, written);
                return Err(Error::NoBody {
                    length: ranges.iter().map(|range| range.end - range.start).sum(),
                });
            };
            scope.spawn(move || fetch(header, plan, body, written, &fetched));
        }
        // Without this, a writer that fails would leave the fetching thread waiting for a reader.
        let chunks = chunks;
        produce(target, expected, prefix, |output| {
            assemble(header, plan, base, &chunks, output)
        })
    })
}

/// Appends chunk after chunk.
fn assemble<B: Base + ?Sized>(
    header: &Header,
    plan: &Plan,
    base: &B,
    fetched: &Receiver<Result<Vec<u8>>>,
    output: &mut Output<'_>,
) -> Result<()> {
    let mut buffer = Vec::new();
    for (number, chunk) in header.chunks().iter().enumerate().skip(1) {
        let length = chunk.plain_length as u64;
        let skipped = output.skippable(length);
        output.skip(skipped)?;
        if skipped == length {
            continue;
        }
        if let Some(offset) = plan.source(number) {
            buffer.resize(chunk.plain_length as usize, 0);
            base.read_exact_at(&mut buffer, offset)
                .map_err(Error::read("old image"))?;
            let sum = header.checksum().of(&[&buffer]);
            if header.plain_digest(number) != Some(sum.as_bytes()) {
                return Err(Error::WrongChunk {
                    chunk: number,
                    source_of_chunk: Source::Base,
                });
            }
        } else {
            buffer = fetched
                .recv()
                .expect("the fetching thread sends all missing chunks or an error")?;
        }
        output.append_slice(&buffer[skipped as usize..])?;
    }
    Ok(())
}

/// Sends the plain bytes of all missing chunks, or the first error.
fn fetch(
    header: &Header,
    plan: &Plan,
    body: &mut dyn Body,
    written: u64,
    fetched: &SyncSender<Result<Vec<u8>>>,
) {
    let mut decoder = Decoder {
        header,
        body,
        stored: Vec::new(),
        zstd: None,
    };
    for number in plan.missing(header, written) {
        let plain = decoder.decode(number);
        let plain = if number == 0 {
            match plain.and_then(|dictionary| decoder.use_dictionary(&dictionary)) {
                Ok(()) => continue,
                Err(error) => Err(error),
            }
        } else {
            plain
        };
        let failed = plain.is_err();
        // Nobody listens any more when writing has failed.
        if fetched.send(plain).is_err() || failed {
            return;
        }
    }
}

struct Decoder<'a> {
    header: &'a Header,
    body: &'a mut dyn Body,
    stored: Vec<u8>,
    zstd: Option<Decompressor<'static>>,
}

impl Decoder<'_> {
    /// Reads chunk `number`, checks its digest and expands it.
    fn decode(&mut self, number: usize) -> Result<Vec<u8>> {
        let header = self.header;
        let chunk = header.chunks()[number];
        let corrupt = || Error::WrongChunk {
            chunk: number,
            source_of_chunk: Source::Body,
        };
        self.stored.resize(chunk.length as usize, 0);
        self.body.read_exact_at(&mut self.stored, chunk.offset)?;
        let sum = header.checksum().of(&[&self.stored]);
        let stored_digest = header.stored_digest(number);
        let plain_digest = header.plain_digest(number);
        // A chunk without a digest of its stored bytes is stored as it is (format, `Chunk checksum`).
        let as_it_is = chunk.length == chunk.plain_length
            && plain_digest == Some(sum.as_bytes())
            && stored_digest.iter().all(|&byte| byte == 0);
        if as_it_is {
            return Ok(self.stored.clone());
        }
        if sum.as_bytes() != stored_digest {
            return Err(corrupt());
        }
        match header.compression() {
            Compression::None => Ok(self.stored.clone()),
            Compression::Zstd => {
                let mut plain = Vec::with_capacity(chunk.plain_length as usize);
                let zstd = match &mut self.zstd {
                    Some(zstd) => zstd,
                    none => none.insert(Decompressor::new().map_err(Error::read("zchunk file"))?),
                };
                let length = zstd
                    .decompress_to_buffer(&self.stored, &mut plain)
                    .map_err(|_| corrupt())?;
                if length == chunk.plain_length as usize {
                    Ok(plain)
                } else {
                    Err(corrupt())
                }
            }
        }
    }

    fn use_dictionary(&mut self, dictionary: &[u8]) -> Result<()> {
        let zstd = Decompressor::with_dictionary(dictionary).map_err(Error::read("dictionary"))?;
        self.zstd = Some(zstd);
        Ok(())
    }
}
