//! The process that stays when the start is over and watches the root file system for corrupt blocks.
//!
//! It runs from the initramfs, whose `/dev`, `/proc` and `/sys` stay mounted for it beneath the new root, so that it
//! needs nothing from the file system that it watches. Its memory is locked, it runs before ordinary processes, and
//! systemd spares it at shutdown because its name begins with `@`
//! (systemd.io/ROOT_STORAGE_DAEMONS).

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use bedstone_disk::gpt::Table;
use bedstone_sys::machine;
use bedstone_sys::uevent::{Socket, Uevent};
use rustix::event::{PollFd, PollFlags};

use crate::console::Console;
use crate::disk::Disk;
use crate::efi::Variables;
use crate::environment::{BootPartitions, Device};
use crate::error::{Error, Result};
use crate::failure::{self, Means, Outcome};
use crate::mounts;
use crate::root;
use crate::slot::{Running, Slot, Source};

/// The name under which this program starts itself to watch.
pub(crate) const NAME: &str = "@bedstone-watch";
/// Kept by the kernel from its memory killer (`proc(5)`).
const NEVER_KILLED: &str = "-1000";
/// Where the running system keeps failures, seen from the initramfs.
const FAILURES: &str = "/proc/1/root/var/lib/bedstone/failures.jsonl";
/// The line that tells [`start`] that the watch has begun.
const READY: &[u8] = b"+";
/// How long a message stays readable before the restart.
const READING_TIME: Duration = Duration::from_secs(1);

/// Starts the watcher and waits until it watches.
pub(crate) fn start(running: Running, disk: &Disk, device: &str, root_hash: &str) -> Result<()> {
    let path = |slot: Slot| {
        let partition = disk.partition(slot.boot_partition())?;
        Ok::<_, Error>(partition.path.as_os_str())
    };
    let mut child = Command::new("/proc/self/exe")
        .arg0(NAME)
        .args([running.slot.to_string(), running.source.to_string()])
        .args([path(running.slot)?, path(running.slot.other())?])
        .args([&disk.name, device, root_hash])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(Error::io("run", NAME))?;
    let mut ready = Vec::new();
    if let Some(mut output) = child.stdout.take() {
        let mut byte = [0];
        if output.read(&mut byte).is_ok_and(|length| length == 1) {
            ready.extend(byte);
        }
    }
    if ready == READY {
        return Ok(());
    }
    Err(Error::Tool {
        program: NAME.to_owned(),
        outcome: "did not begin to watch".to_owned(),
    })
}

/// What the watcher is told by its arguments.
#[derive(Debug, PartialEq, Eq)]
struct Watch {
    running: Running,
    own: PathBuf,
    other: PathBuf,
    disk: String,
    device: String,
    root_hash: String,
}

impl Watch {
    fn from_arguments(arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let arguments: Vec<String> = arguments
            .filter_map(|text| text.into_string().ok())
            .collect();
        let [slot, source, own, other, disk, device, root_hash] = arguments.try_into().ok()?;
        let sources = [
            Source::Stub,
            Source::Loader,
            Source::RootPartition,
            Source::Assumed,
        ];
        Some(Self {
            running: Running {
                slot: Slot::parse(&slot)?,
                source: sources
                    .into_iter()
                    .find(|known| known.to_string() == source)?,
            },
            own: own.into(),
            other: other.into(),
            disk,
            device,
            root_hash,
        })
    }
}

/// What the process does that [`start`] starts.
pub(crate) fn main(arguments: impl Iterator<Item = OsString>) {
    let console = Console::open();
    let Some(watch) = Watch::from_arguments(arguments) else {
        console.error("the watcher was started with wrong arguments");
        return;
    };
    if let Err(error) = watch.run(&console) {
        console.error(format!(
            "the root file system is no longer watched: {error}"
        ));
    }
}

impl Watch {
    fn run(&self, console: &Console) -> Result<()> {
        // Its own session: no terminal's signals, and no group of PID 1's.
        let _ = rustix::process::setsid();
        let _ = fs::write("/proc/self/oom_score_adj", NEVER_KILLED);
        let mut means = self.means(console);
        let events = Socket::open().map_err(Error::io("open", "netlink"))?;
        machine::lock_memory().map_err(Error::io("lock", "memory"))?;
        if let Err(error) = machine::become_real_time() {
            console.warn(format!("the watcher runs with ordinary priority: {error}"));
        }
        rustix::io::write(rustix::stdio::stdout(), READY).map_err(Error::io("write", "pipe"))?;
        // The writing end would keep nothing waiting, but nothing reads it any more either.
        self.ensure_boot_entries(&means, console);
        let reason = self.wait_for_corruption(&events)?;
        if let Outcome::NextStarts(_) = means.leave(console, &reason) {
            thread::sleep(READING_TIME);
            failure::restart(console);
        }
        // The same block would be corrupt after a restart too. What reads it gets an error, so the system stays up for
        // what it still can do, says what is wrong, and the watch is over.
        keep(&means, &reason, console);
        console.error("the system stays up without it; write a good image to this slot");
        Ok(())
    }

