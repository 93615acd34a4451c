//! What is done about one path.

use std::path::PathBuf;

use super::{Entry, Outcome, Report, SUFFIX, Side, Texts};
use crate::error::Result;
use crate::etc::tree::{Attributes, Kind, Node};
use crate::etc::{accounts, lines};

/// A path in the three trees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides<'a> {
    pub(super) path: &'a PathBuf,
    pub(super) base: Option<&'a Node>,
    pub(super) mine: Option<&'a Node>,
    pub(super) theirs: Option<&'a Node>,
}

/// What is done about a path.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) result: Content,
    /// Attributes other than those that come with the result.
    pub(super) attributes: Option<Attributes>,
    /// Whether the image's is put beside.
    pub(super) beside: bool,
    pub(super) entry: Option<Entry>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
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
    pub(super) fn keep_directory(&mut self, sides: &Sides<'_>, for_device: bool, for_image: bool) {
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

    pub(super) fn count(&self, sides: &Sides<'_>, report: &mut Report) {
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
    pub(super) fn entry(&self, outcome: Outcome, note: impl Into<String>) -> Entry {
        Entry {
            path: self.path.clone(),
            outcome,
            note: note.into(),
        }
    }

    pub(super) fn decide(&self, texts: &mut dyn Texts) -> Result<Step> {
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
