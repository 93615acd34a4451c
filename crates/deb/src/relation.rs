//! Relations between packages: the syntax of `Depends`, `Conflicts`, `Provides` and the other fields of Policy 7.1.
//!
//! ```text
//! field        = alternatives *( "," alternatives )
//! alternatives = relation *( "|" relation )
//! relation     = name [":" qualifier] ["(" operator version ")"] ["[" architectures "]"] *( "<" profiles ">" )
//! ```

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt;

use crate::version;

/// Why a relation field is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// Nothing stands between two separators.
    #[error("expected a package name before `{0}`")]
    NoName(String),
    /// The name holds characters that Policy 5.6.1 does not allow.
    #[error("`{0}` is not a package name")]
    Name(String),
    /// The operator is none of `<<`, `<=`, `=`, `>=`, `>>`.
    #[error("unknown operator in `({0}`")]
    Operator(String),
    /// A bracket is opened and never closed.
    #[error("`{0}` is not closed")]
    Unclosed(char),
    /// No version follows the operator.
    #[error("no version after the operator for `{0}`")]
    NoVersion(String),
    /// The version is not a version.
    #[error(transparent)]
    Version(#[from] version::Defect),
    /// Something follows a complete relation.
    #[error("unexpected `{0}`")]
    Trailing(String),
}

/// How a version is compared with the one in the relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `<<`: strictly earlier.
    Earlier,
    /// `<=`, and the deprecated `<` which means the same.
    EarlierEqual,
    /// `=`.
    Equal,
    /// `>=`, and the deprecated `>` which means the same.
    LaterEqual,
    /// `>>`: strictly later.
    Later,
}

impl Operator {
    /// Whether `found` stands in this relation to `wanted`.
    pub fn accepts(self, found: &[u8], wanted: &[u8]) -> bool {
        let order = version::compare_bytes(found, wanted);
        match self {
            Self::Earlier => order == Ordering::Less,
            Self::EarlierEqual => order != Ordering::Greater,
            Self::Equal => order == Ordering::Equal,
            Self::LaterEqual => order != Ordering::Less,
            Self::Later => order == Ordering::Greater,
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Earlier => "<<",
            Self::EarlierEqual => "<=",
            Self::Equal => "=",
            Self::LaterEqual => ">=",
            Self::Later => ">>",
        })
    }
}

/// One relation to one package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relation<'a> {
    /// The package or virtual package.
    pub name: &'a str,
    /// What follows the colon: `any`, `native` or an architecture.
    pub qualifier: Option<&'a str>,
    /// The version constraint.
    pub constraint: Option<(Operator, &'a str)>,
    /// The text between `[` and `]`: architectures for which the relation holds, `!` negates.
    pub architectures: Option<&'a str>,
    /// The text of all `<…>` restriction lists (build profiles).
    pub profiles: Option<&'a str>,
    /// Whether another alternative follows after `|`.
    pub more: bool,
}

impl Relation<'_> {
    /// Whether the relation counts for a package of `architecture`, with no build profile active.
    ///
    /// Binary packages have neither architecture lists nor profiles (Policy 7.1), yet third-party ones do.
    pub fn applies(&self, architecture: &str) -> bool {
        let listed = self.architectures.is_none_or(|list| {
            let mut negative = false;
            for word in list.split_ascii_whitespace() {
                let (inverted, name) = match word.strip_prefix('!') {
                    Some(name) => (true, name),
                    None => (false, word),
                };
                negative |= inverted;
                if matches_architecture(name, architecture) {
                    return !inverted;
                }
            }
            negative
        });
        // A restriction list holds without profiles when each of its terms is negated.
        let unrestricted = self.profiles.is_none_or(|formula| {
            formula
                .split('<')
                .skip(1)
                .map(|list| list.trim_end().trim_end_matches('>'))
                .any(|list| {
                    list.split_ascii_whitespace()
                        .all(|term| term.starts_with('!'))
                })
        });
        listed && unrestricted
    }
}

impl fmt::Display for Relation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if let Some(qualifier) = self.qualifier {
            write!(f, ":{qualifier}")?;
        }
        if let Some((operator, version)) = self.constraint {
            write!(f, " ({operator} {version})")?;
        }
        if let Some(list) = self.architectures {
            write!(f, " [{list}]")?;
        }
        if let Some(profiles) = self.profiles {
            write!(f, " {profiles}")?;
        }
        Ok(())
    }
}

