use std::collections::BTreeSet;
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::geometry::Geometry;
use super::name::{ShortName, long_entries, shorten};
use super::{
    ATTRIBUTE_ARCHIVE, ATTRIBUTE_DIRECTORY, ATTRIBUTE_LABEL, ENTRY, FORMAT, Kind, Node, Options,
    Tree,
};
use crate::content::Content;
use crate::error::{Error, Result};

/// A volume, decided down to the byte but not yet written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    size: u64,
    pieces: Vec<Piece>,
}

/// A run of bytes of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where on the volume it lies, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// What it is.
    pub content: Content,
}

/// Lays out the volume that holds `tree`.
///
/// Fails when the size does not suit the kind or the tree does not fit.
pub fn plan(options: &Options, tree: &Tree) -> Result<Plan> {
    let label = label(&options.label)?;
    let geometry = Geometry::choose(options)?;
    let mut planner = Planner {
        next: 2,
        fat: vec![0; geometry.clusters as usize + 2],
        pieces: Vec::new(),
        stamp: Stamp::new(options.time),
        geometry,
    };
    let end_of_chain = planner.end_of_chain();
    planner.fat[0] = end_of_chain & !0xff | 0xf8;
    planner.fat[1] = end_of_chain;

    let entries = (!options.label.is_empty())
        .then(|| planner.entry(&label, ATTRIBUTE_LABEL, 0, 0))
        .into_iter()
        .collect();
    let root = planner.directory(tree, Place::Root, entries)?;
    let mut head = planner.geometry.boot_sector(options, &label);
    planner.finish_head(&mut head, &root);
    planner.pieces.push(Piece {
        offset: 0,
        length: head.len() as u64,
        content: Content::Bytes(head),
    });
    planner.pieces.sort_by_key(|piece| piece.offset);
    Ok(Plan {
        size: options.size,
        pieces: planner.pieces,
    })
}

impl Plan {
    /// Bytes of the volume.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// All bytes of the volume that matter, ascending and disjoint; what lies between is free space. The first piece
    /// is everything before the data area.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Writes the volume from the current position of `output`, over bytes that are zero: a fresh file. The last byte
    /// of the volume is written, if only as zero, so that a file gets its size.
    pub fn write(&self, output: &mut (impl Write + Seek)) -> Result<()> {
        let failed = |source| Error::stream("write", FORMAT)(source);
        let start = output.stream_position().map_err(failed)?;
        let mut end = 0;
        for piece in &self.pieces {
            output
                .seek(SeekFrom::Start(start + piece.offset))
                .map_err(failed)?;
            let mut reader = piece.content.open()?.take(piece.length);
            let copied = io::copy(&mut reader, output).map_err(failed)?;
            if copied != piece.length {
                let reason = "a file became shorter while it was copied";
                return Err(Error::unwritable(
                    FORMAT,
                    format!("{:?}", piece.content),
                    reason,
                ));
            }
            end = piece.offset + piece.length;
        }
        if end < self.size {
            output
                .seek(SeekFrom::Start(start + self.size - 1))
                .map_err(failed)?;
            output.write_all(&[0]).map_err(failed)?;
        }
        Ok(())
    }
}

/// Where a directory is.
#[derive(Clone, Copy)]
enum Place {
    Root,
    /// Below the directory whose first cluster is this; 0 for the root, on FAT32 too.
    Below(u32),
}

struct Planner {
    geometry: Geometry,
    /// The next free cluster.
    next: u32,
    fat: Vec<u32>,
    pieces: Vec<Piece>,
    stamp: Stamp,
}

