use super::geometry::Geometry;
use super::name::{LongName, ShortName, show};
use super::{ATTRIBUTE_DIRECTORY, ATTRIBUTE_LABEL, ATTRIBUTE_LONG_NAME, ENTRY, FORMAT, Kind};
use crate::error::{Error, Result};
use crate::storage::{ReadAt, le16, le32};

/// Bytes of the allocation table that are read at a time.
const TABLE_PAGE: usize = 4096;
/// Bytes of a directory that are looked at: FAT allows no more entries.
const DIRECTORY_LIMIT: u64 = 65_536 * ENTRY as u64;

/// A volume that is read.
#[derive(Debug)]
pub struct Volume<'a, S: ?Sized> {
    pub(super) storage: &'a S,
    geometry: Geometry,
}

/// A file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its long name, or the short one when it has no other.
    pub name: String,
    /// Its short name.
    pub short_name: String,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Bytes of a file; 0 for a directory.
    pub size: u32,
    first_cluster: u32,
}

/// A run of bytes of a file on its volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where on the volume it lies, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
}

impl<'a, S: ReadAt + ?Sized> Volume<'a, S> {
    /// Opens the volume that starts with the storage and lies within it.
    pub fn open(storage: &'a S) -> Result<Self> {
        let size = storage.size().map_err(Error::stream("measure", FORMAT))?;
        let mut sector = [0; 512];
        storage
            .read_exact_at(&mut sector, 0)
            .map_err(Error::stream("read", FORMAT))?;
        let geometry = Geometry::from_boot_sector(&sector, size)?;
        Ok(Self { storage, geometry })
    }

    /// The kind of allocation table.
    pub fn kind(&self) -> Kind {
        self.geometry.kind
    }

    /// The label in the root directory, without trailing spaces.
    pub fn label(&self) -> Result<Option<String>> {
        let bytes = self.directory_bytes(None)?;
        let entries = bytes.chunks_exact(ENTRY).take_while(|entry| entry[0] != 0);
        let mut labels = entries.filter(|entry| {
            entry[0] != 0xe5
                && entry[11] & ATTRIBUTE_LONG_NAME != ATTRIBUTE_LONG_NAME
                && entry[11] & ATTRIBUTE_LABEL != 0
        });
        let text = |entry: &[u8]| String::from_utf8_lossy(&entry[..11]).trim_end().to_owned();
        Ok(labels.next().map(text))
    }

    /// What is in the directory `path`; the empty path or `/` is the root.
    pub fn list(&self, path: &str) -> Result<Vec<Entry>> {
        let mut entries = self.entries(None)?;
        for name in path.split(['/', '\\']).filter(|name| !name.is_empty()) {
            let directory = pick(entries, name).filter(|entry| entry.is_directory);
            let directory = directory.ok_or_else(|| missing(path))?;
            entries = self.entries(Some(directory.first_cluster))?;
        }
        Ok(entries)
    }

    /// The file or directory `path`, by long or short names, letter case apart. `/` and `\` separate names.
    pub fn find(&self, path: &str) -> Result<Entry> {
        let trimmed = path.trim_end_matches(['/', '\\']);
        let (parent, name) = trimmed.rsplit_once(['/', '\\']).unwrap_or(("", trimmed));
        pick(self.list(parent)?, name).ok_or_else(|| missing(path))
    }

    /// Where the bytes of a file lie, in order; neighbouring clusters are joined.
    pub fn extents(&self, entry: &Entry) -> Result<Vec<Extent>> {
        let mut extents: Vec<Extent> = Vec::new();
        let mut left = u64::from(entry.size);
        let mut chain = self.chain(entry.first_cluster);
        let cluster_size = self.geometry.cluster_size();
        while left > 0 {
            let Some(cluster) = chain.next().transpose()? else {
                let reason = format!("`{}` has fewer clusters than bytes", entry.name);
                return Err(Error::malformed(FORMAT, "cluster chain", reason));
            };
            let offset = self.geometry.cluster_offset(cluster);
            let length = left.min(cluster_size);
            left -= length;
            match extents.last_mut() {
                Some(last) if last.offset + last.length == offset => last.length += length,
                _ => extents.push(Extent { offset, length }),
            }
        }
        Ok(extents)
    }

