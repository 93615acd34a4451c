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
    use super::*;

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
