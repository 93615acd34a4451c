use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use bedstone_state::etc::Layers;
use bedstone_state::minimum::Known;
use bedstone_sys::uevent;
use rustix::mount::MountFlags;

use crate::console::Console;
use crate::data::{self, Data, State};
use crate::disk::Disk;
use crate::efi::Variables;
use crate::environment::{BootPartitions, Device};
use crate::error::{Error, Result};
use crate::failure::{self, Means, Outcome};
use crate::minimum::{self, Verdict};
use crate::parameters::Parameters;
use crate::populate::{self, Source};
use crate::slot::{self, Running, Slot};
use crate::status::Status;
use crate::{etc, modules, mounts, root, switch, watcher};

/// What of the image's `/var` stays the image's: the package database tells of the root file system, and an update must
/// not leave an old one on the data partition. Shown read-only from the root.
const IMAGE_OWNED: &str = "lib/dpkg";
/// Where the image's own `/var` is seen once the data is mounted over it.
const IMAGE_VAR: &str = "/image-var";
/// Places on the data partition.
const HOME: &str = "home";
/// There as long as the running slot has to prove itself.
const TRIAL: &str = "/run/bedstone/trial";
const FAILURES: &str = "lib/bedstone/failures.jsonl";

/// PID 1: ends in the new root's program, or in a restart.
pub(crate) fn main(arguments: impl Iterator<Item = OsString>) {
    let begun = Instant::now();
    let mounted = mounts::kernel();
    let mut start = Start {
        begun,
        console: Console::open(),
        means: Means::default(),
        warnings: Vec::new(),
        on_trial: false,
        times: Vec::new(),
    };
    if let Err(error) = mounted.and_then(|()| start.run(arguments)) {
        start.means.give_up(&start.console, &error.to_string());
    }
}

struct Start {
    begun: Instant,
    console: Console,
    means: Means,
    warnings: Vec<String>,
    /// Whether the slot has still to prove itself.
    on_trial: bool,
    times: Vec<(&'static str, Duration)>,
}

impl Start {
    fn run(&mut self, arguments: impl Iterator<Item = OsString>) -> Result<()> {
        let line =
            fs::read_to_string("/proc/cmdline").map_err(Error::io("read", "/proc/cmdline"))?;
        let parameters = Parameters::parse(&line)?;
        self.means.root_hash = Some(parameters.root.hash.to_string());
        let events = uevent::Socket::open().map_err(Error::io("open", "netlink"))?;
        modules::load(&self.console)?;
        self.done("modules");
        let disk = Disk::wait(parameters.disk, &events)?;
        drop(events);
        if let Some(fault) = &disk.table_fault {
            self.warn(format!("partition table of {}: {fault}", disk.name));
        }
        self.done("disk");

        let running = self.find_slot(&disk, &parameters);
        let partition = disk.partition(running.slot.root_partition())?;
        let device = root::open(running.slot, partition, &parameters.root)?;
        root::mount(running.slot, partition, &device, &parameters.root)?;
        let root = Path::new(root::MOUNTED);
        mounts::kernel_in(root)?;
        self.done("root");

        let data = Data::open(&disk, parameters.data, &self.console)?;
        if let State::Volatile(reason) = &data.state {
            // The console has it already.
            self.warnings
                .push(format!("data partition not in use: {reason}"));
        }
        self.done("data");
        let last_failure = self.take_failure(&data);
        let known = self.check_version(root);
        self.fill(root, running.slot, &parameters)?;
        self.done("filled");

        // Errors above may be another's fault; a corrupt block is the slot's.
        if root::is_corrupt()? {
            return Err(Error::Root {
                slot: running.slot,
                device: partition.path.display().to_string(),
                reason: root::CORRUPT.to_owned(),
            });
        }
        let hash = parameters.root.hash.to_string();
        if let Err(error) = watcher::start(running, &disk, &device, &hash) {
            self.warn(format!("the root file system is not watched: {error}"));
        }
        self.done("watcher");
        let status = Status {
            running,
            parameters: &parameters,
            disk: &disk,
            root_device: &partition.path,
            data: &data,
            warnings: &self.warnings,
            last_failure: last_failure.as_deref(),
            minimum: known.minimum.as_ref(),
            times: &self.times,
        };
        if let Err(error) = status.write() {
            self.console.warn(error.to_string());
        }
        if self.on_trial {
            // Tells the system that nobody has confirmed it yet, also where its agent does not come up.
            let marked = bedstone_store::atomic::write(TRIAL, b"");
            if let Err(error) = marked {
                self.console.warn(error.to_string());
            }
        }
        let short = &hash[..12];
        self.console.info(format!(
            "slot {}, root {short} verified ({}), data {}, {:.2} s",
            running.slot,
            partition.path.display(),
            describe(&data),
            self.begun.elapsed().as_secs_f64(),
        ));
        let program = root::program(root).unwrap_or(root::PROGRAMS[0]);
        switch::into_root(program, arguments)
    }