/// Architecture wildcards (Policy 11.1) over the Linux ports: `any`, `linux-any`, `any-CPU`.
fn matches_architecture(pattern: &str, architecture: &str) -> bool {
    pattern == architecture
        || pattern == "any"
        || pattern == "linux-any"
        || ["any-", "linux-"]
            .iter()
            .any(|prefix| pattern.strip_prefix(prefix) == Some(architecture))
        || (pattern == "any-arm" && architecture == "armhf")
}

/// The relations of a field, from left to right, without allocation. After an error the iteration ends.
#[derive(Debug, Clone)]
pub struct Relations<'a> {
    rest: &'a str,
    expects: bool,
}

impl<'a> Relations<'a> {
    /// Reads the value of a relation field.
    pub fn new(field: &'a str) -> Self {
        Self {
            rest: trim(field),
            expects: false,
        }
    }

    fn relation(&mut self) -> Result<Relation<'a>, Defect> {
        let text = self.rest;
        let end = text
            .find(|c: char| c.is_ascii_whitespace() || "()[]<>,|".contains(c))
            .unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        if name.is_empty() {
            return Err(Defect::NoName(start_of(text)));
        }
        let (name, qualifier) = match name.split_once(':') {
            Some((name, qualifier)) => (name, Some(qualifier)),
            None => (name, None),
        };
        let valid = |c: char| c.is_ascii_alphanumeric() || "+-._".contains(c);
        if name.is_empty() || !name.chars().all(valid) || qualifier.is_some_and(str::is_empty) {
            return Err(Defect::Name(text[..end].to_owned()));
        }
        let mut relation = Relation {
            name,
            qualifier,
            constraint: None,
            architectures: None,
            profiles: None,
            more: false,
        };
        let mut rest = trim(rest);
        if let Some(inner) = rest.strip_prefix('(') {
            let (inner, after) = inner.split_once(')').ok_or(Defect::Unclosed('('))?;
            relation.constraint = Some(constraint(name, trim(inner))?);
            rest = trim(after);
        }
        if let Some(inner) = rest.strip_prefix('[') {
            let (inner, after) = inner.split_once(']').ok_or(Defect::Unclosed('['))?;
            relation.architectures = Some(trim(inner));
            rest = trim(after);
        }
        let formula = rest;
        while let Some(inner) = rest.strip_prefix('<') {
            rest = trim(inner.split_once('>').ok_or(Defect::Unclosed('<'))?.1);
            relation.profiles = Some(trim(&formula[..formula.len() - rest.len()]));
        }
        self.expects = false;
        if let Some(after) = rest.strip_prefix('|') {
            relation.more = true;
            self.expects = true;
            rest = trim(after);
        } else if let Some(after) = rest.strip_prefix(',') {
            // A comma after the last relation is tolerated, as apt does.
            rest = trim(after);
        } else if !rest.is_empty() {
            return Err(Defect::Trailing(start_of(rest)));
        }
        self.rest = rest;
        Ok(relation)
    }
}

impl<'a> Iterator for Relations<'a> {
    type Item = Result<Relation<'a>, Defect>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() && !self.expects {
            return None;
        }
        let item = self.relation();
        if item.is_err() {
            self.rest = "";
            self.expects = false;
        }
        Some(item)
    }
}

/// Collects a field into its alternatives: all outer elements must hold, of each inner list one.
pub fn parse(field: &str) -> Result<Vec<Vec<Relation<'_>>>, Defect> {
    let mut groups = Vec::new();
    let mut group = Vec::new();
    for relation in Relations::new(field) {
        let relation = relation?;
        group.push(relation);
        if !relation.more {
            groups.push(std::mem::take(&mut group));
        }
    }
    Ok(groups)
}

fn constraint<'a>(name: &str, text: &'a str) -> Result<(Operator, &'a str), Defect> {
    const OPERATORS: [(&str, Operator); 7] = [
        ("<<", Operator::Earlier),
        ("<=", Operator::EarlierEqual),
        (">>", Operator::Later),
        (">=", Operator::LaterEqual),
        ("=", Operator::Equal),
        ("<", Operator::EarlierEqual),
        (">", Operator::LaterEqual),
    ];
    let (operator, rest) = OPERATORS
        .iter()
        .find_map(|(sign, operator)| Some((*operator, text.strip_prefix(sign)?)))
        .ok_or_else(|| Defect::Operator(text.to_owned()))?;
    let version = trim(rest);
    if version.is_empty() {
        return Err(Defect::NoVersion(name.to_owned()));
    }
    version::check(version)?;
    Ok((operator, version))
}

fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_ascii_whitespace())
}

/// Enough of the text to find the place again.
fn start_of(text: &str) -> String {
    match text.char_indices().nth(20) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None if text.is_empty() => "end".to_owned(),
        None => text.to_owned(),
    }
}
