//! Control stanzas: the format of `Packages`, `control`, `status` and `Release`.
//!
//! Debian Policy 5.1: fields `Name: value`, continuation lines that begin with a space or a tab, stanzas separated by
//! empty lines. Lines that begin with `#` are comments. Nothing is copied: a [`Stanza`] and its fields are slices of
//! the input, so that an index of 60 MB costs no memory beyond itself.

mod write;

#[cfg(test)]
mod tests;

pub use write::StanzaWriter;

use crate::error::{Error, Result};

/// Why a control file is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// A line is neither a field nor a continuation nor a comment.
    #[error("a field has the form `Name: value`")]
    NoColon,
    /// The name before the colon is empty or holds characters that Policy 5.1 forbids.
    #[error("not a valid field name")]
    Name,
    /// A continuation line stands where no field is open.
    #[error("a continuation line without a field before it")]
    Continuation,
    /// The value is not UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// A field occurs twice in one stanza.
    #[error("the field occurs twice in this stanza")]
    Duplicate,
}

/// The stanzas of a control file, one after the other.
#[derive(Debug, Clone)]
pub struct Stanzas<'a> {
    file: &'a str,
    rest: &'a [u8],
    line: usize,
}

impl<'a> Stanzas<'a> {
    /// Reads `bytes`; `file` is what errors call them.
    pub const fn new(file: &'a str, bytes: &'a [u8]) -> Self {
        Self::from_line(file, bytes, 1)
    }

    /// Reads a part of a file whose first line has the number `line`.
    pub const fn from_line(file: &'a str, bytes: &'a [u8], line: usize) -> Self {
        Self {
            file,
            rest: bytes,
            line,
        }
    }
}

impl<'a> Iterator for Stanzas<'a> {
    type Item = Stanza<'a>;

    fn next(&mut self) -> Option<Stanza<'a>> {
        let mut rest = self.rest;
        let mut line = self.line;
        while let Some((first, after)) = split_line(rest)
            && is_blank(first)
        {
            rest = after;
            line += 1;
        }
        let (start, first_line) = (rest, line);
        let mut length = 0;
        while let Some((next, after)) = split_line(rest)
            && !is_blank(next)
        {
            length = start.len() - after.len();
            rest = after;
            line += 1;
        }
        self.rest = rest;
        self.line = line;
        (length > 0).then(|| Stanza {
            file: self.file,
            bytes: &start[..length],
            line: first_line,
        })
    }
}

/// One stanza: a group of fields.
#[derive(Debug, Clone, Copy)]
pub struct Stanza<'a> {
    file: &'a str,
    bytes: &'a [u8],
    line: usize,
}

impl<'a> Stanza<'a> {
    /// The stanza as it stands in the file, without the empty line after it.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The number of its first line, counted from 1.
    pub const fn line(&self) -> usize {
        self.line
    }

    /// Its fields in the order of the file.
    pub const fn fields(&self) -> Fields<'a> {
        Fields {
            file: self.file,
            rest: self.bytes,
            line: self.line,
        }
    }

    /// The value of the first field of that name (compared without case), with the blanks around it removed.
    pub fn get(&self, name: &str) -> Result<Option<&'a str>> {
        for field in self.fields() {
            let field = field?;
            if field.name.eq_ignore_ascii_case(name.as_bytes()) {
                return field.text().map(Some);
            }
        }
        Ok(None)
    }

    /// Checks the whole stanza: every line well-formed, values UTF-8, no field twice.
    pub fn check(&self) -> Result<()> {
        let mut names = std::collections::HashSet::new();
        for field in self.fields() {
            let field = field?;
            field.text()?;
            if !names.insert(field.name.to_ascii_lowercase()) {
                return Err(field.error(Defect::Duplicate));
            }
        }
        Ok(())
    }
}

/// The fields of a stanza. After an error the iteration ends.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    file: &'a str,
    rest: &'a [u8],
    line: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (text, mut after) = split_line(self.rest)?;
            let line = self.line;
            self.line += 1;
            match text.first() {
                Some(b'#') => {
                    self.rest = after;
                    continue;
                }
                Some(b' ' | b'\t') | None => {
                    return Some(Err(self.fail(line, Defect::Continuation)));
                }
                Some(_) => {}
            }
            let Some(colon) = text.iter().position(|&byte| byte == b':') else {
                return Some(Err(self.fail(line, Defect::NoColon)));
            };
            let name = &text[..colon];
            if name.is_empty() || name[0] == b'-' || !name.iter().all(|&b| b.is_ascii_graphic()) {
                return Some(Err(self.fail(line, Defect::Name)));
            }
            let mut length = text.len();
            while let Some((next, further)) = split_line(after)
                && matches!(next.first(), Some(b' ' | b'\t'))
            {
                length = self.rest.len() - after.len() + next.len();
                after = further;
                self.line += 1;
            }
            let value = &self.rest[colon + 1..length];
            self.rest = after;
            return Some(Ok(Field {
                file: self.file,
                name,
                value,
                line,
            }));
        }
    }
}

impl Fields<'_> {
    fn fail(&mut self, line: usize, defect: Defect) -> Error {
        self.rest = &[];
        Error::Stanza {
            file: self.file.to_owned(),
            line,
            defect,
        }
    }
}

/// One field of a stanza.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    file: &'a str,
    name: &'a [u8],
    value: &'a [u8],
    line: usize,
}

impl<'a> Field<'a> {
    /// The name before the colon, as written.
    pub const fn name(&self) -> &'a [u8] {
        self.name
    }

    /// Everything after the colon up to the end of the last continuation line.
    pub const fn raw(&self) -> &'a [u8] {
        self.value
    }

    /// The value without the blanks around it, with continuation lines as they stand.
    pub fn text(&self) -> Result<&'a str> {
        match std::str::from_utf8(self.value) {
            Ok(text) => Ok(text.trim_matches(|c: char| c.is_ascii_whitespace())),
            Err(_) => Err(self.error(Defect::Utf8)),
        }
    }

    /// The line of the name, counted from 1.
    pub const fn line(&self) -> usize {
        self.line
    }

    fn error(&self, defect: Defect) -> Error {
        Error::Stanza {
            file: self.file.to_owned(),
            line: self.line,
            defect,
        }
    }
}

/// The first line without its end, and what follows; nothing at the end of the input.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    if bytes.is_empty() {
        return None;
    }
    let (line, rest) = match bytes.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[][..]),
    };
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest))
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}
