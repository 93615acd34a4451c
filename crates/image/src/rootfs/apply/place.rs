use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use super::problem;
use crate::error::{Error, Result};

/// Links followed before a path counts as circular, as the kernel has it.
const MAX_LINKS: usize = 40;

/// Finds places in a tree without ever leaving it: links are resolved as a process would that has the tree as its root.
#[derive(Debug)]
pub(super) struct Place<'a> {
    root: &'a Path,
}

impl<'a> Place<'a> {
    pub(super) fn new(root: &'a Path) -> Self {
        Self { root }
    }

    /// The host's path of `path`, every link but one at its end resolved, missing parent directories made (0755, root).
    pub(super) fn parent(&self, path: &str) -> Result<PathBuf> {
        let inside = Path::new(path);
        let (Some(parent), Some(name)) = (inside.parent(), inside.file_name()) else {
            return Err(problem(path, "it is the root itself"));
        };
        Ok(self.resolve(path, parent, true)?.join(name))
    }

    /// The host's path of what `path` leads to, links at its end resolved too.
    pub(super) fn follow(&self, path: &str) -> Result<PathBuf> {
        self.resolve(path, Path::new(path), false)
    }

    fn resolve(&self, subject: &str, path: &Path, make: bool) -> Result<PathBuf> {
        let mut open: VecDeque<OsString> = names(path).collect();
        let mut resolved = PathBuf::new();
        let mut links = 0;
        while let Some(name) = open.pop_front() {
            if name == OsStr::new("..") {
                resolved.pop();
                continue;
            }
            let full = self.root.join(&resolved).join(&name);
            match fs::symlink_metadata(&full) {
                Ok(metadata) if metadata.is_symlink() => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(problem(subject, "too many symbolic links on the way"));
                    }
                    let target = fs::read_link(&full).map_err(Error::io("read", &full))?;
                    if target.is_absolute() {
                        resolved = PathBuf::new();
                    }
                    for name in names(&target).collect::<Vec<_>>().into_iter().rev() {
                        open.push_front(name);
                    }
                    continue;
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound && make => {
                    fs::create_dir(&full).map_err(Error::io("create directory", &full))?;
                    fs::set_permissions(&full, fs::Permissions::from_mode(0o755))
                        .map_err(Error::io("set attributes of", &full))?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("inspect", full)(error)),
            }
            resolved.push(name);
        }
        Ok(self.root.join(resolved))
    }
}

/// The names of a path and its `..`; what is neither says nothing.
fn names(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    })
}
