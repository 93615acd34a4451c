use super::{FORMAT, Volume};
use crate::error::{Error, Result};
use crate::storage::{ReadAt, WriteAt};

/// The unit in which storage is changed: every disk writes at least this much at once.
const SECTOR: usize = 512;

/// A sector to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectorWrite {
    /// Where on the volume, in bytes; a multiple of 512.
    pub offset: u64,
    /// The 512 new bytes.
    pub bytes: Vec<u8>,
}

impl SectorWrite {
    /// Writes the sector to the volume that it was made for.
    pub fn apply(&self, volume: &mut (impl WriteAt + ?Sized)) -> Result<()> {
        volume
            .write_all_at(&self.bytes, self.offset)
            .map_err(Error::stream("write", FORMAT))
    }
}

impl<S: ReadAt + ?Sized> Volume<'_, S> {
    /// The sectors that must be written so that the file `path` holds `bytes`, ascending. Those that hold the right
    /// bytes already are left out, and neither directory nor allocation table is touched.
    ///
    /// Fails unless the file has the length of `bytes` already.
    pub fn replace(&self, path: &str, bytes: &[u8]) -> Result<Vec<SectorWrite>> {
        let entry = self.find(path)?;
        if entry.size as usize != bytes.len() || entry.is_directory {
            let reason = format!(
                "only a file of {} bytes can be replaced in place",
                bytes.len()
            );
            return Err(Error::unwritable(FORMAT, path, reason));
        }
        let mut writes = Vec::new();
        let mut rest = bytes;
        for extent in self.extents(&entry)? {
            let (part, tail) = rest.split_at(extent.length as usize);
            rest = tail;
            // Clusters are whole sectors, so only the last extent can end within one.
            for (new, index) in part.chunks(SECTOR).zip(0..) {
                let offset = extent.offset + index * SECTOR as u64;
                let mut sector = vec![0; SECTOR];
                self.storage
                    .read_exact_at(&mut sector, offset)
                    .map_err(Error::stream("read", FORMAT))?;
                if sector[..new.len()] != *new {
                    sector[..new.len()].copy_from_slice(new);
                    writes.push(SectorWrite {
                        offset,
                        bytes: sector,
                    });
                }
            }
        }
        writes.sort_by_key(|write| write.offset);
        Ok(writes)
    }
}
