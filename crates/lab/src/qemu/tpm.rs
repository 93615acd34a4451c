use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bedstone_sys::pidfd::BoundChild;

use super::config::Tpm;
use super::discover::Tools;
use crate::error::{Error, Result};

/// Where this TPM's state is while a machine uses it; a temporary copy in `directory` where changes shall not stay.
pub(crate) fn state(tpm: &Tpm, directory: &Path) -> Result<PathBuf> {
    if tpm.keep {
        fs::create_dir_all(&tpm.state).map_err(Error::io("create directory", &tpm.state))?;
        return fs::canonicalize(&tpm.state).map_err(Error::io("find", &tpm.state));
    }
    let copy = directory.join("tpm");
    copy_state(&tpm.state, &copy)?;
    Ok(copy)
}

/// Copies a TPM's state; one that does not exist is a new TPM's.
pub(crate) fn copy_state(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).map_err(Error::io("create directory", to))?;
    if !from.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(from).map_err(Error::io("list", from))? {
        let entry = entry.map_err(Error::io("list", from))?;
        // The lock is for whoever runs on the original.
        if entry.file_name() != ".lock" {
            fs::copy(entry.path(), to.join(entry.file_name()))
                .map_err(Error::io("copy", entry.path()))?;
        }
    }
    Ok(())
}

/// Starts swtpm on `state`, and gives it with the socket that QEMU controls it by; it ends with that connection.
pub(crate) fn start(
    tools: &Tools,
    state: &Path,
    directory: &Path,
) -> Result<(BoundChild, OwnedFd)> {
    let program = tools.swtpm()?;
    let failed = |source| Error::Start {
        program: program.clone(),
        source,
    };
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let theirs = OwnedFd::from(theirs);
    let log = directory.join("swtpm.log");
    let stderr = File::create(&log).map_err(Error::io("create", &log))?;
    let mut directory_option = std::ffi::OsString::from("dir=");
    directory_option.push(state);
    let mut command = Command::new(&program);
    command
        .args(["socket", "--tpm2", "--terminate", "--tpmstate"])
        .arg(directory_option)
        .arg("--ctrl")
        .arg(format!("type=unixio,clientfd={}", theirs.as_raw_fd()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr);
    let child = BoundChild::spawn(command, vec![theirs]).map_err(failed)?;
    Ok((child, ours.into()))
}
