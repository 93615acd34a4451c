//! Where the layers are, and how a new one comes to be.
//!
//! ```text
//! a/  b/          one for each slot, there once the slot was started
//!   image         the root hash of the image that the layer is for
//!   upper/ work/  the layer itself, as overlayfs keeps it
//!   base/         a copy of that image's /etc: the base of the next merge
//!   merge.json    what the merge did, if the layer was made by one
//!   merge.txt     the same for people
//! last            the slot that was started last: its layer is the newest
//! new/            a layer that is being made
//! ```
//!
//! The copy of `/etc` lies beside the layer, so that a merge needs nothing of the old slot, which may be rotten or being
//! written, and whose root file system the kernel would have to be trusted with unverified. A layer is made in `new`,
//! flushed, and gets its name in one step; a power cut before that leaves everything as it was, and the next start begins
//! anew.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bedstone_disk::layout::Slot;
use bedstone_store::atomic;
use rustix::fs::{CWD, RenameFlags};
use rustix::mount::UnmountFlags;

use super::apply::Directories;
use super::merge::{Report, merge};
use super::tree;
use crate::copy;
use crate::error::{Error, Result};

/// Name of the directory with the layers, in the agent's directory on the data partition.
pub const DIRECTORY: &str = "etc";
/// Name of a merge's report, in the layer that it made.
pub const REPORT: &str = "merge.json";

const NEW: &str = "new";
const LAST: &str = "last";
const IMAGE: &str = "image";
const UPPER: &str = "upper";
const WORK: &str = "work";
const BASE: &str = "base";
const REPORT_TEXT: &str = "merge.txt";
/// Mount points within a layer that is being made.
const OLD_VIEW: &str = "old";
const NEW_VIEW: &str = "merged";

/// The layers of a device.
#[derive(Debug, Clone)]
pub struct Layers {
    directory: PathBuf,
}

/// A slot's layer, ready to be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Directory with the changes.
    pub upper: PathBuf,
    /// Directory for the kernel's use.
    pub work: PathBuf,
    /// What was carried over, if the layer was made by this start.
    pub report: Option<Report>,
}

/// What the caller does for a merge.
pub trait Host {
    /// Mounts an overlay of `lowers`, topmost first, on `target`: with the directories for changes and for the kernel's use,
    /// or read-only.
    fn mount(
        &self,
        target: &Path,
        lowers: &[&Path],
        changes: Option<(&Path, &Path)>,
    ) -> io::Result<()>;

    /// The report as JSON.
    fn describe(&self, report: &Report) -> String;
}

impl Layers {
    /// The layers in `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    /// The directory of a slot's layer.
    pub fn layer(&self, slot: Slot) -> PathBuf {
        self.directory.join(slot.name())
    }

    /// The changes that the device has made last, for want of better: to be laid over an image read-only.
    pub fn newest(&self, slot: Slot) -> Option<PathBuf> {
        Some(self.source(slot)?.join(UPPER))
    }

    /// Gives up the layer of a slot that is written anew, so that its next start carries over what the device has then. The
    /// layer that was in use last is never given up.
    pub fn forget(&self, slot: Slot) -> Result<()> {
        let layer = self.layer(slot);
        if self.last() == Some(slot) || !layer.exists() {
            return Ok(());
        }
        let new = self.cleared()?;
        fs::rename(&layer, &new).map_err(Error::io("rename", &layer))?;
        atomic::sync_directory(&self.directory)?;
        remove(&new)
    }

    /// The layer of `slot` for the image with the root hash `image`, whose `/etc` is at `lower`. Where there is none yet, it
    /// is made from the layer that was used last.
    pub fn open(&self, slot: Slot, image: &str, lower: &Path, host: &dyn Host) -> Result<Layer> {
        let layer = self.layer(slot);
        let mut report = None;
        let made_for = fs::read_to_string(layer.join(IMAGE)).unwrap_or_default();
        if made_for.trim_end() != image || !layer.join(UPPER).is_dir() {
            let source = self.source(slot);
            let new = self.cleared()?;
            report = make(&new, image, lower, source.as_deref(), host)?;
            copy::flush(&self.directory)?;
            // In one step also where there is another image's layer, which may be all that there is.
            let flags = if layer.exists() {
                RenameFlags::EXCHANGE
            } else {
                RenameFlags::NOREPLACE
            };
            rustix::fs::renameat_with(CWD, &new, CWD, &layer, flags)
                .map_err(Error::io("rename to", &layer))?;
            atomic::sync_directory(&self.directory)?;
            remove(&new)?;
        }
        if self.last() != Some(slot) {
            atomic::write(self.directory.join(LAST), slot.name().as_bytes())?;
        }
        let (upper, work) = (layer.join(UPPER), layer.join(WORK));
        fs::create_dir_all(&work).map_err(Error::io("create", &work))?;
        own(&upper)?;
        own(&work)?;
        Ok(Layer {
            upper,
            work,
            report,
        })
    }

