use std::collections::BTreeMap;
use std::io::Write;

use super::{
    BLOCK_DEVICE, CHARACTER_DEVICE, DIRECTORY, FORMAT, Format, Member, REGULAR, SYMLINK, TYPE_MASK,
    Writer,
};
use crate::content::Content;
use crate::error::{Error, Result};

/// A file tree to be archived: all owned by root, sorted by path, inodes numbered in that order, each file for itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree(BTreeMap<String, Node>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    mode: u32,
    device: (u32, u32),
    content: Content,
}

impl Tree {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a regular file with these permissions.
    pub fn file(&mut self, path: &str, mode: u32, content: impl Into<Content>) -> Result<()> {
        self.add(path, REGULAR | mode & 0o7777, (0, 0), content.into())
    }

    /// Adds a directory with these permissions, also one that was created for a file below it.
    pub fn directory(&mut self, path: &str, mode: u32) -> Result<()> {
        let mode = DIRECTORY | mode & 0o7777;
        self.add(path, mode, (0, 0), Content::Bytes(Vec::new()))
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<()> {
        let target = Content::Bytes(target.as_bytes().to_vec());
        self.add(path, SYMLINK | 0o777, (0, 0), target)
    }

    /// Adds a character device with these permissions, major and minor number.
    pub fn character_device(&mut self, path: &str, mode: u32, device: (u32, u32)) -> Result<()> {
        let mode = CHARACTER_DEVICE | mode & 0o7777;
        self.add(path, mode, device, Content::Bytes(Vec::new()))
    }

    /// Adds a block device with these permissions, major and minor number.
    pub fn block_device(&mut self, path: &str, mode: u32, device: (u32, u32)) -> Result<()> {
        let mode = BLOCK_DEVICE | mode & 0o7777;
        self.add(path, mode, device, Content::Bytes(Vec::new()))
    }

    /// Writes the tree as an archive, all times set to `time` seconds since 1970.
    pub fn write<W: Write>(&self, output: W, format: Format, time: u32) -> Result<W> {
        let mut writer = Writer::new(output, format);
        for ((name, node), inode) in self.0.iter().zip(1..) {
            let is_directory = node.mode & TYPE_MASK == DIRECTORY;
            let member = Member {
                name: name.clone(),
                inode,
                mode: node.mode,
                links: if is_directory { 2 } else { 1 },
                time,
                device: node.device,
                ..Member::default()
            };
            writer.append(&member, &node.content)?;
        }
        writer.finish()
    }

    fn add(&mut self, path: &str, mode: u32, device: (u32, u32), content: Content) -> Result<()> {
        let refuse = |reason: &str| Err(Error::unwritable(FORMAT, path, reason));
        if path.split('/').any(|name| matches!(name, "" | "." | "..")) {
            return refuse("a path is relative, without empty names, `.` and `..`");
        }
        for (end, _) in path.match_indices('/') {
            let parent = self
                .0
                .entry(path[..end].to_owned())
                .or_insert_with(|| Node {
                    mode: DIRECTORY | 0o755,
                    device: (0, 0),
                    content: Content::Bytes(Vec::new()),
                });
            if parent.mode & TYPE_MASK != DIRECTORY {
                return refuse("lies below something that is no directory");
            }
        }
        let node = Node {
            mode,
            device,
            content,
        };
        let old = self.0.insert(path.to_owned(), node);
        let both_directories =
            |old: &Node| (old.mode & TYPE_MASK, mode & TYPE_MASK) == (DIRECTORY, DIRECTORY);
        if old.is_some_and(|old| !both_directories(&old)) {
            return refuse("is there already");
        }
        Ok(())
    }
}
