//! Taking out of a caught layer what is different every time: volatile files, and times later than the packages.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::layer::{is_whiteout, walk};
use super::unpacked::set_times;
use crate::error::{Error, Result};

/// Files that programs write while packages are configured and that differ from run to run (times, order, inodes) or are
/// of no use afterwards. `*` stands for any characters within the last component, `#` for a digit.
pub(super) const VOLATILE: [(&str, &str); 13] = [
    ("etc/*-", "back-up copies of account files"),
    ("etc/.pwd.lock", "lock of account files"),
    ("var/cache/apt/*.bin", "apt's binary caches"),
    ("var/cache/debconf/*-old", "back-up copies"),
    (
        "var/cache/ldconfig/aux-cache",
        "holds inode numbers and times",
    ),
    ("var/lib/dpkg/*-old", "back-up copies"),
    ("var/lib/systemd/random-seed", "random"),
    ("var/lib/ucf/*.#", "back-up copies"),
    ("var/log/alternatives.log", "log of the build"),
    ("var/log/apt/*", "log of the build"),
    ("var/log/bootstrap.log", "log of the build"),
    ("var/log/dpkg.log", "log of the build"),
    ("var/lib/apt/lists/*", "apt's indexes"),
];

/// Normalises a layer of changes that programs made: removes [`VOLATILE`] files, sockets and fifos, and gives what is
/// newer than `epoch`, and every directory, the time `epoch`.
///
/// A volatile file is simply deleted from the layer. That is right as long as no lower layer has it, which holds because
/// every layer goes through here and no package ships one.
///
/// The layer was made now: were the clock before `epoch`, what is new could not be told from what is old.
pub(super) fn normalise(layer: &Path, epoch: i64) -> Result<()> {
    let made = fs::symlink_metadata(layer).map_err(Error::io("inspect", layer))?;
    if made.ctime() < epoch {
        return Err(Error::Clock { newest: epoch });
    }
    walk(layer, &mut |path, metadata| {
        let full = layer.join(path);
        let kind = metadata.file_type();
        if is_whiteout(metadata) {
            return set_times(&full, epoch);
        }
        if kind.is_socket() || kind.is_fifo() || (!kind.is_dir() && is_volatile(path)) {
            return fs::remove_file(&full).map_err(Error::io("remove", full));
        }
        if kind.is_char_device() || kind.is_block_device() {
            return Err(Error::SpecialFile {
                path: format!("/{path}"),
                kind: "device",
            });
        }
        // A directory is here because something in it changed, perhaps only a file that is gone again.
        if metadata.is_dir() || metadata.mtime() > epoch {
            set_times(&full, epoch)
        } else {
            Ok(())
        }
    })?;
    set_times(layer, epoch)
}

/// Whether the path, relative to the root, is one of [`VOLATILE`].
pub(super) fn is_volatile(path: &str) -> bool {
    VOLATILE.iter().any(|(pattern, _)| matches(pattern, path))
}

fn matches(pattern: &str, path: &str) -> bool {
    let (directory, pattern) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    if directory != parent {
        return false;
    }
    let (pattern, name) = match pattern.strip_suffix('#') {
        Some(pattern) => match name.strip_suffix(|last: char| last.is_ascii_digit()) {
            Some(name) => (pattern, name),
            None => return false,
        },
        None => (pattern, name),
    };
    match pattern.split_once('*') {
        Some((prefix, suffix)) => {
            name.len() >= prefix.len() + suffix.len()
                && name.starts_with(prefix)
                && name.ends_with(suffix)
        }
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volatile_files_are_known() {
        for path in [
            "etc/passwd-",
            "etc/.pwd.lock",
            "var/lib/ucf/hashfile.7",
            "var/lib/dpkg/status-old",
            "var/log/dpkg.log",
        ] {
            assert!(is_volatile(path), "{path}");
        }
        for path in [
            "etc/passwd",
            "etc/x/passwd-",
            "var/lib/ucf/hashfile",
            "var/log/dpkg.log.x",
        ] {
            assert!(!is_volatile(path), "{path}");
        }
    }

    #[test]
    fn new_things_get_the_epoch_and_old_ones_keep_their_time() {
        let directory = tempfile::tempdir().unwrap();
        let layer = directory.path();
        fs::create_dir_all(layer.join("etc")).unwrap();
        fs::write(layer.join("etc/new"), "").unwrap();
        fs::write(layer.join("etc/old"), "").unwrap();
        fs::write(layer.join("etc/passwd-"), "").unwrap();
        set_times(&layer.join("etc/old"), 5).unwrap();
        normalise(layer, 1000).unwrap();
        let time = |path: &str| fs::metadata(layer.join(path)).unwrap().mtime();
        assert_eq!(
            (time("etc/new"), time("etc/old"), time("etc")),
            (1000, 5, 1000)
        );
        assert!(!layer.join("etc/passwd-").exists());
    }
}