    fn means(&self, console: &Console) -> Means {
        let open = |path: &Path| {
            let device = Device::open(path);
            device
                .map_err(|error| console.warn(format!("cannot open `{}`: {error}", path.display())))
        };
        let boot = match (open(&self.own), open(&self.other)) {
            (Ok(own), Ok(other)) => Some(BootPartitions { own, other }),
            _ => None,
        };
        Means {
            running: Some(self.running),
            root_hash: Some(self.root_hash.clone()),
            boot,
            variables: Variables::open(mounts::EFI_VARIABLES).ok(),
        }
    }

    /// Done here rather than before the start went on: firmware takes its time for each variable.
    fn ensure_boot_entries(&self, means: &Means, console: &Console) {
        let Some(variables) = means
            .variables
            .as_ref()
            .filter(|_| self.running.source.is_firmware())
        else {
            return;
        };
        let path = Path::new("/dev").join(&self.disk);
        let table = fs::File::open(&path)
            .map_err(Error::io("open", &path))
            .and_then(|file| Ok(Table::read(&file)?.table));
        let created = table.and_then(|table| {
            let created = variables.ensure_boot_entries(&table);
            created.map_err(Error::io("write", "EFI boot entries"))
        });
        match created {
            Ok(created) if created.is_empty() => {}
            Ok(created) => console.info(format!("boot entries made: {}", created.join(", "))),
            Err(error) => console.warn(error.to_string()),
        }
    }

    /// Waits until the kernel reports a corrupt block; returns which.
    fn wait_for_corruption(&self, events: &Socket) -> Result<String> {
        loop {
            // What happened before the socket was there, or when it overflowed, shows in the device's state.
            if root::is_corrupt()? {
                return Ok(format!(
                    "the root file system on {} is corrupt",
                    self.device
                ));
            }
            loop {
                let mut fds = [PollFd::new(events, PollFlags::IN)];
                let _ = rustix::event::poll(&mut fds, None);
                match events.receive() {
                    Ok(Some(event)) => {
                        if let Some(block) = self.corrupt_block(&event) {
                            return Ok(format!("the root file system's {block} is corrupt"));
                        }
                    }
                    Ok(None) => {}
                    Err(_) => break,
                }
            }
        }
    }

    /// The block that an event reports: `DM_VERITY_ERR_BLOCK_NR=kind,number` (Linux `drivers/md/dm-verity-target.c`).
    fn corrupt_block(&self, event: &Uevent) -> Option<String> {
        let device = event.get("DEVNAME")?;
        if device.trim_start_matches("/dev/") != self.device {
            return None;
        }
        let (kind, number) = event.get("DM_VERITY_ERR_BLOCK_NR")?.split_once(',')?;
        let kind = if kind == "0" { "data" } else { "hash" };
        Some(format!("{kind} block {number}"))
    }
}

/// Keeps a failure on the data partition.
fn keep(means: &Means, reason: &str, console: &Console) {
    let record = format!("{}\n", means.record(reason));
    let kept = OpenOptions::new()
        .append(true)
        .create(true)
        .open(FAILURES)
        .and_then(|mut file| {
            file.write_all(record.as_bytes())?;
            file.sync_all()
        });
    if let Err(error) = kept {
        console.error(format!(
            "cannot keep the reason on the data partition: {error}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> Watch {
        let arguments = ["b", "stub", "/dev/vda3", "/dev/vda2", "vda", "dm-0", "4f2a"];
        Watch::from_arguments(arguments.iter().map(OsString::from)).unwrap()
    }

    #[test]
    fn arguments_round_trip() {
        let watch = watch();
        assert_eq!(watch.running.slot, Slot::B);
        assert_eq!(watch.running.source, Source::Stub);
        assert_eq!(watch.other, Path::new("/dev/vda2"));
        let short = ["b", "stub"].iter().map(OsString::from);
        assert_eq!(Watch::from_arguments(short), None);
    }

    #[test]
    fn hears_of_its_own_device_only() {
        let event = |device: &str, block: &str| {
            let message = format!("change@/x\0SUBSYSTEM=block\0DEVNAME={device}\0{block}\0");
            Uevent::parse(message.as_bytes()).unwrap()
        };
        let block = "DM_VERITY_ERR_BLOCK_NR=0,77";
        let watch = watch();
        assert_eq!(
            watch.corrupt_block(&event("dm-0", block)).unwrap(),
            "data block 77"
        );
        assert_eq!(watch.corrupt_block(&event("dm-1", block)), None);
        assert_eq!(watch.corrupt_block(&event("dm-0", "DM_NAME=root")), None);
        let hash = "DM_VERITY_ERR_BLOCK_NR=1,3";
        assert_eq!(
            watch.corrupt_block(&event("/dev/dm-0", hash)).unwrap(),
            "hash block 3"
        );
    }
}
