mod sides;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use super::tree::{Attributes, Tree};
use crate::error::Result;
use sides::{Content, Sides};

/// What is added to the name of an image's file that was not taken. Debian's tools know it and pass over such files where
/// every file of a directory counts (run-parts(8), sudoers(5), logrotate(8), systemd).
pub const SUFFIX: &str = ".dpkg-dist";

/// One of the three trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The image that the device's changes were made on.
    Base,
    /// The device.
    Mine,
    /// The new image.
    Theirs,
}

/// The contents of files, asked for where both sides changed one.
pub trait Texts {
    /// The content of a file of a side; none when it is too long to be merged.
    fn read(&mut self, side: Side, path: &Path) -> Result<Option<Vec<u8>>>;
}

/// What makes the new image's `/etc` the merged one; in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The device's file, link or directory is put here, in the place of whatever is. Of a directory only itself.
    Take(PathBuf),
    /// This content is put into the file, which keeps the image's attributes.
    Write(PathBuf, Vec<u8>),
    /// The file or directory gets these.
    Attributes(PathBuf, Attributes),
    /// The image's file or link is put beside, with [`SUFFIX`].
    Beside(PathBuf),
    /// The file, link or empty directory is removed.
    Remove(PathBuf),
}

/// What came of a merge.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Merged {
    /// What is to be done.
    pub changes: Vec<Change>,
    /// What people want to know of it.
    pub report: Report,
}

/// What a merge did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Files, links and directories that only the device had changed, added or removed: they are as it left them.
    pub kept: usize,
    /// Those that only the new image changed, added or removed: they are as it brings them.
    pub taken: usize,
    /// Those that both had changed, and what became of each.
    pub entries: Vec<Entry>,
}

/// A file, link or directory that both sides had changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path in `/etc`.
    pub path: PathBuf,
    /// What became of it.
    pub outcome: Outcome,
    /// More about it, for people.
    pub note: String,
}

/// What became of something that both sides had changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has the changes of both.
    Merged,
    /// It is as the device left it, and somebody should look: [`Entry::note`] says what of the image is missing.
    Conflict,
}

impl Outcome {
    /// Its name in JSON: `merged` or `conflict`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Merged => "merged",
            Self::Conflict => "conflict",
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} changes of the device kept, {} of the image taken",
            self.kept, self.taken
        )?;
        for entry in &self.entries {
            let path = entry.path.display().to_string();
            let (path, outcome) = (path.escape_debug(), entry.outcome.name());
            writeln!(f, "{outcome}: {path}: {}", entry.note)?;
        }
        Ok(())
    }
}

impl Report {
    /// Those of the entries that somebody should look at.
    pub fn conflicts(&self) -> impl Iterator<Item = &Entry> {
        let conflict = |entry: &&Entry| entry.outcome == Outcome::Conflict;
        self.entries.iter().filter(conflict)
    }
}

/// Merges what the device (`mine`) and a new image (`theirs`) made of `base`.
///
/// | device | new image | result |
/// |---|---|---|
/// | as base | anything | the image's |
/// | changed, added, removed | as base | the device's |
/// | the same change | the same change | that |
/// | changed a text | changed it elsewhere | both changes, line by line; accounts entry by entry |
/// | changed | changed | the device's, the image's beside it as `FILE.dpkg-dist`; reported |
/// | changed | removed | the device's; reported |
/// | removed | changed | stays removed, the image's as `FILE.dpkg-dist`; reported |
///
/// Permissions, owner and extended attributes are merged each for itself by the same rules. A directory stays as long as
/// something is in it.
pub fn merge(base: &Tree, mine: &Tree, theirs: &Tree, texts: &mut dyn Texts) -> Result<Merged> {
    let paths: BTreeSet<&PathBuf> = base
        .keys()
        .chain(mine.keys())
        .chain(theirs.keys())
        .collect();
    let mut steps = Vec::new();
    let mut report = Report::default();
    // From the ends of the tree, so that a directory knows what it must hold.
    let mut held_by_device = BTreeSet::new();
    let mut held_by_image = BTreeSet::new();
    for path in paths.into_iter().rev() {
        let sides = Sides {
            path,
            base: base.get(path),
            mine: mine.get(path),
            theirs: theirs.get(path),
        };
        let mut step = sides.decide(texts)?;
        step.keep_directory(
            &sides,
            held_by_device.contains(path),
            held_by_image.contains(path),
        );
        if let Some(parent) = path.parent() {
            let image = step.beside || (step.result == Content::Theirs && sides.theirs.is_some());
            let device = match step.result {
                Content::Mine => sides.mine.is_some(),
                Content::Text(_) => true,
                Content::Theirs => false,
            };
            if image {
                held_by_image.insert(parent.to_path_buf());
            }
            if device {
                held_by_device.insert(parent.to_path_buf());
            }
        }
        steps.push((sides, step));
    }
    steps.reverse();

    let mut changes = Vec::new();
    let mut beside = Vec::new();
    let mut removals = Vec::new();
    // The device has no directory here: nothing of the image can be below.
    let mut closed: Option<&Path> = None;
    for (sides, step) in steps {
        let path = sides.path;
        if let Some(above) = closed {
            if path.starts_with(above) {
                let brought = step.result == Content::Theirs && sides.theirs.is_some();
                if brought || step.entry.is_some() {
                    let above = above.display();
                    let note = format!("left out: `{above}` is no directory here");
                    report.entries.push(sides.entry(Outcome::Conflict, note));
                }
                continue;
            }
            closed = None;
        }
        step.count(&sides, &mut report);
        if step.beside {
            beside.push(Change::Beside(path.clone()));
        }
        match step.result {
            Content::Mine => match sides.mine {
                Some(node) => {
                    changes.push(Change::Take(path.clone()));
                    if !node.is_directory() {
                        closed = Some(path);
                    }
                }
                None if sides.theirs.is_some() => removals.push(Change::Remove(path.clone())),
                None => {}
            },
            Content::Text(text) => changes.push(Change::Write(path.clone(), text)),
            Content::Theirs => {}
        }
        if let Some(attributes) = step.attributes {
            changes.push(Change::Attributes(path.clone(), attributes));
        }
        report.entries.extend(step.entry);
    }
    // After the device's own files, of which one may have that name from an earlier merge.
    changes.extend(beside);
    removals.reverse();
    changes.extend(removals);
    Ok(Merged { changes, report })
}

#[cfg(test)]
mod tests;
