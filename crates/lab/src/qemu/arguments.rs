use std::ffi::OsString;
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::accelerate::Accelerator;
use super::config::{Access, Firmware, Format, Network, QemuConfig};

/// What a machine's arguments name beside its configuration: files as they are opened and descriptors.
#[derive(Debug, Clone)]
pub(crate) struct Wiring {
    /// How instructions run.
    pub(crate) accelerator: Accelerator,
    /// The firmware's code.
    pub(crate) code: Option<PathBuf>,
    /// The firmware's variables as they are opened.
    pub(crate) variables: Option<OpenDrive>,
    /// The disks as they are opened, in the configuration's order.
    pub(crate) disks: Vec<OpenDrive>,
    /// The monitor's socket.
    pub(crate) qmp: RawFd,
    /// The serial console's socket.
    pub(crate) console: RawFd,
    /// The TPM's control socket.
    pub(crate) tpm: Option<RawFd>,
    /// A saved state to start from.
    pub(crate) incoming: Option<RawFd>,
}

/// A drive's file, or the overlay over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenDrive {
    pub(crate) path: PathBuf,
    pub(crate) format: Format,
    /// Whether nobody wants its bytes after the machine: flushes are then skipped.
    pub(crate) temporary: bool,
}

/// QEMU's arguments, the same for the same machine.
pub(crate) fn arguments(config: &QemuConfig, wiring: &Wiring) -> Vec<OsString> {
    let mut all = Arguments(Vec::new());
    all.add(["-name", &format!("bedstone-{}", plain(&config.name))]);
    all.add(["-nodefaults", "-no-user-config", "-display", "none"]);
    all.add(wiring.accelerator.arguments());
    all.add(["-m", &config.memory.to_string()]);
    all.add(["-smp", &config.cpus.to_string()]);
    all.add(["-rtc", "base=utc"]);
    all.socket("qmp", wiring.qmp);
    all.add(["-mon", "chardev=qmp,mode=control"]);
    all.socket("console", wiring.console);
    all.add(["-serial", "chardev:console"]);
    match &config.firmware {
        Firmware::Ovmf { secure_boot, .. } => {
            if *secure_boot {
                all.add(["-machine", "q35,smm=on"]);
                all.add(["-global", "driver=cfi.pflash01,property=secure,value=on"]);
            } else {
                all.add(["-machine", "q35"]);
            }
            if let Some(code) = &wiring.code {
                all.file(
                    "-drive",
                    "if=pflash,unit=0,format=raw,readonly=on,file=",
                    code,
                );
            }
            if let Some(variables) = &wiring.variables {
                let options = format!("if=pflash,unit=1,{},file=", drive(variables));
                all.file("-drive", &options, &variables.path);
            }
        }
        Firmware::KernelOnly {
            kernel,
            initrd,
            command_line,
        } => {
            all.add(["-machine", "q35"]);
            all.path("-kernel", kernel);
            if let Some(initrd) = initrd {
                all.path("-initrd", initrd);
            }
            all.add(["-append", command_line]);
        }
    }
    for (index, disk) in wiring.disks.iter().enumerate() {
        let options = format!("if=none,id=disk{index},{},discard=unmap,file=", drive(disk));
        all.file("-drive", &options, &disk.path);
        // A kernel given directly takes the first place itself.
        let firmware = matches!(config.firmware, Firmware::Ovmf { .. });
        let boot = if index == 0 && firmware {
            ",bootindex=0"
        } else {
            ""
        };
        all.add([
            "-device",
            &format!("virtio-blk-pci,drive=disk{index},serial=disk{index}{boot}"),
        ]);
    }
    // Seeds the guest's random numbers already in the firmware.
    all.add(["-device", "virtio-rng-pci"]);
    if let Some(tpm) = wiring.tpm {
        all.socket("tpm", tpm);
        all.add(["-tpmdev", "emulator,id=tpm0,chardev=tpm"]);
        all.add(["-device", "tpm-tis,tpmdev=tpm0"]);
    }
    if config.watchdog {
        all.add(["-device", "i6300esb", "-action", "watchdog=reset"]);
    }
    if let Network::User { isolated } = config.network {
        let restrict = if isolated { "on" } else { "off" };
        // Port 0: the host's kernel chooses, and nobody can take the port in between.
        let options = format!("user,id=net0,restrict={restrict},hostfwd=tcp:127.0.0.1:0-:22");
        all.add(["-netdev", &options]);
        all.add(["-device", "virtio-net-pci,netdev=net0,romfile="]);
    }
    if let Some(incoming) = wiring.incoming {
        all.add(["-incoming", &format!("fd:{incoming}")]);
    }
    all.0
}

/// The arguments with which this machine is the same machine, whatever files and descriptors it has at the moment.
pub(crate) fn key_arguments(config: &QemuConfig, accelerator: Accelerator) -> Vec<OsString> {
    let place = |access: &Access| OpenDrive {
        path: PathBuf::new(),
        format: Format::Qcow2,
        temporary: matches!(access, Access::Discard),
    };
    let (code, variables) = match &config.firmware {
        Firmware::Ovmf { variables, .. } => (Some(PathBuf::new()), Some(place(&variables.access))),
        Firmware::KernelOnly { .. } => (None, None),
    };
    let wiring = Wiring {
        accelerator,
        code,
        variables,
        disks: config
            .disks
            .iter()
            .map(|disk| place(&disk.access))
            .collect(),
        qmp: 0,
        console: 0,
        tpm: config.tpm.as_ref().map(|_| 0),
        incoming: None,
    };
    arguments(config, &wiring)
}

