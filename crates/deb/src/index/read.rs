use rayon::prelude::*;

use super::names::{Span, Text, hash};
use super::{Index, Kind, MultiArch, Priority};
use crate::deb822::{Field, Stanza, Stanzas};
use crate::error::{Error, FieldDefect, Result};
use crate::relation::{Operator, Relations};
use crate::version;

/// Stanzas of one part of an index.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) packages: Vec<RawPackage>,
    pub(super) relations: Vec<RawRelation>,
}

/// A stanza with what merging needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawPackage {
    pub(super) index: u16,
    pub(super) stanza: Span,
    pub(super) name: Text,
    pub(super) name_hash: u32,
    pub(super) version: Text,
    pub(super) architecture: Text,
    pub(super) section: Text,
    pub(super) source: Text,
    pub(super) source_version: Text,
    pub(super) priority: Priority,
    pub(super) multi_arch: MultiArch,
    pub(super) essential: bool,
    pub(super) important: bool,
    /// Digest of the fields by which apt tells equal version numbers apart.
    pub(super) content: u32,
    /// First and last of its relations in the chunk.
    pub(super) relations: (u32, u32),
}

/// One relation, or one provided name.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawRelation {
    pub(super) kind: Kind,
    pub(super) operator: Option<Operator>,
    pub(super) more: bool,
    pub(super) name: Text,
    pub(super) name_hash: u32,
    pub(super) qualifier: Text,
    pub(super) version: Text,
}

/// Larger indexes cannot be addressed.
const LIMIT: usize = u32::MAX as usize;

/// The length from which a part of an index is worth a task of its own.
const PART: usize = 1 << 22;

/// Relation fields in the order in which apt reads them.
const FIELDS: [(&str, Kind); 9] = [
    ("Pre-Depends", Kind::PreDepends),
    ("Depends", Kind::Depends),
    ("Conflicts", Kind::Conflicts),
    ("Breaks", Kind::Breaks),
    ("Recommends", Kind::Recommends),
    ("Suggests", Kind::Suggests),
    ("Replaces", Kind::Replaces),
    ("Enhances", Kind::Enhances),
    ("Provides", Kind::Provides),
];

/// Reads all indexes in parallel; the chunks come in the order of the input.
pub(super) fn read(indexes: &[Index]) -> Result<Vec<Chunk>> {
    let mut parts = Vec::new();
    for (number, index) in indexes.iter().enumerate() {
        let bytes = &index.packages;
        if bytes.len() >= LIMIT || number >= usize::from(u16::MAX) {
            return Err(Error::IndexTooLarge {
                file: index.label(),
                bytes: bytes.len(),
                limit: LIMIT,
            });
        }
        let mut start = 0;
        while start < bytes.len() {
            let end = part_end(bytes, start);
            parts.push((number, start, end));
            start = end;
        }
    }
    parts
        .par_iter()
        .map(|&(number, start, end)| {
            Part {
                index: &indexes[number],
                number: number as u16,
            }
            .read(start, end)
        })
        .collect()
}

/// The end of the stanza in which a part of the usual length ends.
fn part_end(bytes: &[u8], start: usize) -> usize {
    let from = start.saturating_add(PART);
    let Some(tail) = bytes.get(from..) else {
        return bytes.len();
    };
    match tail.windows(2).position(|pair| pair == b"\n\n") {
        Some(place) => from + place + 2,
        None => bytes.len(),
    }
}

struct Part<'a> {
    index: &'a Index,
    number: u16,
}

impl<'a> Part<'a> {
    fn read(&self, start: usize, end: usize) -> Result<Chunk> {
        let mut chunk = Chunk::default();
        let bytes = &self.index.packages[start..end];
        for stanza in Stanzas::new("", bytes) {
            // Lines are counted only when an error needs one.
            if let Err(error) = self.package(stanza, &mut chunk) {
                return Err(self.locate(error, start));
            }
        }
        Ok(chunk)
    }

