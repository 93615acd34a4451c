//! The two slots of a machine.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bedstone_disk::bgenv::Environment;
use bedstone_disk::boot_partition::{self, Identity, Medium};
use bedstone_disk::guid::Guid;
use bedstone_disk::layout::{KERNEL_FILE_NAME, Slot};
use bedstone_disk::storage::{PAGE, ReadAt, WriteAt};
use rustix::fs::OFlags;
use serde::Deserialize;

use crate::error::{Error, Result};

/// What `bedstone-init` found out when the machine started.
pub const BOOT_FILE: &str = "/run/bedstone/boot.json";

/// The slots of a machine, opened.
#[derive(Debug)]
pub struct Device<M> {
    /// The slot that the system runs from.
    pub running: Slot,
    /// GUID of the disk, which kernels for it name.
    pub disk: Guid,
    /// Slot A, slot B.
    pub slots: [Partitions<M>; 2],
}

/// The partitions of a slot.
#[derive(Debug)]
pub struct Partitions<M> {
    /// With kernel and environment.
    pub boot: M,
    /// With the root file system and its hash tree.
    pub root: M,
    /// What the boot partition's volume is made with.
    pub identity: Identity,
}

/// A block device, or a file that stands for one.
///
/// What is aligned to pages passes the page cache by, where the system can do that: a slot is larger than the memory of many
/// devices, and what is read back has to come from the medium.
#[derive(Debug)]
pub struct BlockFile {
    file: File,
    direct: Option<File>,
    is_device: bool,
}

impl<M> Device<M> {
    /// The partitions of a slot.
    pub fn slot(&self, slot: Slot) -> &Partitions<M> {
        match slot {
            Slot::A => &self.slots[0],
            Slot::B => &self.slots[1],
        }
    }

    /// The partitions of a slot, to be changed.
    pub fn slot_mut(&mut self, slot: Slot) -> &mut Partitions<M> {
        match slot {
            Slot::A => &mut self.slots[0],
            Slot::B => &mut self.slots[1],
        }
    }

    /// The running slot, and the other one to be changed.
    pub(crate) fn both(&mut self) -> (&Partitions<M>, &mut Partitions<M>) {
        let [a, b] = &mut self.slots;
        match self.running {
            Slot::A => (a, b),
            Slot::B => (b, a),
        }
    }

    /// The slot that an update goes to.
    pub fn target(&self) -> Slot {
        self.running.other()
    }
}

impl<M: Medium> Device<M> {
    /// The environment of a slot.
    pub fn environment(&self, slot: Slot) -> Result<Environment> {
        let bytes = boot_partition::environment(&self.slot(slot).boot)?;
        Ok(Environment::from_bytes(&bytes)?)
    }
}

/// What the boot loader is told to start in a slot.
pub(crate) fn kernel_file(slot: Slot) -> String {
    format!("C:{}:{KERNEL_FILE_NAME}", slot.boot_label())
}

/// What a boot partition is made with when it is made anew.
pub fn identity(slot: Slot, partition: Guid) -> Identity {
    let [a, b, c, d, ..] = *partition.as_bytes();
    Identity {
        label: slot.boot_label().to_owned(),
        volume_id: u32::from_be_bytes([a, b, c, d]),
        time: 0,
    }
}

/// What this crate reads of [`BOOT_FILE`].
#[derive(Debug, Clone, Deserialize)]
pub struct Boot {
    version: u32,
    /// The running slot: `a` or `b`.
    pub slot: String,
    /// How that is known.
    pub slot_source: String,
    /// GUID of the disk.
    pub disk: String,
    /// The slots' partitions.
    partitions: Vec<BootPartition>,
    /// What the initramfs recorded about the start before this one, if that failed.
    pub last_failure: Option<String>,
    /// What did not go as it should at this start.
    #[serde(default)]
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct BootPartition {
    name: String,
    guid: String,
    device: PathBuf,
}

impl Boot {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(Error::io("read", path))?;
        let boot: Self = serde_json::from_slice(&bytes).map_err(|error| Error::Malformed {
            path: path.to_path_buf(),
            reason: error.to_string(),
        })?;
        if boot.version != 1 {
            return Err(Error::Malformed {
                path: path.to_path_buf(),
                reason: format!("version {} is not 1", boot.version),
            });
        }
        Ok(boot)
    }

    /// The running slot, where the firmware told it: what else tells it may be wrong, and the running slot must never be
    /// written.
    pub fn running(&self) -> Result<Slot> {
        match (&*self.slot_source, Slot::parse(&self.slot)) {
            ("stub" | "loader", Some(slot)) => Ok(slot),
            _ => Err(Error::UnknownSlot),
        }
    }
}

impl Device<BlockFile> {
    /// Opens the partitions of both slots: the other slot's for writing and for nobody else, the running slot's root for
    /// reading.
    pub fn open(boot: &Boot) -> Result<Self> {
        Self::open_by(boot, BlockFile::open_shared, BlockFile::open_alone)
    }

