//! The commands of a delta.

use std::io::{BufReader, Read, Write};

use super::DELTA_MAGIC;
use crate::{Error, Result};

const FORMAT: &str = "rdiff delta";

/// The largest literal whose length is in the command byte itself.
const IMMEDIATE: u64 = 0x40;
/// Command bytes of literals with a length of 1, 2, 4 and 8 bytes.
const LITERAL: u8 = 0x41;
/// Command bytes of copies: offsets of 1, 2, 4, 8 bytes, and for each of them lengths of 1, 2, 4, 8 bytes.
const COPY: u8 = 0x45;
/// The first command byte without a meaning.
const RESERVED: u8 = 0x55;

/// One step towards the new image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    /// The next `length` bytes of the delta.
    Literal { length: u64 },
    /// `length` bytes of the old image from `offset` on.
    Copy { offset: u64, length: u64 },
    /// Nothing more.
    End,
}

/// The commands of a delta, read one by one.
pub(super) struct Commands<R> {
    input: BufReader<R>,
    /// Bytes read so far.
    offset: u64,
}

impl<R: Read> Commands<R> {
    /// Checks the magic number.
    pub(super) fn new(input: R) -> Result<Self> {
        let mut commands = Self {
            input: BufReader::with_capacity(64 << 10, input),
            offset: 0,
        };
        let magic = u32::from_be_bytes(commands.take("magic")?);
        if magic == DELTA_MAGIC {
            Ok(commands)
        } else {
            Err(malformed(
                0,
                "magic",
                format!("`{magic:08x}` is not a delta's"),
            ))
        }
    }

    /// The next command. The bytes of a literal must be read before the one after it.
    ///
    /// Lengths are at least 1 and, as offsets, at most `i64::MAX`, as in librsync.
    pub(super) fn next(&mut self) -> Result<Command> {
        let at = self.offset;
        let [command] = self.take("command")?;
        match command {
            0 => {
                let mut rest = [0];
                if crate::read::fill(&mut self.input, &mut rest).map_err(Error::read(FORMAT))? == 0
                {
                    Ok(Command::End)
                } else {
                    Err(malformed(
                        self.offset,
                        "end",
                        "more bytes follow".to_owned(),
                    ))
                }
            }
            1..LITERAL => Ok(Command::Literal {
                length: command as u64,
            }),
            LITERAL..COPY => Ok(Command::Literal {
                length: self.length("literal length", command - LITERAL)?,
            }),
            COPY..RESERVED => {
                let offset = self.number("copy offset", (command - COPY) / 4)?;
                let length = self.length("copy length", (command - COPY) % 4)?;
                Ok(Command::Copy { offset, length })
            }
            RESERVED.. => Err(malformed(
                at,
                "command",
                format!("`{command:02x}` has no meaning"),
            )),
        }
    }

    /// Reads bytes of a literal.
    pub(super) fn literal(&mut self, buffer: &mut [u8]) -> Result<()> {
        let filled = crate::read::fill(&mut self.input, buffer).map_err(Error::read(FORMAT))?;
        self.offset += filled as u64;
        if filled == buffer.len() {
            Ok(())
        } else {
            Err(malformed(
                self.offset,
                "literal",
                "the file ends within it".to_owned(),
            ))
        }
    }

    /// Passes over bytes of a literal.
    pub(super) fn pass_over(&mut self, mut length: u64) -> Result<()> {
        let mut buffer = [0; 4096];
        while length > 0 {
            let piece = usize::try_from(length).map_or(buffer.len(), |it| it.min(buffer.len()));
            self.literal(&mut buffer[..piece])?;
            length -= piece as u64;
        }
        Ok(())
    }

    fn length(&mut self, field: &'static str, width: u8) -> Result<u64> {
        let at = self.offset;
        match self.number(field, width)? {
            0 => Err(malformed(at, field, "`0`".to_owned())),
            length => Ok(length),
        }
    }

    /// A number of 1, 2, 4 or 8 bytes: `width` is the logarithm.
    fn number(&mut self, field: &'static str, width: u8) -> Result<u64> {
        let at = self.offset;
        let number = match width {
            0 => self.take::<1>(field)?[0] as u64,
            1 => u16::from_be_bytes(self.take(field)?) as u64,
            2 => u32::from_be_bytes(self.take(field)?) as u64,
            _ => u64::from_be_bytes(self.take(field)?),
        };
        if i64::try_from(number).is_ok() {
            Ok(number)
        } else {
            Err(malformed(at, field, format!("`{number}` is negative")))
        }
    }

    fn take<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        let filled = crate::read::fill(&mut self.input, &mut bytes).map_err(Error::read(FORMAT))?;
        self.offset += filled as u64;
        if filled == N {
            Ok(bytes)
        } else {
            Err(malformed(
                self.offset,
                field,
                "the file ends before or within it".to_owned(),
            ))
        }
    }
}

/// Writes commands, each in its shortest form.
pub(super) struct Writer<W> {
    output: W,
}

impl<W: Write> Writer<W> {
    /// Writes the magic number.
    pub(super) fn new(output: W) -> Result<Self> {
        let mut writer = Self { output };
        writer.put(&DELTA_MAGIC.to_be_bytes())?;
        Ok(writer)
    }

    /// Writes a literal, if there is anything in it.
    pub(super) fn literal(&mut self, bytes: &[u8]) -> Result<()> {
        let length = bytes.len() as u64;
        match length {
            0 => return Ok(()),
            1..=IMMEDIATE => self.put(&[length as u8])?,
            _ => {
                self.put(&[LITERAL + width(length)])?;
                self.number(length)?;
            }
        }
        self.put(bytes)
    }

    /// Writes a copy.
    pub(super) fn copy(&mut self, offset: u64, length: u64) -> Result<()> {
        self.put(&[COPY + 4 * width(offset) + width(length)])?;
        self.number(offset)?;
        self.number(length)
    }

    /// Ends the delta.
    pub(super) fn end(mut self) -> Result<()> {
        self.put(&[0])
    }

    fn number(&mut self, number: u64) -> Result<()> {
        self.put(&number.to_be_bytes()[8 - (1 << width(number))..])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.write_all(bytes).map_err(Error::write(FORMAT))
    }
}

/// The logarithm of the number of bytes that `number` is written with.
fn width(number: u64) -> u8 {
    match number {
        0..=0xff => 0,
        0x100..=0xffff => 1,
        0x1_0000..=0xffff_ffff => 2,
        _ => 3,
    }
}

fn malformed(offset: u64, field: &'static str, reason: String) -> Error {
    Error::Malformed {
        format: FORMAT,
        offset,
        field,
        reason,
    }
}
