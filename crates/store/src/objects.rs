use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use crate::atomic::{AtomicFile, sync_directory};
use crate::digest::{Digest, HashingWriter};
use crate::error::{Error, Result};
use crate::lock::{FileLock, Mode};

/// A directory of immutable objects named by their SHA-256.
///
/// ```text
/// ROOT/objects/ab/cdef…   one file per object, named by its digest (2 + 62 hexadecimal digits), mode 0444
/// ROOT/partial/abcdef…    downloads under way, resumable, never read as objects
/// ROOT/lock               shared by users, exclusive for whoever removes objects
/// ```
///
/// An object appears under its name only once its digest was checked, so the name is a promise.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    _lock: FileLock,
}

/// How much a store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Number of complete objects.
    pub objects: u64,
    /// Their content in bytes.
    pub bytes: u64,
    /// Bytes of downloads under way.
    pub partial_bytes: u64,
}

impl Store {
    /// Opens the store at `root`, creating it where needed.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        for name in ["objects", "partial"] {
            let directory = root.join(name);
            fs::create_dir_all(&directory).map_err(Error::io("create directory", &directory))?;
        }
        let lock = FileLock::acquire(root.join("lock"), Mode::Shared)?;
        Ok(Self { root, _lock: lock })
    }

    /// The directory the store lives in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the object `digest` is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.to_string();
        self.root.join("objects").join(&hex[..2]).join(&hex[2..])
    }

    /// Whether the object is here.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    /// Opens an object for reading.
    pub fn get(&self, digest: &Digest) -> Result<File> {
        let path = self.path(digest);
        File::open(&path).map_err(|source| match source.kind() {
            ErrorKind::NotFound => Error::Missing(*digest),
            _ => Error::io("open", path)(source),
        })
    }

    /// Reads a whole object into memory.
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.get(digest)?
            .read_to_end(&mut bytes)
            .map_err(Error::io("read", self.path(digest)))?;
        Ok(bytes)
    }

    /// Stores `bytes` and returns their digest.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        self.insert(&digest, &mut &*bytes)?;
        Ok(digest)
    }

    /// Stores the content of `reader`, which must have the digest `expected`; otherwise nothing is kept.
    pub fn insert(&self, expected: &Digest, reader: &mut dyn Read) -> Result<()> {
        if self.contains(expected) {
            return Ok(());
        }
        let path = self.path(expected);
        let mut writer = HashingWriter::new(AtomicFile::create(&path)?);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let length = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(source) => {
                    return Err(Error::Content {
                        digest: *expected,
                        source,
                    });
                }
            };
            writer
                .write_all(&buffer[..length])
                .map_err(Error::io("write", &path))?;
        }
        let (actual, _, file) = writer.finish();
        check(expected, actual, || format!("object {expected}"))?;
        seal(file, &path)
    }

    /// Stores the file at `path` under its digest, which is returned with the length.
    pub fn import(&self, path: &Path) -> Result<(Digest, u64)> {
        let open = || File::open(path).map_err(Error::io("open", path));
        let (digest, length) = Digest::of_reader(&mut BufReader::with_capacity(1 << 16, open()?))
            .map_err(Error::io("read", path))?;
        self.insert(&digest, &mut open()?)?;
        Ok((digest, length))
    }

    /// Where a download of `digest` collects its bytes. What is there after an interruption may be continued.
    pub fn partial(&self, digest: &Digest) -> PathBuf {
        self.root.join("partial").join(digest.to_string())
    }

    /// Checks a finished download and makes it an object; a wrong one is removed, so that the next try starts afresh.
    pub fn adopt_partial(&self, digest: &Digest, what: &str) -> Result<()> {
        let partial = self.partial(digest);
        let file = File::open(&partial).map_err(Error::io("open", &partial))?;
        let (actual, _) = Digest::of_reader(&mut BufReader::with_capacity(1 << 16, &file))
            .map_err(Error::io("read", &partial))?;
        if let Err(error) = check(digest, actual, || what.to_owned()) {
            fs::remove_file(&partial).map_err(Error::io("remove", &partial))?;
            return Err(error);
        }
        file.sync_all().map_err(Error::io("flush", &partial))?;
        read_only(&file, &partial)?;
        let path = self.path(digest);
        let directory = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(directory).map_err(Error::io("create directory", directory))?;
        fs::rename(&partial, &path).map_err(Error::io("rename to", &path))?;
        sync_directory(directory)
    }

    /// Reads an object back and compares it with its name.
    pub fn verify(&self, digest: &Digest) -> Result<()> {
        let path = self.path(digest);
        let (actual, _) =
            Digest::of_reader(&mut BufReader::with_capacity(1 << 16, self.get(digest)?))
                .map_err(Error::io("read", &path))?;
        check(digest, actual, || path.display().to_string())
    }

    /// Counts objects and bytes.
    pub fn usage(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        for prefix in list(&self.root.join("objects"))? {
            for object in list(&prefix)? {
                // A writer at work has its temporary file here; only complete objects count.
                if object
                    .file_name()
                    .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
                {
                    continue;
                }
                usage.objects += 1;
                usage.bytes += size(&object)?;
            }
        }
        for partial in list(&self.root.join("partial"))? {
            usage.partial_bytes += size(&partial)?;
        }
        Ok(usage)
    }
}

