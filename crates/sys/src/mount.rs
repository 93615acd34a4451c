//! Mounts that end with the value that stands for them.

use std::ffi::CString;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::error::{Error, Result};

/// The kernel takes one page of mount options, the closing zero included.
const OPTIONS_LIMIT: usize = 4095;

/// A mount point that is detached when dropped.
#[derive(Debug)]
pub struct Mounted {
    target: PathBuf,
}

impl Mounted {
    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.target
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A mount that is gone already, or a namespace that is ending, leaves nothing to do.
        let _ = unmount(&self.target, UnmountFlags::DETACH);
    }
}

/// The writable part of an overlay.
#[derive(Debug, Clone)]
pub struct Upper {
    /// Directory that catches all changes.
    pub changes: PathBuf,
    /// Empty directory on the same file system, for the kernel's own use.
    pub work: PathBuf,
}

/// Mounts an overlay of `lowers` (topmost first), with `upper` above them or read-only.
///
/// Options `userxattr` (so that it works in a user namespace, Linux 5.11) and `volatile` (no flushing: a layer counts
/// only once its owner has published it). Directories are named through file descriptors of `base`, which all of them
/// must be below, so that many layers fit into the one page of options.
pub fn overlay(
    target: &Path,
    base: &Path,
    lowers: &[PathBuf],
    upper: Option<&Upper>,
) -> Result<Mounted> {
    let directory = openat(
        CWD,
        base,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(Error::path("open", base))?;
    let prefix = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let short = |path: &Path| -> String {
        let name = match path.strip_prefix(base) {
            Ok(below) => format!("{prefix}/{}", below.display()),
            Err(_) => path.display().to_string(),
        };
        escape(&name)
    };
    let mut options = String::from("userxattr,lowerdir=");
    for (index, lower) in lowers.iter().enumerate() {
        if index > 0 {
            options.push(':');
        }
        options.push_str(&short(lower));
    }
    let mut flags = MountFlags::empty();
    if let Some(upper) = upper {
        for (option, directory) in [
            (",volatile,upperdir=", &upper.changes),
            (",workdir=", &upper.work),
        ] {
            options.push_str(option);
            options.push_str(&short(directory));
        }
    } else {
        flags |= MountFlags::RDONLY;
    }
    if options.len() > OPTIONS_LIMIT {
        return Err(Error::TooManyLayers(lowers.len()));
    }
    let options = CString::new(options).map_err(|error| Error::Path {
        action: "mount an overlay at",
        path: target.to_path_buf(),
        source: error.into(),
    })?;
    mount(
        "bedstone",
        target,
        "overlay",
        flags,
        Some(options.as_c_str()),
    )
    .map_err(Error::path("mount an overlay at", target))?;
    Ok(Mounted {
        target: target.to_path_buf(),
    })
}

/// Mounts a new memory file system of mode 0755.
pub fn memory(target: &Path) -> Result<Mounted> {
    mount(
        "bedstone",
        target,
        "tmpfs",
        MountFlags::NODEV,
        Some(c"mode=0755"),
    )
    .map_err(Error::path("mount a memory file system at", target))?;
    Ok(Mounted {
        target: target.to_path_buf(),
    })
}

/// A backslash before what separates layers and options.
fn escape(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for character in path.chars() {
        if matches!(character, ':' | ',' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_in_paths_are_escaped() {
        assert_eq!(escape("/a:b,c\\d"), "/a\\:b\\,c\\\\d");
    }
}
