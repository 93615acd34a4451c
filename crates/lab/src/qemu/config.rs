use std::path::PathBuf;

use super::accelerate::Acceleration;

/// What a machine is made of. Paths are made absolute when it is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QemuConfig {
    /// What people call it.
    pub name: String,
    /// Memory in MiB.
    pub memory: u32,
    /// Number of processors.
    pub cpus: u32,
    /// How its instructions run.
    pub acceleration: Acceleration,
    /// What it starts.
    pub firmware: Firmware,
    /// Its disks (virtio), the first one bootable.
    pub disks: Vec<Drive>,
    /// Its TPM 2.0, if it has one.
    pub tpm: Option<Tpm>,
    /// Whether it has a watchdog (Intel 6300ESB), which resets it.
    pub watchdog: bool,
    /// Its network.
    pub network: Network,
    /// Where the console's text is logged, each line with its time from power on; begun anew for each [`super::Qemu`].
    pub console_log: Option<PathBuf>,
}

impl QemuConfig {
    /// A machine of 1 GiB and two processors without network, TPM and watchdog.
    pub fn new(name: impl Into<String>, firmware: Firmware) -> Self {
        Self {
            name: name.into(),
            memory: 1024,
            cpus: 2,
            acceleration: Acceleration::Auto,
            firmware,
            disks: Vec::new(),
            tpm: None,
            watchdog: false,
            network: Network::Off,
            console_log: None,
        }
    }
}

/// What a machine starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Firmware {
    /// UEFI (OVMF), which boots the first disk.
    Ovmf {
        /// Whether the firmware protects its variables and can enforce Secure Boot. Whether it does is up to the keys in
        /// `variables` ([`crate::firmware`]).
        secure_boot: bool,
        /// The variable store.
        variables: Drive,
    },
    /// A kernel without firmware and boot loader, for quick looks.
    KernelOnly {
        /// The kernel image.
        kernel: PathBuf,
        /// The initramfs.
        initrd: Option<PathBuf>,
        /// The kernel's command line; needs `console=ttyS0` to be seen.
        command_line: String,
    },
}

/// A file that is a disk, or the flash memory of the firmware's variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// The file.
    pub path: PathBuf,
    /// What is in it.
    pub format: Format,
    /// What becomes of the guest's writes.
    pub access: Access,
}

impl Drive {
    /// A raw image that stays as it is: writes go with the [`super::Qemu`] value.
    pub fn discarding(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            format: Format::Raw,
            access: Access::Discard,
        }
    }
}

/// The format of a drive's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The disk's bytes as they are.
    Raw,
    /// QEMU's own format.
    Qcow2,
}

impl Format {
    /// QEMU's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// What becomes of the guest's writes to a drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// They go to the file.
    Writable,
    /// They go to a temporary overlay, which goes when the [`super::Qemu`] value does; power cycles keep it.
    Discard,
    /// They go to this qcow2 overlay, made where it does not exist, which needs the file unchanged as long as it is used.
    Overlay(PathBuf),
}

/// A software TPM 2.0 (swtpm).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tpm {
    /// Directory of its state, made where it does not exist. An empty one is a new TPM.
    pub state: PathBuf,
    /// Whether changes go to that directory; otherwise to a temporary copy.
    pub keep: bool,
}

/// A machine's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// None.
    Off,
    /// A virtio card behind address translation. A free port of the host's loopback leads to the guest's ssh port.
    User {
        /// Whether the guest can reach nothing, neither the host nor the network.
        isolated: bool,
    },
}
