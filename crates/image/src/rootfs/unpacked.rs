//! .debs as trees: each is unpacked once, streaming, and kept in the cache for every image that has it.
//!
//! A cached tree has the paths, modes, owners and times of the archive, before any dpkg rule is applied: those are
//! applied when a stage links the files into its layer.

use std::cell::RefCell;
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown, fchown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use bedstone_deb::archive::{Deb, Entry as ArchiveEntry, Kind as ArchiveKind};
use bedstone_store::{Digest, Error as StoreError, HashingReader};

use super::Package;
use super::cache::{CacheDirs, PACKAGES};
use super::control::Control;
use super::database::triggers::interests;
use super::stages::Scripts;
use crate::error::{Error, Result};

/// Changes whenever the form of an unpacked package does.
const FORMAT: &str = "unpacked 1";
/// Bytes written at once.
const COPY_BUFFER: usize = 1 << 18;

/// An unpacked .deb in the cache.
#[derive(Debug)]
pub(super) struct Unpacked {
    /// SHA-256 of the .deb.
    pub(super) digest: Digest,
    /// The control stanza, parsed.
    pub(super) control: Control,
    /// The control stanza as it is in the .deb.
    pub(super) stanza: String,
    /// Directory of the data archive's files.
    pub(super) tree: PathBuf,
    /// Directory of the control archive's files.
    pub(super) control_files: PathBuf,
    /// Names of the control archive's files, sorted.
    pub(super) control_names: Vec<String>,
    /// The data archive's entries in archive order.
    pub(super) entries: Vec<Entry>,
    /// Newest modification time of a file in the package.
    pub(super) newest: i64,
}

/// One entry of the data archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Relative to the root, empty for the root itself.
    pub(super) path: String,
    /// What it is.
    pub(super) kind: Kind,
    /// Permission bits.
    pub(super) mode: u32,
    /// Owner.
    pub(super) uid: u32,
    /// Group.
    pub(super) gid: u32,
    /// Modification time in seconds since 1970.
    pub(super) mtime: i64,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    Directory,
    File(u64),
    Symlink(String),
    Hardlink(String),
}

impl Unpacked {
    /// Whether the control archive has this file.
    pub(super) fn has_control(&self, name: &str) -> bool {
        self.control_names
            .binary_search_by(|it| it.as_str().cmp(name))
            .is_ok()
    }

    /// The text of a control file, where there is one.
    pub(super) fn control_file(&self, name: &str) -> Result<Option<String>> {
        if !self.has_control(name) {
            return Ok(None);
        }
        let path = self.control_files.join(name);
        fs::read_to_string(&path)
            .map(Some)
            .map_err(Error::io("read", path))
    }

    /// The package's conffiles (deb-conffiles(5)).
    pub(super) fn conffiles(&self) -> Result<Vec<Conffile>> {
        let text = self.control_file("conffiles")?.unwrap_or_default();
        Ok(text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(|line| {
                let flagged = line.strip_prefix("remove-on-upgrade ");
                Conffile {
                    path: flagged
                        .unwrap_or(line)
                        .trim()
                        .trim_start_matches('/')
                        .to_owned(),
                    remove_on_upgrade: flagged.is_some(),
                }
            })
            .collect())
    }
}

/// A line of a package's `conffiles`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Conffile {
    /// Relative to the root.
    pub(super) path: String,
    /// The package no longer has the file, and an upgrade removes it.
    pub(super) remove_on_upgrade: bool,
}

/// Finds the unpacked package in the cache, or unpacks it. The second value says whether it was there.
pub(super) fn obtain(
    package: &Package,
    cache: &CacheDirs,
    interrupt: &AtomicBool,
) -> Result<(Unpacked, bool)> {
    let key = cache.key(FORMAT).add(package.digest.as_bytes()).key();
    if let Some(path) = cache.find(PACKAGES, &key)? {
        return Ok((load(package, &path)?, true));
    }
    let _lock = cache.lock(&key)?;
    if let Some(path) = cache.find(PACKAGES, &key)? {
        return Ok((load(package, &path)?, true));
    }
    let begun = cache.begin(PACKAGES, &key)?;
    unpack(package, &begun, interrupt)?;
    let path = cache.publish(PACKAGES, &key)?;
    Ok((load(package, &path)?, false))
}

/// A package in messages: the store's file names say nothing to people.
fn shown(package: &Package) -> String {
    format!("{} {}", package.name, package.version)
}

