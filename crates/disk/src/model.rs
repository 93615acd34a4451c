//! From a disk image to what a machine would do with it: which slot the boot loader selects, and whether what it boots
//! is intact.
//!
//! Nothing is run: this is the judge of power-cut tests, which look at thousands of images.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::Path;

use crate::bgenv::{self, Decision, Loader, select};
use crate::error::{Error, Result};
use crate::fat::Volume;
use crate::gpt::{Copies, Found, Partition, Table};
use crate::guid::Guid;
use crate::layout::Slot;
use crate::storage::{ReadAt, Window};
use crate::verity::{self, RootArguments};

/// Largest environment and label file that are read: beyond [`bgenv::SIZE`] the boot loader ignores bytes.
const ENVIRONMENT_LIMIT: u64 = 1 << 20;
/// Largest kernel image that is read.
const KERNEL_LIMIT: u64 = 512 << 20;

/// A disk that is looked at.
#[derive(Debug)]
pub struct Disk<S> {
    storage: S,
    found: Found,
}

impl Disk<File> {
    /// Opens a raw image or a block device.
    pub fn open(path: &Path) -> Result<Self> {
        Self::new(File::open(path).map_err(Error::io("open", path))?)
    }
}

impl<S: ReadAt + Sync> Disk<S> {
    /// Reads the partition table of a disk.
    pub fn new(storage: S) -> Result<Self> {
        let found = Table::read(&storage)?;
        Ok(Self { storage, found })
    }

    /// The partition table.
    pub fn table(&self) -> &Table {
        &self.found.table
    }

    /// Which copies of the table are good.
    pub fn table_copies(&self) -> &Copies {
        &self.found.copies
    }

    /// The bytes of a partition.
    pub fn window(&self, partition: &Partition) -> Window<'_, S> {
        Window::new(&self.storage, partition.start, partition.size)
    }

    /// The bytes of the partition named `name`.
    pub fn partition(&self, name: &str) -> Result<Window<'_, S>> {
        Ok(self.window(self.found.table.partition(name)?))
    }

    /// Reads a file of at most `limit` bytes from the FAT volume in the partition named `name`.
    pub fn read_file(&self, name: &str, path: &str, limit: u64) -> Result<Vec<u8>> {
        Volume::open(&self.partition(name)?)?.read(path, limit)
    }

    /// The environment on a slot's boot partition, as it stands there.
    pub fn environment(&self, slot: Slot) -> Result<Vec<u8>> {
        self.read_file(slot.boot_partition(), bgenv::FILE_NAME, ENVIRONMENT_LIMIT)
    }
}

/// What becomes of a disk when it is booted once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What the boot loader does.
    pub decision: Decision,
    /// Names of the partitions that [`Decision::boots`] and [`Decision::writes`] count.
    pub volumes: Vec<String>,
    /// The slot that the kernel was loaded from, when it was.
    pub slot: Option<Slot>,
    /// How it ends.
    pub outcome: Outcome,
}

/// How a boot ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Kernel and every block of the root file system are as they should be.
    Boots(RootArguments),
    /// There is no boot loader or no environment that it would use.
    NothingToBoot(String),
    /// The selected kernel is missing, unreadable or refused; see [`Decision::on_load_failure`] for what follows.
    KernelRefused(String),
    /// The kernel starts, but its root file system is not what its command line promises.
    RootCorrupt(String),
}

impl Verdict {
    /// Whether the machine comes up with an intact system.
    pub fn is_good(&self) -> bool {
        matches!(self.outcome, Outcome::Boots(_))
    }
}

