//! A slot's boot partition on a device: its environment replaced in place, its volume written anew.
//!
//! No file system driver takes part, so the order of the writes is the one below and can be reasoned about: whatever a
//! power cut leaves, the boot loader either finds a valid environment that was meant, or none.

use std::io::{self, Read};

use crate::bgenv::{self, Environment, Loader, State};
use crate::content::Content;
use crate::error::{Error, Result};
use crate::fat::{self, Tree, Volume};
use crate::layout::KERNEL_FILE_NAME;
use crate::pe;
use crate::storage::{ReadAt, WriteAt};

const FORMAT: &str = "boot partition";
/// Bytes that are copied and compared at a time.
const PIECE: usize = 256 << 10;
/// Longest `os-release` file.
const OS_RELEASE_LIMIT: usize = 64 << 10;

/// The user variable (`U8`) that says how many more starts an update under test has when it is started and not confirmed.
pub const ATTEMPTS: &str = "bedstone.attempts";

/// A medium that can be made to forget what it cached.
pub trait Medium: ReadAt + WriteAt {
    /// Brings what was written to the medium, and lets the next read come from there.
    fn settle(&mut self) -> io::Result<()>;

    /// Another way to read it, for use while it is written to; none when there is only one.
    fn reader(&self) -> io::Result<Option<Box<dyn ReadAt + Send>>> {
        Ok(None)
    }
}

/// What a boot partition's volume is made with, beside its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Label of the volume, and content of `EFILABEL`.
    pub label: String,
    /// Volume serial number.
    pub volume_id: u32,
    /// All time stamps, in seconds since 1970.
    pub time: u64,
}

/// The environment as it stands on the volume.
pub fn environment(medium: &impl ReadAt) -> Result<Vec<u8>> {
    Volume::open(medium)?.read(bgenv::FILE_NAME, bgenv::SIZE as u64)
}

/// Replaces the environment in place.
///
/// Only the sectors that change are written; then they are flushed, read back and compared. A power cut in between leaves
/// an environment with a wrong CRC, which the boot loader passes over.
pub fn replace_environment(medium: &mut impl Medium, bytes: &[u8]) -> Result<()> {
    let writes = Volume::open(medium)?.replace(bgenv::FILE_NAME, bytes)?;
    for write in writes {
        write.apply(medium)?;
    }
    settle(medium)?;
    if environment(medium)? != bytes {
        return Err(differs("environment"));
    }
    Ok(())
}

/// Makes sure that the boot loader does not start this slot, whatever is done to the partition afterwards: its environment
/// becomes FAILED, in progress, of revision 0. Where there is none that could be replaced, the volume's first sectors are
/// zeroed, so that firmware finds no volume at all.
pub fn disable(medium: &mut impl Medium) -> Result<()> {
    let marked = Environment {
        in_progress: true,
        state: State::Failed,
        revision: 0,
        ..environment(medium)
            .and_then(|bytes| Environment::from_bytes(&bytes))
            .unwrap_or_default()
    };
    if replace_environment(medium, &marked.to_bytes()?).is_ok() {
        return Ok(());
    }
    // FAT32 keeps a copy of the first sector in the sixth.
    let zeros = vec![0; 16 * 512];
    medium
        .write_all_at(&zeros, 0)
        .map_err(Error::stream("write", FORMAT))?;
    settle(medium)?;
    let mut found = vec![1; zeros.len()];
    read(medium, &mut found, 0)?;
    if found != zeros {
        return Err(differs("first sectors"));
    }
    Ok(())
}

/// Writes the volume anew, with `kernel` and an environment that keeps the boot loader away until
/// [`replace_environment`] says otherwise. The slot must have been [disabled](disable).
///
/// The files are written and flushed before the tables that lead to them, so that at no time a table leads to an
/// environment of an earlier life. Everything is read back and compared.
pub fn renew(
    medium: &mut impl Medium,
    identity: &Identity,
    environment: &Environment,
    kernel: &Content,
) -> Result<()> {
    let hidden = Environment {
        in_progress: true,
        state: State::Failed,
        revision: 0,
        ..environment.clone()
    };
    let mut tree = Tree::new();
    tree.insert(bgenv::FILE_NAME, hidden.to_bytes()?)?;
    tree.insert(bgenv::LABEL_FILE_NAME, bgenv::label_file(&identity.label)?)?;
    tree.insert(KERNEL_FILE_NAME, kernel.clone())?;
    let options = fat::Options {
        kind: None,
        size: medium.size().map_err(Error::stream("measure", FORMAT))?,
        volume_id: identity.volume_id,
        label: identity.label.clone(),
        time: identity.time,
    };
    let plan = fat::plan(&options, &tree)?;
    let (head, files) = plan
        .pieces()
        .split_first()
        .ok_or_else(|| Error::unwritable(FORMAT, "volume", "has no bytes"))?;
    for piece in files {
        write(medium, piece)?;
    }
    settle(medium)?;
    write(medium, head)?;
    settle(medium)?;
    for piece in plan.pieces() {
        compare(medium, piece)?;
    }
    Ok(())
}

