//! apt's own configuration of sources: sources.list(5), in both styles.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::SignedBy;
use crate::error::{Error, Result};
use crate::stanza::{self, Stanza};

/// One entry: a line of a `.list` file, or a stanza of a `.sources` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AptEntry {
    /// The file.
    pub file: String,
    /// Line number, from 1.
    pub line: usize,
    /// Whether binary packages are meant (`deb`), and not only sources (`deb-src`).
    pub binary: bool,
    /// Whether the entry is in use (`Enabled`).
    pub enabled: bool,
    /// Base addresses, in order.
    pub uris: Vec<String>,
    /// Suites; one that ends with `/` is the path of a flat repository.
    pub suites: Vec<String>,
    /// Components.
    pub components: Vec<String>,
    /// `Architectures`, where the entry sets them. Those added to or taken from the host's are not told here.
    pub architectures: Vec<String>,
    /// Whose signatures count, where the entry says so.
    pub signed_by: Option<SignedBy>,
}

/// Parses apt's source files, given as name and content, in order.
///
/// As apt does, `.list` is read as the one-line style, `.sources` as deb822, and every other name is skipped.
pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Vec<AptEntry>> {
    let mut entries = Vec::new();
    for (name, bytes) in files {
        let one_line = match Path::new(name).extension().and_then(OsStr::to_str) {
            Some("list") => true,
            Some("sources") => false,
            _ => continue,
        };
        let text = str::from_utf8(bytes).map_err(|error| {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let line = before.split('\n').count();
            syntax(name, line, "is not UTF-8")
        })?;
        if one_line {
            for (index, line) in text.lines().enumerate() {
                entries.extend(parse_line(name, index + 1, line)?);
            }
        } else {
            for stanza in stanza::read(name, text)? {
                entries.push(parse_stanza(name, &stanza)?);
            }
        }
    }
    Ok(entries)
}

fn syntax(file: &str, line: usize, reason: impl Into<String>) -> Error {
    Error::Syntax {
        what: file.to_owned(),
        line,
        reason: reason.into(),
    }
}

/// `deb [ option=value ... ] uri suite component ...`
fn parse_line(file: &str, number: usize, line: &str) -> Result<Option<AptEntry>> {
    let malformed = |reason: &str| syntax(file, number, reason);
    let line = line.split('#').next().unwrap_or_default().trim();
    if line.is_empty() {
        return Ok(None);
    }
    let (kind, rest) = line
        .split_once([' ', '\t'])
        .ok_or_else(|| malformed("expected `deb URI SUITE COMPONENT...`"))?;
    let binary = match kind {
        "deb" => true,
        "deb-src" => false,
        _ => return Err(malformed("expected `deb` or `deb-src`")),
    };
    let mut entry = AptEntry {
        file: file.to_owned(),
        line: number,
        binary,
        enabled: true,
        uris: Vec::new(),
        suites: Vec::new(),
        components: Vec::new(),
        architectures: Vec::new(),
        signed_by: None,
    };
    let mut rest = rest.trim_start();
    if let Some(bracketed) = rest.strip_prefix('[') {
        let (options, behind) = bracketed
            .split_once(']')
            .ok_or_else(|| malformed("options without `]`"))?;
        rest = behind;
        for option in options.split_whitespace() {
            let (name, value) = option
                .split_once('=')
                .ok_or_else(|| malformed("option without `=`"))?;
            let values = || value.split(',').map(str::to_owned);
            match name {
                "arch" => entry.architectures = values().collect(),
                "signed-by" => entry.signed_by = Some(SignedBy::from_words(value.split(','))),
                _ => {}
            }
        }
    }
    let mut words = rest.split_whitespace().map(str::to_owned);
    entry.uris.extend(words.next());
    entry.suites.extend(words.next());
    entry.components.extend(words);
    check(entry).map(Some)
}

fn parse_stanza(file: &str, stanza: &Stanza) -> Result<AptEntry> {
    let line = stanza.fields.first().map_or(1, |field| field.line);
    let types = stanza.words("Types");
    if types.is_empty() || types.iter().any(|it| it != "deb" && it != "deb-src") {
        return Err(syntax(
            file,
            line,
            "expected `Types: deb`, `deb-src` or both",
        ));
    }
    check(AptEntry {
        file: file.to_owned(),
        line,
        binary: types.iter().any(|it| it == "deb"),
        enabled: !matches!(
            stanza
                .value("Enabled")
                .map(str::to_ascii_lowercase)
                .as_deref(),
            Some("no" | "false" | "without" | "off" | "disable" | "0")
        ),
        uris: stanza.words("URIs"),
        suites: stanza.words("Suites"),
        components: stanza.words("Components"),
        architectures: stanza.words("Architectures"),
        signed_by: stanza.value("Signed-By").map(SignedBy::from_field),
    })
}

fn check(entry: AptEntry) -> Result<AptEntry> {
    let reason = if entry.uris.is_empty() {
        "no URI"
    } else if entry.uris.iter().any(|uri| !uri.contains(':')) {
        "a URI has no scheme"
    } else if entry.suites.is_empty() {
        "no suite"
    } else if entry
        .suites
        .iter()
        .any(|it| it.ends_with('/') != entry.components.is_empty())
    {
        "a suite needs components, and a path that ends with `/` must have none"
    } else {
        return Ok(entry);
    };
    Err(syntax(&entry.file, entry.line, reason))
}

impl SignedBy {
    /// The value of a `Signed-By` field: an armoured key block, or paths and fingerprints.
    pub(super) fn from_field(value: &str) -> Self {
        if value.contains("-----BEGIN PGP PUBLIC KEY BLOCK-----") {
            return Self {
                inline: vec![format!("{}\n", value.trim_start())],
                ..Self::default()
            };
        }
        Self::from_words(value.split([',', ' ', '\t', '\n']))
    }

    fn from_words<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let mut signed_by = Self::default();
        for word in words.filter(|word| !word.is_empty()) {
            if word.starts_with('/') {
                signed_by.files.push(PathBuf::from(word));
            } else {
                signed_by.fingerprints.push(word.to_owned());
            }
        }
        signed_by
    }
}
