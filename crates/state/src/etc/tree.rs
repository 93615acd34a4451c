//! What a directory holds: names, kinds, attributes, and digests of contents.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bedstone_store::Digest;

use crate::copy;
use crate::error::{Error, Result};

/// Most names that are looked at. `/etc` has some thousands.
const MOST: usize = 1 << 17;

/// Everything below a directory, by relative path; a directory comes before what is in it.
pub type Tree = BTreeMap<PathBuf, Node>;

/// A file, link or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// What belongs to it.
    pub attributes: Attributes,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A file, by the digest of its content.
    File(Digest),
    /// A symbolic link to this path.
    Link(PathBuf),
    /// A socket, pipe or device.
    Special,
}

/// Who may do what with a file, and what else is attached to it. Times do not count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Permissions, with the set-id and sticky bits; 0 for links, which have none.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// Extended attributes; none of links.
    pub extended: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Node {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }
}

/// Reads everything below `root`. Links are not followed.
pub fn read(root: &Path) -> Result<Tree> {
    let mut tree = Tree::new();
    let mut open = vec![PathBuf::new()];
    while let Some(directory) = open.pop() {
        let path = root.join(&directory);
        for entry in fs::read_dir(&path).map_err(Error::io("list", &path))? {
            let entry = entry.map_err(Error::io("list", &path))?;
            let below = directory.join(entry.file_name());
            let path = root.join(&below);
            let metadata = fs::symlink_metadata(&path).map_err(Error::io("read", &path))?;
            let node = node(&path, &metadata).map_err(Error::io("read", &path))?;
            if node.is_directory() {
                open.push(below.clone());
            }
            tree.insert(below, node);
            if tree.len() > MOST {
                return Err(Error::Malformed {
                    place: root.display().to_string(),
                    reason: format!("more than {MOST} files"),
                });
            }
        }
    }
    Ok(tree)
}

fn node(path: &Path, metadata: &Metadata) -> io::Result<Node> {
    let kind = if metadata.is_dir() {
        Kind::Directory
    } else if metadata.is_symlink() {
        Kind::Link(fs::read_link(path)?)
    } else if copy::is_special(metadata) {
        Kind::Special
    } else {
        Kind::File(Digest::of_reader(&mut File::open(path)?)?.0)
    };
    let owner = (metadata.uid(), metadata.gid());
    let attributes = match kind {
        Kind::Link(_) | Kind::Special => Attributes {
            owner,
            ..Attributes::default()
        },
        Kind::Directory | Kind::File(_) => Attributes {
            mode: metadata.mode() & 0o7777,
            owner,
            extended: copy::extended(path)?,
        },
    };
    Ok(Node { kind, attributes })
}
