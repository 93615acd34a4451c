use std::fmt;

use crate::deb822::{Stanza, Stanzas};
use crate::error::{Error, Result};
use crate::index::{Architecture, Index, NameId, Universe, VersionId};

/// Why a preference is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PreferenceDefect {
    /// A field that every preference needs is absent.
    #[error("the preference has no `{0}`")]
    Missing(&'static str),
    /// The pin is none of `version`, `release`, `origin`.
    #[error("`{0}` is not a pin: expected `version …`, `release …` or `origin …`")]
    Pin(String),
    /// The priority is zero or no number in range.
    #[error("`{0}` is not a priority: expected a number from -32767 to 32767 but 0")]
    Priority(String),
    /// Regular expressions are not supported.
    #[error("`{0}` is a regular expression, which is not supported: use `*`, `?` and `[…]`")]
    Regex(String),
    /// A version pin names no package.
    #[error("a version pin needs the names of packages")]
    VersionForAll,
}

/// Preferences in the order of their precedence (apt_preferences(5)).
#[derive(Debug, Clone, Default)]
pub struct Preferences {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    /// Globs of names; empty stands for every package not named by another rule.
    packages: Vec<String>,
    pin: Pin,
    priority: i16,
}

#[derive(Debug, Clone)]
enum Pin {
    Version(String),
    /// Field letter and glob; the letter is empty for a bare suite, codename or version.
    Release(Vec<(String, String)>),
    Origin(String),
}

impl Preferences {
    /// Reads stanzas of the form of apt's preferences files.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self> {
        let mut rules = Vec::new();
        for stanza in Stanzas::new(file, bytes) {
            if stanza.fields().next().is_none() {
                continue;
            }
            let rule = Rule::parse(&stanza)?.map_err(|defect| Error::Preference {
                file: file.to_owned(),
                line: stanza.line(),
                defect,
            })?;
            rules.push(rule);
        }
        Ok(Self { rules })
    }

    /// Adds the rules of `other` after these.
    pub fn append(&mut self, mut other: Self) {
        self.rules.append(&mut other.rules);
    }

    /// The version of each entry that would be installed: that of the highest priority, of several the newest.
    pub(super) fn candidates(&self, universe: &Universe) -> Vec<Option<VersionId>> {
        let indexes: Vec<i16> = universe
            .indexes()
            .iter()
            .map(|index| self.index_priority(index))
            .collect();
        universe
            .entries()
            .map(|entry| {
                let mut best: Option<(i16, VersionId)> = None;
                for version in universe.versions_of(entry) {
                    let priority = self.priority(universe, &indexes, entry, version);
                    if priority > 0 && best.is_none_or(|(highest, _)| priority > highest) {
                        best = Some((priority, version));
                    }
                }
                best.map(|(_, version)| version)
            })
            .collect()
    }

    /// The general rules: the first one that matches the index, else the index's own priority.
    fn index_priority(&self, index: &Index) -> i16 {
        self.rules
            .iter()
            .find(|rule| rule.packages.is_empty() && rule.matches_index(index))
            .map_or(index.priority, |rule| rule.priority)
    }

    fn priority(
        &self,
        universe: &Universe,
        indexes: &[i16],
        entry: NameId,
        version: VersionId,
    ) -> i16 {
        if self.rules.iter().any(|rule| !rule.packages.is_empty()) {
            let specific = self.rules.iter().find(|rule| {
                rule.names(universe, entry, version) && rule.matches_version(universe, version)
            });
            if let Some(rule) = specific {
                return rule.priority;
            }
        }
        universe
            .index_numbers(version)
            .map(|number| indexes[number])
            .max()
            .unwrap_or(0)
    }
}

impl Rule {
    fn parse(stanza: &Stanza<'_>) -> Result<Result<Self, PreferenceDefect>> {
        let (packages, pin, priority) = (
            stanza.get("Package")?,
            stanza.get("Pin")?,
            stanza.get("Pin-Priority")?,
        );
        Ok(Self::build(packages, pin, priority))
    }

    fn build(
        packages: Option<&str>,
        pin: Option<&str>,
        priority: Option<&str>,
    ) -> Result<Self, PreferenceDefect> {
        let packages = packages
            .filter(|list| !list.is_empty())
            .ok_or(PreferenceDefect::Missing("Package"))?;
        let pin = pin.ok_or(PreferenceDefect::Missing("Pin"))?;
        let priority = priority.ok_or(PreferenceDefect::Missing("Pin-Priority"))?;
        let packages: Vec<String> = match packages {
            "*" => Vec::new(),
            list => list.split_ascii_whitespace().map(str::to_owned).collect(),
        };
        let (kind, data) = pin
            .split_once(|c: char| c.is_ascii_whitespace())
            .unwrap_or((pin, ""));
        let data = data.trim();
        let unknown = || PreferenceDefect::Pin(pin.to_owned());
        if data.is_empty() || data.contains(char::is_control) {
            return Err(unknown());
        }
        let regex = packages
            .iter()
            .map(String::as_str)
            .chain([data])
            .find(|text| text.starts_with('/'));
        if let Some(regex) = regex {
            return Err(PreferenceDefect::Regex(regex.to_owned()));
        }
        let pin = match kind.to_ascii_lowercase().as_str() {
            "version" if packages.is_empty() => return Err(PreferenceDefect::VersionForAll),
            "version" => Pin::Version(data.to_owned()),
            "release" => Pin::Release(release_terms(data).ok_or_else(unknown)?),
            "origin" => Pin::Origin(data.trim_matches('"').to_owned()),
            _ => return Err(unknown()),
        };
        let priority = match priority.parse::<i16>() {
            Ok(number) if number != 0 && number != i16::MIN => number,
            _ => return Err(PreferenceDefect::Priority(priority.to_owned())),
        };
        Ok(Self {
            packages,
            pin,
            priority,
        })
    }