impl Planner {
    /// Lays out a directory, behind its files and directories in the order of their names; `head` is its first
    /// entries. Returns the entries of a fixed root directory.
    fn directory(&mut self, tree: &Tree, place: Place, head: Vec<[u8; ENTRY]>) -> Result<Vec<u8>> {
        let refuse = || {
            let reason = "a directory holds at most 65536 entries";
            Error::unwritable(FORMAT, "directory", reason)
        };
        if tree.0.len() > 65_536 {
            return Err(refuse());
        }
        let mut taken = BTreeSet::new();
        let names: Vec<(ShortName, Vec<[u8; ENTRY]>)> = tree
            .0
            .keys()
            .map(|name| {
                let (short, exact) = shorten(name, &mut taken);
                let long = if exact {
                    Vec::new()
                } else {
                    long_entries(name, &short)
                };
                (short, long)
            })
            .collect();
        let own = if matches!(place, Place::Root) { 0 } else { 2 };
        let count = own + head.len() + names.iter().map(|(_, long)| long.len() + 1).sum::<usize>();
        if count > 65_536 {
            return Err(refuse());
        }
        let fixed = matches!(place, Place::Root) && self.geometry.root_entries > 0;
        if fixed && count as u64 > self.geometry.root_entries {
            let reason = format!("holds at most {} entries", self.geometry.root_entries);
            return Err(Error::unwritable(FORMAT, "root directory", reason));
        }
        let length = (count * ENTRY) as u64;
        let first = if fixed {
            0
        } else {
            self.allocate(length.max(1), "directory")?
        };

        let mut entries = head;
        if let Place::Below(parent) = place {
            entries.push(self.entry(b".          ", ATTRIBUTE_DIRECTORY, first, 0));
            entries.push(self.entry(b"..         ", ATTRIBUTE_DIRECTORY, parent, 0));
        }
        let parent = if matches!(place, Place::Root) {
            0
        } else {
            first
        };
        for ((short, long), (name, node)) in names.iter().zip(&tree.0) {
            entries.extend(long);
            entries.push(match node {
                Node::File(content) => self.file(name, short, content)?,
                Node::Directory(below) => {
                    let cluster = self.next;
                    self.directory(below, Place::Below(parent), Vec::new())?;
                    self.entry(short, ATTRIBUTE_DIRECTORY, cluster, 0)
                }
            });
        }
        let mut bytes = entries.concat();
        if fixed {
            return Ok(bytes);
        }
        bytes.resize(
            bytes
                .len()
                .max(1)
                .next_multiple_of(self.geometry.cluster_size() as usize),
            0,
        );
        self.pieces.push(Piece {
            offset: self.geometry.cluster_offset(first),
            length: bytes.len() as u64,
            content: Content::Bytes(bytes),
        });
        Ok(Vec::new())
    }

    fn file(&mut self, name: &str, short: &ShortName, content: &Content) -> Result<[u8; ENTRY]> {
        let length = content.length()?;
        let Ok(size) = u32::try_from(length) else {
            return Err(Error::unwritable(FORMAT, name, "a file of 4 GiB or more"));
        };
        if size == 0 {
            return Ok(self.entry(short, ATTRIBUTE_ARCHIVE, 0, 0));
        }
        let cluster = self.allocate(length, name)?;
        self.pieces.push(Piece {
            offset: self.geometry.cluster_offset(cluster),
            length,
            content: content.clone(),
        });
        Ok(self.entry(short, ATTRIBUTE_ARCHIVE, cluster, size))
    }

    /// Chains the next clusters for `length` bytes and returns the first.
    fn allocate(&mut self, length: u64, name: &str) -> Result<u32> {
        let first = self.next;
        let count = length.div_ceil(self.geometry.cluster_size());
        let end = u64::from(first) + count;
        if end > u64::from(self.geometry.clusters) + 2 {
            let free = u64::from(self.geometry.clusters) + 2 - u64::from(first);
            let free = free * self.geometry.cluster_size();
            let reason = format!("{length} bytes do not fit into the {free} that are left");
            return Err(Error::unwritable(FORMAT, name, reason));
        }
        self.next = end as u32;
        for cluster in first..self.next - 1 {
            self.fat[cluster as usize] = cluster + 1;
        }
        self.fat[self.next as usize - 1] = self.end_of_chain();
        Ok(first)
    }

    fn end_of_chain(&self) -> u32 {
        match self.geometry.kind {
            Kind::Fat12 => 0xfff,
            Kind::Fat16 => 0xffff,
            Kind::Fat32 => 0x0fff_ffff,
        }
    }

