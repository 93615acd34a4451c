//! From a plan to the image file of a disk.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use bedstone_store::atomic::AtomicFile;
use bedstone_store::{Digest, Hasher};
use rayon::prelude::*;

use crate::content::Content;
use crate::error::{Error, Result};
use crate::fat::{self, Piece};
use crate::gpt::{ALIGNMENT, BACKUP_SIZE, PRIMARY_SIZE, Partition};
use crate::guid::Guid;
use crate::layout::{DiskPlan, PartitionContent};
use crate::sparse;

/// A disk image that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    /// Bytes of the image.
    pub size: u64,
    /// SHA-256 of the image.
    pub digest: Digest,
    /// The disk's identifier.
    pub disk: Guid,
    /// The partitions.
    pub partitions: Vec<Row>,
    /// The parts of the image that must be written to a device, ascending: all that the plan gives content to, zeros
    /// within included. For [`crate::bmap::Bmap::new`].
    pub mapped: Vec<Range<u64>>,
}

/// A partition of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub label: String,
    /// Its number in the table, from 1.
    pub number: u32,
    /// First byte on the disk.
    pub start: u64,
    /// Bytes of the partition.
    pub size: u64,
    /// Its identifier.
    pub guid: Guid,
    /// Its type.
    pub kind: Guid,
    /// Bytes of content at its start: all of them for a FAT volume, none when it is empty.
    pub content_length: u64,
}

/// Makes the image `target`, replacing it atomically, on all threads of the current rayon pool.
///
/// The image is sparse. Fails when a content does not fit its partition.
pub fn assemble(plan: &DiskPlan, target: &Path) -> Result<Assembled> {
    let table = plan.table()?;
    let mut jobs = vec![Job {
        offset: 0,
        length: PRIMARY_SIZE,
        source: Content::Bytes(table.primary()?),
    }];
    let mut mapped = Vec::new();
    let mut lengths = Vec::new();
    for (partition, plan) in table.partitions.iter().zip(&plan.partitions) {
        let first = jobs.len();
        lengths.push(add_jobs(partition, &plan.content, &mut jobs)?);
        mapped.extend(
            jobs[first..]
                .iter()
                .map(|job| job.offset..job.offset + job.length),
        );
        let end = partition.start + partition.size;
        match &plan.content {
            PartitionContent::Empty => {
                mapped.push(partition.start..end.min(partition.start + ALIGNMENT));
            }
            PartitionContent::Ends { tail, .. } => {
                mapped.push(end - (*tail).min(partition.size)..end);
            }
            _ => {}
        }
    }
    let backup_at = table.disk_size - BACKUP_SIZE;
    jobs.push(Job {
        offset: backup_at,
        length: BACKUP_SIZE,
        source: Content::Bytes(table.backup()?),
    });
    mapped.insert(0, 0..PRIMARY_SIZE);
    mapped.push(backup_at..table.disk_size);

    let mut output = AtomicFile::create(target)?;
    let file = &*output.file();
    file.set_len(table.disk_size)
        .map_err(Error::io("resize", target))?;
    // Hashing all the zeros takes as long as writing and flushing, and neither needs the other.
    jobs.sort_by_key(|job| job.offset);
    let (hashed, written) = rayon::join(
        || digest(&jobs, table.disk_size),
        || -> Result<()> {
            jobs.par_iter().try_for_each(|job| job.run(file, target))?;
            file.sync_all().map_err(Error::io("flush", target))
        },
    );
    written?;
    let digest = hashed?;
    let rows = table.partitions.iter().zip(lengths);
    let partitions = rows
        .map(|(partition, content_length)| Row {
            label: partition.name.clone(),
            number: partition.number,
            start: partition.start,
            size: partition.size,
            guid: partition.guid,
            kind: partition.kind,
            content_length,
        })
        .collect();
    output.commit()?;
    Ok(Assembled {
        size: table.disk_size,
        digest,
        disk: table.disk,
        partitions,
        mapped,
    })
}

/// The digest of an image of `size` bytes that has these jobs' bytes, in the order of their places, and zeros.
fn digest(jobs: &[Job], size: u64) -> Result<Digest> {
    let mut hasher = Hasher::new();
    let mut position = 0;
    for job in jobs {
        sparse::hash_zeros(&mut hasher, job.offset - position);
        position = job.offset + job.length;
        match &job.source {
            Content::Bytes(bytes) => hasher.update(bytes),
            Content::File(path) => {
                let file = File::open(path).map_err(Error::io("open", path))?;
                job.expect(sparse::hash(&mut hasher, &file, path)?)?;
            }
        }
    }
    sparse::hash_zeros(&mut hasher, size - position);
    Ok(hasher.finish())
}

/// Bytes that go to one place of the image.
struct Job {
    offset: u64,
    length: u64,
    source: Content,
}

impl Job {
    fn run(&self, file: &File, target: &Path) -> Result<()> {
        let copied = match &self.source {
            Content::Bytes(bytes) => {
                sparse::write(file, bytes, self.offset).map_err(Error::io("write", target))?;
                bytes.len() as u64
            }
            Content::File(path) => sparse::copy(path, file, self.offset)?,
        };
        self.expect(copied)
    }

    /// Refuses a source that did not yield the bytes that its place was made for.
    fn expect(&self, length: u64) -> Result<()> {
        if length == self.length {
            return Ok(());
        }
        let reason = "changed its length while it was read";
        Err(Error::unwritable(
            "disk",
            format!("{:?}", self.source),
            reason,
        ))
    }
}

/// Adds what the partition's content needs and returns the content's length.
fn add_jobs(partition: &Partition, content: &PartitionContent, jobs: &mut Vec<Job>) -> Result<u64> {
    let source = match content {
        PartitionContent::Empty => return Ok(0),
        PartitionContent::Bytes(bytes) | PartitionContent::Ends { head: bytes, .. } => {
            Content::Bytes(bytes.clone())
        }
        PartitionContent::File(path) => Content::File(path.clone()),
        PartitionContent::Fat {
            volume_id,
            label,
            time,
            tree,
        } => {
            let options = fat::Options {
                kind: None,
                size: partition.size,
                volume_id: *volume_id,
                label: label.clone(),
                time: *time,
            };
            let volume = fat::plan(&options, tree)?;
            jobs.extend(volume.pieces().iter().map(|piece: &Piece| Job {
                offset: partition.start + piece.offset,
                length: piece.length,
                source: piece.content.clone(),
            }));
            return Ok(partition.size);
        }
    };
    let length = source.length()?;
    if length > partition.size {
        let reason = format!("{length} bytes do not fit into {}", partition.size);
        return Err(Error::unwritable("disk", &partition.name, reason));
    }
    jobs.push(Job {
        offset: partition.start,
        length,
        source,
    });
    Ok(length)
}
