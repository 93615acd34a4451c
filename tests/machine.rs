//! A machine in QEMU with a copy of an image's disk.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bedstone_disk::bgenv::Environment;
use bedstone_disk::efi_variables::{GLOBAL, LoadOption, SecureBootKeys, boot_order, efivarfs};
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

use crate::image::Image;
use crate::program::kept;

/// From power on to the login prompt, also where one slot fails first and both cores have other work.
pub const BOOT: Duration = Duration::from_secs(900);
/// One command in the guest.
pub const COMMAND: Duration = Duration::from_secs(300);

/// The boot entries that a start leaves at the head of the firmware's list.
const BOOT_ENTRIES: [&str; 3] = ["EFI Boot Guard", "Bedstone slot B", "Bedstone slot A"];

/// A machine with a disk and variables that only this case has.
#[derive(Debug)]
pub struct Guest {
    qemu: Qemu,
    tools: Tools,
    disk: PathBuf,
    variables: PathBuf,
    /// Holds disk and variables; goes last.
    _files: TempDir,
}

/// What is read off the console while a machine boots.
#[derive(Debug)]
pub struct Booted {
    /// All that the console said up to the login prompt.
    pub console: String,
}

impl Booted {
    /// The slots whose root was verified and started, in this order.
    pub fn slots(&self) -> Vec<&str> {
        let lines = self.init_lines().into_iter();
        lines
            .filter_map(|line| line.strip_prefix("slot "))
            .filter_map(|line| line.split_once(", root "))
            .filter(|(_, rest)| rest.contains(" verified "))
            .map(|(slot, _)| slot)
            .collect()
    }

    /// What the image's init said.
    pub fn init_lines(&self) -> Vec<&str> {
        let lines = self.console.lines();
        lines
            .filter_map(|line| Some(line.split_once("bedstone-init: ")?.1.trim_end()))
            .collect()
    }

    /// The init said this, as a whole line.
    #[track_caller]
    pub fn assert_init_says(&self, line: &str) {
        let lines = self.init_lines();
        assert!(lines.contains(&line), "`{line}` is not in {lines:#?}");
    }

    /// The console said all of this, in this order.
    #[track_caller]
    pub fn assert_says(&self, texts: &[&str]) {
        let mut rest = self.console.as_str();
        for text in texts {
            match rest.split_once(text) {
                Some((_, after)) => rest = after,
                None => panic!("`{text}` is not, or not there, in:\n{}", self.console),
            }
        }
    }
}

impl Guest {
    /// Prepares a machine with a copy of the image's disk, and with firmware that trusts the image's keys only.
    pub fn new(image: &Image) -> Self {
        Self::prepare(image, None, &[])
    }

    /// The same with these files as further disks, `/dev/vdb` and on, of which writes are forgotten.
    pub fn with_disks(image: &Image, disks: &[&Path]) -> Self {
        Self::prepare(image, None, disks)
    }

    /// The same with a TPM whose state is kept in a directory.
    pub fn with_tpm(image: &Image, state: &Path) -> Self {
        Self::prepare(image, Some(state), &[])
    }