    fn last(&self) -> Option<Slot> {
        let name = fs::read_to_string(self.directory.join(LAST)).ok()?;
        Slot::parse(name.trim_end())
    }

    /// The layer with the newest changes: the one used last, or whichever is there.
    fn source(&self, slot: Slot) -> Option<PathBuf> {
        let candidates = [self.last(), Some(slot.other()), Some(slot)];
        let mut layers = candidates
            .into_iter()
            .flatten()
            .map(|slot| self.layer(slot));
        layers.find(|layer| layer.join(UPPER).is_dir() && layer.join(BASE).is_dir())
    }

    /// The place where a layer is made, with nothing there.
    fn cleared(&self) -> Result<PathBuf> {
        let create = |path: &Path| fs::create_dir_all(path).map_err(Error::io("create", path));
        create(&self.directory)?;
        // Passwords are in there; who may read which is told within.
        fs::set_permissions(&self.directory, PermissionsExt::from_mode(0o700))
            .map_err(Error::io("set the mode of", &self.directory))?;
        let new = self.directory.join(NEW);
        remove(&new)?;
        Ok(new)
    }
}

/// Makes a layer in `new`; returns what was carried over from `source`.
fn make(
    new: &Path,
    image: &str,
    lower: &Path,
    source: Option<&Path>,
    host: &dyn Host,
) -> Result<Option<Report>> {
    let create = |name: &str| {
        let path = new.join(name);
        fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
        Ok::<_, Error>(path)
    };
    let (upper, work) = (create(UPPER)?, create(WORK)?);
    own(&upper)?;
    own(&work)?;
    copy::tree(lower, &new.join(BASE))?;
    let mut report = None;
    if let Some(source) = source {
        let (old, merged) = (create(OLD_VIEW)?, create(NEW_VIEW)?);
        let base = source.join(BASE);
        let mount = |target: &Path, lowers: &[&Path], changes| {
            host.mount(target, lowers, changes)
                .map_err(Error::io("mount", target))?;
            Ok::<_, Error>(Mounted(target.to_path_buf()))
        };
        let changes = source.join(UPPER);
        let mine = mount(&old, &[&changes, &base], None)?;
        let target = mount(&merged, &[lower], Some((&upper, &work)))?;
        let mut directories = Directories {
            base,
            mine: old.clone(),
            theirs: lower.to_path_buf(),
        };
        let done = merge(
            &tree::read(&directories.base)?,
            &tree::read(&directories.mine)?,
            &tree::read(&directories.theirs)?,
            &mut directories,
        )?;
        directories.apply(&done.changes, &merged)?;
        target.end()?;
        mine.end()?;
        for view in [old, merged] {
            fs::remove_dir(&view).map_err(Error::io("remove", &view))?;
        }
        let text = host.describe(&done.report);
        write(&new.join(REPORT), &text)?;
        write(&new.join(REPORT_TEXT), &done.report.to_string())?;
        report = Some(done.report);
    }
    write(&new.join(IMAGE), &format!("{image}\n"))?;
    Ok(report)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(Error::io("write", path))
}

/// Whatever made it before: the layer's directory becomes the `/etc` that everyone sees.
fn own(directory: &Path) -> Result<()> {
    std::os::unix::fs::chown(directory, Some(0), Some(0))
        .and_then(|()| fs::set_permissions(directory, PermissionsExt::from_mode(0o755)))
        .map_err(Error::io("set the owner of", directory))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// An overlay that is unmounted at the latest when dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// Unmounts it: what was changed is then in the layer.
    fn end(self) -> Result<()> {
        rustix::mount::unmount(&self.0, UnmountFlags::empty())
            .map_err(Error::io("unmount", &self.0))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // After `end` there is nothing left to do.
        let _ = rustix::mount::unmount(&self.0, UnmountFlags::DETACH);
    }
}
