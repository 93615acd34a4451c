//! Version numbers `[epoch:]upstream[-revision]` and their order (Debian Policy 5.6.12).

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Why a text is not a version number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// Nothing where a part must stand.
    #[error("version `{0}` has an empty {1}")]
    Empty(String, &'static str),
    /// A character that Policy 5.6.12 does not allow in that part.
    #[error("version `{0}` has `{1}` in its {2}")]
    Character(String, char, &'static str),
    /// The epoch is larger than dpkg accepts.
    #[error("version `{0}` has an epoch above 2147483647")]
    Epoch(String),
}

/// A valid version number.
///
/// Two versions are equal when neither is newer, as dpkg says: `1.0` and `1.00` and `0:1.0-0` are equal.
#[derive(Debug, Clone)]
pub struct Version(Box<str>);

impl Version {
    /// The version as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number before the colon; 0 when there is none.
    pub fn epoch(&self) -> u32 {
        parts(&self.0).0.parse().unwrap_or(0)
    }

    /// The part between epoch and revision.
    pub fn upstream(&self) -> &str {
        parts(&self.0).1
    }

    /// The part after the last hyphen; empty when there is none.
    pub fn revision(&self) -> &str {
        parts(&self.0).2
    }
}

impl FromStr for Version {
    type Err = Defect;

    fn from_str(text: &str) -> Result<Self, Defect> {
        check(text)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

/// Checks that `text` is a version number.
pub fn check(text: &str) -> Result<(), Defect> {
    let (epoch, upstream, revision) = parts(text);
    let empty = |part| Err(Defect::Empty(text.to_owned(), part));
    let has_epoch = text.contains(':');
    if has_epoch {
        if epoch.is_empty() {
            return empty("epoch");
        }
        if let Some(bad) = epoch.chars().find(|c| !c.is_ascii_digit()) {
            return Err(Defect::Character(text.to_owned(), bad, "epoch"));
        }
        if epoch.parse::<i32>().is_err() {
            return Err(Defect::Epoch(text.to_owned()));
        }
    }
    if upstream.is_empty() {
        return empty("upstream version");
    }
    if revision.is_empty() && text.ends_with('-') {
        return empty("revision");
    }
    let allowed = |c: char, more: &str| c.is_ascii_alphanumeric() || more.contains(c);
    let more = if has_epoch { ".+-~:" } else { ".+-~" };
    if let Some(bad) = upstream.chars().find(|&c| !allowed(c, more)) {
        return Err(Defect::Character(text.to_owned(), bad, "upstream version"));
    }
    if let Some(bad) = revision.chars().find(|&c| !allowed(c, ".+~")) {
        return Err(Defect::Character(text.to_owned(), bad, "revision"));
    }
    Ok(())
}

/// Compares two version numbers.
///
/// The order is total over all texts, valid or not: what is no version is split and compared by the same rules.
pub fn compare(left: &str, right: &str) -> Ordering {
    compare_bytes(left.as_bytes(), right.as_bytes())
}

/// [`compare`] for text that has not been checked to be UTF-8.
pub fn compare_bytes(left: &[u8], right: &[u8]) -> Ordering {
    if left == right {
        return Ordering::Equal;
    }
    let (left_epoch, left_upstream, left_revision) = split(left);
    let (right_epoch, right_upstream, right_revision) = split(right);
    compare_part(left_epoch, right_epoch)
        .then_with(|| compare_part(left_upstream, right_upstream))
        .then_with(|| compare_part(left_revision, right_revision))
}

/// Epoch, upstream version, revision.
fn parts(text: &str) -> (&str, &str, &str) {
    let (epoch, rest) = text.split_once(':').unwrap_or(("", text));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

fn split(text: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let (epoch, rest) = match text.iter().position(|&byte| byte == b':') {
        Some(colon) => (&text[..colon], &text[colon + 1..]),
        None => (&[][..], text),
    };
    let (upstream, revision) = match rest.iter().rposition(|&byte| byte == b'-') {
        Some(hyphen) => (&rest[..hyphen], &rest[hyphen + 1..]),
        None => (rest, &[][..]),
    };
    (epoch, upstream, revision)
}

/// Compares by turns a run of non-digits and a run of digits, as Policy 5.6.12 says.
fn compare_part(mut left: &[u8], mut right: &[u8]) -> Ordering {
    while !left.is_empty() || !right.is_empty() {
        loop {
            let (l, r) = (weight(left), weight(right));
            if l != r {
                return l.cmp(&r);
            }
            if l == 0 {
                break;
            }
            left = &left[1..];
            right = &right[1..];
        }
        let (l, r) = (take_number(&mut left), take_number(&mut right));
        let order = l.len().cmp(&r.len()).then_with(|| l.cmp(r));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Where the next character sorts outside a number: `~`, then the end or a digit, then letters, then the rest.
fn weight(text: &[u8]) -> i32 {
    match text.first() {
        None | Some(b'0'..=b'9') => 0,
        Some(b'~') => -1,
        Some(&byte) if byte.is_ascii_alphabetic() => i32::from(byte),
        Some(&byte) => i32::from(byte) + 256,
    }
}

/// Takes the digits at the start and returns them without leading zeros, so that longer means larger.
fn take_number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(digits);
    *text = rest;
    let zeros = number.iter().take_while(|&&byte| byte == b'0').count();
    &number[zeros..]
}
