//! Files copied with everything that belongs to them: owner, mode, extended attributes, times.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags};

use crate::error::{Error, Result};

/// Whether a file is a socket, pipe or device: these belong to a running system and are not copied.
pub fn is_special(metadata: &Metadata) -> bool {
    let kind = metadata.file_type();
    kind.is_fifo() || kind.is_socket() || kind.is_block_device() || kind.is_char_device()
}

/// Copies a file or symbolic link to where nothing is; returns whether it was one that is copied.
pub fn entry(from: &Path, metadata: &Metadata, to: &Path) -> Result<bool> {
    if is_special(metadata) {
        return Ok(false);
    }
    if metadata.is_symlink() {
        fs::read_link(from)
            .and_then(|link| std::os::unix::fs::symlink(link, to))
            .map_err(Error::io("create", to))?;
    } else {
        File::open(from)
            .and_then(|mut source| io::copy(&mut source, &mut File::create_new(to)?))
            .map_err(Error::io("copy", from))?;
    }
    attributes(from, metadata, to).map_err(Error::io("create", to))?;
    Ok(true)
}

/// Copies a directory with all that is below it to where nothing is.
pub fn tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to).map_err(Error::io("create", to))?;
    for entry in fs::read_dir(from).map_err(Error::io("list", from))? {
        let entry = entry.map_err(Error::io("list", from))?;
        let path = entry.path();
        let metadata = fs::symlink_metadata(&path).map_err(Error::io("read", &path))?;
        let to = to.join(entry.file_name());
        if metadata.is_dir() {
            tree(&path, &to)?;
        } else {
            self::entry(&path, &metadata, &to)?;
        }
    }
    let metadata = fs::symlink_metadata(from).map_err(Error::io("read", from))?;
    attributes(from, &metadata, to).map_err(Error::io("create", to))
}

/// Gives `to` the owner, mode, extended attributes and times of `from`.
pub fn attributes(from: &Path, metadata: &Metadata, to: &Path) -> io::Result<()> {
    std::os::unix::fs::lchown(to, Some(metadata.uid()), Some(metadata.gid()))?;
    if !metadata.is_symlink() {
        // After the owner: changing that clears the setuid bits.
        fs::set_permissions(to, metadata.permissions())?;
        for (name, value) in extended(from)? {
            rustix::fs::lsetxattr(to, &*name, &value, XattrFlags::empty())?;
        }
    }
    let time = |seconds, nanoseconds| Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time(metadata.atime(), metadata.atime_nsec()),
        last_modification: time(metadata.mtime(), metadata.mtime_nsec()),
    };
    rustix::fs::utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

/// The extended attributes of a file: names and values.
pub fn extended(path: &Path) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    /// Largest list and value (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
    const LARGEST: usize = 64 << 10;
    let mut names = vec![0_u8; LARGEST];
    let length = match rustix::fs::llistxattr(path, &mut names[..]) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        Err(error) => return Err(error.into()),
    };
    let mut found = BTreeMap::new();
    if length == 0 {
        return Ok(found);
    }
    let mut value = vec![0_u8; LARGEST];
    for name in names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let length = rustix::fs::lgetxattr(path, name, &mut value[..])?;
        found.insert(name.to_vec(), value[..length].to_vec());
    }
    Ok(found)
}

/// Brings everything on the file system of `directory` to the disk.
pub fn flush(directory: &Path) -> Result<()> {
    let handle = File::open(directory).map_err(Error::io("open", directory))?;
    rustix::fs::syncfs(&handle).map_err(Error::io("flush", directory))
}
