//! EFI variables, through efivarfs.

mod boot_entries;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use bedstone_disk::efi_variables::{GLOBAL, LOADER, attributes, efivarfs};
use bedstone_disk::guid::Guid;
use rustix::fs::{AtFlags, IFlags, Mode, OFlags};

use crate::error::{Error, Result};

/// Vendor of this project's own variables.
const BEDSTONE: Guid =
    Guid::from_bytes(0x9d1c_5f5b_27a6_4d0e_8a39_6e1f_90c4_b7d2_u128.to_be_bytes());
/// Why a slot was given up: see [`Variables::record_failure`].
const FAILURE: &str = "BedstoneFailure";
/// Firmware has a few KiB for all variables, and any one may be limited to 1 KiB.
const LONGEST: usize = 1000;

/// The variables of this machine.
#[derive(Debug)]
pub(crate) struct Variables {
    directory: OwnedFd,
}

impl Variables {
    /// Opens efivarfs, mounted at `path`.
    pub(crate) fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory =
            rustix::fs::open(path, flags, Mode::empty()).map_err(Error::io("open", path))?;
        Ok(Self { directory })
    }

    /// The partition that the boot stub says it was loaded from.
    pub(crate) fn stub_partition(&self) -> Option<Guid> {
        self.partition("StubDevicePartUUID")
    }

    /// The partition that the boot loader says it was loaded from.
    pub(crate) fn loader_partition(&self) -> Option<Guid> {
        self.partition("LoaderDevicePartUUID")
    }

    /// Whether the firmware verifies what it starts (UEFI 2.10, section 3.3: `SecureBoot`); none where it does not say.
    pub(crate) fn secure_boot(&self) -> Option<bool> {
        let value = self.read("SecureBoot", GLOBAL).ok()??;
        Some(value == [1])
    }

    fn partition(&self, name: &str) -> Option<Guid> {
        let value = self.read(name, LOADER).ok()??;
        efivarfs::partition(&value).ok()
    }

    /// Keeps `text`, the reason why a slot was given up, until [`Variables::take_failure`].
    ///
    /// A text that is there already is not written again: flash wears, and a machine may fail for the same reason a
    /// thousand times.
    pub(crate) fn record_failure(&self, text: &str) -> io::Result<()> {
        let end = (0..=text.len().min(LONGEST)).rev();
        let end = end.into_iter().find(|&end| text.is_char_boundary(end));
        let value = &text.as_bytes()[..end.unwrap_or(0)];
        if self.read(FAILURE, BEDSTONE)?.as_deref() == Some(value) {
            return Ok(());
        }
        self.write(FAILURE, BEDSTONE, value)
    }

    /// The recorded failure, if there is one.
    pub(crate) fn failure(&self) -> io::Result<Option<String>> {
        let value = self.read(FAILURE, BEDSTONE)?;
        Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
    }

    /// Removes the recorded failure, which has been kept elsewhere.
    pub(crate) fn forget_failure(&self) -> io::Result<()> {
        let name = efivarfs::file_name(FAILURE, BEDSTONE);
        self.make_mutable(&name)?;
        rustix::fs::unlinkat(&self.directory, &name, AtFlags::empty())?;
        Ok(())
    }

    /// The value of a variable, without its attributes.
    fn read(&self, name: &str, vendor: Guid) -> io::Result<Option<Vec<u8>>> {
        let name = efivarfs::file_name(name, vendor);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.directory, &name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut content = Vec::new();
        // The kernel limits variables to a few KiB; a boot service may set larger ones.
        file.take(1 << 20).read_to_end(&mut content)?;
        let (_, value) = efivarfs::decode(&content).map_err(io::Error::other)?;
        Ok(Some(value.to_vec()))
    }

    /// Sets a variable that is kept without power and visible to the running system.
    fn write(&self, name: &str, vendor: Guid, value: &[u8]) -> io::Result<()> {
        let name = efivarfs::file_name(name, vendor);
        self.make_mutable(&name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        // As the kernel shows all others.
        let mode = Mode::from_raw_mode(0o644);
        let file = rustix::fs::openat(&self.directory, &name, flags, mode)?;
        // The kernel wants all of it in one call.
        let content = efivarfs::encode(attributes::BOOT_ENTRY, value);
        let written = File::from(file).write(&content)?;
        if written == content.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }

    /// Clears the immutable flag with which the kernel protects variables it does not know from being deleted by accident.
    fn make_mutable(&self, name: &str) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.directory, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let flags = match rustix::fs::ioctl_getflags(&file) {
            Ok(flags) => flags,
            // A file system without such flags protects nothing.
            Err(rustix::io::Errno::NOTTY | rustix::io::Errno::OPNOTSUPP) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if flags.contains(IFlags::IMMUTABLE) {
            rustix::fs::ioctl_setflags(&file, flags - IFlags::IMMUTABLE)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
