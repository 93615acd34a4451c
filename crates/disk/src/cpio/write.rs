use std::io::{self, Read, Write};

use super::{FORMAT, Format, HEADER, Member, NAME_LIMIT, REGULAR, TRAILER, TYPE_MASK, sum};
use crate::content::Content;
use crate::error::{Error, Result};

/// Writes an archive member by member, in the order in which they come.
#[derive(Debug)]
pub struct Writer<W> {
    output: W,
    format: Format,
}

impl<W: Write> Writer<W> {
    /// Starts an archive. `output` gets many small writes, so a file wants a `BufWriter`.
    pub fn new(output: W, format: Format) -> Self {
        Self { output, format }
    }

    /// Adds a member with its data. Its size and checksum are those of `content`, whatever `member` says.
    ///
    /// In the format “crc” a regular file is read twice, because its sum stands before its data.
    pub fn append(&mut self, member: &Member, content: &Content) -> Result<()> {
        let refuse = |reason: &str| Err(Error::unwritable(FORMAT, &member.name, reason));
        let name = &member.name;
        if name.is_empty() || name.contains('\0') || name.len() >= NAME_LIMIT || name == TRAILER {
            return refuse("no name of a member");
        }
        let Ok(size) = u32::try_from(content.length()?) else {
            return refuse("a member holds less than 4 GiB");
        };
        let summed = self.format == Format::Crc && member.mode & TYPE_MASK == REGULAR;
        let member = Member {
            size,
            checksum: if summed { checksum(content)? } else { 0 },
            ..member.clone()
        };
        self.put_header(&member)?;
        let mut reader = content.open()?.take(u64::from(size));
        let copied = io::copy(&mut reader, &mut self.output).map_err(failed)?;
        if copied != u64::from(size) {
            return refuse("became shorter while it was copied");
        }
        self.pad(size as usize)
    }

    /// Ends the archive and returns what it was written to.
    pub fn finish(mut self) -> Result<W> {
        self.put_header(&Member {
            name: TRAILER.to_owned(),
            links: 1,
            ..Member::default()
        })?;
        self.output.flush().map_err(failed)?;
        Ok(self.output)
    }

    fn put_header(&mut self, member: &Member) -> Result<()> {
        let magic = match self.format {
            Format::Newc => "070701",
            Format::Crc => "070702",
        };
        let fields = [
            member.inode,
            member.mode,
            member.uid,
            member.gid,
            member.links,
            member.time,
            member.size,
            0, // device that holds the file
            0,
            member.device.0,
            member.device.1,
            member.name.len() as u32 + 1,
            member.checksum,
        ];
        self.output.write_all(magic.as_bytes()).map_err(failed)?;
        for field in fields {
            write!(self.output, "{field:08X}").map_err(failed)?;
        }
        write!(self.output, "{}\0", member.name).map_err(failed)?;
        self.pad(HEADER + member.name.len() + 1)
    }

    fn pad(&mut self, length: usize) -> Result<()> {
        let padding = length.next_multiple_of(4) - length;
        self.output.write_all(&[0; 3][..padding]).map_err(failed)
    }
}

fn failed(source: io::Error) -> Error {
    Error::stream("write", FORMAT)(source)
}

fn checksum(content: &Content) -> Result<u32> {
    let mut reader = content.open()?;
    let mut buffer = vec![0; 1 << 16];
    let mut total = 0;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(length) => total = sum(total, &buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(Error::stream("read", "member of a cpio archive")(source)),
        }
    }
}
