//! Paths of entries: normalised, and never leading out of the tree.

use std::collections::HashMap;

use super::Defect;

/// Longest path in bytes (`PATH_MAX` less the terminating NUL).
const LONGEST: usize = 4095;

/// Removes `./`, doubled and trailing slashes. The root itself becomes the empty path.
pub(super) fn normalise(raw: &[u8]) -> Result<Vec<u8>, Defect> {
    if raw.is_empty() {
        return Err(Defect::Path("is empty"));
    }
    if raw.len() > LONGEST {
        return Err(Defect::Path("is longer than 4095 bytes"));
    }
    if raw[0] == b'/' {
        return Err(Defect::Path("is absolute"));
    }
    check_bytes(raw)?;
    let mut path = Vec::with_capacity(raw.len());
    for component in raw.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return Err(Defect::Path("has a `..` component")),
            _ if component.len() > 255 => {
                return Err(Defect::Path("has a component longer than 255 bytes"));
            }
            _ => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(component);
            }
        }
    }
    Ok(path)
}

/// Checks the target of a symbolic link, which may lead anywhere: nothing is ever read or written through it.
pub(super) fn check_target(target: &[u8]) -> Result<(), Defect> {
    if target.is_empty() {
        return Err(Defect::Target("is empty"));
    }
    if target.len() > LONGEST {
        return Err(Defect::Target("is longer than 4095 bytes"));
    }
    check_bytes(target).map_err(|_| Defect::Target("holds a NUL or a line break"))
}

/// dpkg's database has one path per line, so dpkg refuses line breaks as well.
fn check_bytes(raw: &[u8]) -> Result<(), Defect> {
    if raw.iter().any(|&byte| byte == 0 || byte == b'\n') {
        return Err(Defect::Path("holds a NUL or a line break"));
    }
    Ok(())
}

/// What an earlier entry put at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// A directory that an entry below it implies.
    Implied,
    /// A directory with an entry of its own.
    Directory,
    /// A regular file, or another name of one.
    File,
    /// A symbolic link.
    Symlink,
}

/// The paths of an archive so far.
///
/// A packer that walks a directory tree can produce neither a path twice nor an entry below something that is not a
/// directory; only a forged archive has them, to write through a link of its own.
#[derive(Debug, Default)]
pub(super) struct Tree {
    seen: HashMap<Vec<u8>, Seen>,
    bytes: u64,
}

impl Tree {
    /// Bytes held by the paths.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether `path` is a regular file, as the target of a hard link must be.
    pub(super) fn is_file(&self, path: &[u8]) -> bool {
        self.seen.get(path) == Some(&Seen::File)
    }

    /// Adds an entry at the normalised `path`.
    pub(super) fn add(&mut self, path: &[u8], kind: Seen) -> Result<(), Defect> {
        if path.is_empty() && kind != Seen::Directory {
            return Err(Defect::Path("is the root but no directory"));
        }
        let mut end = path.len();
        while let Some(slash) = path[..end].iter().rposition(|&byte| byte == b'/') {
            end = slash;
            match self.seen.get(&path[..end]) {
                None => self.put(&path[..end], Seen::Implied),
                Some(Seen::Implied | Seen::Directory) => break,
                Some(Seen::Symlink) => return Err(Defect::Path("is below a symbolic link")),
                Some(Seen::File) => return Err(Defect::Path("is below a file")),
            }
        }
        match (self.seen.get(path), kind) {
            (None, _) => {
                self.put(path, kind);
                Ok(())
            }
            (Some(Seen::Implied), Seen::Directory) => {
                self.seen.insert(path.to_vec(), kind);
                Ok(())
            }
            _ => Err(Defect::Path("appears twice")),
        }
    }

    fn put(&mut self, path: &[u8], kind: Seen) {
        self.bytes += path.len() as u64;
        self.seen.insert(path.to_vec(), kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn normalises() {
        for (raw, path) in [
            ("./", ""),
            (".", ""),
            ("./usr//bin/./x", "usr/bin/x"),
            ("usr/bin/", "usr/bin"),
            ("...", "..."),
        ] {
            assert_eq!(normalise(raw.as_bytes()).unwrap(), path.as_bytes(), "{raw}");
        }
        for raw in [
            "",
            "/etc",
            "..",
            "./../x",
            "a/../../b",
            "a/..",
            "a\nb",
            "a\0b",
        ] {
            assert!(normalise(raw.as_bytes()).is_err(), "{raw:?}");
        }
    }

    #[test]
    fn refuses_writing_through_links() {
        let mut tree = Tree::default();
        tree.add(b"a/link", Seen::Symlink).unwrap();
        tree.add(b"a", Seen::Directory).unwrap();
        assert!(tree.add(b"a/link/x", Seen::File).is_err());
        assert!(tree.add(b"a/link/deep/x", Seen::File).is_err());
        assert!(tree.add(b"a/link", Seen::Directory).is_err());
        tree.add(b"a/file", Seen::File).unwrap();
        assert!(tree.add(b"a/file/x", Seen::File).is_err());
        assert!(tree.add(b"a/file", Seen::File).is_err());
        assert!(tree.add(b"a", Seen::Symlink).is_err());
    }

    proptest! {
        #[test]
        fn never_leaves_the_root(raw: Vec<u8>) {
            if let Ok(path) = normalise(&raw) {
                prop_assert!(!path.starts_with(b"/"));
                for component in path.split(|&byte| byte == b'/') {
                    prop_assert!(component != b".." && component != b".");
                }
                if !path.is_empty() {
                    prop_assert_eq!(normalise(&path).unwrap(), path);
                }
            }
        }
    }
}
