//! The output directory of a build.

use std::fs;
use std::path::{Path, PathBuf};

use bedstone_disk::{compress, qcow2, sparse};
use bedstone_store::Digest;
use bedstone_store::atomic::{self, AtomicFile};
use rustix::fs::FlockOperation;

use super::{Build, Error, Result};
use crate::record::{self, Artifact};

/// zstd level of compressed disk images: what comes after it costs much more time than it saves bytes.
const ZSTD_LEVEL: i32 = 9;

/// The disk image in further forms.
const ZSTD_FORM: &str = "disk.img.zst";
const QCOW2_FORM: &str = "disk.qcow2";

pub(super) fn forms(build: &Build<'_>, disk: &Path, output: &mut Output<'_>) -> Result<()> {
    if build.forms.zstd {
        let target = build.output.join(ZSTD_FORM);
        let mut source = fs::File::open(disk).map_err(Error::io("open", disk))?;
        let size = source.metadata().map_err(Error::io("inspect", disk))?.len();
        let mut file = AtomicFile::create(&target)?;
        let workers = u32::try_from(build.jobs.get()).unwrap_or(u32::MAX);
        compress::compress(&mut source, size, file.file(), ZSTD_LEVEL, workers)?;
        file.commit()?;
        output.adopt("disk-zstd", ZSTD_FORM)?;
    }
    if build.forms.qcow2 {
        qcow2::convert(disk, &build.output.join(QCOW2_FORM))?;
        output.adopt("disk-qcow2", QCOW2_FORM)?;
    }
    Ok(())
}

/// The output directory and what is in it so far.
pub(super) struct Output<'a> {
    pub(super) directory: &'a Path,
    pub(super) artifacts: Vec<Artifact>,
    /// Keeps other builds out.
    _lock: fs::File,
}

impl<'a> Output<'a> {
    /// Takes hold of the directory, making it where needed.
    ///
    /// An output directory is complete when it has a record; until this build has written its own, it has none. Forms that
    /// are not written again would be those of another image.
    pub(super) fn open(directory: &'a Path) -> Result<Self> {
        fs::create_dir_all(directory).map_err(Error::io("create directory", directory))?;
        let lock = fs::File::open(directory).map_err(Error::io("open", directory))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Error::OutputInUse(directory.to_owned()));
            }
            Err(error) => {
                return Err(Error::io("lock", directory)(std::io::Error::from(error)));
            }
        }
        for name in [record::FILE_NAME, ZSTD_FORM, QCOW2_FORM] {
            remove(&directory.join(name))?;
        }
        Ok(Self {
            directory,
            artifacts: Vec::new(),
            _lock: lock,
        })
    }

    /// Writes an artifact.
    pub(super) fn write(&mut self, kind: &str, name: &str, bytes: &[u8]) -> Result<()> {
        atomic::write(self.directory.join(name), bytes)?;
        self.adopt_known(kind, name, bytes.len() as u64, Digest::of(bytes));
        Ok(())
    }

    /// Takes up a file that a step has written.
    pub(super) fn adopt(&mut self, kind: &str, name: &str) -> Result<()> {
        let path: PathBuf = self.directory.join(name);
        let (sha256, size) = sparse::digest(&path)?;
        self.adopt_known(kind, name, size, sha256);
        Ok(())
    }

    /// The same, of which the step says what it has written.
    pub(super) fn adopt_known(&mut self, kind: &str, name: &str, size: u64, sha256: Digest) {
        self.artifacts.push(Artifact {
            kind: kind.to_owned(),
            file: name.to_owned(),
            size,
            sha256,
        });
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}
