//! The binary package format, deb(5), read as a stream.
//!
//! A .deb is an `ar` archive of `debian-binary`, `control.tar*` and `data.tar*`. [`Deb::open`] reads the first two into
//! memory and checks them; then [`Deb`] yields the entries of the third, one at a time, with their content.
//!
//! What a package builder cannot have produced from a directory tree is refused: paths out of the tree, entries below a
//! link or file of the same archive, a path twice, devices, extended attributes that would be lost, a tar archive
//! without its end mark, anything but zero bytes behind it, and members other than the three unless their name starts
//! with `_` (deb(5) reserves these for extensions that a reader may ignore).

mod ar;
mod header;
mod path;
mod pax;
mod tar;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Take};
use std::path::PathBuf;

use crate::compression::{Compression, Decoder};
use crate::error::{Error, Result};
use tar::Tar;

/// How much an archive may claim before it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Unpacked bytes of all contents together.
    pub bytes: u64,
    /// Number of entries.
    pub entries: u64,
    /// Bytes of all paths together, which are held in memory.
    pub path_bytes: u64,
}

impl Limits {
    /// For `control.tar`, which is kept in memory: 64 MiB.
    pub const CONTROL: Self = Self {
        bytes: 64 << 20,
        entries: 1000,
        path_bytes: 1 << 16,
    };
    /// For `data.tar`: 16 GiB, a million entries, 128 MiB of paths. Debian's largest package is about a third of that.
    pub const DATA: Self = Self {
        bytes: 16 << 30,
        entries: 1 << 20,
        path_bytes: 128 << 20,
    };
}

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// The stream cannot be read or decompressed.
    #[error("cannot read: {0}")]
    Read(io::Error),
    /// The stream ends early.
    #[error("ends early")]
    Truncated,
    /// The first bytes are not those of an `ar` archive.
    #[error("not a Debian package (no `ar` magic)")]
    NotAr,
    /// An `ar` member header is malformed.
    #[error("malformed `ar` header: {0}")]
    ArHeader(&'static str),
    /// A member is missing, unknown or in the wrong place.
    #[error("expected member `{expected}`")]
    Member {
        /// What deb(5) wants here.
        expected: &'static str,
    },
    /// `debian-binary` does not say `2.x`.
    #[error("unknown format version `{0}`")]
    Version(String),
    /// The compression of a member is unknown.
    #[error("unknown compression")]
    Compression,
    /// A tar header field is malformed.
    #[error("malformed tar header: {0}")]
    TarHeader(&'static str),
    /// A pax record would change the entry in a way that cannot be honoured.
    #[error("unsupported pax record `{0}`")]
    PaxKey(String),
    /// The path is not allowed.
    #[error("path {0}")]
    Path(&'static str),
    /// The target of a link is not allowed.
    #[error("link target {0}")]
    Target(&'static str),
    /// A device or fifo.
    #[error("{0}s are not allowed")]
    Special(&'static str),
    /// The type of a tar entry is unknown.
    #[error("unknown tar entry type `{}`", .0.escape_ascii())]
    Flag(u8),
    /// More bytes than the limit.
    #[error("holds more than {0} bytes")]
    TooLarge(u64),
    /// More entries than the limit.
    #[error("holds more than {0} entries")]
    TooMany(u64),
    /// Bytes follow where nothing may follow.
    #[error("garbage behind the end")]
    Trailing,
    /// The control archive holds something other than files.
    #[error("not a file at the top of the control archive")]
    ControlEntry,
    /// The control archive lacks the file `control`.
    #[error("no `control` file")]
    NoControl,
}

impl From<io::Error> for Defect {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Read(error),
        }
    }
}

/// The files of the control archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlFiles {
    /// Every file by name: `control`, `md5sums`, `conffiles`, `postinst`, ...
    pub members: BTreeMap<String, ControlFile>,
}

/// One file of the control archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlFile {
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub bytes: Vec<u8>,
}

impl ControlFiles {
    /// The bytes of `control`: one deb822 stanza.
    pub fn stanza(&self) -> &[u8] {
        self.bytes("control").unwrap_or_default()
    }

