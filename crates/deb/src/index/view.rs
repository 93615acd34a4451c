use std::fmt;

use bedstone_store::Digest;

use super::read::line_of;
use super::{Architecture, Index, Universe, VersionId};
use crate::deb822::Stanzas;
use crate::error::{Error, FieldDefect, Result};

/// `Priority` of a package (Policy 2.5); the order is from important to unimportant, and `None` comes first as in apt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// The package has no such field.
    None,
    /// `required`
    Required,
    /// `important`
    Important,
    /// `standard`
    Standard,
    /// `optional`
    Optional,
    /// `extra`, and words that are not known.
    Extra,
}

impl Priority {
    pub(super) fn from_word(word: &str) -> Self {
        const WORDS: [(&str, Priority); 4] = [
            ("required", Priority::Required),
            ("important", Priority::Important),
            ("standard", Priority::Standard),
            ("optional", Priority::Optional),
        ];
        WORDS
            .iter()
            .find(|(known, _)| word.eq_ignore_ascii_case(known))
            .map_or(Self::Extra, |(_, priority)| *priority)
    }
}

/// `Multi-Arch` of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MultiArch {
    /// Absent or `no`.
    No,
    /// `same`: installable for several architectures at once, in the same version.
    Same,
    /// `foreign`: serves dependents of every architecture.
    Foreign,
    /// `allowed`: serves dependents of every architecture that ask with `:any`.
    Allowed,
}

impl MultiArch {
    pub(super) fn from_word(word: &str) -> Self {
        match word {
            "same" => Self::Same,
            "foreign" => Self::Foreign,
            "allowed" => Self::Allowed,
            _ => Self::No,
        }
    }
}

/// What the lock and the download need to know of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// Path below the root of the archive, or the path of a local file.
    pub filename: String,
    /// Length of the .deb in bytes.
    pub size: u64,
    /// Digest of the .deb.
    pub sha256: Digest,
    /// Estimated size once installed, in KiB (Policy 5.6.20).
    pub installed_size: u64,
}

/// One version of a package.
#[derive(Clone, Copy)]
pub struct Package<'a> {
    universe: &'a Universe,
    id: VersionId,
}

impl<'a> Package<'a> {
    pub(super) const fn new(universe: &'a Universe, id: VersionId) -> Self {
        Self { universe, id }
    }

    /// Its place in the universe.
    pub const fn id(self) -> VersionId {
        self.id
    }

    /// The package's name.
    pub fn name(self) -> &'a str {
        self.universe.name_text(self.universe.version(self.id).name)
    }

    /// The version number.
    pub fn version(self) -> &'a str {
        text(self.universe.version_text(self.id))
    }

    /// The architecture as the package says: `amd64`, `all`.
    pub fn architecture(self) -> &'a str {
        let node = self.universe.version(self.id);
        if node.all {
            return "all";
        }
        let Architecture(place) = self.universe.name(node.name).architecture;
        &self.universe.architectures[place as usize]
    }

    /// Whether any listed version of it is `Essential: yes`.
    pub fn essential(self) -> bool {
        self.universe
            .name(self.universe.version(self.id).name)
            .essential
    }

    /// Whether any listed version of it is `Protected: yes` or `Important: yes`.
    pub fn protected(self) -> bool {
        self.universe
            .name(self.universe.version(self.id).name)
            .important
    }

    /// Its `Priority`.
    pub fn priority(self) -> Priority {
        self.universe.version(self.id).priority
    }

    /// Its `Multi-Arch`.
    pub fn multi_arch(self) -> MultiArch {
        self.universe.version(self.id).multi_arch
    }

    /// Its `Section`; empty when absent.
    pub fn section(self) -> &'a str {
        text(self.universe.bytes(self.universe.version(self.id).section))
    }

    /// The name of its source package.
    pub fn source(self) -> &'a str {
        text(self.universe.source_name(self.id))
    }

    /// The version of its source package.
    pub fn source_version(self) -> &'a str {
        text(self.universe.source_version(self.id))
    }

    /// The index that lists it; the first one where there are several.
    pub fn index(self) -> &'a Index {
        let occurrence = self.universe.occurrences.of(self.id.index())[0];
        &self.universe.indexes[occurrence.index as usize]
    }

    /// The indexes that list it.
    pub fn indexes(self) -> impl Iterator<Item = &'a Index> {
        self.universe.listed_in(self.id)
    }

    /// Its stanza in that index.
    pub fn stanza(self) -> &'a [u8] {
        let occurrence = self.universe.occurrences.of(self.id.index())[0];
        let start = occurrence.stanza.start as usize;
        &self.index().packages[start..start + occurrence.stanza.length as usize]
    }

    /// The value of a field of the stanza.
    pub fn field(self, name: &str) -> Result<Option<&'a str>> {
        let Some(stanza) = Stanzas::new("", self.stanza()).next() else {
            return Ok(None);
        };
        stanza.get(name).map_err(|error| match error {
            Error::Stanza { line, defect, .. } => Error::Stanza {
                file: self.index().label(),
                line: self.line() + line - 1,
                defect,
            },
            other => other,
        })
    }

    /// What the lock needs: where the .deb is, its length and its digest.
    pub fn details(self) -> Result<Details> {
        Ok(Details {
            filename: self.required("Filename")?.to_owned(),
            size: self.number("Size", self.required("Size")?)?,
            sha256: self
                .required("SHA256")?
                .parse()
                .map_err(|_| self.wrong("SHA256", "64 lower-case hexadecimal digits"))?,
            installed_size: match self.field("Installed-Size")? {
                Some(value) => self.number("Installed-Size", value)?,
                None => 0,
            },
        })
    }

    fn required(self, name: &'static str) -> Result<&'a str> {
        match self.field(name)? {
            Some(value) if !value.is_empty() => Ok(value),
            _ => Err(self.error(name, FieldDefect::Missing)),
        }
    }

    fn number(self, name: &'static str, value: &str) -> Result<u64> {
        value.parse().map_err(|_| self.wrong(name, "a number"))
    }

    fn wrong(self, name: &'static str, expected: &'static str) -> Error {
        let value = self.field(name).ok().flatten().unwrap_or("").to_owned();
        self.error(name, FieldDefect::Value { value, expected })
    }

    fn error(self, field: &'static str, defect: FieldDefect) -> Error {
        Error::Field {
            file: self.index().label(),
            line: self.line(),
            field,
            defect,
        }
    }

    fn line(self) -> usize {
        let occurrence = self.universe.occurrences.of(self.id.index())[0];
        line_of(&self.index().packages, occurrence.stanza.start as usize)
    }
}

impl fmt::Debug for Package<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}={}:{}",
            self.name(),
            self.version(),
            self.architecture()
        )
    }
}

impl PartialEq for Package<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.universe, other.universe) && self.id == other.id
    }
}

fn text(bytes: &[u8]) -> &str {
    // Taken from fields that were checked to be UTF-8.
    std::str::from_utf8(bytes).unwrap_or("")
}
