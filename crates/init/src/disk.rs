use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bedstone_disk::gpt::{Copies, Table};
use bedstone_disk::guid::Guid;
use bedstone_sys::uevent;
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::error::{Error, Result};

/// How long the disk may take to come up: slow controllers and USB need seconds.
const DEADLINE: Duration = Duration::from_secs(30);
/// Between two looks when no event comes, should one have been lost.
const PATIENCE: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// The disk that the command line names.
#[derive(Debug)]
pub(crate) struct Disk {
    /// The kernel's name, such as `vda`.
    pub(crate) name: String,
    pub(crate) table: Table,
    /// What is wrong with one of the table's copies, if anything is.
    pub(crate) table_fault: Option<String>,
    /// By the partition's name in the table.
    partitions: BTreeMap<String, Partition>,
}

/// A partition as the kernel knows it.
#[derive(Debug, Clone)]
pub(crate) struct Partition {
    /// Its device file.
    pub(crate) path: PathBuf,
    /// `major:minor`, as device-mapper takes it.
    pub(crate) device: String,
    /// Bytes.
    pub(crate) size: u64,
}

impl Disk {
    pub(crate) fn partition(&self, name: &str) -> Result<&Partition> {
        self.partitions.get(name).ok_or_else(|| Error::Unusable {
            path: Path::new("/dev").join(&self.name),
            reason: format!("has no partition `{name}`"),
        })
    }

    /// Waits for the disk whose table has the identifier `guid`, and for the kernel to know every partition of it.
    pub(crate) fn wait(guid: Guid, events: &uevent::Socket) -> Result<Self> {
        let end = Instant::now() + DEADLINE;
        let mut seen = BTreeMap::new();
        loop {
            if let Some(disk) = look(guid, &mut seen)? {
                return Ok(disk);
            }
            if Instant::now() >= end {
                return Err(Error::NoDisk {
                    guid: guid.to_string(),
                    seconds: DEADLINE.as_secs(),
                    seen: describe(&seen),
                });
            }
            let mut fds = [PollFd::new(events, PollFlags::IN)];
            // An interrupted wait is a short one; a lost event is made up for by the next look.
            let _ = rustix::event::poll(&mut fds, Some(&PATIENCE));
            while let Ok(Some(_)) = events.receive() {}
        }
    }
}

/// Looks once; `seen` remembers what was read and found to be something else.
fn look(guid: Guid, seen: &mut BTreeMap<String, String>) -> Result<Option<Disk>> {
    let class = Path::new("/sys/class/block");
    let mut names: Vec<String> = fs::read_dir(class)
        .map_err(Error::io("list", class))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !class.join(name).join("partition").exists() && !is_virtual(name))
        .collect();
    names.sort_unstable();
    for name in names {
        if seen.contains_key(&name) {
            continue;
        }
        let path = Path::new("/dev").join(&name);
        let found = match File::open(&path).map(|file| Table::read(&file)) {
            Ok(Ok(found)) if found.table.disk == guid => found,
            Ok(Ok(found)) => {
                seen.insert(name, format!("has the GUID {}", found.table.disk));
                continue;
            }
            Ok(Err(error)) => {
                seen.insert(name, error.to_string());
                continue;
            }
            // The device file may follow in a moment.
            Err(_) => continue,
        };
        let partitions = partitions(class, &name, &found.table)?;
        if partitions.len() < found.table.partitions.len() {
            return Ok(None);
        }
        return Ok(Some(Disk {
            name,
            table_fault: match found.copies {
                Copies::Both => None,
                Copies::PrimaryOnly(reason) => Some(format!("backup table: {reason}")),
                Copies::BackupOnly(reason) => Some(format!("primary table: {reason}")),
            },
            table: found.table,
            partitions,
        }));
    }
    Ok(None)
}

/// Devices that no disk hides behind.
fn is_virtual(name: &str) -> bool {
    ["dm-", "loop", "ram", "zram", "fd", "sr", "mtdblock"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// The kernel's partitions of the disk, matched with the table by number, start and size.
fn partitions(class: &Path, disk: &str, table: &Table) -> Result<BTreeMap<String, Partition>> {
    let directory = class.join(disk);
    let entries = fs::read_dir(&directory).map_err(Error::io("list", &directory))?;
    let mut partitions = BTreeMap::new();
    for entry in entries.flatten() {
        let number = |file: &str| -> Option<u64> {
            let text = fs::read_to_string(entry.path().join(file)).ok()?;
            text.trim().parse().ok()
        };
        let (Some(index), Some(start), Some(size)) =
            (number("partition"), number("start"), number("size"))
        else {
            continue;
        };
        let found = table.partitions.iter().find(|partition| {
            // The kernel counts in units of 512 bytes whatever the disk's sectors are.
            u64::from(partition.number) == index
                && partition.start == start * 512
                && partition.size == size * 512
        });
        let device = fs::read_to_string(entry.path().join("dev"));
        let path = Path::new("/dev").join(entry.file_name());
        if let (Some(partition), Ok(device), true) = (found, device, path.exists()) {
            let device = device.trim().to_owned();
            let size = partition.size;
            partitions.insert(partition.name.clone(), Partition { path, device, size });
        }
    }
    Ok(partitions)
}

fn describe(seen: &BTreeMap<String, String>) -> String {
    if seen.is_empty() {
        return "no disk at all".to_owned();
    }
    let disks: Vec<_> = seen
        .iter()
        .map(|(name, what)| format!("{name}: {what}"))
        .collect();
    disks.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_kernels_partitions_with_the_table() {
        let directory = tempfile::tempdir().unwrap();
        let class = directory.path();
        let write = |name: &str, file: &str, text: &str| {
            let path = class.join("null0").join(name);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join(file), text).unwrap();
        };
        for (name, number, start, size) in [("null", 2, 2048, 8), ("zero", 3, 4096, 9)] {
            write(name, "partition", &format!("{number}\n"));
            write(name, "start", &format!("{start}\n"));
            write(name, "size", &format!("{size}\n"));
            write(name, "dev", "1:3\n");
        }
        write("queue", "nr_requests", "1");
        let partition = |number: u8, name: &str| bedstone_disk::gpt::Partition {
            number: u32::from(number),
            kind: Guid::LINUX_DATA,
            guid: Guid::from_bytes([number; 16]),
            start: u64::from(number - 1) << 20,
            size: 8 * 512,
            attributes: 0,
            name: name.to_owned(),
        };
        let table = Table {
            disk: Guid::NIL,
            disk_size: 1 << 30,
            partitions: vec![partition(2, "boot0"), partition(3, "boot1")],
        };
        let found = partitions(class, "null0", &table).unwrap();
        // The other one's size differs: the kernel read another table than we did.
        assert_eq!(found.keys().collect::<Vec<_>>(), ["boot0"]);
        assert_eq!(found["boot0"].path, Path::new("/dev/null"));
        assert_eq!(found["boot0"].device, "1:3");
    }
}
