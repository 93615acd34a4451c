use std::fmt;

/// What to look for on a console: texts and globs, of which the first one in the output counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    alternatives: Vec<Alternative>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Alternative {
    Text(Vec<u8>),
    /// The pieces between the stars.
    Glob(Vec<Vec<u8>>),
}

/// Where a pattern matched in a piece of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which alternative, from 0.
    pub alternative: usize,
    /// First byte of the match.
    pub start: usize,
    /// First byte after the match.
    pub end: usize,
    /// What each `*` stood for.
    pub captures: Vec<String>,
}

impl Pattern {
    /// Exactly this text, anywhere.
    pub fn text(text: impl Into<Vec<u8>>) -> Self {
        Self {
            alternatives: vec![Alternative::Text(text.into())],
        }
    }

    /// Text in which each `*` stands for any characters of the same line, as few as possible; a `*` at the beginning or
    /// the end reaches to that end of the line, and a line counts as ended only after its line feed.
    pub fn glob(glob: &str) -> Self {
        Self {
            alternatives: vec![Alternative::Glob(
                glob.split('*')
                    .map(|piece| piece.as_bytes().to_vec())
                    .collect(),
            )],
        }
    }

    /// Either this pattern or `other`.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        self.alternatives.extend(other.alternatives);
        self
    }

    /// The match that begins first in `text`; of several that begin together, the first alternative.
    pub fn find(&self, text: &[u8]) -> Option<Found> {
        let mut best: Option<Found> = None;
        for (index, alternative) in self.alternatives.iter().enumerate() {
            let found = match alternative {
                Alternative::Text(wanted) => position(text, wanted, 0).map(|start| Found {
                    alternative: index,
                    start,
                    end: start + wanted.len(),
                    captures: Vec::new(),
                }),
                Alternative::Glob(pieces) => find_glob(text, pieces, index),
            };
            best = match (best, found) {
                (Some(best), Some(found)) if found.start < best.start => Some(found),
                (Some(best), _) => Some(best),
                (None, found) => found,
            };
        }
        best
    }

    /// How many bytes before the end of a text without a match may be the beginning of one.
    pub(crate) fn open_end(&self, text: &[u8]) -> usize {
        let all = text.len();
        let line = all - last_line(text);
        let text = self
            .alternatives
            .iter()
            .map(|alternative| match alternative {
                Alternative::Text(wanted) => wanted.len().saturating_sub(1),
                Alternative::Glob(_) => line,
            });
        text.max().unwrap_or(0).min(all)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, alternative) in self.alternatives.iter().enumerate() {
            if index > 0 {
                f.write_str(" or ")?;
            }
            let text = match alternative {
                Alternative::Text(text) => text.clone(),
                Alternative::Glob(pieces) => pieces.join(&b'*'),
            };
            write!(f, "`{}`", String::from_utf8_lossy(&text).escape_debug())?;
        }
        Ok(())
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

fn last_line(text: &[u8]) -> usize {
    text.iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1)
}

fn find_glob(text: &[u8], pieces: &[Vec<u8>], alternative: usize) -> Option<Found> {
    let mut start = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let ended = line.ends_with(b"\n");
        let content = if ended { &line[..line.len() - 1] } else { line };
        if let Some((from, to, captures)) = match_line(content, pieces, ended) {
            return Some(Found {
                alternative,
                start: start + from,
                end: start + to,
                captures,
            });
        }
        start += line.len();
    }
    None
}

fn match_line(line: &[u8], pieces: &[Vec<u8>], ended: bool) -> Option<(usize, usize, Vec<String>)> {
    let (first, rest) = pieces.split_first()?;
    let start = position(line, first, 0)?;
    let mut at = start + first.len();
    let mut captures = Vec::new();
    for (index, piece) in rest.iter().enumerate() {
        let next = if piece.is_empty() && index + 1 == rest.len() {
            if !ended {
                return None;
            }
            line.len()
        } else {
            position(line, piece, at)?
        };
        captures.push(String::from_utf8_lossy(&line[at..next]).into_owned());
        at = next + piece.len();
    }
    Some((start, at, captures))
}

/// The first place of `wanted` in `text` at or after `from`.
pub(crate) fn position(text: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    let text = text.get(from..)?;
    let Some(first) = wanted.first() else {
        return Some(from);
    };
    let mut at = 0;
    loop {
        at += text[at..].iter().position(|byte| byte == first)?;
        if text[at..].starts_with(wanted) {
            return Some(from + at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn captures(glob: &str, text: &str) -> Option<Vec<String>> {
        Pattern::glob(glob)
            .find(text.as_bytes())
            .map(|found| found.captures)
    }

    #[test]
    fn globs_stay_within_a_line() {
        assert_eq!(captures("a*c", "a1\nab c"), Some(vec!["b ".into()]));
        assert_eq!(captures("a*c", "a1\n2c"), None);
        assert_eq!(
            captures("slot=* hash=*", "x slot=a hash=12\n"),
            Some(vec!["a".into(), "12".into()])
        );
        assert_eq!(captures("hash=*", "hash=12"), None, "the line may go on");
        assert_eq!(
            captures("* login: ", "\nhost login: "),
            Some(vec!["host".into()])
        );
        assert_eq!(captures("plain", "some plain text"), Some(vec![]));
        assert_eq!(captures("*", "\n"), Some(vec![String::new()]));
    }

    #[test]
    fn is_told_as_it_was_written() {
        let pattern = Pattern::glob("* login: ").or("a\n".into());
        assert_eq!(pattern.to_string(), "`* login: ` or `a\\n`");
    }

    #[test]
    fn the_first_alternative_in_the_text_counts() {
        let pattern = Pattern::text("panic").or(Pattern::glob("* login: "));
        let found = pattern.find(b"x\nhost login: \npanic").unwrap();
        assert_eq!((found.alternative, found.start), (1, 2));
        let found = pattern.find(b"panic\nhost login: ").unwrap();
        assert_eq!((found.alternative, found.start, found.end), (0, 0, 5));
    }

    proptest! {
        #[test]
        fn a_cut_text_is_resumed_without_loss(text in "[ab\n]{0,60}", cut in 0usize..60, which in 0usize..4) {
            let pattern = match which {
                0 => Pattern::text("aba"),
                1 => Pattern::glob("a*bb"),
                2 => Pattern::glob("bab*"),
                _ => Pattern::text("bb").or(Pattern::glob("aa*a")),
            };
            let whole = pattern.find(text.as_bytes());
            let first = &text.as_bytes()[..cut.min(text.len())];
            if pattern.find(first).is_none() {
                let from = first.len() - pattern.open_end(first);
                let found = pattern.find(&text.as_bytes()[from..]).map(|found| Found {
                    start: found.start + from, end: found.end + from, ..found
                });
                prop_assert_eq!(found, whole);
            }
        }

        #[test]
        fn any_glob_on_any_text(glob in "[*ab ]{0,8}", text in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Some(found) = Pattern::glob(&glob).find(&text) {
                prop_assert!(found.start <= found.end && found.end <= text.len());
                prop_assert_eq!(found.captures.len(), glob.matches('*').count());
            }
        }
    }
}
