use super::{DEPTH, fault};
use crate::error::{Error, Result};

/// A place in a text, with its line.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a str,
    line: u32,
    depth: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            line: 1,
            depth: 0,
        }
    }

    pub(super) fn line(&self) -> u32 {
        self.line
    }

    pub(super) fn rest(&self) -> &'a str {
        self.rest
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.advance(character.len_utf8());
        Some(character)
    }

    /// Goes on by so many bytes, which end on a character's border.
    pub(super) fn advance(&mut self, length: usize) {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.bytes().filter(|byte| *byte == b'\n').count() as u32;
        self.rest = rest;
    }

    /// Takes the longest prefix of characters that `fits`.
    pub(super) fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let end = self
            .rest
            .find(|character| !fits(character))
            .unwrap_or(self.rest.len());
        let taken = &self.rest[..end];
        self.advance(end);
        taken
    }

    /// Takes `text` if it comes next.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        let found = self.rest.starts_with(text);
        if found {
            self.advance(text.len());
        }
        found
    }

    /// Enters a group or list.
    pub(super) fn descend(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.fault("nested more than 32 deep"));
        }
        Ok(())
    }

    /// Leaves a group or list.
    pub(super) fn ascend(&mut self) {
        self.depth -= 1;
    }

    pub(super) fn fault(&self, reason: impl Into<String>) -> Error {
        fault(self.line, reason)
    }

    /// The fault that something else was expected here.
    pub(super) fn expected(&self, what: &str) -> Error {
        match self.peek() {
            Some(found) => self.fault(format!("expected {what}, found `{}`", found.escape_debug())),
            None => self.fault(format!("expected {what}, found the end")),
        }
    }
}