/// Reads the control data of a package without unpacking it.
pub(super) fn peek(package: &Package, cache: &CacheDirs) -> Result<(Control, Scripts)> {
    let key = cache.key(FORMAT).add(package.digest.as_bytes()).key();
    if let Some(path) = cache.find(PACKAGES, &key)? {
        let directory = path.join("control");
        let stanza = directory.join("control");
        let text = fs::read_to_string(&stanza).map_err(Error::io("read", stanza))?;
        let triggers = directory.join("triggers");
        let interested = match fs::read(&triggers) {
            Ok(triggers) => is_interested(&triggers),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(Error::io("read", triggers)(error)),
        };
        let scripts = Scripts {
            preinst: directory.join("preinst").exists(),
            interested,
        };
        return Ok((parse(package, &text)?, scripts));
    }
    let file = File::open(&package.path).map_err(Error::io("open", &package.path))?;
    let deb = Deb::open(shown(package), file)?;
    let stanza = String::from_utf8_lossy(deb.control().stanza()).into_owned();
    let scripts = Scripts {
        preinst: deb.control().bytes("preinst").is_some(),
        interested: deb.control().bytes("triggers").is_some_and(is_interested),
    };
    Ok((parse(package, &stanza)?, scripts))
}

/// Whether a control file `triggers` makes its package hear of others' files.
fn is_interested(triggers: &[u8]) -> bool {
    !interests(&String::from_utf8_lossy(triggers)).is_empty()
}

/// Reads a stanza, which must be the locked package's.
fn parse(package: &Package, stanza: &str) -> Result<Control> {
    let control = Control::parse(&package.name, stanza)?;
    let found = (
        control.name.as_str(),
        control.version.as_str(),
        control.architecture.as_str(),
    );
    if found != (&package.name, &package.version, &package.architecture) {
        return Err(Error::WrongPackage {
            package: shown(package),
            found: format!("{} {} for {}", found.0, found.1, found.2),
        });
    }
    Ok(control)
}

fn load(package: &Package, path: &Path) -> Result<Unpacked> {
    let control_files = path.join("control");
    let read = |path: PathBuf| fs::read_to_string(&path).map_err(Error::io("read", path));
    let stanza = read(control_files.join("control"))?;
    let control = parse(package, &stanza)?;
    let contents = path.join("contents");
    let entries: Vec<Entry> = serde_json::from_str(&read(contents.clone())?)
        .map_err(|error| Error::io("read", contents)(io::Error::from(error)))?;
    let mut control_names = fs::read_dir(&control_files)
        .and_then(|names| {
            names
                .map(|name| Ok(name?.file_name().to_string_lossy().into_owned()))
                .collect::<io::Result<Vec<String>>>()
        })
        .map_err(Error::io("list", &control_files))?;
    control_names.sort_unstable();
    Ok(Unpacked {
        digest: package.digest,
        newest: newest(&entries),
        tree: path.join("tree"),
        control,
        stanza,
        control_files,
        control_names,
        entries,
    })
}

fn newest(entries: &[Entry]) -> i64 {
    entries.iter().map(|entry| entry.mtime).max().unwrap_or(0)
}

fn unpack(package: &Package, into: &Path, interrupt: &AtomicBool) -> Result<()> {
    let tree = into.join("tree");
    let control = into.join("control");
    for directory in [&tree, &control] {
        fs::create_dir(directory).map_err(Error::io("create directory", directory))?;
    }
    let file = File::open(&package.path).map_err(Error::io("open", &package.path))?;
    let mut reader = HashingReader::new(file);
    let mut deb = Deb::open(shown(package), &mut reader)?;
    let control_files = deb.control().clone();
    parse(package, &String::from_utf8_lossy(control_files.stanza()))?;
    let mut entries = Vec::new();
    while let Some(entry) = deb.next_entry()? {
        if interrupt.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let entry = describe(package, entry)?;
        write_entry(&tree, &entry, &mut deb)?;
        entries.push(entry);
    }
    drop(deb);
    // The decoders have read to the archive's end; should they ever stop short, the digest would be wrong.
    io::copy(&mut reader, &mut io::sink()).map_err(Error::io("read", &package.path))?;
    let actual = reader.finish();
    if actual != package.digest {
        return Err(Error::Store(StoreError::Mismatch {
            what: shown(package),
            expected: package.digest,
            actual,
        }));
    }
    // Only now: writing into a directory changes its times, and its mode may forbid it.
    for entry in entries.iter().rev() {
        if entry.kind == Kind::Directory {
            finish_directory(&tree.join(&entry.path), entry)?;
        }
    }
    let newest = newest(&entries);
    for (name, file) in &control_files.members {
        let path = control.join(name);
        write_file(&path, file.mode, (0, 0), newest, &mut file.bytes.as_slice())?;
    }
    let contents = into.join("contents");
    let listing = serde_json::to_vec(&entries)
        .map_err(|error| Error::io("write", &contents)(io::Error::from(error)))?;
    fs::write(&contents, listing).map_err(Error::io("write", contents))
}

