//! The signed boot chain: EFI Boot Guard, the unified kernel image, and the FAT volumes that hold them.

use bedstone_disk::authenticode::{self, Signer};
use bedstone_disk::bgenv::{self, Environment, State};
use bedstone_disk::fat::{self, Tree};
use bedstone_disk::guid::Guid;
use bedstone_disk::uki;
use bedstone_disk::verity::RootArguments;
use bedstone_store::Digest;

use crate::error::Result;
use crate::manifest::DataEncryption;

/// Where firmware looks for the boot loader (UEFI 2.10 §3.5.1.1).
const LOADER_PATH: &str = "EFI/BOOT/BOOTX64.EFI";
/// The kernel's file name in each boot slot, as CIP has it.
const KERNEL_FILE: &str = "linux.efi";
/// The labels by which EFI Boot Guard finds the boot slots.
const BOOT_LABELS: [&str; 2] = ["BOOT0", "BOOT1"];
/// Revisions of the environments of a new device: slot A boots, slot B is its equal.
const FACTORY_REVISIONS: [u32; 2] = [2, 1];

/// What the kernel command line is made from.
#[derive(Debug)]
pub(super) struct CommandLine<'a> {
    pub(super) root: &'a RootArguments,
    pub(super) disk: Guid,
    pub(super) data: DataEncryption,
    /// Parameters of profiles, board and manifest.
    pub(super) own: &'a [String],
}

impl CommandLine<'_> {
    /// The line, without its end. Own parameters come last: the kernel lets the last one win.
    pub(super) fn text(&self) -> String {
        let data = match self.data {
            DataEncryption::None => "plain",
            DataEncryption::Tpm2 => "tpm2",
        };
        let mut line = format!(
            "{} bedstone.disk={} bedstone.data={data} panic=5",
            self.root, self.disk
        );
        for parameter in self.own {
            line.push(' ');
            line.push_str(parameter);
        }
        line
    }
}

/// Builds and signs the unified kernel image.
pub(super) fn unified_kernel(recipe: &uki::Recipe<'_>, signer: &dyn Signer) -> Result<Vec<u8>> {
    Ok(authenticode::sign(&recipe.build()?, signer)?)
}

/// Signs EFI Boot Guard, putting our signature in the place of any that it has.
pub(super) fn boot_loader(binary: &[u8], signer: &dyn Signer) -> Result<Vec<u8>> {
    Ok(authenticode::sign(binary, signer)?)
}

/// The FAT volumes of a new device.
#[derive(Debug)]
pub(super) struct Volumes {
    pub(super) esp: fat::Plan,
    pub(super) boot: [fat::Plan; 2],
}

/// Sizes in bytes and identities of the FAT volumes.
#[derive(Debug)]
pub(super) struct VolumeOptions {
    pub(super) esp_size: u64,
    pub(super) boot_size: u64,
    pub(super) watchdog_seconds: u16,
    pub(super) epoch: i64,
    /// Volume serial numbers are derived from this.
    pub(super) seed: Digest,
}

/// Lays out the EFI system partition and both boot slots, which hold the same kernel.
pub(super) fn volumes(loader: &[u8], kernel: &[u8], options: &VolumeOptions) -> Result<Volumes> {
    let mut esp = Tree::new();
    esp.insert(LOADER_PATH, loader)?;
    let plan = |size, label: &str, tree: &Tree| -> Result<fat::Plan> {
        let options = fat::Options {
            kind: None,
            size,
            volume_id: volume_id(&options.seed, label),
            label: label.to_owned(),
            time: u64::try_from(options.epoch).unwrap_or(0),
        };
        Ok(fat::plan(&options, tree)?)
    };
    let boot = |slot: usize| -> Result<fat::Plan> {
        let label = BOOT_LABELS[slot];
        let environment = Environment {
            kernel_file: format!("C:{label}:{KERNEL_FILE}"),
            state: State::Ok,
            watchdog_seconds: options.watchdog_seconds,
            revision: FACTORY_REVISIONS[slot],
            ..Environment::default()
        };
        let mut tree = Tree::new();
        tree.insert(KERNEL_FILE, kernel)?;
        tree.insert("BGENV.DAT", environment.to_bytes()?)?;
        tree.insert("EFILABEL", bgenv::label_file(label)?)?;
        plan(options.boot_size, label, &tree)
    };
    Ok(Volumes {
        esp: plan(options.esp_size, "ESP", &esp)?,
        boot: [boot(0)?, boot(1)?],
    })
}

fn volume_id(seed: &Digest, label: &str) -> u32 {
    let guid = Guid::derive(seed, label);
    let bytes = guid.as_bytes();
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_wakes_no_generator_of_systemd() {
        let root = RootArguments {
            hash: Digest::of(b"root"),
            salt: vec![1, 2],
            data_blocks: 10,
            hash_offset: 40960,
            uuid: Guid::from_bytes([7; 16]),
            file_system: "erofs".to_owned(),
        };
        let line = CommandLine {
            root: &root,
            disk: Guid::from_bytes([9; 16]),
            data: DataEncryption::Tpm2,
            own: &["console=ttyS0".to_owned()],
        }
        .text();
        assert_eq!(RootArguments::parse(&line).unwrap(), root);
        assert!(line.ends_with(" bedstone.data=tpm2 panic=5 console=ttyS0"));
        assert!(!line.split(' ').any(|word| word.starts_with("root")));
    }

    #[test]
    fn a_new_device_boots_slot_a() {
        let options = VolumeOptions {
            esp_size: 16 << 20,
            boot_size: 16 << 20,
            watchdog_seconds: 60,
            epoch: 1_700_000_000,
            seed: Digest::of(b"product"),
        };
        let volumes = volumes(b"loader", b"kernel", &options).unwrap();
        let environments = volumes.boot.map(|plan| {
            let mut bytes = std::io::Cursor::new(Vec::new());
            plan.write(&mut bytes).unwrap();
            let mut bytes = bytes.into_inner();
            bytes.resize(16 << 20, 0);
            let volume = fat::Volume::open(bytes.as_slice()).unwrap();
            assert_eq!(volume.read("linux.efi", 1 << 20).unwrap(), b"kernel");
            Environment::from_bytes(&volume.read("BGENV.DAT", 1 << 20).unwrap()).unwrap()
        });
        assert_eq!(environments[0].kernel_file, "C:BOOT0:linux.efi");
        assert_eq!(environments.map(|it| it.revision), [2, 1]);
    }
}
