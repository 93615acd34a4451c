use std::fmt;
use std::path::PathBuf;

use bedstone_store::Digest;

use super::{DiskPlan, PartitionContent, PartitionPlan};
use crate::bgenv::{self, Environment};
use crate::content::Content;
use crate::data_partition;
use crate::error::Result;
use crate::fat::Tree;
use crate::guid::Guid;

/// One of the two halves of the disk that are updated in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// `boot0` with `root-a`.
    A,
    /// `boot1` with `root-b`.
    B,
}

impl Slot {
    /// Both, in the order of the disk.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// Name of the partition with kernel and environment.
    pub const fn boot_partition(self) -> &'static str {
        match self {
            Self::A => "boot0",
            Self::B => "boot1",
        }
    }

    /// Name of the partition with the root file system.
    pub const fn root_partition(self) -> &'static str {
        match self {
            Self::A => "root-a",
            Self::B => "root-b",
        }
    }

    /// What `EFILABEL` on the boot partition says, by which the boot loader finds it. The FAT volume has the same label.
    pub const fn boot_label(self) -> &'static str {
        match self {
            Self::A => "BOOT0",
            Self::B => "BOOT1",
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Its name: `a` or `b`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    /// The slot of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|slot| slot.name() == name)
    }

    /// The revision in the environment of a new disk: slot A is booted first.
    const fn first_revision(self) -> u32 {
        match self {
            Self::A => 2,
            Self::B => 1,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a standard disk is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// Digest of the product's name or whatever else stays the same from release to release: all identifiers are
    /// derived from it, so that an update finds the disk that an older image made.
    pub product: Digest,
    /// Time stamps on FAT volumes, in seconds since 1970.
    pub time: u64,
    /// The boot loader, EFI Boot Guard.
    pub boot_loader: Content,
    /// Its name in `EFI/BOOT`, such as `BOOTX64.EFI`.
    pub boot_loader_name: String,
    /// The unified kernel image, put on both boot partitions as `linux.efi`.
    pub kernel: Content,
    /// The root file system with its hash tree, put into both slots.
    pub root: PathBuf,
    /// Watchdog timeout in the environments, in seconds; 0 leaves it off.
    pub watchdog_seconds: u16,
    /// Sizes of the partitions.
    pub sizes: Sizes,
}

/// Sizes of the partitions in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// `esp`.
    pub esp: u64,
    /// `boot0` and `boot1` each.
    pub boot: u64,
    /// `root-a` and `root-b` each.
    pub root: u64,
    /// `data`.
    pub data: u64,
}

impl Sizes {
    const MEBIBYTE: u64 = 1 << 20;

    /// Sizes for a kernel image and a root image (with hash tree) of these bytes: room for three times the kernel
    /// on the boot partitions, because an update writes the new one beside the old, and for twice the root.
    pub fn for_parts(boot_loader: u64, kernel: u64, root: u64, data: u64) -> Self {
        let round = |size: u64, least: u64| size.max(least).next_multiple_of(4 * Self::MEBIBYTE);
        Self {
            esp: round(2 * boot_loader + 4 * Self::MEBIBYTE, 16 * Self::MEBIBYTE),
            boot: round(3 * kernel + Self::MEBIBYTE, 64 * Self::MEBIBYTE),
            root: round(2 * root, 64 * Self::MEBIBYTE),
            data,
        }
    }
}

/// The standard disk, laid out as isar-cip-core does: `esp`, `boot0`, `boot1`, `root-a`, `root-b`, `data`.
///
/// The data partition is marked as never used. Both slots hold the same image. Slot A has revision 2, slot B revision 1, both confirmed.
pub fn standard(parts: &Parts) -> Result<DiskPlan> {
    let partition = |label: &str, kind, size, content| PartitionPlan {
        label: label.to_owned(),
        kind,
        guid: Guid::derive(&parts.product, label),
        size,
        content,
    };
    let fat = |name: &str, label: &str, tree| PartitionContent::Fat {
        volume_id: volume_id(&parts.product, name),
        label: label.to_owned(),
        time: parts.time,
        tree,
    };

    let mut esp = Tree::new();
    let loader_path = format!("EFI/BOOT/{}", parts.boot_loader_name);
    esp.insert(&loader_path, parts.boot_loader.clone())?;
    let esp = fat("esp", "ESP", esp);
    let mut partitions = vec![partition("esp", Guid::EFI_SYSTEM, parts.sizes.esp, esp)];
    for slot in Slot::ALL {
        let environment = Environment {
            kernel_file: format!("C:{}:{KERNEL_FILE_NAME}", slot.boot_label()),
            watchdog_seconds: parts.watchdog_seconds,
            revision: slot.first_revision(),
            ..Environment::default()
        };
        let mut tree = Tree::new();
        tree.insert(bgenv::FILE_NAME, environment.to_bytes()?)?;
        tree.insert(
            bgenv::LABEL_FILE_NAME,
            bgenv::label_file(slot.boot_label())?,
        )?;
        tree.insert(KERNEL_FILE_NAME, parts.kernel.clone())?;
        let name = slot.boot_partition();
        let content = fat(name, slot.boot_label(), tree);
        partitions.push(partition(name, Guid::BASIC_DATA, parts.sizes.boot, content));
    }
    for slot in Slot::ALL {
        let content = PartitionContent::File(parts.root.clone());
        let name = slot.root_partition();
        partitions.push(partition(name, Guid::LINUX_DATA, parts.sizes.root, content));
    }
    // All that is looked at is written, so that nothing of a device's earlier life makes the partition look used.
    let mut head = vec![0; data_partition::HEAD];
    let blank = data_partition::blank_head();
    head[..blank.len()].copy_from_slice(&blank);
    let tail = data_partition::TAIL;
    let data = PartitionContent::Ends { head, tail };
    partitions.push(partition("data", Guid::LINUX_DATA, parts.sizes.data, data));
    Ok(DiskPlan {
        disk: disk_guid(&parts.product),
        partitions,
    })
}

/// The name of the kernel image on a boot partition.
pub const KERNEL_FILE_NAME: &str = "linux.efi";

/// The identifier of the disk of a product, which the signed command line names.
pub fn disk_guid(product: &Digest) -> Guid {
    Guid::derive(product, "disk")
}

fn volume_id(product: &Digest, name: &str) -> u32 {
    let guid = Guid::derive(product, &format!("fat {name}"));
    let [a, b, c, d, ..] = *guid.as_bytes();
    u32::from_be_bytes([a, b, c, d])
}
