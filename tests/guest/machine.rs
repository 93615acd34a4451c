use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bedstone_disk::bgenv::Environment;
use bedstone_disk::efi_variables::SecureBootKeys;
use bedstone_disk::guid::Guid;
use bedstone_disk::layout::Slot;
use bedstone_disk::model::Disk;
use bedstone_lab::Device;
use bedstone_lab::console::Pattern;
use bedstone_lab::firmware::write_variables;
use bedstone_lab::qemu::{
    Acceleration, Accelerator, Access, Drive, Ending, Firmware, Format, Qemu, QemuConfig, Tools,
    Tpm,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::image::{Image, directory};

/// From power on to the login prompt, also where one slot fails first and both cores have other work.
pub(crate) const BOOT: Duration = Duration::from_secs(420);
/// One command in the guest.
pub(crate) const COMMAND: Duration = Duration::from_secs(120);

/// A machine with a disk and variables that only this case has.
pub(crate) struct Guest {
    qemu: Qemu,
    disk: PathBuf,
    /// Holds disk and variables; goes last.
    _files: TempDir,
}

/// What is read off the console while a machine boots.
#[derive(Debug)]
pub(crate) struct Booted {
    /// All that the console said up to the login prompt.
    pub(crate) console: String,
}

impl Booted {
    /// The slots whose root was verified and started, in this order.
    pub(crate) fn slots(&self) -> Vec<&str> {
        let lines = self.init_lines().into_iter();
        lines
            .filter_map(|line| line.strip_prefix("slot "))
            .filter_map(|line| line.split_once(", root "))
            .filter(|(_, rest)| rest.contains(" verified "))
            .map(|(slot, _)| slot)
            .collect()
    }

    /// What the image's init said.
    pub(crate) fn init_lines(&self) -> Vec<&str> {
        let lines = self.console.lines();
        lines
            .filter_map(|line| Some(line.split_once("bedstone-init: ")?.1.trim_end()))
            .collect()
    }

    pub(crate) fn init_says(&self, text: &str) -> bool {
        self.init_lines().iter().any(|line| line.contains(text))
    }
}

impl Guest {
    /// Prepares a machine with a copy of the image's disk and with firmware that trusts the image's keys only.
    pub(crate) fn new(image: &Image, tpm: Option<&Path>) -> Self {
        // Beside the images: the copy is sparse, but too large for a /tmp in memory.
        let files = TempDir::new_in(directory("test-images")).unwrap();
        let disk = files.path().join("disk.img");
        let copied = Command::new("cp")
            .args(["--sparse=always", "--reflink=auto"])
            .args([&image.file("disk"), &disk])
            .status()
            .unwrap();
        assert!(copied.success());

        let path: Vec<PathBuf> = env::split_paths(&env::var_os("PATH").unwrap()).collect();
        let cache = directory("test-lab");
        let tools = Tools::discover(&path, Path::new("/usr/share/OVMF"), &cache).unwrap();
        let [pk, kek, db] = ["pk-certificate", "kek-certificate", "db-certificate"]
            .map(|kind| fs::read(image.file(kind)).unwrap());
        let keys = SecureBootKeys {
            owner: Guid::derive(&image.record.signing.certificate, "guest test"),
            pk: &pk,
            kek: &[&kek],
            db: &[&db],
        };
        let variables = files.path().join("variables.fd");
        write_variables(
            &tools.ovmf_variables().unwrap(),
            Some(&keys),
            &[],
            &variables,
        )
        .unwrap();
        let writable = |path: &Path| Drive {
            path: path.to_path_buf(),
            format: Format::Raw,
            access: Access::Writable,
        };
        let firmware = Firmware::Ovmf {
            secure_boot: true,
            variables: writable(&variables),
        };
        let config = QemuConfig {
            disks: vec![writable(&disk)],
            tpm: tpm.map(|state| Tpm {
                state: state.to_path_buf(),
                keep: true,
            }),
            watchdog: true,
            console_log: Some(directory("test-images").join(format!(
                "console-{}.log",
                std::thread::current().name().unwrap_or("guest").replace("::", "-")
            ))),
            ..QemuConfig::new("guest", firmware)
        };
        let accelerator = Accelerator::choose(&tools, Acceleration::Auto, &cache).unwrap();
        let qemu = Qemu::new(&tools, config, accelerator, None).unwrap();
        Self {
            qemu,
            disk,
            _files: files,
        }
    }

    /// Switches the machine on and waits for the login prompt, through as many restarts as it takes.
    pub(crate) fn boot(&mut self) -> Booted {
        self.qemu.power_on().unwrap();
        self.reach_login()
    }

    /// Waits for the login prompt; it stays to be answered by [`Guest::log_in`].
    pub(crate) fn reach_login(&mut self) -> Booted {
        let console = self.qemu.console().unwrap();
        // The prompt's line is `HOST login: `; nothing else of a boot ends so.
        let found = console.expect(Pattern::text(" login: "), BOOT).unwrap();
        Booted {
            console: found.before,
        }
    }

    /// Answers the login prompt that [`Guest::boot`] found.
    pub(crate) fn log_in(&mut self) {
        let console = self.qemu.console().unwrap();
        // A new prompt, since the one that was there has been read.
        console.send_line("").unwrap();
        console.login("dev", Some("bedstone-Dev-1"), BOOT).unwrap();
    }

    /// Runs a command that must succeed; its output.
    pub(crate) fn run(&mut self, command: &str) -> String {
        let output = self.qemu.console().unwrap().run(command, COMMAND).unwrap();
        assert_eq!(output.status, 0, "`{command}`: {}", output.text());
        output.text()
    }

    /// Runs a command that may fail or be cut off by a restart.
    pub(crate) fn start(&mut self, command: &str) {
        self.qemu.console().unwrap().send_line(command).unwrap();
    }

    /// `/run/bedstone/boot.json`.
    pub(crate) fn status(&mut self) -> Value {
        let text = self.run("cat /run/bedstone/boot.json");
        serde_json::from_str(&text).unwrap()
    }

    /// Presses the power button, and waits until the guest is off.
    pub(crate) fn shut_down(&mut self) {
        let ending = self.qemu.shut_down(COMMAND).unwrap();
        assert_eq!(ending, Ending::GuestShutdown);
        self.qemu.power_off().unwrap();
    }

    /// The disk's file, to be looked at and changed while the machine is off.
    pub(crate) fn disk(&self) -> &Path {
        &self.disk
    }

    /// A slot's boot environment, while the machine is off.
    pub(crate) fn environment(&self, slot: Slot) -> Environment {
        let disk = Disk::open(&self.disk).unwrap();
        Environment::from_bytes(&disk.environment(slot).unwrap()).unwrap()
    }
}
