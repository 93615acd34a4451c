//! EFI Boot Guard's environment, `BGENV.DAT`: the format, edits in place, and how the boot loader selects by it.
//!
//! | offset | bytes  | field                                                              |
//! |--------|--------|--------------------------------------------------------------------|
//! | 0      | 510    | kernel file, UTF-16LE, NUL-terminated                              |
//! | 510    | 510    | kernel parameters, likewise                                        |
//! | 1020   | 1      | in progress, 0 or 1                                                |
//! | 1021   | 1      | state: 0 OK, 1 INSTALLED, 2 TESTING, 3 FAILED                      |
//! | 1022   | 2      | watchdog timeout in seconds, 0 for none                            |
//! | 1024   | 4      | revision                                                           |
//! | 1028   | 131072 | user variables ([`Variables`])                                     |
//! | 132100 | 4      | CRC-32 (IEEE 802.3) of all bytes before it                         |
//!
//! Numbers are little-endian. Source: efibootguard 0.13 to 0.22, `include/envdata.h`, `env/env_api_fat.c`.

mod select;
mod variables;

#[cfg(test)]
mod tests;

pub use select::{Decision, LoadFailure, Loader, select};
pub use variables::{Value, Variable, Variables};

use crate::error::{Error, Result};
use crate::storage::{le16, le32};

/// The length of an environment in bytes.
pub const SIZE: usize = 132_104;
/// The name of an environment in the root directory of a boot partition.
pub const FILE_NAME: &str = "BGENV.DAT";
/// The name of the file by which the boot loader knows a boot partition: see [`label_file`].
pub const LABEL_FILE_NAME: &str = "EFILABEL";

const FORMAT: &str = "BGENV";
const TEXT: usize = 510;
const PARAMS: usize = 510;
const IN_PROGRESS: usize = 1020;
const STATE: usize = 1021;
const WATCHDOG: usize = 1022;
const REVISION: usize = 1024;
const USER: usize = 1028;
const CRC: usize = SIZE - 4;

/// How far an update in this slot has come (`ustate`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Confirmed to work.
    #[default]
    Ok = 0,
    /// Installed, to be tried at the next boot.
    Installed = 1,
    /// Being tried; a boot that finds this state takes it as failed.
    Testing = 2,
    /// Tried and not confirmed.
    Failed = 3,
}

/// An environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment {
    /// What to boot: `C:LABEL:path` (partition by its `EFILABEL`), `L:LABEL:path` (by its FAT label), or a path on the
    /// boot loader's own partition.
    pub kernel_file: String,
    /// Load options for it.
    pub kernel_params: String,
    /// An update is being written here: the boot loader ignores the slot.
    pub in_progress: bool,
    /// How far the update has come.
    pub state: State,
    /// Seconds until a hardware watchdog resets the machine; 0 leaves it off.
    pub watchdog_seconds: u16,
    /// The highest valid revision is booted; 0 never is, unless nothing else is there.
    pub revision: u32,
    /// User variables.
    pub variables: Variables,
}

impl Environment {
    /// Reads an environment, strictly: the length, the CRC, each field and the list of variables must be right.
    ///
    /// The boot loader itself looks at less: see [`is_valid`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        if bytes.len() != SIZE {
            let reason = format!("{} bytes instead of {SIZE}", bytes.len());
            return Err(Error::malformed(FORMAT, "length", reason));
        }
        check(bytes)?;
        Ok(Self {
            kernel_file: text(&bytes[..TEXT], "kernel file")?,
            kernel_params: text(&bytes[PARAMS..PARAMS + TEXT], "kernel parameters")?,
            in_progress: match bytes[IN_PROGRESS] {
                0 => false,
                1 => true,
                other => return Err(unknown("in progress", other)),
            },
            state: match bytes[STATE] {
                0 => State::Ok,
                1 => State::Installed,
                2 => State::Testing,
                3 => State::Failed,
                other => return Err(unknown("state", other)),
            },
            watchdog_seconds: le16(bytes, WATCHDOG),
            revision: le32(bytes, REVISION),
            variables: Variables::from_bytes(&bytes[USER..CRC])?,
        })
    }

    /// The [`SIZE`] bytes of the file, as `bg_setenv -f` writes them.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; SIZE];
        put_text(&mut bytes[..TEXT], &self.kernel_file, "kernel file")?;
        put_text(
            &mut bytes[PARAMS..PARAMS + TEXT],
            &self.kernel_params,
            "kernel parameters",
        )?;
        bytes[IN_PROGRESS] = u8::from(self.in_progress);
        bytes[STATE] = self.state as u8;
        bytes[WATCHDOG..REVISION].copy_from_slice(&self.watchdog_seconds.to_le_bytes());
        bytes[REVISION..USER].copy_from_slice(&self.revision.to_le_bytes());
        self.variables.write(&mut bytes[USER..CRC])?;
        seal(&mut bytes);
        Ok(bytes)
    }
}

