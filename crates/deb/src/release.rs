//! `Release` files: what a suite consists of, signed (Debian wiki, "DebianRepository/Format"; apt-secure(8)).
//!
//! [`Release::from_inrelease`] and [`Release::from_detached`] give a [`Release`] only for a signature that
//! [`Keyring`](crate::keyring::Keyring) trusts; [`Release::check`] then holds it against what was asked for and the clock.

mod clearsign;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;

use bedstone_store::Digest;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

use crate::error::{Error, Result};
use crate::keyring::policy::FUTURE_SLACK;
use crate::keyring::{Form, Keyring, Signatures, Signer};
use crate::stanza::{self, Stanza};

/// What is wrong with a Release file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// The file is not exactly one cleartext-signed message.
    #[error("{0}")]
    Clearsign(&'static str),
    /// The text is not UTF-8.
    #[error("is not UTF-8")]
    Encoding,
    /// Not exactly one stanza.
    #[error("holds {0} stanzas instead of one")]
    Stanzas(usize),
    /// A mandatory field is missing.
    #[error("lacks the field `{0}`")]
    Missing(&'static str),
    /// A field cannot be parsed.
    #[error("line {line}: field `{field}`: {reason}")]
    Field {
        /// Line in the signed text, from 1.
        line: usize,
        /// Name of the field.
        field: String,
        /// What is wrong.
        reason: String,
    },
    /// The file is for something other than what was asked.
    #[error("is for {field} `{actual}`, but `{expected}` was asked for")]
    Other {
        /// The field, or fields, compared.
        field: &'static str,
        /// What was asked.
        expected: String,
        /// What the file says.
        actual: String,
    },
    /// The `Date` is later than now.
    #[error("is dated {0}, which is in the future; is the clock right?")]
    FromTheFuture(Timestamp),
    /// `Valid-Until` has passed.
    #[error("expired: it was valid until {0}")]
    Expired(Timestamp),
    /// The override of `Valid-Until` gives no reason.
    #[error("cannot be used past its end without a reason")]
    NoReason,
}

/// A file that a Release file lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// SHA-256 of the content.
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
}

/// The fields of a Release file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// `Origin`: who publishes it.
    pub origin: Option<String>,
    /// `Label`.
    pub label: Option<String>,
    /// `Suite`: `stable`, `oldstable-security`, ...
    pub suite: Option<String>,
    /// `Codename`: `trixie`, `bookworm-security`, ...
    pub codename: Option<String>,
    /// `Version` of the distribution.
    pub version: Option<String>,
    /// `Date`: when it was written.
    pub date: Timestamp,
    /// `Valid-Until`: when it must not be used any more.
    pub valid_until: Option<Timestamp>,
    /// `Acquire-By-Hash`: indexes are found under their digest as well.
    pub acquire_by_hash: bool,
    /// `NotAutomatic`: packages have priority 1 unless asked for.
    pub not_automatic: bool,
    /// `ButAutomaticUpgrades`: but priority 100, so that they are kept up to date once installed.
    pub but_automatic_upgrades: bool,
    /// `Architectures`.
    pub architectures: Vec<String>,
    /// Packages of architecture `all` have indexes of their own instead of being in those of every architecture:
    /// `Architectures` has `all`, and `No-Support-for-Architecture-all` does not say `Packages`.
    pub separate_all: bool,
    /// `Components`.
    pub components: Vec<String>,
    /// `SHA256`: files by path relative to the Release file.
    pub files: BTreeMap<String, Listed>,
}

/// A Release file whose signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Its fields.
    pub release: Release,
    /// Digest of the signed text (`Release` as it stands, or the canonical text of `InRelease`).
    pub digest: Digest,
    /// Who signed, at least one.
    pub signers: Vec<Signer>,
}

/// Whether a `Valid-Until` in the past is an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ValidUntil {
    /// It is.
    #[default]
    Enforce,
    /// It is not, because ...; a suite that is no longer updated is the usual case.
    Ignore {
        /// Why; must not be empty, and belongs into the evidence.
        reason: String,
    },
}

/// What a Release file must be for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expected {
    /// Equal to `Suite` or `Codename`. A flat repository, whose suite ends with `/`, is not compared.
    pub suite: String,
    /// Equal to `Origin`, where given.
    pub origin: Option<String>,
    /// Equal to `Label`, where given.
    pub label: Option<String>,
    /// What to do about `Valid-Until`.
    pub valid_until: ValidUntil,
}

impl Release {
    /// Verifies and parses `InRelease`. `what` names the file in errors.
    pub fn from_inrelease(
        what: &str,
        bytes: &[u8],
        keyring: &Keyring,
        now: Timestamp,
    ) -> Result<Verified> {
        let parts = clearsign::split(bytes).map_err(defect(what))?;
        let signatures = Signatures::parse(what, parts.signatures)?;
        let text = &parts.canonical;
        let signers = keyring.verify_form(what, text, &signatures, now, Form::Cleartext)?;
        Ok(Verified {
            release: Self::parse(what, text)?,
            digest: Digest::of(text),
            signers,
        })
    }

    /// Verifies and parses `Release` with its detached `Release.gpg`.
    pub fn from_detached(
        what: &str,
        bytes: &[u8],
        signature: &[u8],
        keyring: &Keyring,
        now: Timestamp,
    ) -> Result<Verified> {
        let signatures = Signatures::parse(&format!("{what}.gpg"), signature)?;
        let signers = keyring.verify(what, bytes, &signatures, now)?;
        Ok(Verified {
            release: Self::parse(what, bytes)?,
            digest: Digest::of(bytes),
            signers,
        })
    }