    fn prepare(image: &Image, tpm: Option<&Path>, more: &[&Path]) -> Self {
        // Beside the images: the copy is sparse, but too large for a /tmp in memory.
        let files = TempDir::new_in(kept("test-images")).unwrap();
        let disk = files.path().join("disk.img");
        let copied = Command::new("cp")
            .args(["--sparse=always", "--reflink=auto"])
            .args([&image.file("disk"), &disk])
            .status()
            .unwrap();
        assert!(copied.success());

        let path: Vec<PathBuf> = env::split_paths(&env::var_os("PATH").unwrap()).collect();
        let cache = kept("test-lab");
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
            disks: std::iter::once(writable(&disk))
                .chain(more.iter().map(|path| Drive {
                    path: path.to_path_buf(),
                    format: Format::Raw,
                    access: Access::Discard,
                }))
                .collect(),
            tpm: tpm.map(|state| Tpm {
                state: state.to_path_buf(),
                keep: true,
            }),
            watchdog: true,
            // With two, QEMU 7.2 sometimes gets no further after a reset: both contend for the locks of the same pages.
            cpus: 1,
            console_log: Some(kept("test-images").join(format!(
                "console-{}.log",
                std::thread::current().name().unwrap_or("guest").replace("::", "-")
            ))),
            ..QemuConfig::new("guest", firmware)
        };
        let accelerator = Accelerator::choose(&tools, Acceleration::Auto, &cache).unwrap();
        let qemu = Qemu::new(&tools, config, accelerator, None).unwrap();
        Self {
            qemu,
            tools,
            disk,
            variables,
            _files: files,
        }
    }

    /// Empties the firmware's variables while the machine is off: without keys nothing is verified.
    pub fn disable_secure_boot(&mut self) {
        let template = self.tools.ovmf_variables().unwrap();
        write_variables(&template, None, &[], &self.variables).unwrap();
    }

    /// Switches the machine on and waits for the login prompt, through as many restarts as it takes.
    pub fn boot(&mut self) -> Booted {
        self.qemu.power_on().unwrap();
        self.reach_login()
    }

    /// Waits for the login prompt; it stays to be answered by [`Guest::log_in`].
    pub fn reach_login(&mut self) -> Booted {
        let console = self.qemu.console().unwrap();
        // The prompt's line is `HOST login: `; nothing else of a boot ends so.
        let found = console.expect(Pattern::text(" login: "), BOOT).unwrap();
        Booted {
            console: found.before,
        }
    }

    /// Answers the login prompt that [`Guest::boot`] found.
    pub fn log_in(&mut self) {
        let console = self.qemu.console().unwrap();
        // A new prompt, since the one that was there has been read.
        console.send_line("").unwrap();
        console.login("dev", Some("bedstone-Dev-1"), BOOT).unwrap();
    }

    /// Runs a command that must succeed; its output.
    pub fn run(&mut self, command: &str) -> String {
        let output = self.qemu.console().unwrap().run(command, COMMAND).unwrap();
        assert_eq!(output.status, 0, "`{command}`: {}", output.text());
        output.text()
    }

    /// Runs a command as root that must succeed; its output.
    pub fn run_as_root(&mut self, command: &str) -> String {
        self.run(&format!("echo bedstone-Dev-1 | sudo -S -p '' {command}"))
    }

    /// Runs a command as root and returns its status with its output.
    pub fn try_as_root(&mut self, command: &str) -> (i32, String) {
        let command = format!("echo bedstone-Dev-1 | sudo -S -p '' {command}");
        let output = self.qemu.console().unwrap().run(&command, COMMAND).unwrap();
        (output.status, output.text())
    }

    /// Runs a command that may fail or be cut off by a restart.
    pub fn start(&mut self, command: &str) {
        self.qemu.console().unwrap().send_line(command).unwrap();
    }

    /// Waits until a command in the guest succeeds, within the time of a boot.
    pub fn wait_for(&mut self, command: &str) {
        let begun = Instant::now();
        while self
            .qemu
            .console()
            .unwrap()
            .run(command, COMMAND)
            .unwrap()
            .status
            != 0
        {
            assert!(begun.elapsed() < BOOT, "`{command}` never succeeds");
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// The value of one of the firmware's own variables, if it is there.
    pub fn variable(&mut self, name: &str) -> Option<Vec<u8>> {
        let file = format!(
            "/sys/firmware/efi/efivars/{}",
            efivarfs::file_name(name, GLOBAL)
        );
        let hex = self.run(&format!("[ ! -e {file} ] || od -An -v -tx1 {file}"));
        let bytes: Vec<u8> = hex
            .split_whitespace()
            .map(|byte| u8::from_str_radix(byte, 16).unwrap())
            .collect();
        (!bytes.is_empty()).then(|| efivarfs::decode(&bytes).unwrap().1.to_vec())
    }

    /// Whether the firmware says that it verifies what it starts.
    pub fn enforces_secure_boot(&mut self) -> bool {
        self.variable("SecureBoot").expect("UEFI has this variable") == [1]
    }

    /// What the firmware starts, in this order.
    pub fn boot_entries(&mut self) -> Vec<String> {
        let order = self.variable("BootOrder").unwrap_or_default();
        let order = boot_order::decode(&order).unwrap();
        order
            .into_iter()
            .filter_map(|number| self.variable(&boot_order::name(number)))
            .map(|entry| LoadOption::decode(&entry).unwrap().description)
            .collect()
    }

    /// Waits until the watcher has made the boot entries by which the firmware gets past a refused kernel.
    pub fn wait_for_boot_entries(&mut self) {
        let begun = Instant::now();
        loop {
            let entries = self.boot_entries();
            if entries.starts_with(&BOOT_ENTRIES.map(str::to_owned)) {
                return;
            }
            assert!(begun.elapsed() < BOOT, "{entries:?}");
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// `/run/bedstone/boot.json`.
    pub fn status(&mut self) -> Value {
        let text = self.run("cat /run/bedstone/boot.json");
        serde_json::from_str(&text).unwrap()
    }

    /// Presses the power button, and waits until the guest is off.
    pub fn shut_down(&mut self) {
        let ending = self.qemu.shut_down(COMMAND).unwrap();
        assert_eq!(ending, Ending::GuestShutdown);
        self.qemu.power_off().unwrap();
    }

    /// Cuts the power, once what was written is on the disk.
    pub fn cut_power(&mut self) {
        self.run("sync");
        self.qemu.power_off().unwrap();
    }

    /// Cuts the power this moment, whatever is being written.
    pub fn pull_the_plug(&mut self) {
        self.qemu.power_off().unwrap();
    }

    /// Waits until the console says this.
    pub fn expect(&mut self, pattern: &Pattern) {
        let console = self.qemu.console().unwrap();
        console.expect(pattern.clone(), BOOT).unwrap();
    }

    /// The disk's file, to be looked at and changed while the machine is off.
    pub fn disk(&self) -> &Path {
        &self.disk
    }

    /// A slot's boot environment, while the machine is off.
    pub fn environment(&self, slot: Slot) -> Environment {
        let disk = Disk::open(&self.disk).unwrap();
        Environment::from_bytes(&disk.environment(slot).unwrap()).unwrap()
    }
}
