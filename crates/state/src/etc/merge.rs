use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use super::accounts;
use super::lines;
use super::tree::{Attributes, Kind, Node, Tree};
use crate::error::Result;

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

/// A path in the three trees.
#[derive(Debug, Clone, Copy)]
struct Sides<'a> {
    path: &'a PathBuf,
    base: Option<&'a Node>,
    mine: Option<&'a Node>,
    theirs: Option<&'a Node>,
}

/// What is done about a path.
#[derive(Debug)]
struct Step {
    result: Content,
    /// Attributes other than those that come with the result.
    attributes: Option<Attributes>,
    /// Whether the image's is put beside.
    beside: bool,
    entry: Option<Entry>,
}

#[derive(Debug, PartialEq, Eq)]
enum Content {
    Mine,
    Theirs,
    Text(Vec<u8>),
}

impl Step {
    fn plain(result: Content) -> Self {
        Self {
            result,
            attributes: None,
            beside: false,
            entry: None,
        }
    }

    /// Sees to it that a directory is there for what it must hold.
    fn keep_directory(&mut self, sides: &Sides<'_>, for_device: bool, for_image: bool) {
        let is_directory = |node: Option<&Node>| node.is_some_and(Node::is_directory);
        match self.result {
            Content::Mine if sides.mine.is_none() && for_image && is_directory(sides.theirs) => {
                *self = Self::plain(Content::Theirs);
            }
            Content::Theirs if for_device && !is_directory(sides.theirs) => {
                *self = match sides.theirs {
                    Some(_) => sides.conflict("the device changed what is in this directory"),
                    None => Self::plain(Content::Mine),
                };
            }
            _ => {}
        }
    }

    fn count(&self, sides: &Sides<'_>, report: &mut Report) {
        if self.entry.is_some() {
            return;
        }
        match self.result {
            Content::Mine => report.kept += 1,
            Content::Theirs if sides.theirs != sides.base => report.taken += 1,
            Content::Theirs | Content::Text(_) => {}
        }
    }
}

