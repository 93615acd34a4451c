//! A machine's disk that records what is written to it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use bedstone_agent::device::{Device, Partitions, identity};
use bedstone_disk::assemble::assemble;
use bedstone_disk::bgenv::Loader;
use bedstone_disk::boot_partition::{Medium, replace_environment};
use bedstone_disk::content::Content;
use bedstone_disk::gpt::Table;
use bedstone_disk::layout::{Parts, Sizes, Slot, standard};
use bedstone_disk::model::{self, Disk, Outcome};
use bedstone_disk::storage::{ReadAt, WriteAt};
use bedstone_disk::uki;
use bedstone_store::Digest;

use super::product::{Product, Release};

/// What reached the block layer.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Bytes, at an offset on the disk.
    Write(u64, Vec<u8>),
    /// Everything before is on the medium before anything after.
    Flush,
}

/// A recorded stretch of time.
#[derive(Debug)]
pub struct Log {
    /// The disk before.
    pub before: Vec<u8>,
    /// What was done to it, in order.
    pub operations: Vec<Operation>,
}

/// A device without a system: its disk and the slot that would run.
#[derive(Debug)]
pub struct Machine {
    shared: Arc<Mutex<Shared>>,
    table: Table,
    running: Slot,
}

#[derive(Debug)]
struct Shared {
    bytes: Vec<u8>,
    operations: Vec<Operation>,
}

/// A partition of the recorded disk.
#[derive(Debug, Clone)]
pub struct Partition {
    shared: Arc<Mutex<Shared>>,
    start: u64,
    size: u64,
}

impl Machine {
    /// A disk as the factory makes it.
    pub fn new(product: &Product, release: &Release) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().join("root");
        std::fs::write(&root, &release.root).expect("a root file system");
        let mebibytes = |count: u64| count << 20;
        let plan = standard(&Parts {
            product: product.digest,
            time: 0,
            boot_loader: Content::Bytes(vec![1; 1000]),
            boot_loader_name: "BOOTX64.EFI".to_owned(),
            kernel: Content::Bytes(release.kernel.clone()),
            root,
            watchdog_seconds: 60,
            sizes: Sizes {
                esp: mebibytes(1),
                boot: mebibytes(1),
                root: mebibytes(1),
                data: mebibytes(1),
            },
        })
        .expect("a plan");
        let image = directory.path().join("disk");
        assemble(&plan, &image).expect("a disk");
        Self::of_disk(std::fs::read(&image).expect("a disk"))
    }

    /// A machine with this disk, which runs slot A.
    pub fn of_disk(bytes: Vec<u8>) -> Self {
        let table = Table::read(&bytes).expect("a table").table;
        Self {
            shared: Arc::new(Mutex::new(Shared {
                bytes,
                operations: Vec::new(),
            })),
            table,
            running: Slot::A,
        }
    }

    /// The slot that runs.
    pub fn running(&self) -> Slot {
        self.running
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("no panic")
    }

    /// The slots as the agent sees them.
    pub fn device(&self) -> Device<Partition> {
        let slot = |slot: Slot| {
            let guid = self.table.partition(slot.boot_partition());
            Partitions {
                boot: self.partition(slot.boot_partition()),
                root: self.partition(slot.root_partition()),
                identity: identity(slot, guid.expect("a partition").guid),
            }
        };
        Device {
            running: self.running,
            disk: self.table.disk,
            slots: Slot::ALL.map(slot),
        }
    }

    fn partition(&self, name: &str) -> Partition {
        let found = self.table.partition(name).expect("a partition");
        Partition {
            shared: Arc::clone(&self.shared),
            start: found.start,
            size: found.size,
        }
    }

    /// Records what `action` does to the disk.
    pub fn record(&self, action: impl FnOnce(&Self)) -> Log {
        self.shared().operations.clear();
        let before = self.shared().bytes.clone();
        action(self);
        let operations = std::mem::take(&mut self.shared().operations);
        Log { before, operations }
    }

    /// Starts the machine, which must come up with the root of this hash in this slot.
    pub fn start(&mut self, root: &Digest, slot: Slot) {
        let bytes = self.shared().bytes.clone();
        let disk = Disk::new(bytes).expect("a disk");
        let verdict = model::judge(&disk, Loader::Since0_20, command_line).expect("a verdict");
        let Outcome::Boots(arguments) = &verdict.outcome else {
            panic!("{verdict:?}");
        };
        assert_eq!(verdict.slot, Some(slot));
        assert_eq!(arguments.hash, *root);
        for (volume, bytes) in &verdict.decision.writes {
            let mut partition = self.partition(&verdict.volumes[*volume]);
            replace_environment(&mut partition, bytes).expect("an environment");
        }
        self.running = slot;
    }

    /// Makes one bit of every fourth sector of a partition wrong.
    pub fn damage(&self, partition: &str) {
        let partition = self.partition(partition);
        let mut shared = self.shared();
        let mut at = partition.start;
        while at < partition.start + partition.size {
            shared.bytes[at as usize + 100] ^= 4;
            at += 4 * 512;
        }
    }
}

/// What the firmware would take for the kernel's command line; signatures are not looked at here.
pub fn command_line(kernel: &[u8]) -> Result<String, String> {
    uki::Contents::read(kernel)
        .map(|contents| contents.command_line.to_owned())
        .map_err(|error| error.to_string())
}

impl Partition {
    fn place(&self, offset: u64, length: usize) -> io::Result<usize> {
        let end = offset.checked_add(length as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok((self.start + offset) as usize)
    }
}

impl ReadAt for Partition {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let place = self.place(offset, buffer.len())?;
        let shared = self.shared.lock().expect("no panic");
        buffer.copy_from_slice(&shared.bytes[place..place + buffer.len()]);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }
}

impl WriteAt for Partition {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let place = self.place(offset, bytes.len())?;
        let mut shared = self.shared.lock().expect("no panic");
        shared.bytes[place..place + bytes.len()].copy_from_slice(bytes);
        let operation = Operation::Write(place as u64, bytes.to_vec());
        shared.operations.push(operation);
        Ok(())
    }
}

impl Medium for Partition {
    fn settle(&mut self) -> io::Result<()> {
        let mut shared = self.shared.lock().expect("no panic");
        shared.operations.push(Operation::Flush);
        Ok(())
    }

    fn reader(&self) -> io::Result<Option<Box<dyn ReadAt + Send>>> {
        Ok(Some(Box::new(self.clone())))
    }
}
