//! A started update: confirmed, or given up.

use std::cmp::Ordering;

use bedstone_disk::bgenv::{self, Environment, State};
use bedstone_disk::boot_partition::{self, ATTEMPTS, Medium, chooses_second, usable};
use bedstone_disk::layout::Slot;
use bedstone_state::minimum::is_below;
use bedstone_state::os_release;
use bedstone_state::version::compare;

use crate::device::Device;
use crate::error::{Error, Result};

/// What confirming came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    /// The slot was on trial and is not any more.
    Now,
    /// It was confirmed before.
    Already,
}

/// Whether the running slot is on trial.
pub fn is_on_trial<M: Medium>(device: &Device<M>) -> Result<bool> {
    let own = device.environment(device.running)?;
    Ok(matches!(own.state, State::Installed | State::Testing))
}

/// Whether the running slot is confirmed.
pub fn is_confirmed<M: Medium>(device: &Device<M>) -> Result<bool> {
    Ok(device.environment(device.running)?.state == State::Ok)
}

/// Keeps the running slot: from now on the boot loader starts it until another is installed.
///
/// A power cut in the middle leaves an environment with a wrong CRC; the machine then comes up from the other slot, the
/// newest that was confirmed.
pub fn confirm<M: Medium>(device: &mut Device<M>) -> Result<Confirmed> {
    let slot = device.running;
    let mut own = device.environment(slot)?;
    match own.state {
        State::Ok => return Ok(Confirmed::Already),
        State::Failed => {
            return Err(Error::NotBootable {
                slot,
                reason: "it was given up before".to_owned(),
            });
        }
        State::Installed | State::Testing => {}
    }
    own.state = State::Ok;
    own.variables.remove(ATTEMPTS);
    let bytes = own.to_bytes()?;
    boot_partition::replace_environment(&mut device.slot_mut(slot).boot, &bytes)?;
    Ok(Confirmed::Now)
}

/// Leaves the running slot: the next start is from the other one, if that can be started.
pub fn give_up<M: Medium>(device: &mut Device<M>) -> Result<()> {
    let slot = device.running;
    let other = slot.other();
    let refuse = |reason: String| Error::NoOther {
        slot: other,
        reason,
    };
    let to = usable(&device.slot(other).boot).map_err(refuse)?;
    let partition = &mut device.slot_mut(slot).boot;
    let mut own = boot_partition::environment(partition)?;
    // The boot loader passes over one that is not valid.
    if bgenv::is_valid(&own) {
        bgenv::set_state(&mut own, State::Failed, 0)?;
    }
    if !chooses_second(&own, &to) {
        return Err(refuse("the boot loader would not choose it".to_owned()));
    }
    boot_partition::replace_environment(partition, &own)?;
    Ok(())
}

/// The minimum version that a confirmed image brings: what it asks for, but never above its own version, because then it
/// could not be started again.
pub fn new_minimum<'a>(wanted: &'a str, running: &'a str) -> &'a str {
    match compare(wanted, running) {
        Ordering::Greater => running,
        Ordering::Less | Ordering::Equal => wanted,
    }
}

/// Fails when a slot is below the minimum version, so that the system does not go there by choice.
pub fn may_return<M: Medium>(device: &Device<M>, to: Slot, minimum: Option<&str>) -> Result<()> {
    let Some(minimum) = minimum else {
        return Ok(());
    };
    let version = version(device, to);
    if !is_below(version.as_deref(), minimum) {
        return Ok(());
    }
    Err(Error::Downgrade {
        offered: version.unwrap_or_else(|| "unknown".to_owned()),
        limit: minimum.to_owned(),
        reason: "the lowest that this device may run again",
    })
}

/// The version of the image in a slot, as its kernel says.
pub fn version<M: Medium>(device: &Device<M>, slot: Slot) -> Option<String> {
    let text = boot_partition::os_release(&device.slot(slot).boot).ok()?;
    os_release::image_version(&text)
}

/// Whether the boot loader marked a slot as failed after it was tried.
pub fn has_failed(environment: &Environment) -> bool {
    environment.state == State::Failed && environment.revision == 0 && !environment.in_progress
}

