use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use bedstone_disk::bgenv::{self, Environment, State, Value};
use bedstone_disk::boot_partition::{
    self, ATTEMPTS, Medium, chooses_second, replace_environment, usable,
};
use bedstone_disk::storage::{ReadAt, WriteAt};

/// The two boot partitions, opened while their device files can be reached.
#[derive(Debug)]
pub(crate) struct BootPartitions<S = Device> {
    /// That of the running slot.
    pub(crate) own: S,
    /// That of the other one.
    pub(crate) other: S,
}

/// A boot partition: read and written in place, past any file system driver.
#[derive(Debug)]
pub(crate) struct Device(File);

/// What came of leaving a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Left {
    /// The boot loader will start the other slot.
    ForOther,
    /// The other slot would not start, so nothing was changed; the reason.
    Stay(String),
}

impl Device {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self(file))
    }
}

impl ReadAt for Device {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        ReadAt::read_exact_at(&self.0, buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        bedstone_sys::block::size(&self.0)
    }
}

impl WriteAt for Device {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        WriteAt::write_all_at(&mut self.0, bytes, offset)
    }
}

impl Medium for Device {
    fn settle(&mut self) -> io::Result<()> {
        self.0.sync_all()?;
        bedstone_sys::block::drop_cache(&self.0)
    }
}

impl<S: Medium> BootPartitions<S> {
    /// Whether the boot loader, asked again, would choose the other slot. Then that one was chosen this time too, and its
    /// kernel was refused or missing, so that the firmware went on to this one.
    ///
    /// A slot under test is not asked about: the boot loader's next choice is then another on purpose.
    pub(crate) fn other_is_preferred(&self) -> bool {
        let environment = boot_partition::environment;
        let (Ok(own), Ok(other)) = (environment(&self.own), environment(&self.other)) else {
            return false;
        };
        let testing = Environment::from_bytes(&own).is_ok_and(|own| own.state == State::Testing);
        !testing && chooses_second(&own, &other)
    }

    /// Marks the running slot's environment as failed, so that the boot loader starts the other slot, if that one is
    /// usable: a valid environment, confirmed or new, with its kernel in place, and what the boot loader would choose.
    ///
    /// Only the sectors of the file that change are written; then they are flushed, read back and compared. A power cut
    /// in between leaves an environment with a wrong CRC, which the boot loader passes over just as well.
    pub(crate) fn leave(&mut self) -> Result<Left, String> {
        self.other.settle().map_err(|error| error.to_string())?;
        self.own.settle().map_err(|error| error.to_string())?;
        let other = match usable(&self.other) {
            Ok(other) => other,
            Err(reason) => return Ok(Left::Stay(reason)),
        };
        let own = boot_partition::environment(&self.own);
        let mut own = own.map_err(|error| error.to_string())?;
        // An invalid environment is passed over by the boot loader as it is.
        if bgenv::is_valid(&own) {
            bgenv::set_state(&mut own, State::Failed, 0).map_err(|error| error.to_string())?;
        }
        if !chooses_second(&own, &other) {
            return Ok(Left::Stay("the boot loader would not choose it".to_owned()));
        }
        replace_environment(&mut self.own, &own).map_err(|error| error.to_string())?;
        Ok(Left::ForOther)
    }

    /// Lets a slot under test be started once more, as long as its update allows: the boot loader has marked it so that
    /// the next start would take it as failed, although it may only be the power that fails. Returns how many more starts
    /// are left, or none when the slot is not under test.
    pub(crate) fn allow_another_attempt(&mut self) -> Result<Option<u8>, String> {
        let text = |error: bedstone_disk::Error| error.to_string();
        let bytes = boot_partition::environment(&self.own).map_err(text)?;
        let mut own = Environment::from_bytes(&bytes).map_err(text)?;
        if own.state != State::Testing {
            return Ok(None);
        }
        let left = match own.variables.get(ATTEMPTS).and_then(bgenv::Variable::value) {
            Some(Value::U8(left)) => left,
            _ => 0,
        };
        let Some(fewer) = left.checked_sub(1) else {
            return Ok(Some(0));
        };
        own.state = State::Installed;
        own.variables
            .set(ATTEMPTS, &Value::U8(fewer))
            .and_then(|()| own.to_bytes())
            .and_then(|bytes| replace_environment(&mut self.own, &bytes))
            .map_err(text)?;
        Ok(Some(left))
    }
}

#[cfg(test)]
mod tests;
