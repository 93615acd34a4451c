//! The changes of a merge made.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::XattrFlags;

use super::merge::{Change, SUFFIX, Side, Texts};
use super::tree::Attributes;
use crate::copy;
use crate::error::{Error, Result};

/// Longest text that is merged.
const TEXT_LIMIT: u64 = 1 << 20;

/// The three trees, as directories.
#[derive(Debug, Clone)]
pub struct Directories {
    /// The image that the device's changes were made on.
    pub base: PathBuf,
    /// The device.
    pub mine: PathBuf,
    /// The new image.
    pub theirs: PathBuf,
}

impl Texts for Directories {
    fn read(&mut self, side: Side, path: &Path) -> Result<Option<Vec<u8>>> {
        let root = match side {
            Side::Base => &self.base,
            Side::Mine => &self.mine,
            Side::Theirs => &self.theirs,
        };
        let path = root.join(path);
        let mut text = Vec::new();
        fs::File::open(&path)
            .and_then(|file| file.take(TEXT_LIMIT + 1).read_to_end(&mut text))
            .map_err(Error::io("read", &path))?;
        Ok((text.len() as u64 <= TEXT_LIMIT).then_some(text))
    }
}

impl Directories {
    /// Makes `changes` in `target`, which holds what `theirs` does. Nobody else may be at work there.
    pub fn apply(&self, changes: &[Change], target: &Path) -> Result<()> {
        for change in changes {
            match change {
                Change::Take(path) => take(&self.mine.join(path), &target.join(path))?,
                Change::Write(path, content) => {
                    let path = target.join(path);
                    fs::write(&path, content).map_err(Error::io("write", &path))?;
                }
                Change::Attributes(path, attributes) => {
                    let path = target.join(path);
                    set(&path, attributes).map_err(Error::io("set the attributes of", &path))?;
                }
                Change::Beside(path) => {
                    let mut name = target.join(path).into_os_string();
                    name.push(SUFFIX);
                    take(&self.theirs.join(path), Path::new(&name))?;
                }
                Change::Remove(path) => remove(&target.join(path))?,
            }
        }
        Ok(())
    }
}

/// Puts a file, a link or a directory without its content in the place of what is there.
fn take(from: &Path, to: &Path) -> Result<()> {
    let metadata = fs::symlink_metadata(from).map_err(Error::io("read", from))?;
    let there = match fs::symlink_metadata(to) {
        Ok(there) => Some(there),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(Error::io("read", to)(error)),
    };
    if metadata.is_dir() {
        if there.as_ref().is_some_and(|there| !there.is_dir()) {
            fs::remove_file(to).map_err(Error::io("remove", to))?;
        }
        if there.is_none_or(|there| !there.is_dir()) {
            fs::create_dir(to).map_err(Error::io("create", to))?;
        }
        let attributes = Attributes {
            mode: metadata.permissions().mode() & 0o7777,
            owner: owner(&metadata),
            extended: copy::extended(from).map_err(Error::io("read", from))?,
        };
        return set(to, &attributes).map_err(Error::io("set the attributes of", to));
    }
    if let Some(there) = there {
        let removed = if there.is_dir() {
            fs::remove_dir_all(to)
        } else {
            fs::remove_file(to)
        };
        removed.map_err(Error::io("remove", to))?;
    }
    copy::entry(from, &metadata, to)?;
    Ok(())
}

fn owner(metadata: &fs::Metadata) -> (u32, u32) {
    use std::os::unix::fs::MetadataExt;
    (metadata.uid(), metadata.gid())
}

fn remove(path: &Path) -> Result<()> {
    let metadata = fs::symlink_metadata(path).map_err(Error::io("read", path))?;
    let removed = if metadata.is_dir() {
        fs::remove_dir(path)
    } else {
        fs::remove_file(path)
    };
    removed.map_err(Error::io("remove", path))
}

fn set(path: &Path, attributes: &Attributes) -> io::Result<()> {
    let (user, group) = attributes.owner;
    std::os::unix::fs::lchown(path, Some(user), Some(group))?;
    if fs::symlink_metadata(path)?.is_symlink() {
        return Ok(());
    }
    // After the owner: changing that clears the set-id bits.
    fs::set_permissions(path, PermissionsExt::from_mode(attributes.mode))?;
    for name in copy::extended(path)?.keys() {
        if !attributes.extended.contains_key(name) {
            rustix::fs::lremovexattr(path, &**name)?;
        }
    }
    for (name, value) in &attributes.extended {
        rustix::fs::lsetxattr(path, &**name, value, XattrFlags::empty())?;
    }
    Ok(())
}
