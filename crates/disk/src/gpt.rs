//! GUID partition tables (UEFI 2.10 §5): written deterministically, read strictly.
//!
//! Sectors are 512 bytes. The table takes the first 34 and the last 33 sectors:
//!
//! ```text
//! LBA 0        protective MBR
//! LBA 1        primary header
//! LBA 2..34    128 entries of 128 bytes
//! ...          partitions, each on a multiple of 1 MiB
//! last 33      the entries again, then the backup header in the last sector
//! ```

mod read;
mod write;

#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
use crate::guid::Guid;

/// Bytes of a sector.
pub const SECTOR: u64 = 512;
/// Partitions start at multiples of this many bytes, which suits every flash block and every partitioning tool.
pub const ALIGNMENT: u64 = 1 << 20;
/// Bytes at the end of the disk that the backup table takes: 32 sectors of entries, one of header.
pub const BACKUP_SIZE: u64 = 33 * SECTOR;
/// Bytes at the start of the disk that the MBR and the primary table take.
pub const PRIMARY_SIZE: u64 = 34 * SECTOR;
/// The number of entries in a table written here.
pub const MAX_PARTITIONS: u32 = 128;

const FORMAT: &str = "GPT";
const SIGNATURE: &[u8; 8] = b"EFI PART";
const REVISION: u32 = 0x0001_0000;
const HEADER_SIZE: usize = 92;
const ENTRY_SIZE: usize = 128;
const NAME_UNITS: usize = 36;

/// A partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The disk's own identifier.
    pub disk: Guid,
    /// Size in bytes of the disk that the table was made for: it ends with the backup header.
    pub disk_size: u64,
    /// The used entries, by number.
    pub partitions: Vec<Partition>,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Position in the table from 1 on: the 2 of `/dev/sda2`.
    pub number: u32,
    /// What kind of partition it is.
    pub kind: Guid,
    /// This partition's own identifier (`PARTUUID`).
    pub guid: Guid,
    /// First byte on the disk.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    /// Attribute bits (UEFI 2.10 table 5-8).
    pub attributes: u64,
    /// The name (`PARTLABEL`), at most 36 UTF-16 units.
    pub name: String,
}

/// A table as found on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The table.
    pub table: Table,
    /// Which of the two copies were good.
    pub copies: Copies,
}

/// Which copies of a table are good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copies {
    /// Both, and they agree.
    Both,
    /// The backup is missing, damaged or different; the reason.
    PrimaryOnly(String),
    /// The primary is damaged and the table was recovered from the backup; the reason.
    BackupOnly(String),
}

impl Table {
    /// The partition named `name`.
    pub fn partition(&self, name: &str) -> Result<&Partition> {
        self.partitions
            .iter()
            .find(|partition| partition.name == name)
            .ok_or_else(|| Error::Missing {
                place: "partition table",
                name: name.to_owned(),
            })
    }

    /// What contradicts the format, if anything does.
    fn fault(&self) -> Option<(&'static str, String)> {
        let sectors = self.disk_size / SECTOR;
        if !self.disk_size.is_multiple_of(SECTOR) || self.disk_size < PRIMARY_SIZE + BACKUP_SIZE {
            let reason = format!("{} bytes hold no table and its backup", self.disk_size);
            return Some(("disk size", reason));
        }
        let usable = PRIMARY_SIZE..sectors * SECTOR - BACKUP_SIZE;
        let mut taken: Vec<(u64, u64, u32)> = Vec::new();
        let mut last_number = 0;
        for partition in &self.partitions {
            let number = partition.number;
            let fault = |reason: String| Some(("entry", format!("partition {number} {reason}")));
            if number <= last_number {
                return fault("is out of order".to_owned());
            }
            if number > MAX_PARTITIONS {
                return fault(format!("is beyond the limit of {MAX_PARTITIONS}"));
            }
            last_number = number;
            if partition.kind.is_nil() || partition.guid.is_nil() {
                return fault("has a nil GUID".to_owned());
            }
            let (start, size) = (partition.start, partition.size);
            if !start.is_multiple_of(SECTOR) || !size.is_multiple_of(SECTOR) || size == 0 {
                return fault(format!("of {size} bytes at {start} is not whole sectors"));
            }
            let Some(end) = start.checked_add(size) else {
                return fault(format!("of {size} bytes at {start} wraps around"));
            };
            if start < usable.start || end > usable.end {
                return fault(format!(
                    "at {start}..{end} lies outside the usable bytes {}..{}",
                    usable.start, usable.end
                ));
            }
            if partition.name.encode_utf16().count() > NAME_UNITS || partition.name.contains('\0') {
                return fault(format!("has a name beyond {NAME_UNITS} UTF-16 units"));
            }
            taken.push((start, end, number));
        }
        taken.sort_unstable();
        taken.windows(2).find_map(|pair| {
            let [(_, end, first), (start, _, second)] = pair else {
                return None;
            };
            (end > start).then(|| ("entry", format!("partitions {first} and {second} overlap")))
        })
    }
}