    fn warn(&mut self, text: String) {
        self.console.warn(&text);
        self.warnings.push(text);
    }

    fn done(&mut self, step: &'static str) {
        self.times.push((step, self.begun.elapsed()));
    }

    /// Finds out which slot is running, and opens what is needed to leave it.
    fn find_slot(&mut self, disk: &Disk, parameters: &Parameters) -> Running {
        match mounts::efi_variables() {
            Ok(true) => self.means.variables = Variables::open(mounts::EFI_VARIABLES).ok(),
            Ok(false) => {}
            Err(error) => self.warn(format!("no EFI variables: {error}")),
        }
        let variables = self.means.variables.as_ref();
        match variables.and_then(Variables::secure_boot) {
            Some(true) => self.console.info("the firmware enforces Secure Boot"),
            Some(false) => self
                .console
                .warn("the firmware does not enforce Secure Boot"),
            None => {}
        }
        let running = slot::running(
            &disk.table,
            variables.and_then(Variables::stub_partition),
            variables.and_then(Variables::loader_partition),
            |slot| {
                let partition = disk.partition(slot.root_partition());
                partition.is_ok_and(|partition| root::holds(partition, &parameters.root))
            },
        );
        self.means.running = Some(running);
        if running.source == slot::Source::Assumed {
            self.warn(format!(
                "neither firmware nor disk tell which slot is running: taking slot {}",
                running.slot
            ));
        }
        let boot = |slot: Slot| {
            let path = &disk.partition(slot.boot_partition())?.path;
            Device::open(path).map_err(Error::io("open", path))
        };
        match (boot(running.slot), boot(running.slot.other())) {
            (Ok(own), Ok(other)) => self.means.boot = Some(BootPartitions { own, other }),
            (Err(error), _) | (_, Err(error)) => self.warn(error.to_string()),
        }
        let boot = self
            .means
            .boot
            .as_ref()
            .filter(|_| running.source.is_firmware());
        if boot.is_some_and(BootPartitions::other_is_preferred) {
            let other = running.slot.other();
            self.warn(format!(
                "the boot loader prefers slot {other}, which did not start"
            ));
        }
        if running.source.is_firmware()
            && let Some(boot) = &mut self.means.boot
        {
            let attempts = boot.allow_another_attempt();
            self.on_trial = !matches!(attempts, Ok(None));
            match attempts {
                Ok(None) => {}
                Ok(Some(0)) => self.console.info(format!(
                    "slot {} is on trial for the last time",
                    running.slot
                )),
                Ok(Some(left)) => self.console.info(format!(
                    "slot {} is on trial, {left} more starts after this one",
                    running.slot
                )),
                Err(error) => self.warn(format!("attempts are not counted: {error}")),
            }
        }
        running
    }

    /// Leaves a slot that is older than this device may run, if the other one is better; returns what is known of that.
    fn check_version(&mut self, root: &Path) -> Known {
        let known = minimum::known(&self.means);
        for fault in &known.faults {
            self.warn(format!("minimum version: {fault}"));
        }
        let version = minimum::version(root);
        let verdict = minimum::judge(version.as_deref(), known.minimum.as_ref(), || {
            minimum::other(&self.means)
        });
        match verdict {
            Verdict::Allowed => {}
            Verdict::Leave(reason) => match self.means.leave(&self.console, &reason) {
                Outcome::NextStarts(_) => failure::restart_soon(&self.console),
                Outcome::Unchanged(other) => self.warn(format!("{reason}; {other}")),
            },
            Verdict::GoOn(reason) => self.warn(reason),
        }
        known
    }

