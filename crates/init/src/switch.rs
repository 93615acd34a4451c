use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::error::{Error, Result};
use crate::root;

/// Frees the memory of the initramfs, makes the mounted root the root, and becomes its `program`. Returns only when that
/// fails.
///
/// The kernel's file systems stay mounted beneath, out of everyone's sight but the watcher's.
pub(crate) fn into_root(program: &str, arguments: impl Iterator<Item = OsString>) -> Result<()> {
    for entry in fs::read_dir("/").map_err(Error::io("list", "/"))?.flatten() {
        // Only what the initramfs brought, never what is mounted; nothing depends on success.
        if entry.file_name() == "lib" {
            let _ = fs::remove_dir_all(entry.path());
        } else if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let _ = fs::remove_file(entry.path());
        }
    }
    let target = Path::new(root::MOUNTED);
    rustix::process::chdir(target)
        .and_then(|()| rustix::mount::mount_move(".", "/"))
        .and_then(|()| rustix::process::chroot("."))
        .and_then(|()| rustix::process::chdir("/"))
        .map_err(Error::io("change the root to", target))?;
    let error = Command::new(program)
        .args(arguments)
        .env("TERM", "linux")
        .exec();
    Err(Error::io("run", program)(error))
}
