use super::{
    BACKUP_SIZE, ENTRY_SIZE, FORMAT, HEADER_SIZE, MAX_PARTITIONS, PRIMARY_SIZE, REVISION, SECTOR,
    SIGNATURE, Table,
};
use crate::error::{Error, Result};

impl Table {
    /// The bytes at the start of the disk, [`PRIMARY_SIZE`] of them: protective MBR, header, entries.
    pub fn primary(&self) -> Result<Vec<u8>> {
        let sectors = self.sectors()?;
        let entries = self.entries();
        let mut bytes = protective_mbr(sectors);
        bytes.extend(self.header(1, sectors - 1, 2, &entries));
        bytes.extend(entries);
        debug_assert_eq!(bytes.len() as u64, PRIMARY_SIZE);
        Ok(bytes)
    }

    /// The bytes at the end of the disk, [`BACKUP_SIZE`] of them: entries, header.
    pub fn backup(&self) -> Result<Vec<u8>> {
        let sectors = self.sectors()?;
        let mut bytes = self.entries();
        let header = self.header(sectors - 1, 1, sectors - BACKUP_SIZE / SECTOR, &bytes);
        bytes.extend(header);
        debug_assert_eq!(bytes.len() as u64, BACKUP_SIZE);
        Ok(bytes)
    }

    fn sectors(&self) -> Result<u64> {
        match self.fault() {
            Some((field, reason)) => Err(Error::unwritable(FORMAT, field, reason)),
            None => Ok(self.disk_size / SECTOR),
        }
    }

    fn entries(&self) -> Vec<u8> {
        let mut bytes = vec![0; MAX_PARTITIONS as usize * ENTRY_SIZE];
        for partition in &self.partitions {
            let at = (partition.number as usize - 1) * ENTRY_SIZE;
            let entry = &mut bytes[at..at + ENTRY_SIZE];
            let last = (partition.start + partition.size) / SECTOR - 1;
            entry[..16].copy_from_slice(&partition.kind.to_disk());
            entry[16..32].copy_from_slice(&partition.guid.to_disk());
            entry[32..40].copy_from_slice(&(partition.start / SECTOR).to_le_bytes());
            entry[40..48].copy_from_slice(&last.to_le_bytes());
            entry[48..56].copy_from_slice(&partition.attributes.to_le_bytes());
            for (unit, field) in partition
                .name
                .encode_utf16()
                .zip(entry[56..].chunks_exact_mut(2))
            {
                field.copy_from_slice(&unit.to_le_bytes());
            }
        }
        bytes
    }

    /// One header sector (UEFI 2.10 table 5-5): at `own`, the other copy at `other`, entries from `entries_at` on.
    fn header(&self, own: u64, other: u64, entries_at: u64, entries: &[u8]) -> Vec<u8> {
        let sectors = self.disk_size / SECTOR;
        let mut bytes = Vec::with_capacity(SECTOR as usize);
        bytes.extend(SIGNATURE);
        bytes.extend(REVISION.to_le_bytes());
        bytes.extend((HEADER_SIZE as u32).to_le_bytes());
        bytes.extend([0; 8]); // CRC, filled in below; reserved
        bytes.extend(own.to_le_bytes());
        bytes.extend(other.to_le_bytes());
        bytes.extend((PRIMARY_SIZE / SECTOR).to_le_bytes());
        bytes.extend((sectors - BACKUP_SIZE / SECTOR - 1).to_le_bytes());
        bytes.extend(self.disk.to_disk());
        bytes.extend(entries_at.to_le_bytes());
        bytes.extend(MAX_PARTITIONS.to_le_bytes());
        bytes.extend((ENTRY_SIZE as u32).to_le_bytes());
        bytes.extend(crc32fast::hash(entries).to_le_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes[16..20].copy_from_slice(&crc.to_le_bytes());
        bytes.resize(SECTOR as usize, 0);
        bytes
    }
}

/// The MBR that keeps tools without GPT from taking the disk for empty (UEFI 2.10 §5.2.3).
fn protective_mbr(sectors: u64) -> Vec<u8> {
    let mut bytes = vec![0; SECTOR as usize];
    let covered = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    bytes[446..454].copy_from_slice(&[0x00, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff]);
    bytes[454..458].copy_from_slice(&1_u32.to_le_bytes());
    bytes[458..462].copy_from_slice(&covered.to_le_bytes());
    bytes[510..].copy_from_slice(&[0x55, 0xaa]);
    bytes
}
