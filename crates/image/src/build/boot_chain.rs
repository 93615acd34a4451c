//! The signed programs that firmware starts: EFI Boot Guard and the unified kernel image.

use std::fs::File;
use std::io::Read;

use bedstone_deb::archive::{Deb, Kind};
use bedstone_deb::lock::Locked;
use bedstone_disk::authenticode;
use bedstone_disk::uki::Recipe;

use super::kernel::Kernel;
use super::steps::{Steps, Told};
use super::{Build, Error, Result};
use crate::locking::BOOT_PACKAGES;
use crate::manifest::Architecture;

/// Largest EFI program taken from a package.
const LIMIT: u64 = 16 << 20;

/// What was signed.
#[derive(Debug)]
pub(super) struct BootChain {
    /// EFI Boot Guard.
    pub(super) loader: Vec<u8>,
    /// Its file name as an artifact, and in `EFI/BOOT`.
    pub(super) loader_name: &'static str,
    pub(super) loader_target: &'static str,
    /// The unified kernel image.
    pub(super) kernel: Vec<u8>,
}

/// Names of the programs for an architecture: EFI Boot Guard, systemd's stub, the default boot path.
fn names(architecture: Architecture) -> Result<[&'static str; 3]> {
    match architecture {
        Architecture::Amd64 => Ok(["efibootguardx64.efi", "linuxx64.efi.stub", "BOOTX64.EFI"]),
        Architecture::Arm64 => Ok(["efibootguardaa64.efi", "linuxaa64.efi.stub", "BOOTAA64.EFI"]),
        Architecture::Armhf | Architecture::Riscv64 => Err(Error::NoBootChain(architecture.name())),
    }
}

/// Takes both programs from the locked packages, builds the unified kernel image, signs everything.
pub(super) fn sign(
    build: &Build<'_>,
    kernel: &Kernel,
    initramfs: &[u8],
    command_line: &str,
    os_release: &str,
    steps: &mut Steps<'_>,
) -> Result<BootChain> {
    steps.run("sign", "Signing boot loader and kernel", |_| {
        let architecture = build.product.composition.manifest.debian.architecture;
        let [loader_name, stub_name, loader_target] = names(architecture)?;
        let loader = program(build, BOOT_PACKAGES[0], loader_name)?;
        let stub = program(build, BOOT_PACKAGES[1], stub_name)?;
        let unsigned = Recipe {
            stub: &stub,
            os_release,
            uname: &kernel.release,
            command_line,
            initrd: initramfs,
            linux: &kernel.image,
        }
        .build()?;
        let chain = BootChain {
            loader: authenticode::sign(&loader, &build.keys.boot)?,
            loader_name,
            loader_target,
            kernel: authenticode::sign(&unsigned, &build.keys.boot)?,
        };
        let told = format!(
            "Boot loader and kernel image of {:.1} MB signed with {} key",
            chain.kernel.len() as f64 / 1e6,
            if build.keys.development {
                "a DEVELOPMENT"
            } else {
                "the product's"
            }
        );
        Ok((chain, Told::done(told)))
    })
}

/// The file `name` of a package of the boot chain.
fn program(build: &Build<'_>, package: &'static str, name: &str) -> Result<Vec<u8>> {
    let locked: &Locked = build
        .lock
        .boot
        .iter()
        .find(|locked| locked.name == package)
        .ok_or(Error::NotLocked(package))?;
    // What the firmware trusts because we sign it is held against the lock right before.
    build.store.verify(&locked.sha256)?;
    let path = build.store.path(&locked.sha256);
    let file = File::open(&path).map_err(Error::io("open", &path))?;
    let mut deb = Deb::open(format!("{package} {}", locked.version), file)?;
    while let Some(entry) = deb.next_entry()? {
        let found = entry.path.file_name().is_some_and(|it| it == name);
        if found && matches!(entry.kind, Kind::File { size } if size <= LIMIT) {
            let mut bytes = Vec::new();
            deb.read_to_end(&mut bytes)
                .map_err(Error::io("read", &path))?;
            return Ok(bytes);
        }
    }
    Err(Error::NoProgram {
        package,
        name: name.to_owned(),
    })
}