fn check(expected: &Digest, actual: Digest, what: impl FnOnce() -> String) -> Result<()> {
    if *expected == actual {
        return Ok(());
    }
    Err(Error::Mismatch {
        what: what(),
        expected: *expected,
        actual,
    })
}

fn seal(mut file: AtomicFile, path: &Path) -> Result<()> {
    read_only(file.file(), path)?;
    file.commit()
}

fn read_only(file: &File, path: &Path) -> Result<()> {
    let mut permissions = file
        .metadata()
        .map_err(Error::io("inspect", path))?
        .permissions();
    permissions.set_readonly(true);
    file.set_permissions(permissions)
        .map_err(Error::io("protect", path))
}

fn list(directory: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(Error::io("list", directory))
}

/// The file's size, or nothing when it was renamed away between listing and looking.
fn size(path: &Path) -> Result<u64> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(Error::io("inspect", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("store")).unwrap();
        (directory, store)
    }

    #[test]
    fn stores_and_counts() {
        let (_directory, store) = store();
        let digest = store.put(b"hello").unwrap();
        store.put(b"hello").unwrap();
        assert_eq!(store.read(&digest).unwrap(), b"hello");
        let usage = store.usage().unwrap();
        assert_eq!((usage.objects, usage.bytes), (1, 5));
        store.verify(&digest).unwrap();
    }

    #[test]
    fn refuses_wrong_content_and_keeps_nothing() {
        let (_directory, store) = store();
        let promised = Digest::of(b"promised");
        let error = store.insert(&promised, &mut &b"other"[..]).unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }), "{error}");
        assert!(!store.contains(&promised));
        fs::write(store.partial(&promised), b"other").unwrap();
        assert!(store.adopt_partial(&promised, "http://x/y").is_err());
        assert!(!store.partial(&promised).exists());
        assert_eq!(store.usage().unwrap(), Usage::default());
    }

    #[test]
    fn adopts_a_finished_download() {
        let (_directory, store) = store();
        let digest = Digest::of(b"content");
        fs::write(store.partial(&digest), b"content").unwrap();
        store.adopt_partial(&digest, "http://x/y").unwrap();
        assert_eq!(store.read(&digest).unwrap(), b"content");
    }

    #[test]
    fn detects_rot() {
        let (_directory, store) = store();
        let digest = store.put(b"content").unwrap();
        fs::remove_file(store.path(&digest)).unwrap();
        fs::write(store.path(&digest), b"c0ntent").unwrap();
        assert!(matches!(store.verify(&digest), Err(Error::Mismatch { .. })));
    }

    #[test]
    fn says_what_is_missing() {
        let (_directory, store) = store();
        assert!(matches!(
            store.get(&Digest::of(b"nothing")),
            Err(Error::Missing(_))
        ));
    }
}
