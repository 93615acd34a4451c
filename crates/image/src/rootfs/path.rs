//! Paths of the image on the host: links lead where they would lead in the image, never out of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::rootfs::layer::look;

/// More links than this on the way are a loop.
const LINK_LIMIT: usize = 40;

/// Where the absolute path `path` of the image is on the host, given the tree at `root`.
///
/// Links on the way are followed as if `root` were `/`; the last component is not followed. Missing directories on the way
/// are made, mode 0755 of root. Nothing else changes the tree meanwhile, so that looking first is safe.
pub(super) fn resolve(root: &Path, path: &str) -> Result<PathBuf> {
    walk(root, path, Missing::Make, Last::Kept)?
        .ok_or_else(|| problem(path, "the path leads to nothing"))
}

/// As [`resolve`] without making anything: `None` where a directory on the way is missing or is no directory.
pub(super) fn find(root: &Path, path: &str) -> Result<Option<PathBuf>> {
    walk(root, path, Missing::Leave, Last::Kept)
}

/// As [`find`], and the last component is followed too: the result is no link. `None` where there is nothing.
pub(super) fn follow(root: &Path, path: &str) -> Result<Option<PathBuf>> {
    walk(root, path, Missing::Leave, Last::Followed)
}

/// What becomes of directories that are not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Make,
    Leave,
}

/// What becomes of a link at the end of the path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Kept,
    Followed,
}

fn problem(path: &str, problem: &str) -> Error {
    Error::Change {
        subject: path.to_owned(),
        problem: problem.to_owned(),
    }
}

fn walk(root: &Path, path: &str, missing: Missing, last: Last) -> Result<Option<PathBuf>> {
    if !path.starts_with('/') {
        return Err(problem(path, "the path is not absolute"));
    }
    let components = |text: &str| -> Vec<String> {
        text.split('/')
            .rev()
            .filter(|it| !matches!(*it, "" | "."))
            .map(str::to_owned)
            .collect()
    };
    let mut open = components(path);
    if open.is_empty() || open.iter().any(|component| component == "..") {
        return Err(problem(path, "the path has no last component or has `..`"));
    }
    let mut place: Vec<String> = Vec::new();
    let mut followed = 0;
    while let Some(component) = open.pop() {
        if component == ".." {
            place.pop();
            continue;
        }
        place.push(component);
        let full = join(root, &place);
        if open.is_empty() && last == Last::Kept {
            return Ok(Some(full));
        }
        match look(&full)? {
            None if missing == Missing::Make => {
                fs::create_dir(&full)
                    .and_then(|()| fs::set_permissions(&full, fs::Permissions::from_mode(0o755)))
                    .map_err(Error::io("create directory", &full))?;
            }
            None => return Ok(None),
            Some(metadata) if metadata.is_symlink() => {
                followed += 1;
                if followed > LINK_LIMIT {
                    return Err(problem(path, "the path leads through a loop of links"));
                }
                let target = fs::read_link(&full).map_err(Error::io("read", &full))?;
                let target = target.to_string_lossy();
                place.pop();
                if target.starts_with('/') {
                    place.clear();
                }
                open.extend(components(&target));
            }
            Some(_) if open.is_empty() => return Ok(Some(full)),
            Some(metadata) if metadata.is_dir() => {}
            Some(_) if missing == Missing::Leave => return Ok(None),
            Some(_) => return Err(problem(path, "a file is in the way")),
        }
    }
    match last {
        Last::Kept => Err(problem(path, "the path leads to the root directory")),
        Last::Followed => Ok(Some(join(root, &place))),
    }
}

fn join(root: &Path, components: &[String]) -> PathBuf {
    components
        .iter()
        .fold(root.to_path_buf(), |path, component| path.join(component))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_stay_inside() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        fs::create_dir(root.join("etc")).unwrap();
        symlink("usr/lib", root.join("lib")).unwrap();
        symlink("/usr/lib", root.join("etc/absolute")).unwrap();
        symlink("../../../../etc", root.join("etc/out")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let resolved = |path: &str| resolve(root, path).unwrap();
        assert_eq!(resolved("/lib/x"), root.join("usr/lib/x"));
        assert_eq!(resolved("/etc/absolute/x"), root.join("usr/lib/x"));
        assert_eq!(resolved("/etc/out/passwd"), root.join("etc/passwd"));
        // The last component is not followed.
        assert_eq!(resolved("/etc/absolute"), root.join("etc/absolute"));
        assert_eq!(resolved("/a/b/c"), root.join("a/b/c"));
        assert!(root.join("a/b").is_dir());
        assert_eq!(find(root, "/missing/x").unwrap(), None);
        assert!(!root.join("missing").exists());
        fs::write(root.join("etc/passwd"), "").unwrap();
        symlink("/etc/passwd", root.join("usr/accounts")).unwrap();
        symlink("/etc/shadow", root.join("usr/gone")).unwrap();
        symlink("/", root.join("usr/top")).unwrap();
        let followed = |path: &str| follow(root, path).unwrap();
        assert_eq!(followed("/usr/accounts"), Some(root.join("etc/passwd")));
        assert_eq!(followed("/usr/gone"), None);
        assert_eq!(followed("/etc/out"), Some(root.join("etc")));
        assert_eq!(followed("/usr/top"), Some(root.to_path_buf()));
        assert_eq!(followed("/etc/passwd/x"), None);
        for refused in ["etc/x", "/", "/etc/../x", "/loop/x"] {
            assert!(resolve(root, refused).is_err(), "{refused}");
        }
    }
}