impl Sides<'_> {
    fn entry(&self, outcome: Outcome, note: impl Into<String>) -> Entry {
        Entry {
            path: self.path.clone(),
            outcome,
            note: note.into(),
        }
    }

    fn decide(&self, texts: &mut dyn Texts) -> Result<Step> {
        if self.mine == self.theirs || self.mine == self.base {
            return Ok(Step::plain(Content::Theirs));
        }
        if self.mine.is_some_and(|node| node.kind == Kind::Special) {
            let note = "a socket, pipe or device of the old system is not carried over";
            return Ok(Step {
                entry: Some(self.entry(Outcome::Conflict, note)),
                ..Step::plain(Content::Theirs)
            });
        }
        if self.theirs == self.base {
            return Ok(Step::plain(Content::Mine));
        }
        match (self.mine, self.theirs) {
            (Some(mine), Some(theirs)) => self.decide_both(mine, theirs, texts),
            (Some(_), None) => {
                let note = "the image has it no more; the device had changed it";
                Ok(Step {
                    entry: Some(self.entry(Outcome::Conflict, note)),
                    ..Step::plain(Content::Mine)
                })
            }
            (None, _) => Ok(self.conflict("it was removed on the device")),
        }
    }

    /// The device's stays, the image's goes beside where it is a file or link.
    fn conflict(&self, note: &str) -> Step {
        let beside = self
            .theirs
            .is_some_and(|node| matches!(node.kind, Kind::File(_) | Kind::Link(_)));
        let note = if beside {
            format!(
                "{note}; the image's is in `{}{SUFFIX}`",
                self.path.display()
            )
        } else {
            note.to_owned()
        };
        Step {
            beside,
            entry: Some(self.entry(Outcome::Conflict, note)),
            ..Step::plain(Content::Mine)
        }
    }

    fn decide_both(&self, mine: &Node, theirs: &Node, texts: &mut dyn Texts) -> Result<Step> {
        if std::mem::discriminant(&mine.kind) != std::mem::discriminant(&theirs.kind) {
            return Ok(self.conflict("it is of another kind in the image"));
        }
        let base = self.base.map(|node| &node.kind);
        let result = match (&mine.kind, &theirs.kind) {
            (Kind::Directory, Kind::Directory) => Content::Theirs,
            (own, other) if own == other || base == Some(own) => Content::Theirs,
            (_, other) if base == Some(other) => Content::Mine,
            (Kind::File(_), Kind::File(_)) => {
                return Ok(match self.merge_texts(texts)? {
                    Some((text, notes)) => self.merged(text, &notes, mine, theirs),
                    None => self.conflict("both changed it"),
                });
            }
            _ => return Ok(self.conflict("both changed what it is")),
        };
        let (attributes, clash) = self.attributes(mine, theirs);
        let come_with = if result == Content::Mine {
            mine
        } else {
            theirs
        };
        let outcome = if clash {
            Outcome::Conflict
        } else {
            Outcome::Merged
        };
        let note = if clash {
            "both changed permissions or owner: the device's are kept"
        } else {
            "permissions and owner are of one side, the rest of the other"
        };
        Ok(Step {
            attributes: (attributes != come_with.attributes).then_some(attributes),
            entry: Some(self.entry(outcome, note)),
            ..Step::plain(result)
        })
    }

    /// A text with the changes of both.
    fn merged(&self, text: Vec<u8>, notes: &[String], mine: &Node, theirs: &Node) -> Step {
        let (attributes, clash) = self.attributes(mine, theirs);
        let mut notes = notes.to_vec();
        if clash {
            notes.push("both changed permissions or owner: the device's are kept".to_owned());
        }
        let outcome = if notes.is_empty() {
            Outcome::Merged
        } else {
            Outcome::Conflict
        };
        let note = if notes.is_empty() {
            "it has the changes of both".to_owned()
        } else {
            notes.join("; ")
        };
        Step {
            attributes: (attributes != theirs.attributes).then_some(attributes),
            // What was not taken of the image's can be looked up there.
            beside: outcome == Outcome::Conflict,
            entry: Some(self.entry(outcome, note)),
            ..Step::plain(Content::Text(text))
        }
    }

    /// The text of a file with the changes of both, and what is to be looked at.
    fn merge_texts(&self, texts: &mut dyn Texts) -> Result<Option<(Vec<u8>, Vec<String>)>> {
        let base = match self.base.map(|node| &node.kind) {
            Some(Kind::File(_)) => texts.read(Side::Base, self.path)?,
            _ => Some(Vec::new()),
        };
        let mine = texts.read(Side::Mine, self.path)?;
        let theirs = texts.read(Side::Theirs, self.path)?;
        let (Some(base), Some(mine), Some(theirs)) = (base, mine, theirs) else {
            return Ok(None);
        };
        if let Some(format) = self.path.to_str().and_then(accounts::Format::of)
            && let Some(merged) = format.merge(&base, &mine, &theirs)
        {
            return Ok(Some((merged.content, merged.conflicts)));
        }
        let is_text = [&base, &mine, &theirs]
            .iter()
            .all(|text| !text.contains(&0));
        let merged = is_text
            .then(|| lines::merge(&base, &mine, &theirs))
            .flatten();
        Ok(merged.map(|text| (text, Vec::new())))
    }

    /// The attributes, each of the side that changed it, and whether both changed one to different values.
    fn attributes(&self, mine: &Node, theirs: &Node) -> (Attributes, bool) {
        let base = self.base.map(|node| &node.attributes);
        let (mine, theirs) = (&mine.attributes, &theirs.attributes);
        let mut clash = false;
        let mut keep_mine = |differs: bool, of_device: bool, of_image: bool| {
            clash |= differs && of_device && of_image;
            differs && of_device
        };
        let changed = |of: &Attributes| match base {
            Some(base) => (
                of.mode != base.mode,
                of.owner != base.owner,
                of.extended != base.extended,
            ),
            None => (true, true, true),
        };
        let (device, image) = (changed(mine), changed(theirs));
        let mode = keep_mine(mine.mode != theirs.mode, device.0, image.0);
        let owner = keep_mine(mine.owner != theirs.owner, device.1, image.1);
        let extended = keep_mine(mine.extended != theirs.extended, device.2, image.2);
        let merged = Attributes {
            mode: if mode { mine.mode } else { theirs.mode },
            owner: if owner { mine.owner } else { theirs.owner },
            extended: if extended {
                mine.extended.clone()
            } else {
                theirs.extended.clone()
            },
        };
        (merged, clash)
    }
}

#[cfg(test)]
mod tests;
