use std::ops::Range;
use std::path::{Path, PathBuf};

/// Names one text within [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(u32);

/// Where a value was written: a byte range in one of the texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The text.
    pub source: SourceId,
    /// First byte of the value within it.
    pub start: usize,
    /// First byte after the value.
    pub end: usize,
}

impl Origin {
    /// The origin of `span` in `source`.
    pub fn new(source: SourceId, span: Range<usize>) -> Self {
        Self {
            source,
            start: span.start,
            end: span.end,
        }
    }
}

/// A place as people count it: line and column from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// The texts that a set of documents was read from, kept so that a problem can show its line.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    texts: Vec<(PathBuf, String)>,
}

impl Sources {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text under the path that people know it by.
    pub fn add(&mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> SourceId {
        let id = SourceId(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        self.texts.push((path.into(), text.into()));
        id
    }

    /// The path of a text.
    pub fn path(&self, source: SourceId) -> &Path {
        self.texts
            .get(source.0 as usize)
            .map_or(Path::new("?"), |(path, _)| path)
    }

    /// A text.
    pub fn text(&self, source: SourceId) -> &str {
        self.texts
            .get(source.0 as usize)
            .map_or("", |(_, text)| text)
    }

    /// The line and column at which an origin begins.
    pub fn position(&self, origin: &Origin) -> Position {
        let text = self.text(origin.source);
        let mut end = origin.start.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        Position {
            line: before.matches('\n').count() + 1,
            column: before.rsplit('\n').next().unwrap_or("").chars().count() + 1,
        }
    }

    /// `path:line`, as it is written in annotations.
    pub fn line_of(&self, origin: &Origin) -> String {
        format!(
            "{}:{}",
            self.path(origin.source).display(),
            self.position(origin).line
        )
    }
}
