//! EFI variables, through efivarfs.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use bedstone_disk::efi_variables::{attributes, efivarfs};
use bedstone_disk::guid::Guid;
use rustix::fs::{AtFlags, IFlags, Mode, OFlags};

/// Where the system shows them.
pub const DIRECTORY: &str = "/sys/firmware/efi/efivars";

/// Vendor of this project's own variables: `9d1c5f5b-27a6-4d0e-8a39-6e1f90c4b7d2`.
pub const BEDSTONE: Guid =
    Guid::from_bytes(0x9d1c_5f5b_27a6_4d0e_8a39_6e1f_90c4_b7d2_u128.to_be_bytes());

/// The variables of this machine.
#[derive(Debug)]
pub struct Variables {
    directory: OwnedFd,
}

impl Variables {
    /// Opens efivarfs, mounted at `path`.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path.as_ref(), flags, Mode::empty())?;
        Ok(Self { directory })
    }

    /// The value of a variable, without its attributes.
    pub fn read(&self, name: &str, vendor: Guid) -> io::Result<Option<Vec<u8>>> {
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
    ///
    /// One call of `SetVariable` (UEFI 2.10, section 8.2.3): that a power cut leaves the old value or the new one is the
    /// firmware's to see to.
    pub fn write(&self, name: &str, vendor: Guid, value: &[u8]) -> io::Result<()> {
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

    /// Removes a variable that is there.
    pub fn remove(&self, name: &str, vendor: Guid) -> io::Result<()> {
        let name = efivarfs::file_name(name, vendor);
        self.make_mutable(&name)?;
        rustix::fs::unlinkat(&self.directory, &name, AtFlags::empty())?;
        Ok(())
    }

    /// The names of a vendor's variables.
    pub fn names(&self, vendor: Guid) -> io::Result<Vec<String>> {
        let suffix = efivarfs::file_name("", vendor);
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy();
            names.extend(name.strip_suffix(&suffix).map(str::to_owned));
        }
        Ok(names)
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
