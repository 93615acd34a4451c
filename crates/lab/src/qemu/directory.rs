use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use bedstone_store::FileLock;
use bedstone_store::Mode::Exclusive;

use crate::error::{Error, Result};

/// A temporary directory `WORK/machine-PID-N` of one machine, removed when dropped.
///
/// Its lock file tells whether its owner lives: what a killed process left is removed when the next one is made.
#[derive(Debug)]
pub(crate) struct RunDirectory {
    path: PathBuf,
    lock: Option<FileLock>,
}

const PREFIX: &str = "machine-";
const LOCK: &str = "lock";

impl RunDirectory {
    pub(crate) fn create(work: &Path) -> Result<Self> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        // Held while a directory is there without its own lock, so that nobody takes it for a left-over.
        let _making = FileLock::acquire(work.join(LOCK), Exclusive)?;
        let work = fs::canonicalize(work).map_err(Error::io("find", work))?;
        sweep(&work)?;
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = work.join(format!("{PREFIX}{}-{number}", process::id()));
        fs::create_dir(&path).map_err(Error::io("create directory", &path))?;
        let lock = FileLock::acquire(path.join(LOCK), Exclusive)?;
        Ok(Self {
            path,
            lock: Some(lock),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
        self.lock = None;
    }
}

fn sweep(work: &Path) -> Result<()> {
    for entry in fs::read_dir(work).map_err(Error::io("list", work))? {
        let entry = entry.map_err(Error::io("list", work))?;
        if !entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PREFIX.as_bytes())
        {
            continue;
        }
        let path = entry.path();
        // Not its removal but its vanishing on the way is what may go wrong here; the next sweep comes.
        if let Ok(Some(_lock)) = FileLock::try_acquire(path.join(LOCK), Exclusive) {
            let _ = fs::remove_dir_all(&path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_when_dropped_and_sweeps_what_the_dead_left() {
        let work = tempfile::tempdir().unwrap();
        let left = work.path().join("machine-1-0");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("disk"), "x").unwrap();
        let other = work.path().join("other");
        fs::create_dir(&other).unwrap();
        let first = RunDirectory::create(work.path()).unwrap();
        let second = RunDirectory::create(work.path()).unwrap();
        assert!(!left.exists() && other.exists());
        assert!(first.path().is_dir() && second.path().is_dir());
        let path = first.path().to_path_buf();
        drop(first);
        assert!(!path.exists() && second.path().is_dir());
    }
}
