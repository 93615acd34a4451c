//! A streaming tar reader: ustar, GNU long names, pax extended headers; files, directories and links only.

use std::ffi::OsString;
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::header::{BLOCK, Header};
use super::path::{self, Seen, Tree};
use super::pax::Extended;
use super::{Defect, Entry, Kind, Limits};

/// Reads entry after entry; between two calls of [`Tar::next`] it is a reader of the entry's content.
#[derive(Debug)]
pub(super) struct Tar<R> {
    reader: BufReader<R>,
    /// Content bytes of the current entry not yet read.
    remaining: u64,
    /// Zero bytes behind the content.
    padding: u64,
    entries: u64,
    bytes: u64,
    limits: Limits,
    tree: Tree,
    current: Vec<u8>,
    ended: bool,
}

impl<R: Read> Tar<R> {
    pub(super) fn new(reader: R, limits: Limits) -> Self {
        Self {
            reader: BufReader::with_capacity(1 << 16, reader),
            remaining: 0,
            padding: 0,
            entries: 0,
            bytes: 0,
            limits,
            tree: Tree::default(),
            current: Vec::new(),
            ended: false,
        }
    }

    /// The reader underneath. Only meaningful behind the last entry.
    pub(super) fn into_inner(self) -> R {
        self.reader.into_inner()
    }

    /// The path, as the archive spells it, of the entry that was read or begun last; empty before the first.
    pub(super) fn current(&self) -> &[u8] {
        &self.current
    }

    /// Skips what is left of the current entry and reads the next one, or `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Defect> {
        if self.ended {
            return Ok(None);
        }
        let mut long_path = None;
        let mut long_link = None;
        let mut extended = Extended::default();
        loop {
            self.skip_rest()?;
            let Some(block) = self.block()? else {
                if long_path.is_some() || long_link.is_some() || !extended.is_empty() {
                    return Err(Defect::Truncated);
                }
                self.read_end()?;
                return Ok(None);
            };
            let header = Header::parse(&block)?;
            match header.flag {
                b'L' => long_path = Some(self.long_name(header.size)?),
                b'K' => long_link = Some(self.long_name(header.size)?),
                b'x' => {
                    let records = self.small(header.size)?;
                    extended = Extended::parse(&records)?;
                }
                _ => {
                    let mut header = header;
                    if let Some(path) = long_path.or(extended.path.take()) {
                        header.path = path;
                    }
                    if let Some(link) = long_link.or(extended.link.take()) {
                        header.link = link;
                    }
                    extended.apply(&mut header);
                    self.current.clone_from(&header.path);
                    return self.entry(header).map(Some);
                }
            }
        }
    }

    fn entry(&mut self, header: Header) -> Result<Entry, Defect> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(Defect::TooMany(self.limits.entries));
        }
        let path = path::normalise(&header.path)?;
        let (kind, seen) = match header.flag {
            // A plain entry with a trailing slash is a directory of the seventh edition.
            b'5' => (Kind::Directory, Seen::Directory),
            b'0' | 0 if header.path.ends_with(b"/") => (Kind::Directory, Seen::Directory),
            b'0' | 0 | b'7' => (Kind::File { size: header.size }, Seen::File),
            b'1' => {
                let target = path::normalise(&header.link)
                    .map_err(|_| Defect::Target("leaves the package or is malformed"))?;
                if !self.tree.is_file(&target) {
                    return Err(Defect::Target("is no earlier file of the package"));
                }
                (Kind::Hardlink(to_path(target)), Seen::File)
            }
            b'2' => {
                path::check_target(&header.link)?;
                (Kind::Symlink(to_path(header.link)), Seen::Symlink)
            }
            b'3' => return Err(Defect::Special("character device")),
            b'4' => return Err(Defect::Special("block device")),
            b'6' => return Err(Defect::Special("fifo")),
            flag => return Err(Defect::Flag(flag)),
        };
        if header.size != 0 && !matches!(kind, Kind::File { .. }) {
            return Err(Defect::TarHeader("size of an entry without content"));
        }
        self.tree.add(&path, seen)?;
        if self.tree.bytes() > self.limits.path_bytes {
            return Err(Defect::TooLarge(self.limits.path_bytes));
        }
        self.begin_content(header.size)?;
        Ok(Entry {
            path: to_path(path),
            kind,
            mode: header.mode,
            uid: id(header.uid, "uid")?,
            gid: id(header.gid, "gid")?,
            mtime: header.mtime,
        })
    }

    fn begin_content(&mut self, size: u64) -> Result<(), Defect> {
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.limits.bytes {
            return Err(Defect::TooLarge(self.limits.bytes));
        }
        self.remaining = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
        Ok(())
    }

    fn skip_rest(&mut self) -> Result<(), Defect> {
        let rest = self.remaining + self.padding;
        self.remaining = 0;
        self.padding = 0;
        let skipped = io::copy(&mut self.reader.by_ref().take(rest), &mut io::sink())?;
        if skipped < rest {
            return Err(Defect::Truncated);
        }
        Ok(())
    }

    /// The next block, or `None` when it is the zero block that ends the archive.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, Defect> {
        let mut block = [0; BLOCK];
        self.reader.read_exact(&mut block)?;
        Ok(block.iter().any(|&byte| byte != 0).then_some(block))
    }

    /// Behind the end mark there are zero bytes only.
    fn read_end(&mut self) -> Result<(), Defect> {
        self.ended = true;
        let mut buffer = [0; 4096];
        loop {
            match self.reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => {
                    self.bytes += length as u64;
                    if self.bytes > self.limits.bytes {
                        return Err(Defect::TooLarge(self.limits.bytes));
                    }
                    if buffer[..length].iter().any(|&byte| byte != 0) {
                        return Err(Defect::Trailing);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The content of an entry that describes the next one; paths are short, so 64 KiB are plenty.
    fn small(&mut self, size: u64) -> Result<Vec<u8>, Defect> {
        if size > 1 << 16 {
            return Err(Defect::TarHeader("size of an extended header"));
        }
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(Defect::TooMany(self.limits.entries));
        }
        self.begin_content(size)?;
        let mut bytes = vec![0; size as usize];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// GNU's `L` and `K` entries end with one NUL.
    fn long_name(&mut self, size: u64) -> Result<Vec<u8>, Defect> {
        let mut name = self.small(size)?;
        if name.pop() != Some(0) {
            return Err(Defect::TarHeader("long name"));
        }
        Ok(name)
    }
}

impl<R: Read> Read for Tar<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.remaining == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let most = usize::try_from(self.remaining).map_or(buffer.len(), |it| it.min(buffer.len()));
        let length = self.reader.read(&mut buffer[..most])?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.remaining -= length as u64;
        Ok(length)
    }
}

fn to_path(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes))
}

/// The highest number means "no change" to chown(2).
fn id(value: u64, field: &'static str) -> Result<u32, Defect> {
    u32::try_from(value)
        .ok()
        .filter(|&id| id != u32::MAX)
        .ok_or(Defect::TarHeader(field))
}
