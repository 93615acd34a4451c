//! What the image's own `/var` and `/home` bring to the data partition.
//!
//! An image comes with directories and files below `/var`. The first start copies them; a start with another image adds
//! what is missing, as installing its packages would. What is there already is the device's and stays as it is.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bedstone_state::copy;

use crate::error::{Error, Result};

/// Directory of the data partition for this project's state.
const STATE: &str = "lib/bedstone";
/// The image that was added last, by its root hash.
const IMAGE: &str = "lib/bedstone/image";
/// Copies are made here and then moved into place.
const STAGING: &str = "lib/bedstone/staging";

/// A directory of the image and the one on the data partition that it is added to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) image: &'a Path,
    /// Relative to the data partition; empty for its root.
    pub(crate) data: &'a str,
    /// Directories, relative to `image`, that are made but not filled.
    pub(crate) skip: &'a [&'a str],
}

/// Adds what `sources` have and the data partition at `data` lacks, unless this was done for the same `image` before;
/// returns the number of additions, each a file or a whole directory.
///
/// Everything is copied and flushed before the first name appears, and the image is noted last: a power cut leaves
/// nothing half-written, and the next start goes on.
pub(crate) fn add(data: &Path, image: &str, sources: &[Source<'_>]) -> Result<usize> {
    let noted = data.join(IMAGE);
    if fs::read_to_string(&noted).is_ok_and(|text| text.trim_end() == image) {
        return Ok(0);
    }
    let staging = data.join(STAGING);
    if staging.exists() {
        fs::remove_dir_all(&staging).map_err(Error::io("remove", &staging))?;
    }
    let state = data.join(STATE);
    fs::create_dir_all(&staging).map_err(Error::io("create", &staging))?;
    fs::set_permissions(&state, PermissionsExt::from_mode(0o755))
        .map_err(Error::io("set the mode of", &state))?;
    let mut additions = Additions {
        staging: &staging,
        list: Vec::new(),
    };
    for source in sources {
        let target = data.join(source.data);
        if source.image.is_dir() {
            additions.compare(source, Path::new(""), &target)?;
        }
    }
    let list = additions.list;
    copy::flush(data)?;
    for (copy, target) in &list {
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        fs::rename(copy, target).map_err(Error::io("create", target))?;
    }
    fs::remove_dir_all(&staging).map_err(Error::io("remove", &staging))?;
    copy::flush(data)?;
    bedstone_store::atomic::write(&noted, format!("{image}\n").as_bytes()).map_err(|error| {
        Error::Unusable {
            path: noted,
            reason: format!("cannot be written: {error}"),
        }
    })?;
    Ok(list.len())
}

struct Additions<'a> {
    staging: &'a Path,
    /// Copies and where they belong; a directory before what is below it.
    list: Vec<(PathBuf, PathBuf)>,
}

impl Additions<'_> {
    /// Compares the directory `below` of a source with `target` and copies what is missing there.
    fn compare(&mut self, source: &Source<'_>, below: &Path, target: &Path) -> Result<()> {
        let from = source.image.join(below);
        match fs::symlink_metadata(target) {
            Ok(found) if !found.is_dir() => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let copy = self.staging.join(self.list.len().to_string());
                copy_directory(source, below, &copy)?;
                self.list.push((copy, target.to_path_buf()));
                return Ok(());
            }
            Err(error) => return Err(Error::io("read", target)(error)),
        }
        if is_skipped(source, below) {
            return Ok(());
        }
        for entry in fs::read_dir(&from).map_err(Error::io("list", &from))? {
            let entry = entry.map_err(Error::io("list", &from))?;
            let path = entry.path();
            let metadata = fs::symlink_metadata(&path).map_err(Error::io("read", &path))?;
            let target = target.join(entry.file_name());
            if metadata.is_dir() {
                self.compare(source, &below.join(entry.file_name()), &target)?;
            } else if fs::symlink_metadata(&target).is_err() {
                let copy = self.staging.join(self.list.len().to_string());
                if copy::entry(&path, &metadata, &copy)? {
                    self.list.push((copy, target));
                }
            }
        }
        Ok(())
    }
}

fn is_skipped(source: &Source<'_>, below: &Path) -> bool {
    source.skip.iter().any(|skip| below == Path::new(skip))
}

fn copy_directory(source: &Source<'_>, below: &Path, to: &Path) -> Result<()> {
    let from = source.image.join(below);
    let metadata = fs::symlink_metadata(&from).map_err(Error::io("read", &from))?;
    fs::create_dir(to).map_err(Error::io("create", to))?;
    if !is_skipped(source, below) {
        for entry in fs::read_dir(&from).map_err(Error::io("list", &from))? {
            let entry = entry.map_err(Error::io("list", &from))?;
            let path = entry.path();
            let metadata = fs::symlink_metadata(&path).map_err(Error::io("read", &path))?;
            let to = to.join(entry.file_name());
            if metadata.is_dir() {
                copy_directory(source, &below.join(entry.file_name()), &to)?;
            } else {
                copy::entry(&path, &metadata, &to)?;
            }
        }
    }
    copy::attributes(&from, &metadata, to).map_err(Error::io("create", to))
}

#[cfg(test)]
mod tests;
