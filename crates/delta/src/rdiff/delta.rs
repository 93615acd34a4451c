//! From the signature of an old image and a new image to a delta.

use std::io::{Read, Write};

use super::command::Writer;
use super::rolling::{RabinKarp, Roll, Rsync};
use super::signature::{Rolling, Signature};
use super::strong::LANES;
use crate::{Error, Result};

/// The longest literal in bytes; librsync's are as long.
const MAX_LITERAL: usize = 64 << 10;

/// Writes to `output` the delta that makes what `new` yields from the image that `signature` describes.
///
/// Among equal blocks of the old image the one that continues the copy before it is taken, so that long equal
/// stretches become one command. Otherwise the commands are those of `rdiff delta`.
pub fn delta(signature: &Signature, new: &mut impl Read, output: &mut impl Write) -> Result<()> {
    let commands = Writer::new(output)?;
    match signature.options().kind.rolling {
        Rolling::Rsync => Scan::<Rsync, _, _>::new(signature, new, commands).run(),
        Rolling::RabinKarp => Scan::<RabinKarp, _, _>::new(signature, new, commands).run(),
    }
}

struct Scan<'a, R, I, W> {
    signature: &'a Signature,
    block: usize,
    input: &'a mut I,
    ended: bool,
    buffer: Vec<u8>,
    /// Bytes of the buffer that hold input.
    filled: usize,
    /// Where bytes begin that no command covers yet.
    literal: usize,
    /// The position looked at.
    at: usize,
    /// The weak sum of the block at that position, if it is known.
    weak: Option<R>,
    /// A copy that may be extended: offset and length.
    copy: (u64, u64),
    commands: Writer<W>,
}

impl<'a, R: Roll, I: Read, W: Write> Scan<'a, R, I, W> {
    fn new(signature: &'a Signature, input: &'a mut I, commands: Writer<W>) -> Self {
        let block = signature.options().block_length as usize;
        Self {
            signature,
            block,
            input,
            ended: false,
            buffer: vec![0; (1 << 20) + MAX_LITERAL + 2 * LANES * block],
            filled: 0,
            literal: 0,
            at: 0,
            weak: None,
            copy: (0, 0),
            commands,
        }
    }

    fn run(mut self) -> Result<()> {
        if self.signature.blocks() == 0 {
            return self.all_literal();
        }
        loop {
            if !self.ended && self.filled - self.at <= LANES * self.block {
                self.refill()?;
            }
            let length = self.block.min(self.filled - self.at);
            if length == 0 {
                break;
            }
            let block = &self.buffer[self.at..self.at + length];
            let sum = self.weak.get_or_insert_with(|| R::of(block)).value();
            // The block that would continue the copy before; past the last block when nothing was copied.
            let (offset, copied) = self.copy;
            let preferred = if copied > 0 && self.literal == self.at {
                ((offset + copied) / self.block as u64) as usize
            } else {
                usize::MAX
            };
            let found = if self.signature.may_have(sum) {
                self.signature.find(sum, block, preferred)
            } else {
                None
            };
            match found {
                Some(number) => {
                    self.append_copy(number, length)?;
                    if length == self.block {
                        self.append_run(number + 1)?;
                    }
                }
                None => self.pass()?,
            }
        }
        self.flush()?;
        self.commands.end()
    }

    /// Moves on over positions where no block of the old image can begin.
    fn pass(&mut self) -> Result<()> {
        let Some(weak) = &mut self.weak else {
            return Ok(());
        };
        let whole = self.filled.saturating_sub(self.block);
        let limit = whole.min(self.literal + MAX_LITERAL);
        let mut at = self.at;
        if at < limit {
            let leaving = &self.buffer[at..limit];
            let joining = &self.buffer[at + self.block..limit + self.block];
            for (&out, &into) in leaving.iter().zip(joining) {
                weak.rotate(out, into);
                at += 1;
                if self.signature.may_have(weak.value()) {
                    break;
                }
            }
        } else if at < whole {
            weak.rotate(self.buffer[at], self.buffer[at + self.block]);
            at += 1;
        } else {
            weak.shorten(self.buffer[at]);
            at += 1;
        }
        self.at = at;
        if self.at - self.literal >= MAX_LITERAL {
            self.flush()?;
        }
        Ok(())
    }

    /// Covers the next `length` bytes with a copy of block `number`.
    fn append_copy(&mut self, number: usize, length: usize) -> Result<()> {
        let start = number as u64 * self.block as u64;
        if self.literal < self.at || self.copy.0 + self.copy.1 != start || self.copy.1 == 0 {
            self.flush()?;
            self.copy = (start, 0);
        }
        self.copy.1 += length as u64;
        self.at += length;
        self.literal = self.at;
        self.weak = None;
        Ok(())
    }

    /// Covers whole blocks as long as they are those from number `next` on, several at a time.
    fn append_run(&mut self, mut next: usize) -> Result<()> {
        loop {
            let width = LANES.min(self.signature.blocks().saturating_sub(next));
            if width == 0 {
                return Ok(());
            }
            if !self.ended && self.filled - self.at <= LANES * self.block {
                self.refill()?;
            }
            let width = width.min((self.filled - self.at) / self.block);
            let data = &self.buffer[self.at..self.at + width * self.block];
            let equal = self.signature.run(next, data);
            for number in next..next + equal {
                self.append_copy(number, self.block)?;
            }
            next += equal;
            if equal < LANES {
                return Ok(());
            }
        }
    }

    /// Writes what is known: a copy, then the literal bytes behind it.
    fn flush(&mut self) -> Result<()> {
        let (offset, length) = std::mem::take(&mut self.copy);
        if length > 0 {
            self.commands.copy(offset, length)?;
        }
        self.commands.literal(&self.buffer[self.literal..self.at])?;
        self.literal = self.at;
        Ok(())
    }

    fn refill(&mut self) -> Result<()> {
        self.buffer.copy_within(self.literal..self.filled, 0);
        self.at -= self.literal;
        self.filled -= self.literal;
        self.literal = 0;
        let read = crate::read::fill(self.input, &mut self.buffer[self.filled..])
            .map_err(Error::read("new image"))?;
        self.filled += read;
        self.ended = self.filled < self.buffer.len();
        Ok(())
    }

    /// The delta for an old image without any block.
    fn all_literal(mut self) -> Result<()> {
        while !self.ended {
            self.refill()?;
            while self.at < self.filled {
                self.at = self.filled.min(self.literal + MAX_LITERAL);
                self.flush()?;
            }
        }
        self.commands.end()
    }
}
