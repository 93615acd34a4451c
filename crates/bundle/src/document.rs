//! The two syntaxes of `sw-description`, read into one tree in which every value knows its line.
//!
//! libconfig (its manual, “Configuration Files”) and JSON (RFC 8259). Text that begins with `{` is JSON: no libconfig file
//! does, so the two cannot be taken for each other. Stricter than both: a name that is given twice is an error.

mod cursor;
mod json;
mod libconfig;

#[cfg(test)]
mod tests;

pub use json::to_json;
pub use libconfig::to_libconfig;

use crate::error::{Error, Result};

/// Longest text that is read, in bytes. Real ones have some kilobytes.
pub const LIMIT: usize = 1 << 20;
/// Deepest nesting that is read.
const DEPTH: usize = 32;

/// A value and the line, counted from 1, that it begins on; 0 when it was not read from text.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its line.
    pub line: u32,
    /// What it is.
    pub value: Value,
}

/// What a [`Node`] holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// A number with a fraction or an exponent.
    Fraction(f64),
    /// Text.
    Text(String),
    /// Names with values, in the order of the text, no name twice.
    Group(Vec<(String, Node)>),
    /// Values one after the other: libconfig's lists and arrays.
    List(Vec<Node>),
}

impl Value {
    /// What kind of value it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Flag(_) => "a truth value",
            Self::Number(_) => "a whole number",
            Self::Fraction(_) => "a fraction",
            Self::Text(_) => "text",
            Self::Group(_) => "a group",
            Self::List(_) => "a list",
        }
    }
}

impl Node {
    /// A value that was not read from text.
    pub fn new(value: Value) -> Self {
        Self { line: 0, value }
    }
}

/// Reads either syntax. The result is a group.
///
/// Fails on text that is too long, not UTF-8, malformed, nested more than 32 deep, or that names something twice.
pub fn parse(text: &[u8]) -> Result<Node> {
    if text.len() > LIMIT {
        return Err(fault(1, "longer than 1 MiB"));
    }
    let text = std::str::from_utf8(text).map_err(|error| {
        let before = text[..error.valid_up_to()].split(|byte| *byte == b'\n');
        fault(before.count() as u32, "not UTF-8")
    })?;
    if text.trim_start().starts_with('{') {
        json::parse(text)
    } else {
        libconfig::parse(text)
    }
}

/// Adds a member, unless there is one of that name.
fn add(group: &mut Vec<(String, Node)>, name: String, node: Node) -> Result<()> {
    if group.iter().any(|(other, _)| *other == name) {
        return Err(Error::Description {
            line: node.line,
            key: name.escape_debug().to_string(),
            reason: "is given twice".to_owned(),
        });
    }
    group.push((name, node));
    Ok(())
}

fn fault(line: u32, reason: impl Into<String>) -> Error {
    Error::Syntax {
        line,
        reason: reason.into(),
    }
}