    fn package(&self, stanza: Stanza<'a>, chunk: &mut Chunk) -> Result<()> {
        let mut package = RawPackage {
            index: self.number,
            stanza: Span {
                start: self.offset(stanza.bytes()),
                length: stanza.bytes().len() as u32,
            },
            name: Text::default(),
            name_hash: 0,
            version: Text::default(),
            architecture: Text::default(),
            section: Text::default(),
            source: Text::default(),
            source_version: Text::default(),
            priority: Priority::None,
            multi_arch: MultiArch::No,
            essential: false,
            important: false,
            content: 0,
            relations: (chunk.relations.len() as u32, 0),
        };
        let mut relations: [Option<Field<'a>>; FIELDS.len()] = [None; FIELDS.len()];
        let mut size = None;
        let mut source = None;
        for field in stanza.fields() {
            let field = field?;
            match field.name() {
                b"Package" => {
                    package.name = self.word(&field, "Package")?;
                    package.name_hash = hash(self.bytes(package.name));
                }
                b"Version" => {
                    let text = field.text()?;
                    version::check(text)
                        .map_err(|defect| defect_in(&field, "Version", defect.into()))?;
                    package.version = self.text(&field, "Version", text)?;
                }
                b"Architecture" => package.architecture = self.word(&field, "Architecture")?,
                b"Section" => package.section = self.word(&field, "Section")?,
                b"Source" => source = Some(field),
                b"Priority" => package.priority = Priority::from_word(field.text()?),
                b"Multi-Arch" => package.multi_arch = MultiArch::from_word(field.text()?),
                b"Essential" => package.essential = field.text()?.eq_ignore_ascii_case("yes"),
                b"Important" | b"Protected" => {
                    package.important |= field.text()?.eq_ignore_ascii_case("yes");
                }
                b"Installed-Size" => size = Some(field.raw()),
                name => {
                    if let Some(place) = FIELDS
                        .iter()
                        .position(|(known, _)| known.as_bytes() == name)
                    {
                        relations[place] = Some(field);
                    }
                }
            }
        }
        for (text, field) in [
            (package.name, "Package"),
            (package.version, "Version"),
            (package.architecture, "Architecture"),
        ] {
            if text.is_empty() {
                return Err(Error::Field {
                    file: String::new(),
                    line: stanza.line(),
                    field,
                    defect: FieldDefect::Missing,
                });
            }
        }
        (package.source, package.source_version) = (package.name, package.version);
        if let Some(field) = source {
            self.source(&field, &mut package)?;
        }
        let raw = |place: usize| relations[place].map(|field: Field<'a>| field.raw());
        // Installed-Size, Depends, Pre-Depends, Conflicts, Breaks, Replaces.
        package.content = [size, raw(1), raw(0), raw(2), raw(3), raw(6)]
            .into_iter()
            .flatten()
            .fold(5381, content_hash);
        for (field, &(name, kind)) in relations.iter().zip(&FIELDS) {
            if let Some(field) = field {
                self.relations(field, name, kind, chunk)?;
            }
        }
        package.relations.1 = chunk.relations.len() as u32;
        chunk.packages.push(package);
        Ok(())
    }

    /// `Source: name (version)`; both default to the package's own.
    fn source(&self, field: &Field<'a>, package: &mut RawPackage) -> Result<()> {
        let text = field.text()?;
        let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
        package.source = self.text(field, "Source", name)?;
        if let Some(version) = rest
            .trim()
            .strip_prefix('(')
            .and_then(|rest| rest.strip_suffix(')'))
        {
            package.source_version = self.text(field, "Source", version.trim())?;
        }
        Ok(())
    }

    fn relations(
        &self,
        field: &Field<'a>,
        name: &'static str,
        kind: Kind,
        chunk: &mut Chunk,
    ) -> Result<()> {
        for relation in Relations::new(field.text()?) {
            let relation = relation.map_err(|defect| defect_in(field, name, defect.into()))?;
            let (operator, version) = match relation.constraint {
                Some((operator, version)) => (Some(operator), self.text(field, name, version)?),
                None => (None, Text::default()),
            };
            let qualifier = match relation.qualifier {
                Some(qualifier) => self.text(field, name, qualifier)?,
                None => Text::default(),
            };
            // A qualified name is one name to apt, and is hashed as such.
            let end = relation.name.len()
                + relation
                    .qualifier
                    .map_or(0, |qualifier| qualifier.len() + 1);
            let whole = self.text(field, name, relation.name)?;
            let whole = Text {
                length: end as u16,
                ..whole
            };
            chunk.relations.push(RawRelation {
                kind,
                operator,
                more: relation.more,
                name: whole,
                name_hash: hash(self.bytes(whole)),
                qualifier,
                version,
            });
        }
        Ok(())
    }

    fn word(&self, field: &Field<'a>, name: &'static str) -> Result<Text> {
        let text = field.text()?;
        if text.is_empty() || text.contains(|c: char| c.is_ascii_whitespace()) {
            return Err(value(field, name, text, "one word"));
        }
        self.text(field, name, text)
    }

    fn text(&self, field: &Field<'a>, name: &'static str, text: &str) -> Result<Text> {
        // 1000 leaves room for composed names below the limit of 65535 bytes.
        if text.len() > 1000 {
            return Err(value(
                field,
                name,
                &text.chars().take(40).collect::<String>(),
                "at most 1000 bytes long",
            ));
        }
        Ok(Text {
            start: self.offset(text.as_bytes()),
            length: text.len() as u16,
            place: self.number,
        })
    }

    /// Where a part of the index begins in it.
    fn offset(&self, part: &[u8]) -> u32 {
        (part.as_ptr() as usize - self.index.packages.as_ptr() as usize) as u32
    }

    fn bytes(&self, text: Text) -> &'a [u8] {
        &self.index.packages[text.start as usize..text.start as usize + text.length as usize]
    }

    fn locate(&self, error: Error, start: usize) -> Error {
        let before = line_of(&self.index.packages, start) - 1;
        let file = self.index.label();
        match error {
            Error::Stanza { line, defect, .. } => Error::Stanza {
                file,
                line: line + before,
                defect,
            },
            Error::Field {
                line,
                field,
                defect,
                ..
            } => Error::Field {
                file,
                line: line + before,
                field,
                defect,
            },
            other => other,
        }
    }
}

/// The line in which a byte stands, counted from 1.
pub(super) fn line_of(bytes: &[u8], place: usize) -> usize {
    bytes[..place].split(|&byte| byte == b'\n').count()
}

fn defect_in(field: &Field<'_>, name: &'static str, defect: FieldDefect) -> Error {
    Error::Field {
        file: String::new(),
        line: field.line(),
        field: name,
        defect,
    }
}

fn value(field: &Field<'_>, name: &'static str, value: &str, expected: &'static str) -> Error {
    let value = value.to_owned();
    defect_in(field, name, FieldDefect::Value { value, expected })
}

/// apt's digest of a field: blanks, `=` and the epoch `0:` do not count, nor does case.
fn content_hash(seed: u32, value: &[u8]) -> u32 {
    let mut hash = seed;
    let mut bytes = value.trim_ascii().iter().peekable();
    while let Some(&byte) = bytes.next() {
        if byte == b'0' && bytes.peek() == Some(&&b':') {
            bytes.next();
        } else if !byte.is_ascii_whitespace() && byte != b'=' {
            hash = hash.wrapping_mul(33).wrapping_add(u32::from(byte | 0x20));
        }
    }
    hash
}
