//! The subset of XML that block maps use: elements, attributes, text, comments. No entities, no CDATA.

use super::FORMAT;
use crate::error::{Error, Result};

/// What [`Events::next_element`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// An element begins.
    Open(&'a str),
    /// The element around ends.
    Close,
}

/// Goes through a document from start to end.
#[derive(Debug)]
pub(super) struct Events<'a> {
    rest: &'a str,
    /// Elements that are open.
    open: Vec<&'a str>,
    /// What stands in the last start tag behind the name.
    attributes: &'a str,
}

/// Elements within elements: bmap, BlockMap, Range.
const DEPTH_LIMIT: usize = 8;

impl<'a> Events<'a> {
    pub(super) fn new(xml: &'a str) -> Self {
        Self {
            rest: xml,
            open: Vec::new(),
            attributes: "",
        }
    }

    /// Goes to the next start or end of an element and returns it with the text before it, trimmed.
    fn step(&mut self) -> Result<(&'a str, Event<'a>)> {
        let (text, tag) = self.next_tag()?;
        if let Some(name) = tag.strip_prefix('/') {
            return match self.open.pop() {
                Some(open) if open == name.trim_end() => Ok((text, Event::Close)),
                _ => Err(bad("an end tag without its start")),
            };
        }
        let (name, attributes) = tag.split_at(tag.find(char::is_whitespace).unwrap_or(tag.len()));
        if name.is_empty() || tag.ends_with('/') {
            return Err(bad("an empty element"));
        }
        if self.open.len() == DEPTH_LIMIT {
            return Err(bad("elements too deep within each other"));
        }
        self.open.push(name);
        self.attributes = attributes;
        Ok((text, Event::Open(name)))
    }

    /// Goes to the next start or end of an element.
    pub(super) fn next_element(&mut self) -> Result<Event<'a>> {
        Ok(self.step()?.1)
    }

    /// The value of an attribute of the element that was opened last.
    pub(super) fn attribute(&self, key: &str) -> Option<&'a str> {
        let mut rest = self.attributes;
        while let Some((name, tail)) = rest.split_once('=') {
            let tail = tail.trim_start();
            let quote = tail
                .chars()
                .next()
                .filter(|quote| matches!(quote, '"' | '\''))?;
            let (value, tail) = tail[1..].split_once(quote)?;
            if name.trim() == key {
                return Some(value);
            }
            rest = tail;
        }
        None
    }

    /// The text of the element that was opened last, without blanks around, up to its end tag.
    pub(super) fn text(&mut self) -> Result<&'a str> {
        match self.step()? {
            (text, Event::Close) => Ok(text),
            (_, Event::Open(_)) => Err(bad("an element where text belongs")),
        }
    }

    /// The next tag, without its brackets, and the text since the last tag, comment or declaration.
    fn next_tag(&mut self) -> Result<(&'a str, &'a str)> {
        loop {
            let cut = |at: Option<usize>| at.ok_or_else(|| bad("ends too early"));
            let (text, rest) = self.rest.split_at(cut(self.rest.find('<'))?);
            let aside = [("<!--", "-->"), ("<?", "?>")];
            if let Some((_, end)) = aside.iter().find(|(start, _)| rest.starts_with(start)) {
                self.rest = &rest[cut(rest.find(end))? + end.len()..];
                continue;
            }
            let (tag, rest) = rest.split_at(cut(rest.find('>'))?);
            self.rest = &rest[1..];
            return Ok((text.trim(), &tag[1..]));
        }
    }
}

fn bad(reason: &str) -> Error {
    Error::malformed(FORMAT, "XML", reason)
}