    fn entry(&self, short: &ShortName, attributes: u8, cluster: u32, size: u32) -> [u8; ENTRY] {
        let mut entry = [0; ENTRY];
        entry[..11].copy_from_slice(short);
        entry[11] = attributes;
        // A label has a time of writing only.
        if attributes != ATTRIBUTE_LABEL {
            entry[13] = self.stamp.hundredths;
            entry[14..16].copy_from_slice(&self.stamp.time.to_le_bytes());
            entry[16..18].copy_from_slice(&self.stamp.date.to_le_bytes());
            entry[18..20].copy_from_slice(&self.stamp.date.to_le_bytes());
        }
        entry[20..22].copy_from_slice(&((cluster >> 16) as u16).to_le_bytes());
        entry[22..24].copy_from_slice(&self.stamp.time.to_le_bytes());
        entry[24..26].copy_from_slice(&self.stamp.date.to_le_bytes());
        entry[26..28].copy_from_slice(&(cluster as u16).to_le_bytes());
        entry[28..].copy_from_slice(&size.to_le_bytes());
        entry
    }

    /// Appends everything between the boot sector and the data area.
    fn finish_head(&self, head: &mut Vec<u8>, root: &[u8]) {
        let geometry = &self.geometry;
        if geometry.kind == Kind::Fat32 {
            let boot = head.clone();
            let used = self.next - 2;
            let mut info = vec![0; 512];
            info[..4].copy_from_slice(b"RRaA");
            info[484..488].copy_from_slice(b"rrAa");
            info[488..492].copy_from_slice(&(geometry.clusters - used).to_le_bytes());
            info[492..496].copy_from_slice(&self.next.to_le_bytes());
            info[510..].copy_from_slice(&[0x55, 0xaa]);
            head.extend(&info);
            head.resize(6 * 512, 0);
            head.extend(&boot);
            head.extend(&info);
        }
        for copy in 0..geometry.fats {
            let start = geometry.fat_offset() + copy * geometry.fat_sectors * geometry.sector;
            head.resize(start as usize, 0);
            match geometry.kind {
                Kind::Fat12 => head.extend(self.fat.chunks(2).flat_map(|pair| {
                    let both = pair[0] | pair.get(1).unwrap_or(&0) << 12;
                    let bytes = both.to_le_bytes();
                    [bytes[0], bytes[1], bytes[2]]
                })),
                Kind::Fat16 => {
                    head.extend(
                        self.fat
                            .iter()
                            .flat_map(|entry| (*entry as u16).to_le_bytes()),
                    );
                }
                Kind::Fat32 => head.extend(self.fat.iter().flat_map(|entry| entry.to_le_bytes())),
            }
        }
        head.resize(geometry.root_offset() as usize, 0);
        head.extend(root);
        head.resize(geometry.data_offset() as usize, 0);
    }
}

fn label(text: &str) -> Result<[u8; 11]> {
    let mut label = *b"NO NAME    ";
    let allowed = |byte: u8| {
        byte.is_ascii_uppercase() || byte.is_ascii_digit() || b" !#$%&'()-@^_`{}~".contains(&byte)
    };
    if text.len() > label.len() || !text.bytes().all(allowed) || text.starts_with(' ') {
        let reason = "a label has up to 11 characters of A-Z, 0-9, space and !#$%&'()-@^_`{}~";
        return Err(Error::unwritable(FORMAT, text, reason));
    }
    if !text.is_empty() {
        label.fill(b' ');
        label[..text.len()].copy_from_slice(text.as_bytes());
    }
    Ok(label)
}

/// A time in the three fields of a directory entry.
struct Stamp {
    date: u16,
    time: u16,
    hundredths: u8,
}

impl Stamp {
    /// 1980-01-01 00:00:00 and 2107-12-31 23:59:59 in seconds since 1970.
    const RANGE: (u64, u64) = (315_532_800, 4_354_819_199);

    fn new(time: u64) -> Self {
        let time = time.clamp(Self::RANGE.0, Self::RANGE.1);
        let (days, seconds) = (time / 86_400, time % 86_400);
        // Days since 0000-03-01, in eras of 400 years; a year begins in March so that leap days come last
        // (H. Hinnant, “chrono-compatible low-level date algorithms”).
        let days = days + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        Self {
            date: (((year - 1980) << 9) | (month << 5) | day) as u16,
            time: ((hours << 11) | (minutes << 5) | (seconds % 60 / 2)) as u16,
            hundredths: (seconds % 2 * 100) as u8,
        }
    }
}
