use std::fmt;

use super::{Origin, Sources};

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The document cannot be used.
    Error,
    /// The document can be used, and something in it deserves a look.
    Warning,
}

/// A place that a diagnostic points to, with what to say there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// The place.
    pub origin: Origin,
    /// What is said beside it; may be empty.
    pub text: String,
}

/// One problem in a document: what, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// Where the fault is; none when it is the absence of something.
    pub primary: Option<Label>,
    /// Other places that explain it, such as the earlier definition.
    pub related: Vec<Label>,
    /// How bad it is.
    pub severity: Severity,
    /// The problem in one lower-case sentence.
    pub message: String,
    /// What to do about it, such as the nearest known key.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// An error without a place.
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            primary: None,
            related: Vec::new(),
            severity: Severity::Error,
            message: message.into(),
            help: Vec::new(),
        }
    }

    /// A warning without a place.
    pub fn warning(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(message)
        }
    }

    /// Points to where the fault is.
    #[must_use]
    pub fn at(mut self, origin: &Origin, text: impl Into<String>) -> Self {
        self.primary = Some(Label {
            origin: origin.clone(),
            text: text.into(),
        });
        self
    }

    /// Points to another place that explains it.
    #[must_use]
    pub fn related(mut self, origin: &Origin, text: impl Into<String>) -> Self {
        self.related.push(Label {
            origin: origin.clone(),
            text: text.into(),
        });
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    /// `path:line:column: message`, on one line.
    pub fn summary(&self, sources: &Sources) -> String {
        match &self.primary {
            Some(label) => {
                let position = sources.position(&label.origin);
                format!(
                    "{}:{}:{}: {}",
                    sources.path(label.origin.source).display(),
                    position.line,
                    position.column,
                    self.message
                )
            }
            None => self.message.clone(),
        }
    }
}

/// All that is wrong with a set of documents, together with the texts so that it can be shown.
#[derive(Debug, Clone)]
pub struct Problems {
    /// The texts that the diagnostics point into.
    pub sources: Sources,
    /// The problems, sorted by place, without repetitions; never empty.
    pub diagnostics: Vec<Diagnostic>,
}

impl Problems {
    /// Sorts and deduplicates.
    pub fn new(sources: Sources, mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort();
        diagnostics.dedup();
        Self {
            sources,
            diagnostics,
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            f.write_str(&diagnostic.summary(&self.sources))?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
