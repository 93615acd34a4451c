//! The data partition: made once, checked when damaged, unlocked by the TPM where asked for. Whatever happens to it, the
//! machine starts, and what was on it stays.

mod encrypted;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bedstone_disk::data_partition::{self, Content};
use rustix::mount::MountFlags;

use crate::console::Console;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::mounts;
use crate::parameters::DataMode;
use crate::tool;

/// Where the data is mounted until it moves to `/var`.
pub(crate) const MOUNTED: &str = "/data";

/// What became of the data partition.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) state: State,
    /// Where it is: the partition, or the opened LUKS device.
    pub(crate) device: PathBuf,
    pub(crate) encrypted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Mounted,
    /// Made by this start.
    Created,
    /// Mounted after a check had repaired it.
    Repaired,
    /// Set aside for the reason given, with all that is on it; a file system in memory takes its place.
    Volatile(String),
}

impl Data {
    /// Mounts the data partition of `disk`, or what takes its place, on [`MOUNTED`]. The verified root must be mounted:
    /// the tools come from there.
    pub(crate) fn open(disk: &Disk, mode: DataMode, console: &Console) -> Result<Self> {
        fs::create_dir_all(MOUNTED).map_err(Error::io("create", MOUNTED))?;
        let mut data = Self {
            state: State::Mounted,
            device: PathBuf::new(),
            encrypted: mode == DataMode::Tpm2,
        };
        let opened = disk.partition("data").and_then(|partition| {
            data.device.clone_from(&partition.path);
            data.try_open(&partition.path, mode, console)
        });
        match opened {
            Ok(state) => data.state = state,
            Err(error) => {
                console.error(format!(
                    "data partition set aside, with all that is on it: {error}"
                ));
                console.error("going on without it: what is changed now is lost at the next start");
                mounts::memory(MOUNTED)?;
                data.state = State::Volatile(error.to_string());
            }
        }
        Ok(data)
    }

    pub(crate) fn is_persistent(&self) -> bool {
        !matches!(self.state, State::Volatile(_))
    }

    fn try_open(&mut self, partition: &Path, mode: DataMode, console: &Console) -> Result<State> {
        let refuse = |reason: &str| {
            Err(Error::Unusable {
                path: partition.to_path_buf(),
                reason: reason.to_owned(),
            })
        };
        match (read(partition)?, mode) {
            (Content::Blank | Content::Unfinished, _) => {
                console.info(format!(
                    "making the data file system on {}",
                    partition.display()
                ));
                self.create(partition, mode)?;
                Ok(State::Created)
            }
            (Content::Ext4 { errors }, DataMode::Plain) => {
                mount_checked(partition, errors, console)
            }
            (Content::Luks, DataMode::Tpm2) => {
                self.device = encrypted::open(partition)?;
                match read(&self.device)? {
                    Content::Ext4 { errors } => mount_checked(&self.device, errors, console),
                    _ => refuse("is encrypted and holds no ext4 file system"),
                }
            }
            (Content::Luks, DataMode::Plain) => {
                refuse("is encrypted, the signed command line says it is not")
            }
            (Content::Ext4 { .. }, DataMode::Tpm2) => {
                refuse("is not encrypted, the signed command line says it is")
            }
            (Content::Erased, _) => refuse("is all zero and not marked as new"),
            // Its first superblock may be lost; e2fsck knows where the others are, and does nothing without them.
            (Content::Unknown, DataMode::Plain) if has_backup_superblock(partition) => {
                mount_checked(partition, true, console)
            }
            (Content::Unknown, _) => refuse("holds something else"),
        }
    }

    /// Formats the partition. The creation mark stands from before the first byte changes until the file system has
    /// been mounted, so an interrupted creation is begun anew.
    fn create(&mut self, partition: &Path, mode: DataMode) -> Result<()> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(partition)
            .map_err(Error::io("open", partition))?;
        let size = bedstone_sys::block::size(&file).map_err(Error::io("measure", partition))?;
        let mark = |bytes: &[u8]| {
            file.write_all_at(bytes, size - data_partition::TAIL_MARK as u64)
                .and_then(|()| file.sync_all())
                .map_err(Error::io("write", partition))
        };
        mark(&data_partition::creation_mark())?;
        if mode == DataMode::Tpm2 {
            self.device = encrypted::create(partition)?;
        }
        let kibibytes = (size_of(&self.device)? - data_partition::TAIL) / 1024;
        let device = self.device.to_string_lossy();
        let size = format!("{kibibytes}k");
        // Blocks of 4 KiB also on a small partition: flash likes them, and the backup superblocks have a known place.
        let arguments = [
            "-q", "-F", "-t", "ext4", "-b", "4096", "-L", "data", "-m", "1", &device, &size,
        ];
        tool::succeed("/sbin/mke2fs", &arguments)?;
        mount(&self.device)?;
        mark(&[0; data_partition::TAIL_MARK])
    }
}

/// Mounts an existing file system, after a check when it is known to be damaged or cannot be mounted. The check is the
/// cautious one (`-p`): it repairs what can be repaired without losing anything, and else changes nothing.
fn mount_checked(device: &Path, errors: bool, console: &Console) -> Result<State> {
    if !errors && mount(device).is_ok() {
        return Ok(State::Mounted);
    }
    console.warn(format!(
        "the data file system on {} is damaged: checking it",
        device.display()
    ));
    let ended = tool::run("/sbin/e2fsck", &["-p", &device.to_string_lossy()])?;
    console.warn(format!("e2fsck: {}", ended.said));
    // Bit 0: errors corrected; bit 1: and a restart is advised, which concerns mounted file systems (e2fsck(8)).
    if ended.status.is_none_or(|status| status & !3 != 0) {
        return Err(ended.error("e2fsck -p"));
    }
    mount(device)?;
    Ok(State::Repaired)
}

fn mount(device: &Path) -> Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::RELATIME;
    mounts::mount(device, MOUNTED, "ext4", flags, "errors=remount-ro")
}

fn read(device: &Path) -> Result<Content> {
    let file = File::open(device).map_err(Error::io("open", device))?;
    let size = bedstone_sys::block::size(&file).map_err(Error::io("measure", device))?;
    let smallest = data_partition::HEAD as u64 + data_partition::TAIL;
    if size < smallest {
        return Err(Error::Unusable {
            path: device.to_path_buf(),
            reason: format!("has only {size} bytes"),
        });
    }
    let mut head = vec![0; data_partition::HEAD];
    let mut tail = [0; data_partition::TAIL_MARK];
    file.read_exact_at(&mut head, 0)
        .and_then(|()| file.read_exact_at(&mut tail, size - data_partition::TAIL_MARK as u64))
        .map_err(Error::io("read", device))?;
    Ok(data_partition::judge(&head, &tail))
}

/// Whether the first backup superblock of a file system with blocks of 4 KiB is there, with the label given at creation.
fn has_backup_superblock(device: &Path) -> bool {
    /// Group 1 begins after 32768 blocks.
    const BACKUP: u64 = 32_768 * 4096;
    let mut superblock = [0; 1024];
    File::open(device)
        .and_then(|file| file.read_exact_at(&mut superblock, BACKUP))
        .is_ok_and(|()| {
            superblock[0x38..0x3a] == [0x53, 0xef] && &superblock[0x78..0x7d] == b"data\0"
        })
}

fn size_of(device: &Path) -> Result<u64> {
    let file = File::open(device).map_err(Error::io("open", device))?;
    bedstone_sys::block::size(&file).map_err(Error::io("measure", device))
}