/// Whether the boot loader takes `bytes` for a valid environment: long enough, with the right CRC.
pub fn is_valid(bytes: &[u8]) -> bool {
    check(bytes).is_ok()
}

/// Changes state and revision of an environment in place and leaves every other byte but the CRC, so that few sectors
/// of the file change. `FAILED` with revision 0 is how the boot loader itself marks a slot that must not be booted.
///
/// Fails when the boot loader would not take `bytes` for valid.
pub fn set_state(bytes: &mut [u8], state: State, revision: u32) -> Result<()> {
    check(bytes)?;
    bytes[STATE] = state as u8;
    bytes[REVISION..USER].copy_from_slice(&revision.to_le_bytes());
    seal(bytes);
    Ok(())
}

/// The content of `EFILABEL`: the label in UTF-16LE, without a terminator.
///
/// The boot loader reads at most 63 bytes, so 31 units are the limit.
pub fn label_file(label: &str) -> Result<Vec<u8>> {
    let units = label.encode_utf16().count();
    if units == 0 || units > 31 || label.contains([':', '\0']) {
        let reason = "a label has 1 to 31 UTF-16 units without `:`";
        return Err(Error::unwritable("EFILABEL", label, reason));
    }
    Ok(label.encode_utf16().flat_map(u16::to_le_bytes).collect())
}

fn check(bytes: &[u8]) -> Result<()> {
    if bytes.len() < SIZE {
        let reason = format!("{} bytes instead of {SIZE}", bytes.len());
        return Err(Error::malformed(FORMAT, "length", reason));
    }
    if crc32fast::hash(&bytes[..CRC]) != le32(bytes, CRC) {
        return Err(Error::malformed(FORMAT, "CRC", "does not match"));
    }
    Ok(())
}

fn seal(bytes: &mut [u8]) {
    let crc = crc32fast::hash(&bytes[..CRC]);
    bytes[CRC..SIZE].copy_from_slice(&crc.to_le_bytes());
}

fn units(field: &[u8]) -> Option<Vec<u16>> {
    let units: Vec<u16> = field.chunks_exact(2).map(|unit| le16(unit, 0)).collect();
    let length = units.iter().position(|unit| *unit == 0)?;
    Some(units[..length].to_vec())
}

fn text(field: &[u8], name: &'static str) -> Result<String> {
    let units = units(field).ok_or_else(|| Error::malformed(FORMAT, name, "no terminator"))?;
    String::from_utf16(&units).map_err(|_| Error::malformed(FORMAT, name, "not UTF-16"))
}

fn put_text(field: &mut [u8], text: &str, name: &str) -> Result<()> {
    let limit = field.len() / 2 - 1;
    if text.encode_utf16().count() > limit || text.contains('\0') {
        let reason = format!("more than {limit} UTF-16 units, or a NUL within");
        return Err(Error::unwritable(FORMAT, name, reason));
    }
    for (unit, place) in text.encode_utf16().zip(field.chunks_exact_mut(2)) {
        place.copy_from_slice(&unit.to_le_bytes());
    }
    Ok(())
}

fn unknown(field: &'static str, value: u8) -> Error {
    Error::malformed(FORMAT, field, format!("unknown value {value}"))
}
