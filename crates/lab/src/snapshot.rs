//! Machines that are already booted: prepared once, started from that state within a second, any number at a time.
//!
//! A snapshot is a directory `CACHE/LABEL-KEY/` with the machine's memory and devices (QEMU's migration stream), the
//! overlays that hold what the drives held at that moment, and the TPM's state. It is never changed: each machine started
//! from it has overlays of its own above.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bedstone_store::{Digest, FileLock, Hasher, Mode};

use crate::device::Device;
use crate::error::{Error, Result};
use crate::qemu::{
    Accelerator, Access, Drive, Firmware, Format, Qemu, QemuConfig, Tools, Tpm, key_arguments,
};

/// Part of the key: raise it when the directory's content changes its meaning.
const VERSION: &[u8] = b"bedstone snapshot 1";
const STATE: &str = "state";
const VARIABLES: &str = "variables.qcow2";
const TPM: &str = "tpm";
/// How many digits of the key are in the directory's name.
const DIGITS: usize = 16;

/// A prepared state of a machine.
#[derive(Debug)]
pub struct Snapshot {
    tools: Tools,
    config: QemuConfig,
    accelerator: Accelerator,
    directory: PathBuf,
    found: bool,
    /// Shared with other users, against removal.
    _lock: FileLock,
}

/// Which snapshot, and where it is kept.
#[derive(Debug, Clone)]
pub struct Recipe<'a> {
    /// The host's programs.
    pub tools: &'a Tools,
    /// Directory of all snapshots.
    pub cache: &'a Path,
    /// Name of the state; one snapshot of a name is kept.
    pub label: &'a str,
    /// Digest of the image that is booted.
    pub image: Digest,
    /// The machine; whatever it says of its drives, writes go to the snapshot.
    pub machine: &'a QemuConfig,
    /// How its instructions run.
    pub accelerator: Accelerator,
    /// Ends waiting early once it is true.
    pub interrupt: Option<Arc<AtomicBool>>,
    /// How long saving may take.
    pub limit: Duration,
}

impl Recipe<'_> {
    /// Finds the snapshot, or brings a machine to that state by `prepare`, which gets it switched on, and saves it.
    ///
    /// It is found again only with the same QEMU, arguments, image digest and files (by name, size and time of change);
    /// others of the same label are then removed unless they are in use.
    pub fn open(&self, prepare: impl FnOnce(&mut Qemu) -> Result<()>) -> Result<Snapshot> {
        fs::create_dir_all(self.cache).map_err(Error::io("create directory", self.cache))?;
        let cache = fs::canonicalize(self.cache).map_err(Error::io("find", self.cache))?;
        let key = key(self.tools, &self.image, self.machine, self.accelerator)?.to_string();
        let name = format!("{}-{}", self.label, &key[..DIGITS]);
        let directory = cache.join(&name);
        let lock = cache.join(format!("{name}.lock"));
        let shared = FileLock::acquire(&lock, Mode::Shared)?;
        if directory.is_dir() {
            return Ok(self.snapshot(directory, true, shared));
        }
        drop(shared);
        let exclusive = FileLock::acquire(&lock, Mode::Exclusive)?;
        // Somebody else may have made it meanwhile.
        let found = directory.is_dir();
        if !found {
            remove_others(&cache, self.label, &name)?;
            let unfinished = cache.join(format!("{name}.new"));
            remove(&unfinished)?;
            if let Err(error) = self.make(&unfinished, prepare) {
                remove(&unfinished)?;
                return Err(error);
            }
            fs::rename(&unfinished, &directory).map_err(Error::io("rename to", &directory))?;
        }
        drop(exclusive);
        let shared = FileLock::acquire(&lock, Mode::Shared)?;
        if directory.is_dir() {
            return Ok(self.snapshot(directory, found, shared));
        }
        Err(Error::Config {
            field: "label",
            reason: format!(
                "`{}` is used for several machines at once, which remove each other's snapshot",
                self.label
            ),
        })
    }

    fn snapshot(&self, directory: PathBuf, found: bool, lock: FileLock) -> Snapshot {
        Snapshot {
            tools: self.tools.clone(),
            config: frozen(self.machine, &directory),
            accelerator: self.accelerator,
            directory,
            found,
            _lock: lock,
        }
    }

    fn make(&self, directory: &Path, prepare: impl FnOnce(&mut Qemu) -> Result<()>) -> Result<()> {
        fs::create_dir(directory).map_err(Error::io("create directory", directory))?;
        let config = recording(self.machine, directory)?;
        let mut machine = Qemu::new(self.tools, config, self.accelerator, self.interrupt.clone())?;
        machine.power_on()?;
        prepare(&mut machine)?;
        machine.save_state(&directory.join(STATE), self.limit)
    }
}