/// Predicts what booting the disk leads to.
///
/// `command_line` gets the bytes of the selected kernel image and returns its command line, or why the firmware would
/// refuse the image: this is where a signature is checked.
///
/// Damage of any kind is a verdict; an error means that the disk could not be read or its table is unusable.
pub fn judge<S: ReadAt + Sync>(
    disk: &Disk<S>,
    loader: Loader,
    command_line: impl FnOnce(&[u8]) -> Result<String, String>,
) -> Result<Verdict> {
    let table = disk.table();
    let windows: Vec<(&Partition, Window<'_, S>)> = table
        .partitions
        .iter()
        .map(|partition| (partition, disk.window(partition)))
        .collect();
    // What the firmware cannot mount has no volume, whatever the partition's type says.
    let volumes: Vec<(&Partition, Volume<'_, Window<'_, S>>)> = windows
        .iter()
        .filter_map(|(partition, window)| Some((*partition, Volume::open(window).ok()?)))
        .collect();
    let read = |volume: &Volume<'_, _>, path| volume.read(path, ENVIRONMENT_LIMIT).ok();
    let environments: Vec<Option<Vec<u8>>> = volumes
        .iter()
        .map(|(_, volume)| read(volume, bgenv::FILE_NAME))
        .collect();
    let borrowed: Vec<Option<&[u8]>> = environments.iter().map(Option::as_deref).collect();
    let decision = select(&borrowed, loader);
    let mut verdict = Verdict {
        volumes: volumes
            .iter()
            .map(|(partition, _)| partition.name.clone())
            .collect(),
        slot: None,
        outcome: Outcome::NothingToBoot("the boot loader finds no environment".to_owned()),
        decision,
    };

    let esp = volumes
        .iter()
        .position(|(partition, _)| partition.kind == Guid::EFI_SYSTEM);
    let Some(esp) = esp else {
        verdict.outcome = Outcome::NothingToBoot("there is no EFI system partition".to_owned());
        return Ok(verdict);
    };
    if verdict.decision.boots.is_none() {
        return Ok(verdict);
    }
    let (at, path) = find_kernel(&volumes, esp, &verdict.decision.kernel_file);
    let (partition, volume) = &volumes[at];
    let kernel = volume
        .read(path, KERNEL_LIMIT)
        .map_err(|error| error.to_string());
    let arguments = kernel.and_then(|kernel| command_line(&kernel));
    let arguments = match arguments {
        Ok(arguments) => arguments,
        Err(reason) => {
            verdict.outcome = Outcome::KernelRefused(reason);
            return Ok(verdict);
        }
    };
    let slot = Slot::ALL
        .into_iter()
        .find(|slot| slot.boot_partition() == partition.name);
    verdict.slot = slot;
    let Some(slot) = slot else {
        let reason = format!("the kernel lies on `{}`, which has no root", partition.name);
        verdict.outcome = Outcome::RootCorrupt(reason);
        return Ok(verdict);
    };
    verdict.outcome = match check_root(disk, slot, &arguments) {
        Ok(arguments) => Outcome::Boots(arguments),
        Err(error) => Outcome::RootCorrupt(error.to_string()),
    };
    Ok(verdict)
}

fn check_root<S: ReadAt + Sync>(
    disk: &Disk<S>,
    slot: Slot,
    command_line: &str,
) -> Result<RootArguments> {
    let arguments = RootArguments::parse(command_line)?;
    let root = disk.partition(slot.root_partition())?;
    let superblock = arguments.superblock();
    verity::verify(&root, &superblock, arguments.hash_offset, &arguments.hash)?;
    Ok(arguments)
}

/// The volume and the path that a kernel file names. As in the boot loader, a label matches when it begins with what is
/// asked for, the first match wins, and without a match the whole text is a path on the boot loader's own volume.
fn find_kernel<'a, S: ReadAt + ?Sized>(
    volumes: &[(&Partition, Volume<'_, S>)],
    esp: usize,
    kernel_file: &'a str,
) -> (usize, &'a str) {
    let labelled = kernel_file
        .get(2..)
        .and_then(|rest| rest.split_once(':'))
        .filter(|(label, _)| !label.is_empty());
    let (Some((label, path)), Some(prefix)) = (labelled, kernel_file.get(..2)) else {
        return (esp, kernel_file);
    };
    let matches = |volume: &Volume<'_, S>| match prefix {
        "L:" => volume
            .label()
            .ok()
            .flatten()
            .is_some_and(|own| own.starts_with(label)),
        "C:" => volume
            .read(bgenv::LABEL_FILE_NAME, ENVIRONMENT_LIMIT)
            .is_ok_and(|own| own.starts_with(&utf16(label))),
        _ => false,
    };
    match volumes.iter().position(|(_, volume)| matches(volume)) {
        Some(at) => (at, path),
        None => (esp, kernel_file),
    }
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}
