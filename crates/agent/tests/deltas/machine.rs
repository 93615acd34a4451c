//! A machine whose partitions are files, running slot A.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bedstone_agent::device::{BlockFile, Device, Partitions, identity};
use bedstone_agent::plan::Policy;
use bedstone_agent::transaction::Records;
use bedstone_agent::{Error, Installation, Outcome, Progress, install};
use bedstone_bundle::signature::{Clock, Trust};
use bedstone_disk::bgenv::{Environment, State};
use bedstone_disk::boot_partition::{Medium, renew, replace_environment};
use bedstone_disk::content::Content;
use bedstone_disk::guid::Guid;
use bedstone_disk::layout::{Slot, disk_guid};
use bedstone_disk::storage::{ReadAt, WriteAt};
use bedstone_store::Digest;

/// A file that counts what is written to it.
#[derive(Debug)]
pub(crate) struct Counted {
    file: BlockFile,
    written: Arc<AtomicU64>,
}

impl ReadAt for Counted {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
}

impl WriteAt for Counted {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.written
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.file.write_all_at(bytes, offset)
    }
}

impl Medium for Counted {
    fn settle(&mut self) -> io::Result<()> {
        self.file.settle()
    }
}

/// The machine, and what the image tells its agent.
pub(crate) struct Machine {
    directory: PathBuf,
    product: Digest,
    certificate: Vec<u8>,
    running: String,
    written: Arc<AtomicU64>,
}

/// What came of an installation.
pub(crate) struct Done {
    pub(crate) outcome: Result<Outcome, Error>,
    pub(crate) progress: Vec<Progress>,
    /// Bytes written to root B.
    pub(crate) written: u64,
}

impl Done {
    /// The result code, `installed` when there is none.
    pub(crate) fn code(&self) -> &'static str {
        match &self.outcome {
            Ok(_) => "installed",
            Err(error) => error.code(),
        }
    }

    /// The code for which the whole root file system was taken instead of the difference.
    pub(crate) fn taken_whole(&self) -> Option<&str> {
        self.progress.iter().find_map(|it| match it {
            Progress::TakingWhole { code, .. } => Some(code.as_str()),
            _ => None,
        })
    }
}

impl Machine {
    /// A machine that runs `version`, confirmed, with partitions of `size` bytes for root file systems.
    pub(crate) fn new(
        directory: &Path,
        (product, certificate): (Digest, &[u8]),
        (version, root, kernel): (&str, &[u8], &[u8]),
        size: u64,
    ) -> Self {
        let machine = Self::open(directory, (product, certificate), version);
        for slot in Slot::ALL {
            for (partition, size) in [
                (slot.boot_partition(), 1 << 20),
                (slot.root_partition(), size),
            ] {
                let file = File::create(machine.path(partition)).unwrap();
                file.set_len(size).unwrap();
            }
        }
        machine.fill("root-a", root);
        let mut device = machine.device();
        for (slot, revision) in [(Slot::A, 2), (Slot::B, 1)] {
            let environment = Environment {
                kernel_file: format!("C:{}:linux.efi", slot.boot_label()),
                state: State::Ok,
                revision,
                watchdog_seconds: 60,
                ..Environment::default()
            };
            let partitions = device.slot_mut(slot);
            let kernel = Content::Bytes(kernel.to_vec());
            renew(
                &mut partitions.boot,
                &partitions.identity,
                &environment,
                &kernel,
            )
            .unwrap();
            let bytes = environment.to_bytes().unwrap();
            replace_environment(&mut partitions.boot, &bytes).unwrap();
        }
        machine
    }

    /// The machine that another process has made.
    pub(crate) fn open(
        directory: &Path,
        (product, certificate): (Digest, &[u8]),
        version: &str,
    ) -> Self {
        Self {
            directory: directory.to_path_buf(),
            product,
            certificate: certificate.to_vec(),
            running: version.to_owned(),
            written: Arc::default(),
        }
    }

    fn path(&self, partition: &str) -> PathBuf {
        self.directory.join(partition)
    }

    /// Writes the beginning of a partition.
    pub(crate) fn fill(&self, partition: &str, bytes: &[u8]) {
        let file = File::options()
            .write(true)
            .open(self.path(partition))
            .unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, bytes, 0).unwrap();
    }

    pub(crate) fn device(&self) -> Device<Counted> {
        let open = |partition: &str, written: Arc<AtomicU64>| Counted {
            file: BlockFile::open_shared(&self.path(partition)).unwrap(),
            written,
        };
        let slot = |slot: Slot| Partitions {
            boot: open(slot.boot_partition(), Arc::default()),
            root: open(slot.root_partition(), Arc::clone(&self.written)),
            identity: identity(slot, Guid::derive(&self.product, slot.boot_partition())),
        };
        Device {
            running: Slot::A,
            disk: disk_guid(&self.product),
            slots: Slot::ALL.map(slot),
        }
    }

    pub(crate) fn records(&self) -> Records {
        Records::new(self.directory.join("records"))
    }

    pub(crate) fn install(&self, bundle: impl Read) -> Done {
        self.install_until(bundle, |_| false)
    }

    /// Installs a bundle, interrupted as soon as `stop` says so.
    pub(crate) fn install_until(
        &self,
        bundle: impl Read,
        stop: impl Fn(&Progress) -> bool,
    ) -> Done {
        self.written.store(0, Ordering::Relaxed);
        let trust = Trust::new(&self.certificate, Clock::Unknown).unwrap();
        let interrupt = AtomicBool::new(false);
        let installation = Installation {
            trust: &trust,
            key: None,
            policy: &Policy {
                hardware: "board".to_owned(),
                running_version: self.running.clone(),
                minimum_version: None,
                allow_downgrade: false,
                reinstall: false,
            },
            attempts: 3,
            records: &self.records(),
            interrupt: &interrupt,
        };
        let mut progress = Vec::new();
        let outcome = install(&mut self.device(), bundle, &installation, &mut |it| {
            if stop(&it) {
                interrupt.store(true, Ordering::Relaxed);
            }
            // One for each piece would count as memory of the agent.
            if !matches!(it, Progress::Member { .. }) {
                progress.push(it);
            }
        });
        Done {
            outcome,
            progress,
            written: self.written.load(Ordering::Relaxed),
        }
    }

    /// All partitions' bytes.
    pub(crate) fn everything(&self) -> Vec<Vec<u8>> {
        ["boot0", "boot1", "root-a", "root-b"]
            .iter()
            .map(|partition| self.read(partition))
            .collect()
    }

    pub(crate) fn read(&self, partition: &str) -> Vec<u8> {
        fs::read(self.path(partition)).unwrap()
    }

    pub(crate) fn environment(&self) -> Environment {
        self.device().environment(Slot::B).unwrap()
    }
}
