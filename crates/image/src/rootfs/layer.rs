//! Layers: directories that an overlay stacks, written by hard links or caught while programs ran.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::XattrFlags;

use super::unpacked::{Entry, Unpacked, set_times};
use crate::error::{Error, Result};

/// Extended attributes that a directory keeps when a higher layer has it too.
const KEPT_ATTRIBUTES: [&str; 2] = ["system.posix_acl_access", "system.posix_acl_default"];

/// A layer being written above a tree.
#[derive(Debug)]
pub(super) struct Layer<'a> {
    root: PathBuf,
    below: Option<&'a Path>,
    /// Directories with the time that they get when all is in them.
    times: Vec<(PathBuf, i64)>,
}

impl<'a> Layer<'a> {
    /// A layer in the empty directory `root`, to lie above the tree `below`.
    pub(super) fn new(root: &Path, below: Option<&'a Path>) -> Result<Self> {
        fs::set_permissions(root, fs::Permissions::from_mode(0o755))
            .map_err(Error::io("set attributes of", root))?;
        let mut layer = Self {
            root: root.to_path_buf(),
            below,
            times: Vec::new(),
        };
        layer.adopt("")?;
        Ok(layer)
    }

    /// The layer's directory.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The tree that it will lie above.
    pub(super) fn below(&self) -> Option<&'a Path> {
        self.below
    }

    /// Makes a directory with its parents, unless it is there.
    ///
    /// In an overlay the highest layer decides about a directory's attributes. One that the tree below has keeps those:
    /// that is also dpkg's rule. A new one gets those of `entry`, or is 0755 of root.
    pub(super) fn directory(&mut self, path: &str, entry: Option<&Entry>) -> Result<()> {
        let full = self.root.join(path);
        match fs::create_dir(&full) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
                self.directory(parent, None)?;
                return self.directory(path, entry);
            }
            Err(error) => return Err(Error::io("create directory", full)(error)),
        }
        if self.adopt(path)? {
            return Ok(());
        }
        let (mode, uid, gid, mtime) = entry.map_or((0o755, 0, 0, 0), |entry| {
            (entry.mode, entry.uid, entry.gid, entry.mtime)
        });
        chown(&full, Some(uid), Some(gid))
            .and_then(|()| fs::set_permissions(&full, fs::Permissions::from_mode(mode)))
            .map_err(Error::io("set attributes of", &full))?;
        self.times.push((full, mtime));
        Ok(())
    }

    /// Copies the attributes of the directory below, if there is one.
    fn adopt(&mut self, path: &str) -> Result<bool> {
        let Some(below) = self.below.map(|below| below.join(path)) else {
            return Ok(false);
        };
        let Some(metadata) = look(&below)?.filter(Metadata::is_dir) else {
            return Ok(false);
        };
        let full = self.root.join(path);
        chown(&full, Some(metadata.uid()), Some(metadata.gid()))
            .and_then(|()| {
                fs::set_permissions(&full, fs::Permissions::from_mode(metadata.mode() & 0o7777))
            })
            .map_err(Error::io("set attributes of", &full))?;
        for name in KEPT_ATTRIBUTES {
            let mut value = vec![0; 4096];
            // Most directories have none, and some file systems know none.
            if let Ok(length) = rustix::fs::lgetxattr(&below, name, &mut value) {
                rustix::fs::lsetxattr(&full, name, &value[..length], XattrFlags::empty())
                    .map_err(Error::io("set attributes of", &full))?;
            }
        }
        self.times.push((full, metadata.mtime()));
        Ok(true)
    }

    /// Links a package's file into the layer.
    pub(super) fn link(&mut self, package: &Unpacked, entry: &Entry, target: &str) -> Result<()> {
        let source = package.tree.join(&entry.path);
        let full = self.root.join(target);
        match fs::hard_link(&source, &full) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let parent = target.rsplit_once('/').map_or("", |(parent, _)| parent);
                self.directory(parent, None)?;
                fs::hard_link(&source, &full).map_err(Error::io("create", full))
            }
            other => other.map_err(Error::io("create", full)),
        }
    }

    /// Sets the times of directories, now that all is in them.
    pub(super) fn finish(self) -> Result<()> {
        for (path, mtime) in self.times.iter().rev() {
            set_times(path, *mtime)?;
        }
        Ok(())
    }
}

/// A path's metadata, `None` when it does not exist.
pub(super) fn look(path: &Path) -> Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(Error::io("inspect", path)(error)),
    }
}

/// Calls `visit` for everything below `root`, directories after what is in them, in the order of names.
///
/// `visit` gets the path relative to `root` and the metadata, and may remove the entry.
pub(super) fn walk(
    root: &Path,
    visit: &mut dyn FnMut(&str, &Metadata) -> Result<()>,
) -> Result<()> {
    fn inner(
        root: &Path,
        path: &str,
        visit: &mut dyn FnMut(&str, &Metadata) -> Result<()>,
    ) -> Result<()> {
        let full = root.join(path);
        let mut names: Vec<_> = fs::read_dir(&full)
            .and_then(|entries| {
                entries
                    .map(|entry| Ok(entry?.file_name()))
                    .collect::<io::Result<_>>()
            })
            .map_err(Error::io("list", &full))?;
        names.sort_unstable();
        for name in names {
            let name = name.to_string_lossy();
            let child = if path.is_empty() {
                name.into_owned()
            } else {
                format!("{path}/{name}")
            };
            let metadata = fs::symlink_metadata(root.join(&child))
                .map_err(Error::io("inspect", root.join(&child)))?;
            if metadata.is_dir() {
                inner(root, &child, visit)?;
            }
            visit(&child, &metadata)?;
        }
        Ok(())
    }
    inner(root, "", visit)
}

/// Whether an entry of a layer hides one below (overlayfs: a character device 0/0).
pub(super) fn is_whiteout(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}
