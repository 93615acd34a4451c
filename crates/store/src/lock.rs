use std::fs::{self, File, OpenOptions};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// Whether others may hold the lock at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Readers beside other readers.
    Shared,
    /// One holder only.
    Exclusive,
}

/// An advisory lock on a file (`flock(2)`), held until dropped.
///
/// The kernel releases it when the holder ends in any way, so a killed process never leaves a lock behind. The file
/// stays: removing it would let two processes lock two different files of the same name.
#[derive(Debug)]
pub struct FileLock(#[expect(dead_code, reason = "closing the file releases the lock")] File);

impl FileLock {
    /// Waits until the lock is free and takes it.
    pub fn acquire(path: impl AsRef<Path>, mode: Mode) -> Result<Self> {
        let path = path.as_ref();
        let file = open(path)?;
        let operation = match mode {
            Mode::Shared => FlockOperation::LockShared,
            Mode::Exclusive => FlockOperation::LockExclusive,
        };
        loop {
            match flock(&file, operation) {
                Ok(()) => return Ok(Self(file)),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::io("lock", path)(errno.into())),
            }
        }
    }

    /// Takes the lock if it is free; `None` when somebody else holds it.
    pub fn try_acquire(path: impl AsRef<Path>, mode: Mode) -> Result<Option<Self>> {
        let path = path.as_ref();
        let file = open(path)?;
        let operation = match mode {
            Mode::Shared => FlockOperation::NonBlockingLockShared,
            Mode::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        match flock(&file, operation) {
            Ok(()) => Ok(Some(Self(file))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(Error::io("lock", path)(errno.into())),
        }
    }
}

fn open(path: &Path) -> Result<File> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(Error::io("create directory", directory))?;
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(Error::io("open lock file", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn excludes_and_shares() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let first = FileLock::acquire(&path, Mode::Shared).unwrap();
        assert!(
            FileLock::try_acquire(&path, Mode::Shared)
                .unwrap()
                .is_some()
        );
        assert!(
            FileLock::try_acquire(&path, Mode::Exclusive)
                .unwrap()
                .is_none()
        );
        drop(first);
        assert!(
            FileLock::try_acquire(&path, Mode::Exclusive)
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn survives_a_killed_holder() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let mut holder = Command::new("flock")
            .arg("--no-fork")
            .arg(&path)
            .args(["sh", "-c", "echo held; exec sleep 60"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("util-linux's flock is installed");
        let mut word = [0; 5];
        std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut word).unwrap();
        assert!(
            FileLock::try_acquire(&path, Mode::Exclusive)
                .unwrap()
                .is_none()
        );
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert!(
            FileLock::try_acquire(&path, Mode::Exclusive)
                .unwrap()
                .is_some()
        );
    }
}
