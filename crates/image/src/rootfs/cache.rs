//! Directories of intermediate results, each whole or absent.
//!
//! An entry is a directory `KIND/KEY`. It is made under a temporary name, renamed into place and marked with
//! [`MARKER`]; only then does it count. A kill therefore leaves at most a temporary directory. A power cut could leave a
//! marked directory whose files were never flushed: the marker names the boot in which it was written and counts in that
//! boot only, until [`CacheDirs::settle`] has flushed the file system and says so in the marker.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bedstone_store::{Digest, FileLock, Hasher, Mode, atomic};
use bedstone_sys::namespace::IdMap;

use crate::error::{Error, Result};

/// In every entry: the boot that wrote it, or [`SETTLED`].
const MARKER: &str = ".complete";
/// What a marker says once the entry is on the disk.
const SETTLED: &str = "settled";

/// Extension of an entry that is being made.
const PART: &str = "part";

/// Names an entry: equal inputs, equal key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Digest);

impl fmt::Display for Key {
    /// Half of the digest: 128 bits suffice, and many layer paths must fit into one page of mount options.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_string()[..32])
    }
}

/// Collects the inputs of an entry, each with its length, so that no two lists of inputs run together.
#[derive(Debug)]
pub struct KeyBuilder(Hasher);

impl KeyBuilder {
    /// Starts with the kind and format version of the entry: `unpacked 1`.
    pub fn new(kind: &str) -> Self {
        let mut builder = Self(Hasher::new());
        builder.add(kind);
        builder
    }

    /// Adds an input.
    pub fn add(&mut self, input: impl AsRef<[u8]>) -> &mut Self {
        let input = input.as_ref();
        self.0.update(&(input.len() as u64).to_le_bytes());
        self.0.update(input);
        self
    }

    /// The key of the inputs so far.
    pub fn key(&self) -> Key {
        Key(self.0.clone().finish())
    }
}

/// Where intermediate trees are kept. All is on one file system, because layers are made of hard links.
#[derive(Debug)]
pub struct CacheDirs {
    root: PathBuf,
    boot: String,
    identity: String,
    /// Says that this process lives, and with it its scratch directories.
    _alive: FileLock,
}