fn describe(package: &Package, entry: ArchiveEntry) -> Result<Entry> {
    let text = |path: PathBuf| {
        path.into_os_string()
            .into_string()
            .map_err(|path| Error::PathEncoding {
                package: package.name.clone(),
                path: path.as_encoded_bytes().escape_ascii().to_string(),
            })
    };
    Ok(Entry {
        path: text(entry.path)?,
        kind: match entry.kind {
            ArchiveKind::Directory => Kind::Directory,
            ArchiveKind::File { size } => Kind::File(size),
            ArchiveKind::Symlink(target) => Kind::Symlink(text(target)?),
            ArchiveKind::Hardlink(target) => Kind::Hardlink(text(target)?),
        },
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        mtime: entry.mtime,
    })
}

fn write_entry(tree: &Path, entry: &Entry, content: &mut impl Read) -> Result<()> {
    let path = tree.join(&entry.path);
    match &entry.kind {
        Kind::Directory => fs::create_dir_all(&path).map_err(Error::io("create directory", path)),
        Kind::File(_) => with_parent(&path, || {
            write_file(
                &path,
                entry.mode,
                (entry.uid, entry.gid),
                entry.mtime,
                content,
            )
        }),
        Kind::Hardlink(target) => with_parent(&path, || {
            fs::hard_link(tree.join(target), &path).map_err(Error::io("create", &path))
        }),
        Kind::Symlink(target) => with_parent(&path, || {
            symlink(target, &path)
                .and_then(|()| lchown(&path, Some(entry.uid), Some(entry.gid)))
                .map_err(Error::io("create", &path))?;
            set_times(&path, entry.mtime)
        }),
    }
}

/// Archives nearly always have an entry for the directory before those in it, but need not.
fn with_parent(path: &Path, mut make: impl FnMut() -> Result<()>) -> Result<()> {
    if let Some(parent) = path.parent()
        && !parent.exists()
    {
        fs::create_dir_all(parent).map_err(Error::io("create directory", parent))?;
    }
    make()
}

/// Writes a new file with exactly these bits, owners and time.
pub(super) fn write_file(
    path: &Path,
    mode: u32,
    (uid, gid): (u32, u32),
    mtime: i64,
    content: &mut (impl Read + ?Sized),
) -> Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(Error::io("create", path))?;
    copy(content, &mut file).map_err(Error::io("write", path))?;
    fchown(&file, Some(uid), Some(gid))
        .and_then(|()| file.set_permissions(fs::Permissions::from_mode(mode)))
        .and_then(|()| file.set_times(FileTimes::new().set_modified(time(mtime))))
        .map_err(Error::io("set attributes of", path))
}

/// As [`io::copy`], in larger pieces: a package may hold hundreds of megabytes.
fn copy(content: &mut (impl Read + ?Sized), file: &mut File) -> io::Result<()> {
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; COPY_BUFFER]);
    }
    BUFFER.with_borrow_mut(|buffer| {
        loop {
            let mut filled = 0;
            while filled < buffer.len() {
                match content.read(&mut buffer[filled..]) {
                    Ok(0) => break,
                    Ok(length) => filled += length,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            file.write_all(&buffer[..filled])?;
            if filled < buffer.len() {
                return Ok(());
            }
        }
    })
}

fn finish_directory(path: &Path, entry: &Entry) -> Result<()> {
    chown(path, Some(entry.uid), Some(entry.gid))
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(entry.mode)))
        .map_err(Error::io("set attributes of", path))?;
    set_times(path, entry.mtime)
}

/// Sets the modification time of anything, a symbolic link itself included.
pub(super) fn set_times(path: &Path, mtime: i64) -> Result<()> {
    let stamp = rustix::fs::Timespec {
        tv_sec: mtime,
        tv_nsec: 0,
    };
    let times = rustix::fs::Timestamps {
        last_access: stamp,
        last_modification: stamp,
    };
    rustix::fs::utimensat(
        rustix::fs::CWD,
        path,
        &times,
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    )
    .map_err(Error::io("set the time of", path))
}

fn time(seconds: i64) -> SystemTime {
    match u64::try_from(seconds) {
        Ok(seconds) => SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
        Err(_) => SystemTime::UNIX_EPOCH - Duration::from_secs(seconds.unsigned_abs()),
    }
}
