//! Files that are either the old or the new one, never half of each.
//!
//! Content goes to a temporary name in the target's directory, is flushed, renamed over the target, and the directory
//! is flushed. A crash leaves the old file, or the new one, and at most a stray `.tmp-*` file that nothing reads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Replaces `path` with `bytes`, creating its directory where needed.
pub fn write(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    file.commit()
}

/// A file being written under a temporary name until [`AtomicFile::commit`]; dropped before that, it leaves no trace.
#[derive(Debug)]
pub struct AtomicFile {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    committed: bool,
}

impl AtomicFile {
    /// Starts a new content for `target`, creating its directory where needed.
    pub fn create(target: impl AsRef<Path>) -> Result<Self> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let target = target.as_ref();
        let directory = parent(target);
        fs::create_dir_all(directory).map_err(Error::io("create directory", directory))?;
        let temporary = directory.join(format!(
            ".tmp-{}-{}",
            process::id(),
            COUNTER.fetch_add(1, Ordering::Relaxed)
        ));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&temporary)
            .map_err(Error::io("create", &temporary))?;
        Ok(Self {
            file,
            temporary,
            target: target.to_path_buf(),
            committed: false,
        })
    }

    /// The file, for seeking, reading back or sparse writing.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// The temporary path, for programs that write the content by name.
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Flushes the content and puts it in the target's place.
    pub fn commit(mut self) -> Result<()> {
        self.file
            .sync_all()
            .map_err(Error::io("flush", &self.temporary))?;
        fs::rename(&self.temporary, &self.target).map_err(Error::io("rename to", &self.target))?;
        self.committed = true;
        sync_directory(parent(&self.target))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing can be done about a failure here, and nothing reads the stray file.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Flushes a directory, so that names created in it survive a power cut.
pub fn sync_directory(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|handle| handle.sync_all())
        .map_err(Error::io("flush directory", directory))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_and_cleans_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/file");
        write(&path, b"old").unwrap();
        {
            let mut abandoned = AtomicFile::create(&path).unwrap();
            abandoned.write_all(b"half").unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn names_the_path_that_failed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, b"").unwrap();
        let error = write(path.join("below-a-file"), b"x").unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
    }
}