    /// Reads a file of at most `limit` bytes.
    pub fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        let entry = self.find(path)?;
        if entry.is_directory {
            return Err(missing(path));
        }
        if u64::from(entry.size) > limit {
            let reason = format!("`{path}` has {} bytes, more than {limit}", entry.size);
            return Err(Error::malformed(FORMAT, "file size", reason));
        }
        // The extents prove that the volume is at least as large as what is allocated here.
        let extents = self.extents(&entry)?;
        let mut bytes = vec![0; entry.size as usize];
        let mut rest = bytes.as_mut_slice();
        for extent in extents {
            let (part, tail) = rest.split_at_mut(extent.length as usize);
            self.storage
                .read_exact_at(part, extent.offset)
                .map_err(Error::stream("read", FORMAT))?;
            rest = tail;
        }
        Ok(bytes)
    }

    /// Reads a part of a file, beginning at byte `offset` of it.
    pub fn read_part(&self, entry: &Entry, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let mut skip = offset;
        let mut rest = buffer;
        for extent in self.extents(entry)? {
            let begin = skip.min(extent.length);
            skip -= begin;
            let length = (extent.length - begin).min(rest.len() as u64);
            let (part, tail) = rest.split_at_mut(length as usize);
            self.storage
                .read_exact_at(part, extent.offset + begin)
                .map_err(Error::stream("read", FORMAT))?;
            rest = tail;
        }
        if rest.is_empty() {
            return Ok(());
        }
        let reason = format!("`{}` ends before what is read of it", entry.name);
        Err(Error::malformed(FORMAT, "file size", reason))
    }

    /// The entries of the directory that begins at `cluster`; none means the root.
    fn entries(&self, cluster: Option<u32>) -> Result<Vec<Entry>> {
        let bytes = self.directory_bytes(cluster)?;
        let mut entries = Vec::new();
        let mut long = LongName::default();
        for entry in bytes.chunks_exact(ENTRY) {
            match (entry[0], entry[11]) {
                (0, _) => break,
                (0xe5, _) => long = LongName::default(),
                (_, attributes) if attributes & 0x3f == ATTRIBUTE_LONG_NAME => long.push(entry),
                (_, attributes) if attributes & ATTRIBUTE_LABEL != 0 => long = LongName::default(),
                (b'.', _) => long = LongName::default(),
                (_, attributes) => entries.push(self.entry(entry, attributes, &mut long)),
            }
        }
        Ok(entries)
    }

    fn entry(&self, entry: &[u8], attributes: u8, long: &mut LongName) -> Entry {
        let mut short: ShortName = [0; 11];
        short.copy_from_slice(&entry[..11]);
        let long_name = long.take(&short);
        // 0x05 stands for a first byte 0xe5, which would mean a deleted entry.
        if short[0] == 0x05 {
            short[0] = 0xe5;
        }
        let high = match self.geometry.kind {
            Kind::Fat32 => u32::from(le16(entry, 20)) << 16,
            Kind::Fat12 | Kind::Fat16 => 0,
        };
        let is_directory = attributes & ATTRIBUTE_DIRECTORY != 0;
        let short_name = show(&short);
        Entry {
            name: long_name.unwrap_or_else(|| short_name.clone()),
            short_name,
            is_directory,
            size: if is_directory { 0 } else { le32(entry, 28) },
            first_cluster: high | u32::from(le16(entry, 26)),
        }
    }

    fn directory_bytes(&self, cluster: Option<u32>) -> Result<Vec<u8>> {
        let failed = |source| Error::stream("read", FORMAT)(source);
        let geometry = &self.geometry;
        let first = match cluster {
            None if geometry.kind == Kind::Fat32 => geometry.root_cluster,
            None => {
                let mut bytes = vec![0; geometry.root_entries as usize * ENTRY];
                self.storage
                    .read_exact_at(&mut bytes, geometry.root_offset())
                    .map_err(failed)?;
                return Ok(bytes);
            }
            Some(cluster) => cluster,
        };
        let size = geometry.cluster_size() as usize;
        let mut bytes = Vec::new();
        for cluster in self.chain(first) {
            let offset = geometry.cluster_offset(cluster?);
            let start = bytes.len();
            if (start + size) as u64 > DIRECTORY_LIMIT.max(size as u64) {
                let reason = "a directory of more than 65536 entries";
                return Err(Error::malformed(FORMAT, "cluster chain", reason));
            }
            bytes.resize(start + size, 0);
            self.storage
                .read_exact_at(&mut bytes[start..], offset)
                .map_err(failed)?;
            let ends = |entry: &[u8]| entry[0] == 0;
            if bytes[start..].chunks_exact(ENTRY).any(ends) {
                break;
            }
        }
        Ok(bytes)
    }

    fn chain(&self, first: u32) -> Chain<'_, S> {
        Chain {
            volume: self,
            next: first,
            left: self.geometry.clusters,
            page: Vec::new(),
            page_start: u64::MAX,
        }
    }
}