    /// The failure that an earlier start recorded; from now on it is kept on the data partition.
    fn take_failure(&mut self, data: &Data) -> Option<String> {
        let variables = self.means.variables.as_ref()?;
        let failure = variables.failure().ok()??;
        if data.is_persistent() {
            let path = Path::new(data::MOUNTED).join(FAILURES);
            let kept = append(&path, &failure).and_then(|()| variables.forget_failure());
            if let Err(error) = kept {
                self.warn(format!("cannot keep the last failure: {error}"));
            }
        }
        self.console.warn(format!("last failure: {failure}"));
        Some(failure)
    }

    /// Puts everything writable into the root at `root`.
    fn fill(&mut self, root: &Path, slot: Slot, parameters: &Parameters) -> Result<()> {
        let var = root.join("var");
        let mounted = Path::new(data::MOUNTED);
        let home = root.join("home");
        let sources = [
            Source {
                image: &var,
                data: "",
                skip: &[IMAGE_OWNED],
            },
            Source {
                image: &home,
                data: HOME,
                skip: &[],
            },
        ];
        let added = populate::add(mounted, &parameters.root.hash.to_string(), &sources);
        match added {
            Ok(0) => {}
            Ok(count) => self
                .console
                .info(format!("/var: {count} additions from the image")),
            Err(error) => self.warn(format!("/var is incomplete: {error}")),
        }

        let step = |action, path: &Path, result: rustix::io::Result<()>| {
            result.map_err(Error::io(action, path))
        };
        fs::create_dir_all(IMAGE_VAR).map_err(Error::io("create", IMAGE_VAR))?;
        step(
            "mount on",
            Path::new(IMAGE_VAR),
            rustix::mount::mount_bind(&var, IMAGE_VAR),
        )?;
        step("mount on", &var, rustix::mount::mount_move(mounted, &var))?;
        let database = Path::new(IMAGE_VAR).join(IMAGE_OWNED);
        if fs::symlink_metadata(&database).is_ok_and(|metadata| metadata.is_dir()) {
            let shown = var.join(IMAGE_OWNED);
            fs::create_dir_all(&shown).map_err(Error::io("create", &shown))?;
            step(
                "mount on",
                &shown,
                rustix::mount::mount_bind(&database, &shown),
            )?;
        }
        step(
            "unmount",
            Path::new(IMAGE_VAR),
            rustix::mount::unmount(IMAGE_VAR, rustix::mount::UnmountFlags::DETACH),
        )?;

        let homes = var.join(HOME);
        if home.is_dir() && homes.is_dir() {
            step("mount on", &home, rustix::mount::mount_bind(&homes, &home))?;
            let flags = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV;
            step(
                "mount on",
                &home,
                rustix::mount::mount_remount(&home, flags, ""),
            )?;
        }
        self.lay_etc(root, &etc::layers(&var), slot, parameters)
    }

    /// Puts the slot's changes over `/etc`. A slot on trial without the device's settings has not proved itself: it is left.
    /// One that is confirmed comes up all the same.
    fn lay_etc(
        &mut self,
        root: &Path,
        layers: &Layers,
        slot: Slot,
        parameters: &Parameters,
    ) -> Result<()> {
        match etc::lay(root, layers, slot, &parameters.root.hash.to_string()) {
            Ok(None) => Ok(()),
            Ok(Some(report)) => {
                self.console.info(format!(
                    "/etc: {} changes of the device carried over",
                    report.kept
                ));
                match report.conflicts().count() {
                    0 => {}
                    count => self.warn(format!(
                        "/etc: {count} conflicts with the new image, see `bedstone-agent status`"
                    )),
                }
                Ok(())
            }
            Err(error) if self.on_trial => Err(Error::Etc(Box::new(error))),
            Err(error) => {
                self.warn(format!("changes of /etc are not kept: {error}"));
                etc::lay_in_memory(root, layers, slot)
            }
        }
    }
}

fn describe(data: &Data) -> String {
    let device = data.device.display();
    match data.state {
        State::Mounted => device.to_string(),
        State::Created => format!("{device} (new)"),
        State::Repaired => format!("{device} (repaired)"),
        State::Volatile(_) => "in memory only".to_owned(),
    }
}

/// Adds a line to a file and brings it to the disk.
fn append(path: &Path, line: &str) -> std::io::Result<()> {
    use std::io::Write;
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)?;
    writeln!(file, "{line}")?;
    file.sync_all()
}
