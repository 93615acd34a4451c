//! The new image: written once and in order, hashed while it is written, compared with what was promised.

use std::fmt;
use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use bedstone_store::{Digest, Hasher};

use crate::base::PIECE;
use crate::{Error, Result};

/// Buffers that travel between the writing and the hashing thread.
const BUFFERS: usize = 4;

/// What an image is: its length in bytes and the SHA-256 digest of those bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// Length in bytes.
    pub length: u64,
    /// SHA-256 of all its bytes.
    pub digest: Digest,
}

impl Image {
    /// Describes `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            length: bytes.len() as u64,
            digest: Digest::of(bytes),
        }
    }

    /// Describes what `reader` yields until its end.
    pub fn of_reader(reader: &mut impl Read) -> std::io::Result<Self> {
        let (digest, length) = Digest::of_reader(reader)?;
        Ok(Self { length, digest })
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of SHA-256 {}", self.length, self.digest)
    }
}

/// The part of the output that an earlier, interrupted run has already written.
///
/// An applier that is given a prefix neither makes nor writes those bytes again. Whether they are right shows in the
/// digest of the whole output, of which they are part.
#[derive(Debug, Clone, Default)]
pub struct Prefix {
    length: u64,
    hasher: Hasher,
}

impl Prefix {
    /// Nothing has been written.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads back the first `length` bytes of the target, which must have been written durably.
    ///
    /// The caller, who knows up to where that is, leaves the target positioned behind them.
    pub fn read_back(target: &mut impl Read, length: u64) -> Result<Self> {
        let mut prefix = Self::none();
        let mut buffer = vec![0; PIECE];
        while prefix.length < length {
            let piece =
                usize::try_from(length - prefix.length).map_or(PIECE, |rest| rest.min(PIECE));
            target
                .read_exact(&mut buffer[..piece])
                .map_err(Error::read("partly written target"))?;
            prefix.add(&buffer[..piece]);
        }
        Ok(prefix)
    }

    /// Length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Appends bytes that are known to be in the target.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
    }
}

/// The stream of output bytes that an applier fills.
///
/// The target receives pieces of exactly 256 KiB, the last one excepted, so that a writer with `O_DIRECT` needs no
/// buffer of its own when the prefix was a multiple of its block size.
pub(crate) struct Output<'a> {
    target: &'a mut dyn Write,
    /// Always of [`PIECE`] bytes, so that nothing is filled with zeros before it is filled with output.
    current: Vec<u8>,
    /// How many of them are output.
    used: usize,
    full: SyncSender<(Vec<u8>, usize)>,
    empty: Receiver<Vec<u8>>,
    /// Bytes still to be dropped because the prefix has them.
    skip: u64,
    /// Bytes made so far, the skipped ones included.
    made: u64,
    expected: u64,
}

impl Output<'_> {
    /// How many of the next `length` bytes need not be made, because they are in the target already.
    pub(crate) fn skippable(&self, length: u64) -> u64 {
        self.skip.min(length)
    }

    /// Passes over `length` bytes of the prefix.
    pub(crate) fn skip(&mut self, length: u64) -> Result<()> {
        self.announce(length)?;
        self.skip -= length;
        self.made += length;
        Ok(())
    }

    /// Fails when `length` more bytes are more than was promised. Called before anything of them is written.
    pub(crate) fn announce(&self, length: u64) -> Result<()> {
        match self.made.checked_add(length) {
            Some(end) if end <= self.expected => Ok(()),
            end => Err(Error::WrongLength {
                expected: self.expected,
                found: end.unwrap_or(u64::MAX),
            }),
        }
    }

    /// Appends `length` bytes; `fill` is called with consecutive pieces and their offsets from the first of them.
    pub(crate) fn append(
        &mut self,
        length: u64,
        mut fill: impl FnMut(&mut [u8], u64) -> Result<()>,
    ) -> Result<()> {
        self.announce(length)?;
        let mut done = 0;
        while done < length {
            let start = self.used;
            let piece = usize::try_from(length - done)
                .map_or(PIECE, |rest| rest.min(PIECE))
                .min(PIECE - start);
            fill(&mut self.current[start..start + piece], done)?;
            self.used += piece;
            done += piece as u64;
            self.made += piece as u64;
            if self.used == PIECE {
                self.write_out()?;
            }
        }
        Ok(())
    }

    /// Appends `bytes`.
    pub(crate) fn append_slice(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.announce(bytes.len() as u64)?;
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(bytes.len().min(PIECE - self.used));
            self.current[self.used..self.used + piece.len()].copy_from_slice(piece);
            self.used += piece.len();
            self.made += piece.len() as u64;
            bytes = rest;
            if self.used == PIECE {
                self.write_out()?;
            }
        }
        Ok(())
    }

    /// Writes what is left, unless something is missing.
    fn finish(&mut self) -> Result<()> {
        if self.made != self.expected {
            return Err(Error::WrongLength {
                expected: self.expected,
                found: self.made,
            });
        }
        self.write_out()
    }

    fn write_out(&mut self) -> Result<()> {
        let hashed = "the hashing thread lives as long as the output";
        self.target
            .write_all(&self.current[..self.used])
            .map_err(Error::write("new image"))?;
        let next = self.empty.recv().expect(hashed);
        let full = std::mem::replace(&mut self.current, next);
        self.full
            .send((full, std::mem::take(&mut self.used)))
            .expect(hashed);
        Ok(())
    }
}

/// Runs `work`, which makes the image `expected`, and writes what it makes to `target`.
///
/// The digest is computed in a second thread, because hashing takes longer than copying.
pub(crate) fn produce(
    target: &mut dyn Write,
    expected: &Image,
    prefix: Prefix,
    work: impl FnOnce(&mut Output<'_>) -> Result<()>,
) -> Result<()> {
    if prefix.length > expected.length {
        return Err(Error::WrongLength {
            expected: expected.length,
            found: prefix.length,
        });
    }
    let (full, to_hash) = sync_channel::<(Vec<u8>, usize)>(BUFFERS);
    let (hashed, empty) = sync_channel(BUFFERS);
    for _ in 1..BUFFERS {
        hashed
            .send(vec![0; PIECE])
            .expect("the receiver is in this function");
    }
    let skip = prefix.length;
    let mut hasher = prefix.hasher;
    let digest = std::thread::scope(|scope| {
        let hashing = scope.spawn(move || {
            for (buffer, used) in to_hash {
                hasher.update(&buffer[..used]);
                // Nobody waits for the last ones.
                let _ = hashed.send(buffer);
            }
            hasher.finish()
        });
        let mut output = Output {
            target,
            current: vec![0; PIECE],
            used: 0,
            full,
            empty,
            skip,
            made: 0,
            expected: expected.length,
        };
        let outcome = work(&mut output).and_then(|()| output.finish());
        drop(output);
        let digest = hashing.join().expect("hashing does not panic");
        outcome.map(|()| digest)
    })?;
    if digest == expected.digest {
        Ok(())
    } else {
        Err(Error::WrongOutput {
            expected: expected.digest,
            found: digest,
        })
    }
}
