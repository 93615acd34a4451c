use std::collections::BTreeMap;

use crate::document::{Node, Value};
use crate::error::{Error, Result};

/// The members of a group, taken out one by one; what is left over is unknown.
#[derive(Debug)]
pub(super) struct Fields {
    path: String,
    line: u32,
    members: BTreeMap<String, Node>,
}

impl Fields {
    pub(super) fn of(path: &str, node: Node) -> Result<Self> {
        match node.value {
            Value::Group(members) => Ok(Self {
                path: path.to_owned(),
                line: node.line,
                members: members.into_iter().collect(),
            }),
            other => Err(ill_typed(node.line, path, "a group", &other)),
        }
    }

    pub(super) fn line(&self) -> u32 {
        self.line
    }

    /// The path of a member, for messages.
    pub(super) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Node> {
        self.members.remove(name)
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>> {
        let path = self.path_of(name);
        self.take(name).map(|node| text(&path, node)).transpose()
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>> {
        let path = self.path_of(name);
        match self.take(name) {
            None => Ok(None),
            Some(Node {
                value: Value::Flag(flag),
                ..
            }) => Ok(Some(flag)),
            Some(node) => Err(ill_typed(node.line, &path, "true or false", &node.value)),
        }
    }

    /// A whole number that is not negative.
    pub(super) fn count(&mut self, name: &str) -> Result<Option<u64>> {
        let path = self.path_of(name);
        match self.take(name) {
            None => Ok(None),
            Some(Node {
                value: Value::Number(number),
                line,
            }) => match u64::try_from(number) {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(wrong(line, &path, "is negative")),
            },
            Some(node) => Err(ill_typed(node.line, &path, "a whole number", &node.value)),
        }
    }

    /// A list, of which each element is read by `read` with its path.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        mut read: impl FnMut(&str, Node) -> Result<T>,
    ) -> Result<Option<Vec<T>>> {
        let path = self.path_of(name);
        match self.take(name) {
            None => Ok(None),
            Some(Node {
                value: Value::List(items),
                ..
            }) => items
                .into_iter()
                .enumerate()
                .map(|(index, item)| read(&format!("{path}[{index}]"), item))
                .collect::<Result<_>>()
                .map(Some),
            Some(node) => Err(ill_typed(node.line, &path, "a list", &node.value)),
        }
    }

    /// What was not taken.
    pub(super) fn rest(self) -> impl Iterator<Item = (String, Node)> {
        self.members.into_iter()
    }

    /// Ends the reading: nothing may be left over.
    pub(super) fn finish(self) -> Result<()> {
        let path = |name: &str| self.path_of(name);
        // The first in the text, not in the alphabet.
        match self.members.iter().min_by_key(|(_, node)| node.line) {
            None => Ok(()),
            Some((name, node)) => Err(unknown(name, &path(name), node)),
        }
    }
}

/// The error for an attribute that has no meaning here, or none that is supported.
pub(super) fn unknown(name: &str, path: &str, node: &Node) -> Error {
    let reason = match name {
        "ref" => {
            "is not supported: SWUpdate 2024.12 does not follow every link; write it out in full"
        }
        "partitions" => "is not supported: UBI volumes",
        "aes-key" => "is not supported: SWUpdate before 2026.05 ignores it",
        _ => "is not an attribute that is known here",
    };
    wrong(node.line, path, reason)
}

pub(super) fn text(path: &str, node: Node) -> Result<String> {
    match node.value {
        Value::Text(text) => Ok(text),
        other => Err(ill_typed(node.line, path, "text", &other)),
    }
}

pub(super) fn ill_typed(line: u32, path: &str, wanted: &str, found: &Value) -> Error {
    wrong(line, path, format!("is {}, not {wanted}", found.kind()))
}

pub(super) fn wrong(line: u32, path: &str, reason: impl Into<String>) -> Error {
    Error::Description {
        line,
        // A name in JSON may hold anything, and messages reach terminals.
        key: path.escape_debug().to_string(),
        reason: reason.into(),
    }
}