    /// The content of the file `name`, where there is one.
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.members.get(name).map(|file| file.bytes.as_slice())
    }
}

/// An entry of `data.tar`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path relative to the root, without `./`, `..`, doubled or trailing slashes; empty for the root itself.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Permission, set-id and sticky bits (`0o7777`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time in seconds since the epoch.
    pub mtime: i64,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file whose content can be read from [`Deb`].
    File {
        /// Content length in bytes.
        size: u64,
    },
    /// A symbolic link with this target, as it is: it may be absolute or lead out of the tree.
    Symlink(PathBuf),
    /// Another name of the earlier file with this path, normalised like [`Entry::path`].
    Hardlink(PathBuf),
}

/// A .deb being read: its control files, and a stream of its entries.
///
/// After [`Deb::next_entry`] gave a [`Kind::File`], `Deb` reads as that file's content; what is not read is skipped.
/// Only when `next_entry` has returned `None` is the package known to be whole.
#[derive(Debug)]
pub struct Deb<R: Read> {
    name: String,
    member: String,
    control: ControlFiles,
    /// Gone once the last entry was seen.
    tar: Option<Tar<Decoder<Take<BufReader<R>>>>>,
    size: u64,
}

impl<R: Read> Deb<R> {
    /// Reads as far as the start of `data.tar`. `name` stands for the package in errors.
    pub fn open(name: impl Into<String>, reader: R) -> Result<Self> {
        Self::open_limited(name, reader, Limits::CONTROL, Limits::DATA)
    }

    /// Like [`Deb::open`] with own limits for the two archives.
    pub fn open_limited(
        name: impl Into<String>,
        reader: R,
        control_limits: Limits,
        data_limits: Limits,
    ) -> Result<Self> {
        let name = name.into();
        let mut reader = BufReader::with_capacity(1 << 16, reader);
        let fail = |member: &str, defect: Defect| error(&name, member, b"", defect);

        ar::read_magic(&mut reader).map_err(|defect| fail("debian-binary", defect))?;
        let header =
            member(&mut reader, "debian-binary").map_err(|it| fail("debian-binary", it))?;
        read_version(&mut reader, &header).map_err(|defect| fail(&header.name, defect))?;

        let header = member(&mut reader, "control.tar").map_err(|it| fail("control.tar", it))?;
        let mut tar = compression(&header.name, "control.tar")
            .and_then(|it| Ok(it.decoder(reader.take(header.size))?))
            .map(|decoder| Tar::new(decoder, control_limits))
            .map_err(|defect| fail(&header.name, defect))?;
        let control = read_control(&mut tar)
            .map_err(|defect| error(&name, &header.name, tar.current(), defect))?;
        let mut reader =
            finish_member(tar, header.size).map_err(|defect| fail(&header.name, defect))?;

        let header = member(&mut reader, "data.tar").map_err(|it| fail("data.tar", it))?;
        let decoder = compression(&header.name, "data.tar")
            .and_then(|it| Ok(it.decoder(reader.take(header.size))?))
            .map_err(|defect| fail(&header.name, defect))?;
        Ok(Self {
            name,
            member: header.name,
            control,
            tar: Some(Tar::new(decoder, data_limits)),
            size: header.size,
        })
    }

    /// The files of the control archive.
    pub fn control(&self) -> &ControlFiles {
        &self.control
    }

    /// The next entry, or `None` behind the last one, when everything down to the end of the .deb was checked.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        let Some(tar) = &mut self.tar else {
            return Ok(None);
        };
        if let Some(entry) = tar
            .next()
            .map_err(|defect| error(&self.name, &self.member, tar.current(), defect))?
        {
            return Ok(Some(entry));
        }
        if let Some(tar) = self.tar.take() {
            finish_member(tar, self.size)
                .and_then(|mut reader| read_rest(&mut reader))
                .map_err(|defect| error(&self.name, &self.member, b"", defect))?;
        }
        Ok(None)
    }
}

