//! FAT12, FAT16 and FAT32 volumes with long names.
//!
//! Written in one go from a [`Tree`]: the same tree and options give the same bytes, files are contiguous, and the data
//! area starts at a multiple of 4096 bytes. Read strictly; the bytes of a file can be located on the volume and replaced
//! in place, which needs no driver and touches no metadata.
//! Source: Microsoft, “FAT: General Overview of On-Disk Format” 1.03; Linux `fs/fat`; EDK2 `FatPkg`.

mod geometry;
mod name;
mod plan;
mod read;
mod replace;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use plan::{Piece, Plan, plan};
pub use read::{Entry, Extent, Volume};
pub use replace::SectorWrite;

use crate::content::Content;
use crate::error::{Error, Result};

const FORMAT: &str = "FAT volume";
const ENTRY: usize = 32;
const ATTRIBUTE_LABEL: u8 = 0x08;
const ATTRIBUTE_DIRECTORY: u8 = 0x10;
const ATTRIBUTE_ARCHIVE: u8 = 0x20;
const ATTRIBUTE_LONG_NAME: u8 = 0x0f;

/// Width of the entries of the allocation table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 12 bits: up to 4084 clusters.
    Fat12,
    /// 16 bits: 4085 to 65524 clusters.
    Fat16,
    /// 32 bits, 28 used.
    Fat32,
}

/// What a volume is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The kind; otherwise FAT12 below 4 MiB, FAT16 below 512 MiB, FAT32 above.
    pub kind: Option<Kind>,
    /// Bytes of the volume, a multiple of 512.
    pub size: u64,
    /// Volume serial number.
    pub volume_id: u32,
    /// Volume label: up to 11 characters of ASCII, not lower-case; empty for none.
    pub label: String,
    /// All time stamps, in seconds since 1970, taken as local time; clamped to 1980..2107.
    pub time: u64,
}

/// Files and directories of a volume to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree(BTreeMap<String, Node>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    File(Content),
    Directory(Tree),
}

impl Tree {
    /// An empty root directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file, and the directories above it where missing. Names in `path` are separated by `/`.
    ///
    /// Refuses names that FAT cannot hold, a path that is there already and one that differs in letter case only.
    pub fn insert(&mut self, path: &str, content: impl Into<Content>) -> Result<()> {
        self.add(path, path, Node::File(content.into()))
    }

    /// Adds an empty directory, and those above it where missing.
    pub fn insert_directory(&mut self, path: &str) -> Result<()> {
        self.add(path, path, Node::Directory(Self::default()))
    }

    fn add(&mut self, path: &str, rest: &str, node: Node) -> Result<()> {
        let refuse = |reason: &str| Err(Error::unwritable(FORMAT, path, reason));
        let (name, below) = match rest.split_once('/') {
            Some((name, below)) => (name, Some(below)),
            None => (rest, None),
        };
        if let Some(fault) = name::fault(name) {
            return refuse(fault);
        }
        let folded = name.to_lowercase();
        let twin = self.0.keys().find(|key| key.to_lowercase() == folded);
        if twin.is_some_and(|twin| twin != name) {
            return refuse("another name differs in letter case only");
        }
        match (below, self.0.get_mut(name)) {
            (None, Some(_)) => refuse("is there already"),
            (None, None) => {
                self.0.insert(name.to_owned(), node);
                Ok(())
            }
            (Some(below), Some(Node::Directory(tree))) => tree.add(path, below, node),
            (Some(_), Some(Node::File(_))) => refuse("lies below a file"),
            (Some(below), None) => {
                let mut tree = Self::default();
                tree.add(path, below, node)?;
                self.0.insert(name.to_owned(), Node::Directory(tree));
                Ok(())
            }
        }
    }
}