impl Snapshot {
    /// Whether it was there already.
    pub fn was_found(&self) -> bool {
        self.found
    }

    /// A machine that runs on from the saved state; what it writes goes with it. Its clock stands where it stood
    /// ([`crate::console::Console::set_clock`]).
    pub fn start(
        &self,
        console_log: Option<PathBuf>,
        interrupt: Option<Arc<AtomicBool>>,
    ) -> Result<Qemu> {
        let config = QemuConfig {
            console_log,
            ..self.config.clone()
        };
        let mut machine = Qemu::new(&self.tools, config, self.accelerator, interrupt)?;
        machine.continue_from(&self.directory.join(STATE));
        machine.power_on()?;
        Ok(machine)
    }
}

/// What the state depends on.
fn key(
    tools: &Tools,
    image: &Digest,
    config: &QemuConfig,
    accelerator: Accelerator,
) -> Result<Digest> {
    let mut hasher = Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    add(VERSION);
    add(tools.qemu_version.as_bytes());
    add(image.as_bytes());
    for argument in key_arguments(config, accelerator) {
        add(argument.as_bytes());
    }
    let mut files: Vec<PathBuf> = config.disks.iter().map(|disk| disk.path.clone()).collect();
    match &config.firmware {
        Firmware::Ovmf {
            secure_boot,
            variables,
        } => files.extend([tools.ovmf_code(*secure_boot)?, variables.path.clone()]),
        Firmware::KernelOnly { kernel, initrd, .. } => {
            files.push(kernel.clone());
            files.extend(initrd.clone());
        }
    }
    for file in files {
        let path = fs::canonicalize(&file).map_err(Error::io("find", &file))?;
        let metadata = fs::metadata(&path).map_err(Error::io("inspect", &path))?;
        add(path.as_os_str().as_bytes());
        let stamp = [
            metadata.len().cast_signed(),
            metadata.mtime(),
            metadata.mtime_nsec(),
        ];
        for number in stamp {
            add(&number.to_le_bytes());
        }
    }
    Ok(hasher.finish())
}

/// The machine while it is prepared: its drives write to overlays in `directory`, its TPM to a copy there.
fn recording(config: &QemuConfig, directory: &Path) -> Result<QemuConfig> {
    let mut config = config.clone();
    for (index, disk) in config.disks.iter_mut().enumerate() {
        disk.access = Access::Overlay(directory.join(disk_name(index)));
    }
    if let Firmware::Ovmf { variables, .. } = &mut config.firmware {
        variables.access = Access::Overlay(directory.join(VARIABLES));
    }
    if let Some(tpm) = &mut config.tpm {
        let state = directory.join(TPM);
        crate::qemu::copy_tpm_state(&tpm.state, &state)?;
        *tpm = Tpm { state, keep: true };
    }
    Ok(config)
}

/// The machine as it is started from the finished snapshot in `directory`.
fn frozen(config: &QemuConfig, directory: &Path) -> QemuConfig {
    let overlay = |name: &str| Drive {
        path: directory.join(name),
        format: Format::Qcow2,
        access: Access::Discard,
    };
    let mut config = config.clone();
    for (index, disk) in config.disks.iter_mut().enumerate() {
        *disk = overlay(&disk_name(index));
    }
    if let Firmware::Ovmf { variables, .. } = &mut config.firmware {
        *variables = overlay(VARIABLES);
    }
    if let Some(tpm) = &mut config.tpm {
        *tpm = Tpm {
            state: directory.join(TPM),
            keep: false,
        };
    }
    config
}

fn disk_name(index: usize) -> String {
    format!("disk{index}.qcow2")
}

/// Removes the label's other snapshots that nobody uses.
fn remove_others(cache: &Path, label: &str, name: &str) -> Result<()> {
    for entry in fs::read_dir(cache).map_err(Error::io("list", cache))? {
        let entry = entry.map_err(Error::io("list", cache))?;
        let file_name = entry.file_name();
        let Some(other) = file_name.to_str() else {
            continue;
        };
        let key = other
            .strip_prefix(label)
            .and_then(|rest| rest.strip_prefix('-'));
        let is_snapshot = key.is_some_and(|key| {
            key.len() == DIGITS && key.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        if !is_snapshot || other == name {
            continue;
        }
        let lock = cache.join(format!("{other}.lock"));
        if let Some(_lock) = FileLock::try_acquire(lock, Mode::Exclusive)? {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", directory)(error))
        }
        _ => Ok(()),
    }
}
