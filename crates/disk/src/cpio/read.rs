use std::io::{self, ErrorKind, Read};

use super::{FORMAT, Format, HEADER, Member, NAME_LIMIT, REGULAR, TRAILER, TYPE_MASK, sum};
use crate::error::{Error, Result};

/// Reads an archive member by member. After [`Reader::next_member`], reading gives that member's data; what is not read
/// is skipped. Memory stays below 16 KiB.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    /// Data of the current member that were not read yet.
    left: u64,
    /// Padding behind them.
    padding: u64,
    /// What the data must sum up to, and their sum so far.
    expected: Option<u32>,
    sum: u32,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Starts reading at an archive's first byte.
    pub fn new(input: R) -> Self {
        Self {
            input,
            left: 0,
            padding: 0,
            expected: None,
            sum: 0,
            ended: false,
        }
    }

    /// Goes to the next member; none when the trailer was read. The formats may change within an archive.
    ///
    /// Fails when the archive ends before its trailer, a header is malformed, or the data of the member before do not
    /// have the sum that its header told.
    pub fn next_member(&mut self) -> Result<Option<(Format, Member)>> {
        if self.ended {
            return Ok(None);
        }
        io::copy(self, &mut io::sink()).map_err(failed)?;
        let mut padding = [0; 3];
        self.exact(self.padding as usize, &mut padding)?;
        self.padding = 0;

        let mut header = [0; HEADER];
        self.exact(HEADER, &mut header)?;
        let bad = |field, reason: &str| Err(Error::malformed(FORMAT, field, reason));
        let format = match &header[..6] {
            b"070701" => Format::Newc,
            b"070702" => Format::Crc,
            _ => return bad("header", "neither “newc” nor “crc”"),
        };
        let mut fields = [0; 13];
        for (field, digits) in fields.iter_mut().zip(header[6..].chunks_exact(8)) {
            for digit in digits {
                let Some(value) = (*digit as char).to_digit(16) else {
                    return bad("header", "a number that is not hexadecimal");
                };
                *field = *field << 4 | value;
            }
        }
        let [
            inode,
            mode,
            uid,
            gid,
            links,
            time,
            size,
            _,
            _,
            major,
            minor,
            length,
            checksum,
        ] = fields;
        if length < 2 || length as usize > NAME_LIMIT {
            return bad("name", "empty, or longer than 4096 bytes");
        }
        let mut name = vec![0; length as usize];
        self.exact(length as usize, &mut name)?;
        if name.pop() != Some(0) || name.contains(&0) {
            return bad("name", "not terminated by its only NUL");
        }
        let Ok(name) = String::from_utf8(name) else {
            return bad("name", "not UTF-8");
        };
        let used = HEADER + length as usize;
        self.exact(used.next_multiple_of(4) - used, &mut padding)?;
        if name == TRAILER {
            self.ended = true;
            return if size == 0 {
                Ok(None)
            } else {
                bad("trailer", "has data")
            };
        }
        let summed = format == Format::Crc && mode & TYPE_MASK == REGULAR;
        self.left = u64::from(size);
        self.padding = self.left.next_multiple_of(4) - self.left;
        self.expected = summed.then_some(checksum);
        self.sum = 0;
        Ok(Some((
            format,
            Member {
                name,
                inode,
                mode,
                uid,
                gid,
                links,
                time,
                size,
                device: (major, minor),
                checksum,
            },
        )))
    }

    /// What follows the trailer, or the rest of the member being read.
    pub fn into_inner(self) -> R {
        self.input
    }

    fn exact(&mut self, length: usize, buffer: &mut [u8]) -> Result<()> {
        self.input
            .read_exact(&mut buffer[..length])
            .map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => Error::Truncated {
                    format: FORMAT,
                    place: "a header",
                },
                _ => failed(error),
            })
    }
}

/// Gives the current member's data. A wrong sum is reported with the end of the data.
impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if self.left == 0 {
            return match self.expected.take() {
                Some(expected) if expected != self.sum => {
                    let reason = "the data do not have the sum of the header";
                    Err(io::Error::new(ErrorKind::InvalidData, reason))
                }
                _ => Ok(0),
            };
        }
        let length = self.input.read(&mut buffer[..limit])?;
        if length == 0 && limit > 0 {
            let reason = "the archive ends within a member";
            return Err(io::Error::new(ErrorKind::UnexpectedEof, reason));
        }
        self.left -= length as u64;
        if self.expected.is_some() {
            self.sum = sum(self.sum, &buffer[..length]);
        }
        Ok(length)
    }
}

fn failed(source: io::Error) -> Error {
    Error::stream("read", FORMAT)(source)
}