impl CacheDirs {
    /// Opens the cache at `root`, making it where needed.
    ///
    /// Trees carry owners, so what one id map made is not found by another.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        for kind in [PACKAGES, STAGES, FINAL, TOOLS, "lock", "work"] {
            let directory = root.join(kind);
            fs::create_dir_all(&directory).map_err(Error::io("create directory", &directory))?;
        }
        let root = fs::canonicalize(&root).map_err(Error::io("resolve", &root))?;
        let own = process_lock(&root, &std::process::id().to_string());
        let cache = Self {
            boot: read("/proc/sys/kernel/random/boot_id".as_ref())?
                .trim()
                .to_owned(),
            identity: IdMap::current()?.identity(),
            root,
            _alive: FileLock::acquire(own, Mode::Shared)?,
        };
        cache.sweep()?;
        Ok(cache)
    }

    /// Removes what killed processes left: unfinished entries that nobody holds the lock of, and scratch directories.
    fn sweep(&self) -> Result<()> {
        for kind in [PACKAGES, STAGES, FINAL, TOOLS] {
            for path in list(&self.root.join(kind))? {
                if path.extension().is_some_and(|it| it == PART)
                    && let Some(key) = path.file_stem()
                    // Held while it is removed: another build may want to make the same entry.
                    && let Some(_lock) =
                        FileLock::try_acquire(self.root.join("lock").join(key), Mode::Exclusive)?
                {
                    remove(&path)?;
                }
            }
        }
        for path in list(&self.root.join("work"))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let owner = name.split('-').next().unwrap_or_default();
            if let Some(_lock) =
                FileLock::try_acquire(process_lock(&self.root, owner), Mode::Exclusive)?
            {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// The directory that all entries are below.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Starts the key of an entry of the form `kind`.
    pub(super) fn key(&self, kind: &str) -> KeyBuilder {
        let mut key = KeyBuilder::new(kind);
        key.add(&self.identity);
        key
    }

    /// Where the entry is, when it is complete.
    pub(super) fn find(&self, kind: &str, key: &Key) -> Result<Option<PathBuf>> {
        let path = self.path(kind, key);
        match fs::read_to_string(path.join(MARKER)) {
            Ok(marker) if marker == SETTLED || marker == self.boot => Ok(Some(path)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", path.join(MARKER))(error)),
        }
    }

    /// Waits until nobody else makes the entry, and keeps others waiting. Look again with [`CacheDirs::find`] then.
    pub(super) fn lock(&self, key: &Key) -> Result<FileLock> {
        let path = self.root.join("lock").join(key.to_string());
        Ok(FileLock::acquire(path, Mode::Exclusive)?)
    }

    /// An empty directory to make the entry in. The caller holds the entry's lock, so what is there is left over from a
    /// run that was killed.
    pub(super) fn begin(&self, kind: &str, key: &Key) -> Result<PathBuf> {
        let path = self.root.join(kind).join(format!("{key}.{PART}"));
        remove(&path)?;
        remove(&self.path(kind, key))?;
        fs::create_dir(&path).map_err(Error::io("create directory", &path))?;
        Ok(path)
    }

    /// Makes what [`CacheDirs::begin`] began an entry.
    pub(super) fn publish(&self, kind: &str, key: &Key) -> Result<PathBuf> {
        let begun = self.root.join(kind).join(format!("{key}.{PART}"));
        let path = self.path(kind, key);
        let marker = begun.join(MARKER);
        fs::write(&marker, &self.boot).map_err(Error::io("write", &marker))?;
        fs::rename(&begun, &path).map_err(Error::io("rename to", &path))?;
        Ok(path)
    }

    /// A fresh directory for mount points and scratch files, removed with the value.
    pub(super) fn scratch(&self) -> Result<Scratch> {
        static COUNTER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let work = self.root.join("work");
        loop {
            let number = COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let path = work.join(format!("{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Scratch(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io("create directory", path)(error)),
            }
        }
    }

    /// Flushes the cache's file system and marks all entries as safe against a power cut. Slow on a slow disk; nothing
    /// waits for it but the next boot's cache.
    pub fn settle(&self) -> Result<()> {
        let mut fresh = Vec::new();
        for kind in [PACKAGES, STAGES, FINAL, TOOLS] {
            for entry in list(&self.root.join(kind))? {
                let marker = entry.join(MARKER);
                if fs::read_to_string(&marker).is_ok_and(|marker| marker == self.boot) {
                    fresh.push(marker);
                }
            }
        }
        if fresh.is_empty() {
            return Ok(());
        }
        fs::File::open(&self.root)
            .and_then(|root| Ok(rustix::fs::syncfs(root)?))
            .map_err(Error::io("flush", &self.root))?;
        for marker in fresh {
            atomic::write(&marker, SETTLED.as_bytes())?;
        }
        Ok(())
    }

    /// Where the entry is or will be.
    pub(super) fn path(&self, kind: &str, key: &Key) -> PathBuf {
        self.root.join(kind).join(key.to_string())
    }
}

/// Entries: one unpacked .deb each.
pub(super) const PACKAGES: &str = "packages";
/// Entries: the layers of one configured stage each.
pub(super) const STAGES: &str = "stages";
/// Entries: the customised and sealed layer.
pub(super) const FINAL: &str = "final";
/// Entries: trees that tools run in.
pub(super) const TOOLS: &str = "tools";

/// A directory that is removed when dropped.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Leaves the directory to the next run, which sweeps it away: what is large takes long to remove.
    pub(super) fn abandon(mut self) {
        self.0 = PathBuf::new();
    }

    /// A new directory in it.
    pub(super) fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        fs::create_dir(&path).map_err(Error::io("create directory", &path))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed lies in the cache's work directory and is in nobody's way.
        if !self.0.as_os_str().is_empty() {
            let _ = remove(&self.0);
        }
    }
}

/// Removes a tree if it is there.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// What every process that uses the cache at `root` holds as long as it lives.
fn process_lock(root: &Path, process: &str) -> PathBuf {
    root.join("lock").join(format!("process-{process}"))
}

fn list(directory: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(Error::io("list", directory))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(Error::io("read", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_do_not_run_together() {
        let key = |inputs: &[&str]| {
            let mut builder = KeyBuilder::new("test 1");
            for input in inputs {
                builder.add(input);
            }
            builder.key().to_string()
        };
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_eq!(key(&["a"]).len(), 32);
    }

    #[test]
    fn an_entry_counts_once_published() {
        let directory = tempfile::tempdir().unwrap();
        let cache = CacheDirs::open(directory.path().join("cache")).unwrap();
        let key = cache.key("test 1").key();
        let _lock = cache.lock(&key).unwrap();
        let begun = cache.begin(STAGES, &key).unwrap();
        fs::write(begun.join("half"), "").unwrap();
        assert_eq!(cache.find(STAGES, &key).unwrap(), None);
        let begun = cache.begin(STAGES, &key).unwrap();
        assert!(!begun.join("half").exists());
        let path = cache.publish(STAGES, &key).unwrap();
        assert_eq!(cache.find(STAGES, &key).unwrap(), Some(path.clone()));
        cache.settle().unwrap();
        assert_eq!(fs::read_to_string(path.join(MARKER)).unwrap(), SETTLED);
        assert!(cache.find(STAGES, &key).unwrap().is_some());
    }

    #[test]
    fn an_unflushed_entry_of_another_boot_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let cache = CacheDirs::open(directory.path()).unwrap();
        let key = cache.key("test 1").key();
        cache.begin(STAGES, &key).unwrap();
        let path = cache.publish(STAGES, &key).unwrap();
        fs::write(path.join(MARKER), "another boot").unwrap();
        assert_eq!(cache.find(STAGES, &key).unwrap(), None);
    }

    #[test]
    fn what_a_killed_process_left_is_swept() {
        let directory = tempfile::tempdir().unwrap();
        let cache = CacheDirs::open(directory.path()).unwrap();
        let (dead, alive) = (cache.key("dead 1").key(), cache.key("alive 1").key());
        let dead_entry = cache.begin(STAGES, &dead).unwrap();
        let alive_entry = cache.begin(STAGES, &alive).unwrap();
        let _lock = cache.lock(&alive).unwrap();
        let scratch = cache.scratch().unwrap();
        let left = cache.root().join("work/4194305-0");
        fs::create_dir(&left).unwrap();
        CacheDirs::open(directory.path()).unwrap();
        assert!(!dead_entry.exists() && !left.exists());
        assert!(alive_entry.exists() && scratch.path().exists());
    }

    #[test]
    fn scratch_directories_vanish() {
        let directory = tempfile::tempdir().unwrap();
        let cache = CacheDirs::open(directory.path()).unwrap();
        let path = {
            let scratch = cache.scratch().unwrap();
            scratch.directory("x").unwrap();
            scratch.path().to_path_buf()
        };
        assert!(!path.exists());
    }
}