    fn names(&self, universe: &Universe, entry: NameId, version: VersionId) -> bool {
        let name = universe.name_text(entry);
        let architecture = universe.name(entry).architecture;
        self.packages.iter().any(|pattern| {
            let (source, pattern) = match pattern.strip_prefix("src:") {
                Some(rest) => (true, rest),
                None => (false, pattern.as_str()),
            };
            let (pattern, wanted) = pattern.rsplit_once(':').unwrap_or((pattern, "native"));
            let fits = match wanted {
                "any" => true,
                "native" | "all" => architecture == Architecture::NATIVE,
                wanted => universe.architecture(wanted) == Some(architecture),
            };
            let subject = if source {
                universe.package(version).source()
            } else {
                name
            };
            fits && glob(pattern, subject)
        })
    }

    fn matches_version(&self, universe: &Universe, version: VersionId) -> bool {
        match &self.pin {
            Pin::Version(pattern) => glob(pattern, universe.package(version).version()),
            Pin::Release(_) | Pin::Origin(_) => universe
                .listed_in(version)
                .any(|index| self.matches_index(index)),
        }
    }

    fn matches_index(&self, index: &Index) -> bool {
        match &self.pin {
            Pin::Version(_) => false,
            Pin::Origin(site) => glob(site, &index.site),
            Pin::Release(terms) => terms.iter().all(|(letter, pattern)| {
                let matches = |value: &str| glob(pattern, value);
                match letter.as_str() {
                    "a" => matches(&index.suite),
                    "n" => matches(&index.codename),
                    "o" => matches(&index.origin),
                    "l" => matches(&index.label),
                    "c" => matches(&index.component),
                    "v" => matches(&index.release),
                    "source" => matches(&index.source),
                    _ if pattern == "*" => true,
                    _ if pattern.starts_with(|c: char| c.is_ascii_digit()) => {
                        matches(&index.release)
                    }
                    _ => matches(&index.suite) || matches(&index.codename),
                }
            }),
        }
    }
}

impl fmt::Display for Preferences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rule in &self.rules {
            let packages = if rule.packages.is_empty() {
                "*".to_owned()
            } else {
                rule.packages.join(" ")
            };
            writeln!(f, "Package: {packages}")?;
            match &rule.pin {
                Pin::Version(pattern) => writeln!(f, "Pin: version {pattern}")?,
                Pin::Origin(site) => writeln!(f, "Pin: origin \"{site}\"")?,
                Pin::Release(terms) => {
                    let terms: Vec<String> = terms
                        .iter()
                        .map(|(letter, pattern)| match letter.as_str() {
                            "" => pattern.clone(),
                            letter => format!("{letter}={pattern}"),
                        })
                        .collect();
                    writeln!(f, "Pin: release {}", terms.join(","))?;
                }
            }
            writeln!(f, "Pin-Priority: {}\n", rule.priority)?;
        }
        Ok(())
    }
}

/// `a=stable,n=trixie` or a bare word; nothing for letters that are not known.
fn release_terms(data: &str) -> Option<Vec<(String, String)>> {
    if !data.contains('=') {
        return Some(vec![(String::new(), data.to_owned())]);
    }
    data.split(',')
        .map(|term| {
            let (letter, pattern) = term.trim().split_once('=')?;
            let pattern = pattern.trim_matches(|c: char| c == '"' || c.is_whitespace());
            // `source` is ours: the name of a source in the manifest.
            let known = ["a", "n", "o", "l", "c", "v", "source"].contains(&letter);
            (known && !pattern.is_empty()).then(|| (letter.to_owned(), pattern.to_owned()))
        })
        .collect()
}

/// fnmatch(3) without case: `*`, `?` and `[…]`.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    glob_bytes(pattern.as_bytes(), text.as_bytes())
}

fn glob_bytes(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when the text after the last `*` does not match: one byte further in the text.
    let mut retry = None;
    loop {
        let step = match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                retry = Some((p, t));
                continue;
            }
            Some(b'?') if t < text.len() => Some(1),
            Some(b'[') if t < text.len() => class(&pattern[p..], text[t]),
            Some(byte) if t < text.len() && byte.eq_ignore_ascii_case(&text[t]) => Some(1),
            None if t == text.len() => return true,
            _ => None,
        };
        if let Some(length) = step {
            p += length;
            t += 1;
        } else if let Some((after, from)) = retry.filter(|&(_, from)| from < text.len()) {
            retry = Some((after, from + 1));
            (p, t) = (after, from + 1);
        } else {
            return false;
        }
    }
}

/// The length of the bracket expression at the start of the pattern, if it holds the byte.
fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let end = 2 + pattern.get(2..)?.iter().position(|&b| b == b']')?;
    let (negated, members) = match pattern[1] {
        b'!' | b'^' => (true, &pattern[2..end]),
        _ => (false, &pattern[1..end]),
    };
    let mut found = false;
    let mut place = 0;
    while place < members.len() {
        if let Some(&[low, b'-', high]) = members
            .get(place..place + 3)
            .and_then(|range| range.first_chunk::<3>())
        {
            found |= (low..=high).contains(&byte);
            place += 3;
        } else {
            found |= members[place] == byte;
            place += 1;
        }
    }
    (found != negated).then_some(end + 1)
}