#[cfg(test)]
mod tests {
    use std::io;

    use bedstone_disk::boot_partition::Identity;
    use bedstone_disk::guid::Guid;
    use bedstone_disk::storage::{ReadAt, WriteAt};

    use super::*;
    use crate::device::{Partitions, identity};

    /// A partition in memory.
    struct Memory(Vec<u8>);

    impl ReadAt for Memory {
        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            self.0.read_exact_at(buffer, offset)
        }

        fn size(&self) -> io::Result<u64> {
            self.0.size()
        }
    }

    impl WriteAt for Memory {
        fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
            self.0.write_all_at(bytes, offset)
        }
    }

    impl Medium for Memory {
        fn settle(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A PE32+ image with the section `.osrel` alone.
    fn kernel(os_release: &str) -> Vec<u8> {
        const HEADERS: usize = 512;
        let mut image = vec![0; HEADERS];
        let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
        let (optional, length) = (0x58, os_release.len() as u32);
        let section = optional + 240;
        put(0, b"MZ");
        put(0x3c, &[0x40]);
        put(0x40, b"PE\0\0");
        put(0x46, &[1]);
        put(0x54, &240_u16.to_le_bytes());
        put(optional, &0x020b_u16.to_le_bytes());
        put(optional + 32, &0x1000_u32.to_le_bytes());
        put(optional + 36, &0x200_u32.to_le_bytes());
        put(optional + 60, &(HEADERS as u32).to_le_bytes());
        put(optional + 108, &16_u32.to_le_bytes());
        put(section, b".osrel");
        for (at, value) in [(8, length), (16, length), (20, HEADERS as u32)] {
            put(section + at, &value.to_le_bytes());
        }
        image.extend(os_release.as_bytes());
        image
    }

    fn partitions(slot: Slot, kernel: Vec<u8>) -> Partitions<Memory> {
        let identity: Identity = identity(slot, Guid::NIL);
        let mut boot = Memory(vec![0; 4 << 20]);
        let environment = Environment::default();
        boot_partition::renew(&mut boot, &identity, &environment, &kernel.into()).unwrap();
        Partitions {
            boot,
            root: Memory(Vec::new()),
            identity,
        }
    }

    fn device(other: Vec<u8>) -> Device<Memory> {
        Device {
            running: Slot::B,
            disk: Guid::NIL,
            slots: [
                partitions(Slot::A, other),
                partitions(Slot::B, kernel("IMAGE_VERSION=2.0\n")),
            ],
        }
    }

    #[test]
    fn a_slot_below_the_minimum_is_not_gone_back_to() {
        let old = device(kernel("ID=debian\nIMAGE_VERSION=1.9\n"));
        assert_eq!(version(&old, Slot::A).as_deref(), Some("1.9"));
        assert!(may_return(&old, Slot::A, None).is_ok());
        assert!(may_return(&old, Slot::A, Some("1.9")).is_ok());
        let error = may_return(&old, Slot::A, Some("1.10")).unwrap_err();
        assert_eq!(error.code(), "downgrade");
        assert_eq!(
            error.to_string(),
            "version 1.9 is older than 1.10, the lowest that this device may run again"
        );
        let nameless = device(kernel("ID=debian\n"));
        assert!(may_return(&nameless, Slot::A, None).is_ok());
        assert!(may_return(&nameless, Slot::A, Some("0")).is_err());
        assert!(may_return(&device(vec![7; 90]), Slot::A, Some("0")).is_err());
        let status = crate::status::slot(&old, Slot::A, Some("2.0"));
        assert!(status.below_minimum);
        assert!(!crate::status::slot(&old, Slot::B, Some("2.0")).below_minimum);
    }

    #[test]
    fn an_image_does_not_lock_itself_out() {
        for (wanted, running, minimum) in [
            ("1.5", "2.0", "1.5"),
            ("2.0", "2.0", "2.0"),
            ("2.1", "2.0", "2.0"),
            ("2.0", "2.0-rc1", "2.0-rc1"),
        ] {
            assert_eq!(new_minimum(wanted, running), minimum);
        }
    }
}
