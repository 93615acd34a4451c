use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use bedstone_disk::bgenv::{self, Environment, Loader, State};
use bedstone_disk::fat::Volume;
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

/// A medium that can be made to forget what it cached.
pub(crate) trait Medium: ReadAt + WriteAt {
    /// Brings what was written to the medium, and lets the next read come from there.
    fn settle(&self) -> io::Result<()>;
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
    fn settle(&self) -> io::Result<()> {
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
        let (Ok(own), Ok(other)) = (read(&self.own), read(&self.other)) else {
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
        let mut own = read(&self.own)?;
        // An invalid environment is passed over by the boot loader as it is.
        if bgenv::is_valid(&own) {
            bgenv::set_state(&mut own, State::Failed, 0).map_err(|error| error.to_string())?;
        }
        if !chooses_second(&own, &other) {
            return Ok(Left::Stay("the boot loader would not choose it".to_owned()));
        }
        write(&mut self.own, &own)?;
        Ok(Left::ForOther)
    }
}

/// Whether the boot loader chooses the second of two environments, in whichever order the firmware lists them.
fn chooses_second(first: &[u8], second: &[u8]) -> bool {
    let chosen = |one, two| bgenv::select(&[Some(one), Some(two)], Loader::Since0_20).boots;
    chosen(first, second) == Some(1) && chosen(second, first) == Some(0)
}

/// The other slot's environment, if the slot can be started.
fn usable(medium: &impl Medium) -> Result<Vec<u8>, String> {
    let bytes = read(medium)?;
    let environment = Environment::from_bytes(&bytes).map_err(|error| error.to_string())?;
    if environment.in_progress {
        return Err("an update of it was begun and not finished".to_owned());
    }
    if environment.state == State::Failed || environment.revision == 0 {
        return Err("it is marked as failed".to_owned());
    }
    // `C:LABEL:path` or a plain path.
    let kernel = environment.kernel_file.rsplit(':').next();
    let volume = Volume::open(medium).map_err(|error| error.to_string())?;
    let kernel = volume.find(kernel.unwrap_or_default());
    kernel.map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn read(medium: &impl Medium) -> Result<Vec<u8>, String> {
    let volume = Volume::open(medium).map_err(|error| error.to_string())?;
    let bytes = volume.read(bgenv::FILE_NAME, bgenv::SIZE as u64);
    bytes.map_err(|error| error.to_string())
}

fn write(medium: &mut impl Medium, bytes: &[u8]) -> Result<(), String> {
    let writes = Volume::open(medium)
        .and_then(|volume| volume.replace(bgenv::FILE_NAME, bytes))
        .map_err(|error| error.to_string())?;
    for write in writes {
        write.apply(medium).map_err(|error| error.to_string())?;
    }
    medium.settle().map_err(|error| error.to_string())?;
    if read(medium)? != bytes {
        return Err("the environment reads back differently".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
