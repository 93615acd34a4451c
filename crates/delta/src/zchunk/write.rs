//! Making zchunk files.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use bedstone_store::Digest;
use zstd::bulk::Compressor;

use super::chunker;
use super::header::Header;
use crate::read::fill;
use crate::{Error, Result};

/// Bytes that one thread compresses in one go.
const BATCH: usize = 1 << 20;

/// How to make a zchunk file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Level of Zstandard, 1 to 22.
    pub level: i32,
    /// Number of threads that compress. Has no influence on the bytes.
    pub threads: usize,
}

/// Writes what `input` yields to `output` as a zchunk file that SWUpdate's handler `delta` takes, and returns its header.
///
/// That is: chunks where zchunk would cut them, compressed by Zstandard without a dictionary, SHA-256 everywhere, digests
/// of plain chunks. The same input, level and version of Zstandard give the same bytes.
///
/// The header, which comes first, is known last: `spool`, empty at first, takes the body until then.
pub fn write(
    input: &mut impl Read,
    options: Options,
    spool: &mut (impl Read + Write + Seek),
    output: &mut impl Write,
) -> Result<Header> {
    let mut chunks = Vec::new();
    compress(input, options, |batch| {
        spool
            .write_all(&batch.stored)
            .map_err(Error::write("temporary file"))?;
        chunks.extend(batch.chunks);
        Ok(())
    })?;
    let header = Header::new(chunks);
    output
        .write_all(&header.to_bytes())
        .map_err(Error::write("zchunk file"))?;
    spool
        .seek(SeekFrom::Start(0))
        .map_err(Error::read("temporary file"))?;
    let mut buffer = vec![0; BATCH];
    loop {
        let filled = fill(spool, &mut buffer).map_err(Error::read("temporary file"))?;
        output
            .write_all(&buffer[..filled])
            .map_err(Error::write("zchunk file"))?;
        if filled < buffer.len() {
            return Ok(header);
        }
    }
}

/// Digests and lengths of a chunk: stored, plain.
type Entry = ([u8; 32], [u8; 32], u32, u32);

/// Chunks that were compressed one after the other.
struct Batch {
    stored: Vec<u8>,
    chunks: Vec<Entry>,
}

/// Cuts and compresses `input`; `take` receives the batches in order.
fn compress(
    input: &mut impl Read,
    options: Options,
    mut take: impl FnMut(Batch) -> Result<()>,
) -> Result<()> {
    let threads = options.threads.max(1);
    let (plain, work) = channel();
    let work = Mutex::new(work);
    let (done, batches) = channel();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (work, done) = (&work, done.clone());
            scope.spawn(move || compress_batches(work, &done, options.level));
        }
        drop(done);
        // Owned here, so that the threads end when this function does, whatever the reason.
        let plain = plain;
        let mut waiting = BTreeMap::new();
        let (mut sent, mut taken) = (0_usize, 0_usize);
        let mut cutter = Cutter::new(input);
        let mut ended = false;
        loop {
            while !ended && sent - taken < 2 * threads {
                match cutter.next()? {
                    Some(batch) => {
                        plain
                            .send((sent, batch))
                            .expect("the threads live until this channel is closed");
                        sent += 1;
                    }
                    None => ended = true,
                }
            }
            if taken == sent {
                return Ok(());
            }
            let (number, batch): (usize, Result<Batch>) = batches
                .recv()
                .expect("a thread answers everything it receives");
            waiting.insert(number, batch);
            while let Some(batch) = waiting.remove(&taken) {
                take(batch?)?;
                taken += 1;
            }
        }
    })
}

/// Whole chunks, one after the other, and their lengths.
type Plain = (Vec<u8>, Vec<usize>);

fn compress_batches(
    work: &Mutex<Receiver<(usize, Plain)>>,
    done: &Sender<(usize, Result<Batch>)>,
    level: i32,
) {
    let mut zstd = Compressor::new(level);
    loop {
        let received = match work.lock() {
            Ok(work) => work.recv(),
            Err(_) => return,
        };
        let Ok((number, (bytes, lengths))) = received else {
            return;
        };
        let batch = match &mut zstd {
            Ok(zstd) => compress_batch(&bytes, &lengths, zstd),
            Err(error) => Err(std::io::Error::new(error.kind(), error.to_string())),
        };
        let batch = batch.map_err(Error::write("zchunk file"));
        // Nobody listens any more when writing has failed.
        if done.send((number, batch)).is_err() {
            return;
        }
    }
}

fn compress_batch(
    bytes: &[u8],
    lengths: &[usize],
    zstd: &mut Compressor<'_>,
) -> std::io::Result<Batch> {
    let mut batch = Batch {
        stored: Vec::with_capacity(bytes.len() / 2),
        chunks: Vec::with_capacity(lengths.len()),
    };
    let mut at = 0;
    for &length in lengths {
        let plain = &bytes[at..at + length];
        let stored = zstd.compress(plain)?;
        batch.chunks.push((
            *Digest::of(&stored).as_bytes(),
            *Digest::of(plain).as_bytes(),
            stored.len() as u32,
            length as u32,
        ));
        batch.stored.extend(stored);
        at += length;
    }
    Ok(batch)
}

/// Cuts a stream.
struct Cutter<'a, R> {
    input: &'a mut R,
    tail: Vec<u8>,
    ended: bool,
}

impl<'a, R: Read> Cutter<'a, R> {
    fn new(input: &'a mut R) -> Self {
        Self {
            input,
            tail: Vec::new(),
            ended: false,
        }
    }

    fn next(&mut self) -> Result<Option<Plain>> {
        if self.ended {
            return Ok(None);
        }
        let mut bytes = std::mem::take(&mut self.tail);
        let start = bytes.len();
        bytes.resize(BATCH, 0);
        let filled = start + fill(self.input, &mut bytes[start..]).map_err(Error::read("image"))?;
        bytes.truncate(filled);
        self.ended = filled < BATCH;
        let mut lengths = Vec::new();
        let mut at = 0;
        while at < filled && (self.ended || filled - at > chunker::MAX) {
            let length = chunker::chunk_length(&bytes[at..]);
            lengths.push(length);
            at += length;
        }
        self.tail = bytes.split_off(at);
        Ok(Some((bytes, lengths)))
    }
}