fn pick(entries: Vec<Entry>, name: &str) -> Option<Entry> {
    let folded = name.to_lowercase();
    entries.into_iter().find(|entry| {
        entry.name.to_lowercase() == folded || entry.short_name.to_lowercase() == folded
    })
}

fn missing(path: &str) -> Error {
    Error::Missing {
        place: FORMAT,
        name: path.to_owned(),
    }
}

/// The clusters of a file or directory. Ends after as many as the volume has, so a loop does too.
struct Chain<'v, S: ?Sized> {
    volume: &'v Volume<'v, S>,
    /// The cluster to give next; what the table says of it is looked up afterwards.
    next: u32,
    left: u32,
    page: Vec<u8>,
    page_start: u64,
}

impl<S: ReadAt + ?Sized> Chain<'_, S> {
    /// The table's entry for `cluster`, sign-extended so that the marks of all three kinds compare alike.
    fn successor(&mut self, cluster: u32) -> Result<u32> {
        let n = u64::from(cluster);
        Ok(match self.volume.geometry.kind {
            Kind::Fat12 => {
                let pair =
                    u16::from(self.byte(n * 3 / 2)?) | u16::from(self.byte(n * 3 / 2 + 1)?) << 8;
                let entry = if n.is_multiple_of(2) {
                    pair & 0xfff
                } else {
                    pair >> 4
                };
                if entry >= 0xff0 {
                    0x0fff_f000 | u32::from(entry)
                } else {
                    u32::from(entry)
                }
            }
            Kind::Fat16 => {
                let entry = u32::from(self.byte(n * 2)?) | u32::from(self.byte(n * 2 + 1)?) << 8;
                if entry >= 0xfff0 {
                    0x0fff_0000 | entry
                } else {
                    entry
                }
            }
            Kind::Fat32 => {
                let mut entry = 0;
                for index in (0..4).rev() {
                    entry = entry << 8 | u32::from(self.byte(n * 4 + index)?);
                }
                entry & 0x0fff_ffff
            }
        })
    }

    /// A byte of the first allocation table.
    fn byte(&mut self, at: u64) -> Result<u8> {
        let start = at / TABLE_PAGE as u64 * TABLE_PAGE as u64;
        if start != self.page_start {
            let geometry = &self.volume.geometry;
            let table = geometry.fat_sectors * geometry.sector;
            self.page
                .resize((table - start).min(TABLE_PAGE as u64) as usize, 0);
            self.volume
                .storage
                .read_exact_at(&mut self.page, geometry.fat_offset() + start)
                .map_err(Error::stream("read", FORMAT))?;
            self.page_start = start;
        }
        Ok(self.page[(at - start) as usize])
    }
}

impl<S: ReadAt + ?Sized> Iterator for Chain<'_, S> {
    type Item = Result<u32>;

    fn next(&mut self) -> Option<Self::Item> {
        let cluster = self.next;
        if cluster >= 0x0fff_fff8 {
            return None;
        }
        let bad = |reason: String| Some(Err(Error::malformed(FORMAT, "cluster chain", reason)));
        if !self.volume.geometry.contains(cluster) {
            self.next = u32::MAX;
            return bad(format!("{cluster} is no cluster of the volume"));
        }
        if self.left == 0 {
            self.next = u32::MAX;
            return bad("runs in a circle".to_owned());
        }
        self.left -= 1;
        match self.successor(cluster) {
            Ok(next) => self.next = next,
            Err(error) => {
                self.next = u32::MAX;
                return Some(Err(error));
            }
        }
        Some(Ok(cluster))
    }
}
