//! The kernel image, which waits outside the slot until the root file system is complete.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use bedstone_bundle::Member;
use bedstone_disk::uki;
use bedstone_disk::verity::RootArguments;

use super::{Installation, PIECE, Progress, read};
use crate::error::{Error, Result};
use crate::transaction::Records;

/// Largest kernel image that is taken.
const KERNEL_LIMIT: u64 = 256 << 20;

/// Puts the kernel image aside, so that it is known to be right before the boot partition changes.
pub(super) fn keep<R: Read>(
    member: Member<'_, R>,
    path: &Path,
    installation: &Installation<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    let name = member.name.clone();
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
    }
    let mut content = member.content(installation.key)?;
    let mut file = File::create(path).map_err(Error::io("create", path))?;
    let mut buffer = vec![0; PIECE];
    let mut bytes = 0;
    loop {
        let length = read(&mut content, &mut buffer, installation.interrupt)?;
        if length == 0 {
            return Ok(());
        }
        bytes += length as u64;
        if bytes > KERNEL_LIMIT {
            return Err(Error::TooLarge {
                member: name,
                limit: KERNEL_LIMIT,
                place: "a kernel image".to_owned(),
            });
        }
        file.write_all(&buffer[..length])
            .map_err(Error::io("write", path))?;
        progress(Progress::Member {
            name: name.clone(),
            bytes,
        });
    }
}

/// What the kernel image says about its root file system; it must be made for this disk.
pub(super) fn arguments(kernel: &Path, disk: &str) -> Result<RootArguments> {
    let file = File::open(kernel).map_err(Error::io("open", kernel))?;
    let command_line = uki::command_line(&file)?;
    let wanted = command_line
        .split_ascii_whitespace()
        .find_map(|argument| argument.strip_prefix("bedstone.disk="))
        .unwrap_or("none");
    if !wanted.eq_ignore_ascii_case(disk) {
        return Err(Error::WrongProduct {
            wanted: wanted.escape_debug().to_string(),
            own: disk.to_owned(),
        });
    }
    Ok(RootArguments::parse(&command_line)?)
}

pub(super) fn staged(records: &Records) -> PathBuf {
    records.directory().join("kernel.part")
}