    /// Opens everything for reading only.
    pub fn open_to_look(boot: &Boot) -> Result<Self> {
        Self::open_by(boot, BlockFile::open_to_read, BlockFile::open_to_read)
    }

    fn open_by(
        boot: &Boot,
        open_boot: impl Fn(&Path) -> Result<BlockFile>,
        open_root: impl Fn(&Path) -> Result<BlockFile>,
    ) -> Result<Self> {
        let running = boot.running()?;
        let malformed = |reason: String| Error::Malformed {
            path: BOOT_FILE.into(),
            reason,
        };
        let partition = |name: &str| {
            boot.partitions
                .iter()
                .find(|partition| partition.name == name)
                .ok_or_else(|| malformed(format!("names no partition `{name}`")))
        };
        let slot = |slot: Slot| {
            let boot = partition(slot.boot_partition())?;
            let guid = boot
                .guid
                .parse()
                .map_err(|_| malformed(format!("`{}` is no GUID", boot.guid)))?;
            let root = &partition(slot.root_partition())?.device;
            Ok::<_, Error>(Partitions {
                boot: open_boot(&boot.device)?,
                root: if slot == running {
                    BlockFile::open_to_read(root)?
                } else {
                    open_root(root)?
                },
                identity: identity(slot, guid),
            })
        };
        Ok(Self {
            running,
            disk: boot
                .disk
                .parse()
                .map_err(|_| malformed(format!("`{}` is no GUID", boot.disk)))?,
            slots: [slot(Slot::A)?, slot(Slot::B)?],
        })
    }
}

impl BlockFile {
    /// Opens for reading and writing; others may have it open too.
    pub fn open_shared(path: &Path) -> Result<Self> {
        Self::open(path, OpenOptions::new().read(true).write(true))
    }

    /// Opens for reading only.
    pub fn open_to_read(path: &Path) -> Result<Self> {
        Self::open(path, OpenOptions::new().read(true))
    }

    /// Opens for reading and writing; fails when a file system or a mapping is on the device.
    pub fn open_alone(path: &Path) -> Result<Self> {
        Self::open(
            path,
            OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(flags(OFlags::EXCL)),
        )
    }

    fn open(path: &Path, options: &mut OpenOptions) -> Result<Self> {
        let file = options.open(path).map_err(Error::io("open", path))?;
        let metadata = file.metadata().map_err(Error::io("inspect", path))?;
        // Once more, and not exclusively, because that it is already.
        let direct = options.custom_flags(flags(OFlags::DIRECT)).open(path).ok();
        let direct = direct.filter(|direct| {
            direct.metadata().is_ok_and(|it| {
                (it.dev(), it.ino(), it.rdev()) == (metadata.dev(), metadata.ino(), metadata.rdev())
            })
        });
        Ok(Self {
            is_device: metadata.file_type().is_block_device(),
            file,
            direct,
        })
    }

    /// The way past the page cache, for bytes that may take it.
    fn direct(&self, bytes: &[u8], offset: u64) -> Option<&File> {
        let aligned = bytes.len().is_multiple_of(PAGE)
            && offset.is_multiple_of(PAGE as u64)
            && bytes.as_ptr().align_offset(PAGE) == 0;
        self.direct.as_ref().filter(|_| aligned)
    }
}

fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

/// Whether the system does not do it past the page cache after all.
fn is_refused(outcome: &io::Result<()>) -> bool {
    matches!(outcome, Err(error) if error.kind() == io::ErrorKind::InvalidInput)
}

impl ReadAt for BlockFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if let Some(direct) = self.direct(buffer, offset) {
            let outcome = ReadAt::read_exact_at(direct, buffer, offset);
            if !is_refused(&outcome) {
                return outcome;
            }
        }
        ReadAt::read_exact_at(&self.file, buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        if self.is_device {
            bedstone_sys::block::size(&self.file)
        } else {
            Ok(self.file.metadata()?.len())
        }
    }
}

impl WriteAt for BlockFile {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Some(direct) = self.direct(bytes, offset) {
            let outcome = FileExt::write_all_at(direct, bytes, offset);
            if !is_refused(&outcome) {
                return outcome;
            }
        }
        FileExt::write_all_at(&self.file, bytes, offset)
    }
}

impl Medium for BlockFile {
    fn settle(&mut self) -> io::Result<()> {
        // Times are of no interest, and a file's size does not change.
        self.file.sync_data()?;
        if self.is_device {
            bedstone_sys::block::drop_cache(&self.file)?;
        } else {
            rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
        Ok(())
    }

    fn reader(&self) -> io::Result<Option<Box<dyn ReadAt + Send>>> {
        let direct = self.direct.as_ref().map(File::try_clone).transpose()?;
        Ok(Some(Box::new(Self {
            file: self.file.try_clone()?,
            direct,
            is_device: self.is_device,
        })))
    }
}