fn drive(drive: &OpenDrive) -> String {
    let cache = if drive.temporary {
        "unsafe"
    } else {
        "writeback"
    };
    format!("format={},cache={cache}", drive.format.name())
}

/// Names may hold what QEMU's option syntax does not.
fn plain(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' || c == '_' {
                c
            } else {
                '-'
            }
        })
        .collect()
}

struct Arguments(Vec<OsString>);

impl Arguments {
    fn add<const N: usize>(&mut self, arguments: [&str; N]) {
        self.0.extend(arguments.map(OsString::from));
    }

    fn path(&mut self, option: &str, path: &Path) {
        self.0.push(option.into());
        self.0.push(path.into());
    }

    /// `OPTIONS` ending in `file=`, and a path, whose commas QEMU wants doubled.
    fn file(&mut self, option: &str, options: &str, path: &Path) {
        let mut value = options.as_bytes().to_vec();
        for &byte in path.as_os_str().as_bytes() {
            value.push(byte);
            if byte == b',' {
                value.push(byte);
            }
        }
        self.0.push(option.into());
        self.0.push(OsString::from_vec(value));
    }

    fn socket(&mut self, id: &str, descriptor: RawFd) {
        self.add(["-chardev", &format!("socket,id={id},fd={descriptor}")]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qemu::{Drive, Tpm};
    use proptest::prelude::*;

    fn drive_at(path: &str) -> OpenDrive {
        OpenDrive {
            path: path.into(),
            format: Format::Qcow2,
            temporary: true,
        }
    }

    fn wiring() -> Wiring {
        Wiring {
            accelerator: Accelerator::Tcg,
            code: Some("/code.fd".into()),
            variables: Some(drive_at("/vars")),
            disks: vec![drive_at("/a,b"), drive_at("/c")],
            qmp: 5,
            console: 6,
            tpm: Some(7),
            incoming: Some(8),
        }
    }

    fn text(config: &QemuConfig, wiring: &Wiring) -> String {
        let arguments = arguments(config, wiring);
        let words: Vec<_> = arguments
            .iter()
            .map(|word| word.to_string_lossy())
            .collect();
        words.join(" ")
    }

    #[test]
    fn a_whole_machine() {
        let variables = Drive::discarding("/template.fd");
        let firmware = Firmware::Ovmf {
            secure_boot: true,
            variables,
        };
        let config = QemuConfig {
            tpm: Some(Tpm {
                state: "/tpm".into(),
                keep: true,
            }),
            watchdog: true,
            network: Network::User { isolated: true },
            ..QemuConfig::new("my machine", firmware)
        };
        assert_eq!(
            text(&config, &wiring()),
            "-name bedstone-my-machine -nodefaults -no-user-config -display none \
             -accel tcg,thread=multi -cpu Nehalem -m 1024 -smp 2 -rtc base=utc \
             -chardev socket,id=qmp,fd=5 -mon chardev=qmp,mode=control \
             -chardev socket,id=console,fd=6 -serial chardev:console \
             -machine q35,smm=on -global driver=cfi.pflash01,property=secure,value=on \
             -drive if=pflash,unit=0,format=raw,readonly=on,file=/code.fd \
             -drive if=pflash,unit=1,format=qcow2,cache=unsafe,file=/vars \
             -drive if=none,id=disk0,format=qcow2,cache=unsafe,discard=unmap,file=/a,,b \
             -device virtio-blk-pci,drive=disk0,serial=disk0,bootindex=0 \
             -drive if=none,id=disk1,format=qcow2,cache=unsafe,discard=unmap,file=/c \
             -device virtio-blk-pci,drive=disk1,serial=disk1 \
             -device virtio-rng-pci \
             -chardev socket,id=tpm,fd=7 -tpmdev emulator,id=tpm0,chardev=tpm -device tpm-tis,tpmdev=tpm0 \
             -device i6300esb -action watchdog=reset \
             -netdev user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:0-:22 \
             -device virtio-net-pci,netdev=net0,romfile= \
             -incoming fd:8"
        );
    }

    #[test]
    fn a_kernel_alone() {
        let firmware = Firmware::KernelOnly {
            kernel: "/k".into(),
            initrd: None,
            command_line: "console=ttyS0 a=b,c".into(),
        };
        let wiring = Wiring {
            accelerator: Accelerator::Kvm,
            disks: Vec::new(),
            tpm: None,
            incoming: None,
            ..wiring()
        };
        let text = text(&QemuConfig::new("k", firmware), &wiring);
        assert!(text.contains("-accel kvm -cpu host"));
        assert!(text.ends_with(
            "-machine q35 -kernel /k -append console=ttyS0 a=b,c -device virtio-rng-pci"
        ));
        assert!(!text.contains("pflash"));
    }

    proptest! {
        #[test]
        fn a_path_never_becomes_an_option(path in "[a-z,=/ ]{1,30}", name in ".{0,20}") {
            let firmware = Firmware::KernelOnly { kernel: "/k".into(), initrd: None, command_line: String::new() };
            let wiring = Wiring { disks: vec![drive_at(&path)], ..wiring() };
            let arguments = arguments(&QemuConfig::new(name, firmware), &wiring);
            let value = arguments.iter().find(|word| word.to_string_lossy().contains("id=disk0,")).unwrap();
            // QEMU reads up to the first comma that stands alone.
            let (_, file) = value.to_str().unwrap().split_once("file=").unwrap();
            prop_assert_eq!(file.replace(",,", "\0").find(','), None);
            prop_assert_eq!(file.replace(",,", ","), path);
            let plain = arguments[1].to_str().unwrap();
            prop_assert!(!plain.contains(','));
        }
    }
}