/// Whether the boot loader chooses the second of two environments, in whichever order the firmware lists them.
pub fn chooses_second(first: &[u8], second: &[u8]) -> bool {
    let chosen = |one, two| bgenv::select(&[Some(one), Some(two)], Loader::Since0_20).boots;
    chosen(first, second) == Some(1) && chosen(second, first) == Some(0)
}

/// Why a slot with this boot partition cannot be started; otherwise its environment.
///
/// It can be with a valid environment, confirmed or new, and its kernel in place.
pub fn usable(medium: &impl ReadAt) -> Result<Vec<u8>, String> {
    let bytes = environment(medium).map_err(|error| error.to_string())?;
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

/// The `os-release` file in a slot's kernel image (section `.osrel`). Only the headers and this section are read.
///
/// The signature is not verified here: what a slot says of itself decides nothing that its own start does not decide again.
pub fn os_release(medium: &impl ReadAt) -> Result<String> {
    const SECTION: &str = ".osrel";
    let volume = Volume::open(medium)?;
    let entry = volume.find(KERNEL_FILE_NAME)?;
    let size = u64::from(entry.size);
    let mut head = vec![0; pe::Headers::LIMIT.min(size) as usize];
    volume.read_part(&entry, 0, &mut head)?;
    let fault = |reason: &str| Error::Uki {
        section: SECTION.to_owned(),
        reason: reason.to_owned(),
    };
    let headers = pe::Headers::parse(&head, size)?;
    let section = headers
        .section(SECTION)?
        .ok_or_else(|| fault("it is missing"))?;
    let length = section.size() as usize;
    if length > OS_RELEASE_LIMIT {
        return Err(fault("it is longer than any os-release file"));
    }
    let mut text = vec![0; length];
    volume.read_part(&entry, u64::from(section.raw_offset), &mut text)?;
    let text = String::from_utf8(text).map_err(|_| fault("it is not UTF-8"))?;
    Ok(text.trim_end_matches('\0').to_owned())
}

fn settle(medium: &mut impl Medium) -> Result<()> {
    medium.settle().map_err(Error::stream("flush", FORMAT))
}

fn read(medium: &impl ReadAt, buffer: &mut [u8], offset: u64) -> Result<()> {
    medium
        .read_exact_at(buffer, offset)
        .map_err(Error::stream("read", FORMAT))
}

fn write(medium: &mut impl Medium, piece: &fat::Piece) -> Result<()> {
    each(piece, |bytes, offset| {
        medium
            .write_all_at(bytes, offset)
            .map_err(Error::stream("write", FORMAT))
    })
}

fn compare(medium: &impl ReadAt, piece: &fat::Piece) -> Result<()> {
    let mut found = vec![0; PIECE];
    each(piece, |bytes, offset| {
        let found = &mut found[..bytes.len()];
        read(medium, found, offset)?;
        if found == bytes {
            Ok(())
        } else {
            Err(differs("volume"))
        }
    })
}

/// Hands the bytes of a piece on, with their offsets on the volume.
fn each(piece: &fat::Piece, mut action: impl FnMut(&[u8], u64) -> Result<()>) -> Result<()> {
    let mut content = piece.content.open()?.take(piece.length);
    let mut buffer = vec![0; PIECE];
    let mut done = 0;
    while done < piece.length {
        let length = (piece.length - done).min(PIECE as u64) as usize;
        content
            .read_exact(&mut buffer[..length])
            .map_err(Error::stream("read", FORMAT))?;
        action(&buffer[..length], piece.offset + done)?;
        done += length as u64;
    }
    Ok(())
}

fn differs(field: &'static str) -> Error {
    Error::malformed(FORMAT, field, "reads back differently")
}

#[cfg(test)]
mod tests;
