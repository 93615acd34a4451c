//! EFI variables, through efivarfs.

mod boot_entries;

use std::io;
use std::path::Path;

use bedstone_disk::efi_variables::{GLOBAL, LOADER, efivarfs};
use bedstone_disk::guid::Guid;
use bedstone_state::variables::{self, BEDSTONE};

use crate::error::{Error, Result};

/// Why a slot was given up: see [`Variables::record_failure`].
const FAILURE: &str = "BedstoneFailure";
/// Firmware has a few KiB for all variables, and any one may be limited to 1 KiB.
const LONGEST: usize = 1000;

/// The variables of this machine.
#[derive(Debug)]
pub(crate) struct Variables(variables::Variables);

impl Variables {
    /// Opens efivarfs, mounted at `path`.
    pub(crate) fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let opened = variables::Variables::open(path);
        opened.map(Self).map_err(Error::io("open", path))
    }

    /// The variables themselves.
    pub(crate) fn all(&self) -> &variables::Variables {
        &self.0
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
        let value = self.0.read("SecureBoot", GLOBAL).ok()??;
        Some(value == [1])
    }

    fn partition(&self, name: &str) -> Option<Guid> {
        let value = self.0.read(name, LOADER).ok()??;
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
        if self.0.read(FAILURE, BEDSTONE)?.as_deref() == Some(value) {
            return Ok(());
        }
        self.0.write(FAILURE, BEDSTONE, value)
    }

    /// The recorded failure, if there is one.
    pub(crate) fn failure(&self) -> io::Result<Option<String>> {
        let value = self.0.read(FAILURE, BEDSTONE)?;
        Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
    }

    /// Removes the recorded failure, which has been kept elsewhere.
    pub(crate) fn forget_failure(&self) -> io::Result<()> {
        self.0.remove(FAILURE, BEDSTONE)
    }
}

#[cfg(test)]
mod tests;
