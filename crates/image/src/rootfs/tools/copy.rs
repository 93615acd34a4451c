//! Copying a tree in sorted order, and measuring one.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::XattrFlags;

use super::super::unpacked::set_times;
use crate::error::{Error, Result};

/// Bytes that a directory or a link needs at most in an ext4 file system.
const SMALL: u64 = 4096;

/// Copies everything below `from` into the directory `to`: names in sorted order, modes, owners, times, hard links,
/// extended attributes.
pub(super) fn tree(from: &Path, to: &Path) -> Result<()> {
    let mut links = HashMap::new();
    directory(from, to, &mut links)
}

/// Bytes of content, rounded to blocks, and number of files of a tree.
pub(super) fn measure(tree: &Path) -> Result<(u64, u64)> {
    let mut sum = (0, 1);
    for path in sorted(tree)? {
        let metadata = fs::symlink_metadata(&path).map_err(Error::io("inspect", &path))?;
        if metadata.is_dir() {
            let (bytes, files) = measure(&path)?;
            sum = (sum.0 + bytes + SMALL, sum.1 + files);
        } else {
            sum = (sum.0 + metadata.len().next_multiple_of(SMALL), sum.1 + 1);
        }
    }
    Ok(sum)
}

fn sorted(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(Error::io("list", directory))?;
    // Memory file systems list the newest entry first.
    paths.sort_unstable_by(|left, right| right.cmp(left));
    Ok(paths)
}

fn directory(from: &Path, to: &Path, links: &mut HashMap<u64, PathBuf>) -> Result<()> {
    for source in sorted(from)? {
        let target = to.join(source.file_name().unwrap_or_default());
        let metadata = fs::symlink_metadata(&source).map_err(Error::io("inspect", &source))?;
        if metadata.is_dir() {
            fs::create_dir(&target).map_err(Error::io("create directory", &target))?;
            directory(&source, &target, links)?;
        } else if metadata.is_symlink() {
            let text = fs::read_link(&source).map_err(Error::io("read", &source))?;
            symlink(text, &target)
                .and_then(|()| lchown(&target, Some(metadata.uid()), Some(metadata.gid())))
                .map_err(Error::io("create", &target))?;
            set_times(&target, metadata.mtime())?;
            continue;
        } else if let Some(first) = (metadata.nlink() > 1)
            .then(|| links.get(&metadata.ino()))
            .flatten()
        {
            fs::hard_link(first, &target).map_err(Error::io("link", &target))?;
            continue;
        } else {
            fs::copy(&source, &target).map_err(Error::io("copy", &source))?;
            if metadata.nlink() > 1 {
                links.insert(metadata.ino(), target.clone());
            }
        }
        attributes(&source, &target, &metadata)?;
    }
    let metadata = fs::symlink_metadata(from).map_err(Error::io("inspect", from))?;
    attributes(from, to, &metadata)
}

/// Owner first: changing it clears the set-id bits.
fn attributes(source: &Path, target: &Path, metadata: &fs::Metadata) -> Result<()> {
    chown(target, Some(metadata.uid()), Some(metadata.gid()))
        .and_then(|()| fs::set_permissions(target, metadata.permissions()))
        .map_err(Error::io("set attributes of", target))?;
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(source, &mut names)
        .map_err(Error::io("list attributes of", source))?;
    for name in names[..length]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = vec![0; 1 << 16];
        let length = rustix::fs::lgetxattr(source, name, &mut value)
            .map_err(Error::io("read attributes of", source))?;
        rustix::fs::lsetxattr(target, name, &value[..length], XattrFlags::empty())
            .map_err(Error::io("set attributes of", target))?;
    }
    set_times(target, metadata.mtime())
}
