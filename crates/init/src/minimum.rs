//! Whether the running slot may go on: its version against the lowest that this device may run.
//!
//! The version is the one in `os-release` of the verified root file system, which the signed command line names by its root
//! hash.

use std::fs;
use std::path::Path;

use bedstone_disk::boot_partition;
use bedstone_state::minimum::{self, Known, Minimum, is_below};
use bedstone_state::os_release;

use crate::data;
use crate::failure::Means;

/// Directory of the agent on the data partition.
pub(crate) const UPDATE: &str = "lib/bedstone/update";

/// What is done about the version of the running slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is no older than the device may run.
    Allowed,
    /// It is, and the other slot can be started; the reason.
    Leave(String),
    /// It is, and nothing better can be started: a device that comes up is worth more. The reason.
    GoOn(String),
}

/// Reads the minimum version; the data partition must be mounted.
pub(crate) fn known(means: &Means) -> Known {
    let variables = means.variables.as_ref().map(crate::efi::Variables::all);
    let directory = Path::new(data::MOUNTED).join(UPDATE);
    minimum::read(variables, &directory.join(minimum::FILE))
}

/// The version of the image whose root is at `root`.
pub(crate) fn version(root: &Path) -> Option<String> {
    let path = root.join(os_release::FILE.trim_start_matches('/'));
    os_release::image_version(&fs::read_to_string(path).ok()?)
}

/// Decides for a slot of version `own`. `other` tells the version of the other slot if the boot loader can start it, or why
/// it cannot; it is asked only when that matters.
pub(crate) fn judge(
    own: Option<&str>,
    minimum: Option<&Minimum>,
    other: impl FnOnce() -> Result<Option<String>, String>,
) -> Verdict {
    let Some(minimum) = minimum.map(|minimum| minimum.version.as_str()) else {
        return Verdict::Allowed;
    };
    if !is_below(own, minimum) {
        return Verdict::Allowed;
    }
    let own = own.unwrap_or("unknown");
    let below = format!("version {own} is below {minimum}, the lowest that this device may run");
    match other() {
        Ok(version) if !is_below(version.as_deref(), minimum) => Verdict::Leave(below),
        Ok(version) => Verdict::GoOn(format!(
            "{below}; so is the other slot's, {}",
            version.as_deref().unwrap_or("unknown")
        )),
        Err(reason) => Verdict::GoOn(format!("{below}; the other slot: {reason}")),
    }
}

/// The version of the other slot, if the boot loader would start it once the running one is left.
pub(crate) fn other(means: &Means) -> Result<Option<String>, String> {
    let running = means.running.ok_or("the running slot is not known")?;
    if !running.source.is_firmware() {
        return Err("the machine was not started through the boot loader".to_owned());
    }
    let boot = means.boot.as_ref();
    let boot = boot.ok_or("the boot partitions cannot be reached")?;
    if boot.other_is_preferred() {
        return Err("the boot loader prefers it, and it did not start".to_owned());
    }
    boot_partition::usable(&boot.other)?;
    let text = boot_partition::os_release(&boot.other).map_err(|error| error.to_string())?;
    Ok(os_release::image_version(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bedstone_state::minimum::Kept;

    #[test]
    fn an_old_slot_is_left_only_for_one_that_is_not() {
        let minimum = Minimum {
            version: "2.0".to_owned(),
            kept: Kept::Firmware,
        };
        let ready = |version: &str| Ok(Some(version.to_owned()));
        let below = "version 1.9 is below 2.0, the lowest that this device may run";
        let leave = Verdict::Leave(below.to_owned());
        let go_on = |why: &str| Verdict::GoOn(format!("{below}; {why}"));
        let old = Some("1.9");
        let cases = [
            (ready("2.0"), leave.clone()),
            (ready("3.1"), leave),
            (ready("1.0"), go_on("so is the other slot's, 1.0")),
            (Ok(None), go_on("so is the other slot's, unknown")),
            (
                Err("it is marked as failed".to_owned()),
                go_on("the other slot: it is marked as failed"),
            ),
        ];
        for (other, verdict) in cases {
            assert_eq!(judge(old, Some(&minimum), || other), verdict);
        }
        let unknown = judge(None, Some(&minimum), || ready("2.0"));
        assert!(matches!(unknown, Verdict::Leave(reason) if reason.contains("unknown")));
    }

    #[test]
    fn the_other_slot_is_not_looked_at_without_need() {
        let minimum = |version: &str| Minimum {
            version: version.to_owned(),
            kept: Kept::File,
        };
        for (own, minimum) in [
            (Some("1.9"), None),
            (None, None),
            (Some("2.0"), Some(minimum("2.0"))),
            (Some("2.10"), Some(minimum("2.9"))),
        ] {
            let verdict = judge(own, minimum.as_ref(), || panic!("not needed"));
            assert_eq!(verdict, Verdict::Allowed);
        }
    }

    #[test]
    fn reads_the_version_of_a_root() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(version(directory.path()), None);
        fs::create_dir_all(directory.path().join("usr/lib")).unwrap();
        let path = directory.path().join("usr/lib/os-release");
        fs::write(path, "ID=debian\nIMAGE_VERSION=1.4\n").unwrap();
        assert_eq!(version(directory.path()).as_deref(), Some("1.4"));
    }
}
