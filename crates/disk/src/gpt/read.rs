use super::{
    BACKUP_SIZE, Copies, ENTRY_SIZE, FORMAT, Found, HEADER_SIZE, MAX_PARTITIONS, Partition,
    REVISION, SECTOR, SIGNATURE, Table,
};
use crate::error::{Error, Result};
use crate::guid::Guid;
use crate::storage::{ReadAt, le16, le32, le64};

impl Table {
    /// Reads the table of `disk`, from the backup in its last sector when the primary is damaged.
    ///
    /// Refuses wrong CRCs, headers that contradict their place, partitions outside the usable sectors or overlapping,
    /// and a disk without protective MBR. A disk larger than its table is accepted: an image was written to it.
    pub fn read(disk: &(impl ReadAt + ?Sized)) -> Result<Found> {
        let size = disk.size().map_err(Error::stream("measure", "disk"))?;
        check_mbr(&sector(disk, 0)?)?;
        let primary = match read_copy(disk, 1, size) {
            Ok(primary) => primary,
            Err(reason) => {
                let last = (size / SECTOR).saturating_sub(1);
                return read_copy(disk, last, size)
                    .map(|copy| Found {
                        table: copy.table,
                        copies: Copies::BackupOnly(reason.to_string()),
                    })
                    .map_err(|_| reason);
            }
        };
        let copies = match read_copy(disk, primary.other, size) {
            Ok(backup) if backup.table == primary.table => Copies::Both,
            Ok(_) => Copies::PrimaryOnly("the backup holds another table".to_owned()),
            Err(reason) => Copies::PrimaryOnly(reason.to_string()),
        };
        Ok(Found {
            table: primary.table,
            copies,
        })
    }
}

struct Copy {
    table: Table,
    /// Sector of the other header.
    other: u64,
}

fn read_copy(disk: &(impl ReadAt + ?Sized), own: u64, size: u64) -> Result<Copy> {
    let header = sector(disk, own)?;
    let bad = |field, reason: &str| Err(Error::malformed(FORMAT, field, reason));
    if &header[..8] != SIGNATURE {
        return bad("header signature", "not `EFI PART`");
    }
    if le32(&header, 8) != REVISION || le32(&header, 12) as usize != HEADER_SIZE {
        return bad(
            "header revision",
            "only 1.0 with a header of 92 bytes is known",
        );
    }
    let mut summed = header[..HEADER_SIZE].to_vec();
    summed[16..20].fill(0);
    if crc32fast::hash(&summed) != le32(&header, 16) {
        return bad("header CRC", "does not match");
    }
    if le64(&header, 24) != own {
        return bad("header position", "the header belongs to another sector");
    }
    let other = le64(&header, 32);
    // The last sector is the one of the two that is not sector 1.
    let end = if own == 1 { other } else { own };
    let disk_size = end.checked_add(1).and_then(|end| end.checked_mul(SECTOR));
    let Some(disk_size) = disk_size.filter(|disk_size| *disk_size <= size) else {
        return bad("header position", "the backup lies beyond the disk");
    };
    if own.min(other) != 1 || end < 2 * BACKUP_SIZE / SECTOR {
        return bad(
            "header position",
            "no primary in sector 1 and backup behind it",
        );
    }
    let (first, last) = (le64(&header, 40), le64(&header, 48));
    if first != 34 || last != end - BACKUP_SIZE / SECTOR {
        return bad("usable sectors", "not those of a table of 128 entries");
    }
    if le32(&header, 80) != MAX_PARTITIONS || le32(&header, 84) as usize != ENTRY_SIZE {
        return bad("entries", "not 128 of 128 bytes");
    }
    let entries_at = le64(&header, 72);
    if entries_at != if own == 1 { 2 } else { last + 1 } {
        return bad("entries", "not in their place");
    }
    let mut entries = vec![0; MAX_PARTITIONS as usize * ENTRY_SIZE];
    disk.read_exact_at(&mut entries, entries_at * SECTOR)
        .map_err(Error::stream("read", "partition entries"))?;
    if crc32fast::hash(&entries) != le32(&header, 88) {
        return bad("entries CRC", "does not match");
    }
    let mut partitions = Vec::new();
    for (entry, number) in entries.chunks_exact(ENTRY_SIZE).zip(1..) {
        partitions.extend(read_entry(entry, number)?);
    }
    let table = Table {
        disk: guid(&header, 56),
        disk_size,
        partitions,
    };
    match table.fault() {
        Some((field, reason)) => Err(Error::malformed(FORMAT, field, reason)),
        None => Ok(Copy { table, other }),
    }
}

fn read_entry(entry: &[u8], number: u32) -> Result<Option<Partition>> {
    let kind = guid(entry, 0);
    if kind.is_nil() {
        return Ok(None);
    }
    let bad = |reason| Error::malformed(FORMAT, "entry", format!("partition {number} {reason}"));
    let (first, last) = (le64(entry, 32), le64(entry, 40));
    let bytes = |sectors: u64| sectors.checked_mul(SECTOR);
    let start = bytes(first).ok_or_else(|| bad("starts beyond any disk"))?;
    let size = last
        .checked_sub(first)
        .and_then(|length| bytes(length.checked_add(1)?))
        .ok_or_else(|| bad("ends before it starts"))?;
    let units: Vec<u16> = entry[56..]
        .chunks_exact(2)
        .map(|unit| le16(unit, 0))
        .collect();
    let length = units.iter().position(|unit| *unit == 0);
    let units = &units[..length.unwrap_or(units.len())];
    Ok(Some(Partition {
        number,
        kind,
        guid: guid(entry, 16),
        start,
        size,
        attributes: le64(entry, 48),
        name: String::from_utf16(units).map_err(|_| bad("has a name that is not UTF-16"))?,
    }))
}

fn check_mbr(mbr: &[u8]) -> Result<()> {
    let bad = |reason| Err(Error::malformed(FORMAT, "protective MBR", reason));
    if mbr[510..] != [0x55, 0xaa] {
        return bad("no boot signature");
    }
    let records: Vec<&[u8]> = mbr[446..510].chunks_exact(16).collect();
    let protective = records[0][4] == 0xee && le32(records[0], 8) == 1;
    if !protective || records[1..].iter().any(|record| record[4] != 0) {
        return bad("not a single record of type 0xee from sector 1 on");
    }
    Ok(())
}

fn sector(disk: &(impl ReadAt + ?Sized), number: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; SECTOR as usize];
    let offset = number.saturating_mul(SECTOR);
    disk.read_exact_at(&mut bytes, offset)
        .map_err(Error::stream("read", "partition table"))?;
    Ok(bytes)
}

fn guid(bytes: &[u8], at: usize) -> Guid {
    let mut field = [0; 16];
    field.copy_from_slice(&bytes[at..at + 16]);
    Guid::from_disk(field)
}