impl<R: Read> Read for Deb<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tar) = &mut self.tar else {
            return Ok(0);
        };
        tar.read(buffer).map_err(|source| match source.kind() {
            io::ErrorKind::Interrupted => source,
            kind => io::Error::new(
                kind,
                error(&self.name, &self.member, tar.current(), source.into()),
            ),
        })
    }
}

fn error(deb: &str, member: &str, path: &[u8], defect: Defect) -> Error {
    Error::Archive {
        deb: deb.to_owned(),
        place: if path.is_empty() {
            format!("`{member}`")
        } else {
            format!("`{member}`, entry `{}`", path.escape_ascii())
        },
        defect,
    }
}

/// Reads headers up to the member whose name starts with `expected`, skipping extensions.
fn member(reader: &mut impl Read, expected: &'static str) -> Result<ar::Header, Defect> {
    loop {
        let header = ar::read_header(reader)?.ok_or(Defect::Truncated)?;
        if header.name.starts_with(expected) {
            return Ok(header);
        }
        if !header.name.starts_with('_') || expected == "debian-binary" {
            return Err(Defect::Member { expected });
        }
        skip(reader, header.size)?;
    }
}

fn skip(reader: &mut impl Read, size: u64) -> Result<(), Defect> {
    let skipped = io::copy(&mut reader.by_ref().take(size), &mut io::sink())?;
    if skipped < size {
        return Err(Defect::Truncated);
    }
    ar::skip_padding(reader, size)
}

fn read_version(reader: &mut impl Read, header: &ar::Header) -> Result<(), Defect> {
    if header.name != "debian-binary" || header.size > 64 {
        return Err(Defect::Member {
            expected: "debian-binary",
        });
    }
    let mut text = vec![0; header.size as usize];
    reader.read_exact(&mut text)?;
    ar::skip_padding(reader, header.size)?;
    let minor = text
        .strip_prefix(b"2.")
        .and_then(|rest| rest.split(|&byte| byte == b'\n').next())
        .filter(|minor| !minor.is_empty() && minor.iter().all(u8::is_ascii_digit));
    if minor.is_none() || !text.contains(&b'\n') {
        return Err(Defect::Version(text.escape_ascii().to_string()));
    }
    Ok(())
}

fn compression(name: &str, stem: &'static str) -> Result<Compression, Defect> {
    name.strip_prefix(stem)
        .and_then(Compression::from_suffix)
        .ok_or(Defect::Compression)
}

fn read_control<R: Read>(tar: &mut Tar<R>) -> Result<ControlFiles, Defect> {
    let mut members = BTreeMap::new();
    while let Some(entry) = tar.next()? {
        let path = entry.path.as_os_str().as_encoded_bytes();
        match entry.kind {
            Kind::Directory if path.is_empty() => {}
            Kind::File { .. } if !path.contains(&b'/') => {
                let name = str::from_utf8(path).map_err(|_| Defect::ControlEntry)?;
                let mut bytes = Vec::new();
                tar.read_to_end(&mut bytes)?;
                let mode = entry.mode;
                members.insert(name.to_owned(), ControlFile { mode, bytes });
            }
            _ => return Err(Defect::ControlEntry),
        }
    }
    if !members.contains_key("control") {
        return Err(Defect::NoControl);
    }
    Ok(ControlFiles { members })
}

/// Checks that a tar archive took its whole member, and goes behind the member.
fn finish_member<R: Read>(
    tar: Tar<Decoder<Take<BufReader<R>>>>,
    size: u64,
) -> Result<BufReader<R>, Defect> {
    let member = tar.into_inner().into_inner();
    if member.limit() != 0 {
        return Err(Defect::Trailing);
    }
    let mut reader = member.into_inner();
    ar::skip_padding(&mut reader, size)?;
    Ok(reader)
}

/// Behind `data.tar` only extensions may follow.
fn read_rest(reader: &mut impl Read) -> Result<(), Defect> {
    while let Some(header) = ar::read_header(reader)? {
        if !header.name.starts_with('_') {
            return Err(Defect::Trailing);
        }
        skip(reader, header.size)?;
    }
    Ok(())
}
