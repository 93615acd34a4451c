//! From the parts of an image to the plan of its disk.

mod standard;

pub use standard::{KERNEL_FILE_NAME, Parts, Sizes, Slot, disk_guid, standard};

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::fat;
use crate::gpt::{self, ALIGNMENT, BACKUP_SIZE, Table};
use crate::guid::Guid;

/// A disk to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskPlan {
    /// The disk's identifier.
    pub disk: Guid,
    /// Its partitions, in the order of the disk and of their numbers.
    pub partitions: Vec<PartitionPlan>,
}

/// A partition to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionPlan {
    /// Its name (`PARTLABEL`).
    pub label: String,
    /// Partition type.
    pub kind: Guid,
    /// Its identifier (`PARTUUID`).
    pub guid: Guid,
    /// Bytes, rounded up to whole MiB.
    pub size: u64,
    /// What it holds.
    pub content: PartitionContent,
}

/// What a partition holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionContent {
    /// Nothing yet: its first MiB is zeros, so that nothing of a device's earlier life is found there.
    Empty,
    /// These bytes, then nothing.
    Bytes(Vec<u8>),
    /// `head` at its start and `tail` zero bytes at its end, so that nothing of a device's earlier life is found in either
    /// place; nothing between.
    Ends {
        /// The first bytes.
        head: Vec<u8>,
        /// How many bytes at the end are zero.
        tail: u64,
    },
    /// The bytes of this file, then nothing.
    File(PathBuf),
    /// A FAT volume of the partition's size.
    Fat {
        /// Volume serial number.
        volume_id: u32,
        /// Volume label.
        label: String,
        /// All time stamps, in seconds since 1970.
        time: u64,
        /// The files.
        tree: fat::Tree,
    },
}

impl PartitionPlan {
    /// The size as it will be on the disk, in bytes.
    pub fn rounded_size(&self) -> u64 {
        self.size.max(1).next_multiple_of(ALIGNMENT)
    }
}

impl DiskPlan {
    /// The partition table: each partition follows the one before at a whole MiB, and the backup table fills the last
    /// MiB.
    ///
    /// Fails when sizes, names or identifiers do not fit into a GPT, or two names or identifiers are the same.
    pub fn table(&self) -> Result<Table> {
        let mut start = ALIGNMENT;
        let mut partitions: Vec<gpt::Partition> = Vec::new();
        for (plan, number) in self.partitions.iter().zip(1..) {
            let twin = |other: &gpt::Partition| other.name == plan.label || other.guid == plan.guid;
            if partitions.iter().any(twin) {
                let reason = "another partition has the same name or GUID";
                return Err(Error::unwritable("disk", &plan.label, reason));
            }
            if plan.size > 1 << 56 {
                let reason = "larger than any disk";
                return Err(Error::unwritable("disk", &plan.label, reason));
            }
            let size = plan.rounded_size();
            partitions.push(gpt::Partition {
                number,
                kind: plan.kind,
                guid: plan.guid,
                start,
                size,
                attributes: 0,
                name: plan.label.clone(),
            });
            start += size;
        }
        Ok(Table {
            disk: self.disk,
            disk_size: start + BACKUP_SIZE.next_multiple_of(ALIGNMENT),
            partitions,
        })
    }
}
