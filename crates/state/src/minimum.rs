//! The lowest version that a device may run: raised when an image that asks for it is confirmed, never lowered.
//!
//! It is the EFI variable `BedstoneMinimumVersion` of the vendor `9d1c5f5b-27a6-4d0e-8a39-6e1f90c4b7d2`, attributes
//! non-volatile, boot service and runtime access:
//!
//! | offset | bytes | meaning |
//! |---|---|---|
//! | 0 | 1 | format: 1 |
//! | 1 | 1 to 128 | the version: printable ASCII without spaces, up to the end of the value |
//!
//! Both slots and the data partition may be lost, it stays. Where the firmware keeps no variables, or not this one, it is
//! the same text in a file on the data partition, which is weaker: who can write to the disk can remove it. Where both are
//! there, the higher one counts.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bedstone_store::atomic;

use crate::error::{Error, Result};
use crate::variables::{BEDSTONE, Variables};
use crate::version::compare;

/// Name of the variable.
pub const VARIABLE: &str = "BedstoneMinimumVersion";
/// Name of the file, in the agent's directory on the data partition.
pub const FILE: &str = "minimum-version";

const FORMAT: u8 = 1;
/// Longest version.
const LONGEST: usize = 128;

/// The lowest version that a device may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minimum {
    /// The version.
    pub version: String,
    /// Where it is kept.
    pub kept: Kept,
}

/// Where a minimum version is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// In an EFI variable.
    Firmware,
    /// In a file on the data partition.
    File,
}

impl Kept {
    /// Its name in JSON: `firmware` or `file`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Firmware => "firmware",
            Self::File => "file",
        }
    }
}

/// What is known of a device's minimum version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// The minimum, if there is one.
    pub minimum: Option<Minimum>,
    /// What could not be read, each a sentence's part. It counts as not there: a device must not stop for it.
    pub faults: Vec<String>,
}

/// Whether a version is below the minimum. One that is not known is.
pub fn is_below(version: Option<&str>, minimum: &str) -> bool {
    version.is_none_or(|version| compare(version, minimum) == Ordering::Less)
}

/// Encodes the variable's value.
pub fn encode(version: &str) -> Result<Vec<u8>> {
    check(version, "minimum version")?;
    Ok([&[FORMAT], version.as_bytes()].concat())
}

/// Decodes the variable's value.
pub fn decode(value: &[u8]) -> Result<String> {
    let malformed = |reason: String| Error::Malformed {
        place: format!("EFI variable `{VARIABLE}`"),
        reason,
    };
    match value.split_first() {
        Some((&FORMAT, version)) => {
            let version = str::from_utf8(version).map_err(|error| malformed(error.to_string()))?;
            check(version, VARIABLE)?;
            Ok(version.to_owned())
        }
        Some((format, _)) => Err(malformed(format!("format {format} is not {FORMAT}"))),
        None => Err(malformed("it is empty".to_owned())),
    }
}

/// Reads the minimum version from where it may be kept.
pub fn read(variables: Option<&Variables>, file: &Path) -> Known {
    let mut known = Known::default();
    let found = [
        (Kept::File, from_file(file)),
        (Kept::Firmware, from_firmware(variables)),
    ];
    for (kept, found) in found {
        match found {
            Ok(Some(version)) => {
                let lower = known
                    .minimum
                    .as_ref()
                    .is_some_and(|other| compare(&version, &other.version) == Ordering::Less);
                if !lower {
                    known.minimum = Some(Minimum { version, kept });
                }
            }
            Ok(None) => {}
            Err(error) => known.faults.push(error.to_string()),
        }
    }
    known
}

/// Raises the minimum to `version` if it is lower; returns what it then is.
///
/// Nothing is written when the firmware has it already. It is read back, because firmware may take a write and keep
/// nothing; then, and without variables, the file is written.
pub fn raise(variables: Option<&Variables>, file: &Path, version: &str) -> Result<Minimum> {
    let value = encode(version)?;
    let known = read(variables, file).minimum;
    let (value, version) = match &known {
        Some(old) if compare(version, &old.version) != Ordering::Greater => {
            (encode(&old.version)?, old.version.clone())
        }
        _ => (value, version.to_owned()),
    };
    let in_place = |kept| {
        known
            .as_ref()
            .is_some_and(|old| old.kept == kept && old.version == version)
    };
    let written = in_place(Kept::Firmware)
        || variables.is_some_and(|variables| {
            variables.write(VARIABLE, BEDSTONE, &value).is_ok()
                && variables
                    .read(VARIABLE, BEDSTONE)
                    .is_ok_and(|found| found.as_ref() == Some(&value))
        });
    let kept = if written { Kept::Firmware } else { Kept::File };
    if !written && !in_place(Kept::File) {
        atomic::write(file, format!("{version}\n").as_bytes())?;
    }
    Ok(Minimum { version, kept })
}

fn from_firmware(variables: Option<&Variables>) -> Result<Option<String>> {
    let Some(variables) = variables else {
        return Ok(None);
    };
    let value = variables.read(VARIABLE, BEDSTONE);
    let value = value.map_err(Error::io("read the EFI variable", VARIABLE))?;
    value.as_deref().map(decode).transpose()
}

fn from_file(path: &Path) -> Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    let mut text = String::new();
    file.take(2 * LONGEST as u64)
        .read_to_string(&mut text)
        .map_err(Error::io("read", path))?;
    let version = text.trim_end_matches('\n');
    check(version, &path.display().to_string())?;
    Ok(Some(version.to_owned()))
}

fn check(version: &str, place: &str) -> Result<()> {
    let reason = if version.is_empty() {
        "it names no version".to_owned()
    } else if version.len() > LONGEST {
        format!("its version is longer than {LONGEST} bytes")
    } else if !version.bytes().all(|byte| byte.is_ascii_graphic()) {
        format!("`{}` is no version", version.escape_debug())
    } else {
        return Ok(());
    };
    Err(Error::Malformed {
        place: place.to_owned(),
        reason,
    })
}

#[cfg(test)]
mod tests;
