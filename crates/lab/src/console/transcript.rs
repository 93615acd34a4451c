use super::pattern::{Found, Pattern};
use super::strip::Stripper;

/// The text of a console, bounded: when it grows too long, its beginning goes.
///
/// A cursor marks what was already looked at; [`Transcript::find`] searches after it and moves it behind the match.
/// Positions are bytes from the beginning of all output, so that they stay valid when text goes.
#[derive(Debug)]
pub struct Transcript {
    stripper: Stripper,
    text: Vec<u8>,
    /// Position of the first byte of `text`.
    begin: u64,
    cursor: u64,
    capacity: usize,
}

impl Transcript {
    /// Keeps at least the last `capacity` bytes of text, at most twice as many.
    pub fn new(capacity: usize) -> Self {
        Self {
            stripper: Stripper::default(),
            text: Vec::new(),
            begin: 0,
            cursor: 0,
            capacity,
        }
    }

    /// Takes the next bytes that came, with their terminal control, and gives the text that they are.
    pub fn push(&mut self, bytes: &[u8]) -> &[u8] {
        if self.text.len() > 2 * self.capacity {
            let surplus = self.text.len() - self.capacity;
            self.text.drain(..surplus);
            self.begin += surplus as u64;
            self.cursor = self.cursor.max(self.begin);
        }
        let before = self.text.len();
        self.stripper.push(bytes, &mut self.text);
        &self.text[before..]
    }

    /// Position after the last byte.
    pub fn end(&self) -> u64 {
        self.begin + self.text.len() as u64
    }

    /// The text at and after `position`, or what is left of it.
    pub fn since(&self, position: u64) -> &[u8] {
        let from = usize::try_from(position.saturating_sub(self.begin)).unwrap_or(usize::MAX);
        self.text.get(from..).unwrap_or_default()
    }

    /// The text that was not looked at yet.
    pub fn unread(&self) -> &[u8] {
        self.since(self.cursor)
    }

    /// Moves the cursor behind all that came so far, and gives its new position.
    pub fn skip(&mut self) -> u64 {
        self.cursor = self.end();
        self.cursor
    }

    /// Searches the text after the cursor, from `resume` on, for `pattern`.
    ///
    /// A match moves the cursor behind itself and comes with the text between the old cursor and it. Otherwise `resume`
    /// becomes the position from which the next search must start when more text has come.
    pub fn find(&mut self, pattern: &Pattern, resume: &mut u64) -> Option<(Found, String, String)> {
        let from = (*resume).max(self.cursor).max(self.begin);
        let text = self.since(from);
        let Some(found) = pattern.find(text) else {
            *resume = self.end() - pattern.open_end(text) as u64;
            return None;
        };
        let matched = String::from_utf8_lossy(&text[found.start..found.end]).into_owned();
        let unread = self.unread();
        let before = unread.len() - (text.len() - found.start);
        let before = String::from_utf8_lossy(&unread[..before]).into_owned();
        self.cursor = from + found.end as u64;
        *resume = self.cursor;
        Some((found, before, matched))
    }

    /// The next whole line after the cursor, without its end, and moves the cursor behind it.
    pub fn next_line(&mut self) -> Option<String> {
        let unread = self.unread();
        let end = unread.iter().position(|byte| *byte == b'\n')?;
        let line = String::from_utf8_lossy(&unread[..end]).into_owned();
        self.cursor = self.cursor.max(self.begin) + end as u64 + 1;
        Some(line)
    }

    /// The last `lines` lines, for error messages.
    pub fn tail(&self, lines: usize) -> String {
        let text = String::from_utf8_lossy(self.since(self.end().saturating_sub(16 << 10)));
        let lines: Vec<&str> = text
            .lines()
            .rev()
            .filter(|line| !line.trim().is_empty())
            .take(lines)
            .collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn finds_one_after_the_other() {
        let mut transcript = Transcript::new(1000);
        transcript.push(b"one\r\ntwo\r\none\r\n");
        let mut resume = 0;
        let (_, before, matched) = transcript.find(&"one".into(), &mut resume).unwrap();
        assert_eq!((before.as_str(), matched.as_str()), ("", "one"));
        let (_, before, _) = transcript.find(&"one".into(), &mut resume).unwrap();
        assert_eq!(before, "\ntwo\n");
        assert!(transcript.find(&"one".into(), &mut resume).is_none());
        transcript.push(b"o");
        assert!(transcript.find(&"one".into(), &mut resume).is_none());
        transcript.push(b"ne");
        let (_, before, _) = transcript.find(&"one".into(), &mut resume).unwrap();
        assert_eq!(before, "\n");
    }

    #[test]
    fn gives_lines() {
        let mut transcript = Transcript::new(1000);
        transcript.push(b"one\r\n\r\nthr");
        assert_eq!(transcript.next_line().as_deref(), Some("one"));
        assert_eq!(transcript.next_line().as_deref(), Some(""));
        assert_eq!(transcript.next_line(), None);
        transcript.push(b"ee\n");
        assert_eq!(transcript.next_line().as_deref(), Some("three"));
    }

    #[test]
    fn stays_bounded_and_keeps_the_end() {
        let mut transcript = Transcript::new(100);
        for _ in 0..100 {
            transcript.push(b"0123456789\n");
        }
        transcript.push(b"end");
        assert!(transcript.unread().len() < 250);
        let mut resume = 0;
        assert!(transcript.find(&"9\nend".into(), &mut resume).is_some());
        assert_eq!(transcript.tail(2), "0123456789\nend");
    }

    proptest! {
        #[test]
        fn the_same_matches_however_the_stream_is_cut(
            chunks in prop::collection::vec("[abc\n\r\x1b\\[]{0,12}", 0..20), capacity in 200usize..400,
        ) {
            let pattern = Pattern::text("ab").or(Pattern::glob("c*a"));
            let whole: String = chunks.concat();
            let mut once = Transcript::new(capacity);
            once.push(whole.as_bytes());
            let mut resume = 0;
            let mut expected = Vec::new();
            while let Some((_, _, matched)) = once.find(&pattern, &mut resume) {
                expected.push(matched);
            }
            let mut transcript = Transcript::new(capacity);
            let mut resume = 0;
            let mut found = Vec::new();
            for chunk in &chunks {
                transcript.push(chunk.as_bytes());
                while let Some((_, _, matched)) = transcript.find(&pattern, &mut resume) {
                    found.push(matched);
                }
            }
            // A text may match before the glob that begins ahead of it is complete; the texts alone never differ.
            let texts = |all: &[String]| all.iter().filter(|one| *one == "ab").count();
            prop_assert!(texts(&found) >= texts(&expected));
        }
    }
}