    /// Parses the text of a Release file, which says nothing about who wrote it.
    pub fn parse(what: &str, bytes: &[u8]) -> Result<Self> {
        let text = str::from_utf8(bytes).map_err(|_| defect(what)(Defect::Encoding))?;
        let mut stanzas = stanza::read(what, text)?;
        let count = stanzas.len();
        let stanza = stanzas
            .pop()
            .filter(|_| count == 1)
            .ok_or_else(|| defect(what)(Defect::Stanzas(count)))?;
        Self::from_stanza(&stanza).map_err(defect(what))
    }

    fn from_stanza(stanza: &Stanza) -> Result<Self, Defect> {
        let text = |name: &str| stanza.value(name).map(str::to_owned);
        let architectures = stanza.words("Architectures");
        let joined = stanza
            .words("No-Support-for-Architecture-all")
            .contains(&"Packages".to_owned());
        Ok(Self {
            origin: text("Origin"),
            label: text("Label"),
            suite: text("Suite"),
            codename: text("Codename"),
            version: text("Version"),
            date: date(stanza, "Date")?.ok_or(Defect::Missing("Date"))?,
            valid_until: date(stanza, "Valid-Until")?,
            acquire_by_hash: flag(stanza, "Acquire-By-Hash")?,
            not_automatic: flag(stanza, "NotAutomatic")?,
            but_automatic_upgrades: flag(stanza, "ButAutomaticUpgrades")?,
            separate_all: architectures.iter().any(|it| it == "all") && !joined,
            architectures,
            components: stanza.words("Components"),
            files: files(stanza)?,
        })
    }

    /// Holds the file against what was asked for and against the clock.
    pub fn check(&self, what: &str, expected: &Expected, now: Timestamp) -> Result<()> {
        self.check_names(expected)
            .and_then(|()| self.check_time(&expected.valid_until, now))
            .map_err(defect(what))
    }

    fn check_names(&self, expected: &Expected) -> Result<(), Defect> {
        let suite = expected.suite.as_str();
        let names = [self.suite.as_deref(), self.codename.as_deref()];
        if !suite.ends_with('/') && !names.contains(&Some(suite)) {
            return Err(Defect::Other {
                field: "suite or codename",
                expected: suite.to_owned(),
                actual: names.into_iter().flatten().collect::<Vec<_>>().join(", "),
            });
        }
        for (field, expected, actual) in [
            ("origin", &expected.origin, &self.origin),
            ("label", &expected.label, &self.label),
        ] {
            if let Some(expected) = expected
                && actual.as_ref() != Some(expected)
            {
                return Err(Defect::Other {
                    field,
                    expected: expected.clone(),
                    actual: actual.clone().unwrap_or_default(),
                });
            }
        }
        Ok(())
    }

    fn check_time(&self, policy: &ValidUntil, now: Timestamp) -> Result<(), Defect> {
        if self.date.as_second() > now.as_second() + FUTURE_SLACK {
            return Err(Defect::FromTheFuture(self.date));
        }
        match (self.valid_until, policy) {
            (_, ValidUntil::Ignore { reason }) if reason.trim().is_empty() => Err(Defect::NoReason),
            (Some(end), ValidUntil::Enforce) if end < now => Err(Defect::Expired(end)),
            _ => Ok(()),
        }
    }
}

fn defect(what: &str) -> impl FnOnce(Defect) -> Error {
    let what = what.to_owned();
    move |defect| Error::Release { what, defect }
}

/// RFC 2822 dates, whose zone may also be spelled `UTC`.
fn date(stanza: &Stanza, name: &str) -> Result<Option<Timestamp>, Defect> {
    let Some(field) = stanza.field(name) else {
        return Ok(None);
    };
    let text = match field.value.strip_suffix("UTC") {
        Some(rest) => format!("{rest}+0000"),
        None => field.value.clone(),
    };
    DateTimeParser::new()
        .parse_timestamp(&text)
        .map(Some)
        .map_err(|error| Defect::Field {
            line: field.line,
            field: field.name.clone(),
            reason: error.to_string(),
        })
}

fn flag(stanza: &Stanza, name: &str) -> Result<bool, Defect> {
    let Some(field) = stanza.field(name) else {
        return Ok(false);
    };
    match field.value.as_str() {
        "yes" => Ok(true),
        "no" => Ok(false),
        other => Err(Defect::Field {
            line: field.line,
            field: field.name.clone(),
            reason: format!("expected `yes` or `no`, found `{other}`"),
        }),
    }
}

/// Lines of `DIGEST SIZE PATH`. A path that leaves the directory is refused: it becomes part of an address.
fn files(stanza: &Stanza) -> Result<BTreeMap<String, Listed>, Defect> {
    let field = stanza.field("SHA256").ok_or(Defect::Missing("SHA256"))?;
    let mut files = BTreeMap::new();
    for (index, line) in field.value.lines().enumerate().skip(1) {
        let malformed = |reason: &str| Defect::Field {
            line: field.line + index,
            field: field.name.clone(),
            reason: format!("{reason} in `{line}`"),
        };
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let &[digest, size, path] = words.as_slice() else {
            return Err(malformed("expected digest, size and path"));
        };
        let listed = Listed {
            digest: digest.parse().map_err(|_| malformed("malformed digest"))?,
            size: size.parse().map_err(|_| malformed("malformed size"))?,
        };
        if !is_relative(path) {
            return Err(malformed("path leaves its directory"));
        }
        // dak lists some files twice with equal lines.
        if files
            .insert(path.to_owned(), listed)
            .is_some_and(|known| known != listed)
        {
            return Err(malformed("second, different line for the same path"));
        }
    }
    Ok(files)
}

/// Whether a path of a repository is relative, without `..`, and printable ASCII without what addresses treat specially.
pub(crate) fn is_relative(path: &str) -> bool {
    !path.is_empty()
        && path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\'))
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
}
