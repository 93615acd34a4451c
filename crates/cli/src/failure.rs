//! Errors at the edge: kind, exit code, chain of causes, hints.

use std::error::Error;
use std::fmt::Write as _;
use std::process::ExitCode;

use bedstone_store::Error as StoreError;

/// What can be done about a full disk.
pub(crate) const DISK_FULL: &str = "free some space, or point --store and --cache at a larger disk; what is complete is kept and the next run goes on from there";

/// What kind of failure it is; the kind decides the exit code (`docs/reference/exit-codes.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The work failed.
    Failed,
    /// What the user gave cannot be used: manifest, lock, configuration.
    Input,
    /// A check was asked for and says no.
    CheckSaysNo,
    /// Ctrl-C or a termination signal.
    Interrupted,
}

impl Kind {
    /// The exit code; 2, wrong usage, is clap's own.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Input => 3,
            Self::CheckSaysNo => 4,
            Self::Interrupted => 130,
        }
    }
}

/// A failure on its way to the user.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    /// What was being done, outermost first; empty when the error speaks for itself.
    context: Vec<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
    /// Text that is already laid out, such as a manifest line with a pointer.
    rendered: Option<String>,
    hints: Vec<String>,
}

impl Failure {
    /// A failure with a message of its own.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            context: vec![message.into()],
            source: None,
            rendered: None,
            hints: Vec::new(),
        }
    }

    /// A failure caused by a library's error.
    pub(crate) fn caused_by(kind: Kind, source: impl Error + Send + Sync + 'static) -> Self {
        Self {
            kind,
            context: Vec::new(),
            source: Some(Box::new(source)),
            rendered: None,
            hints: Vec::new(),
        }
    }

    /// A failure whose text was laid out by whoever knows the lines it points at.
    pub(crate) fn rendered(kind: Kind, text: String) -> Self {
        Self {
            kind,
            context: Vec::new(),
            source: None,
            rendered: Some(text),
            hints: Vec::new(),
        }
    }

    /// Says what was being done.
    #[must_use]
    pub(crate) fn context(mut self, text: impl Into<String>) -> Self {
        self.context.insert(0, text.into());
        self
    }

    /// Says what the user can do.
    #[must_use]
    pub(crate) fn hint(mut self, text: impl Into<String>) -> Self {
        self.hints.push(text.into());
        self
    }

    /// The exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind.code())
    }

    /// The report as it is shown.
    pub(crate) fn render(&self, color: bool) -> String {
        let paint = |code: &str, text: &str| {
            if color {
                format!("\x1b[{code}m{text}\x1b[0m")
            } else {
                text.to_owned()
            }
        };
        if let Some(text) = &self.rendered {
            let mut text = text.trim_end().to_owned();
            self.write_hints(&mut text, &paint);
            return text;
        }
        let mut lines = self.context.clone();
        let mut cause: Option<&dyn Error> = self.source.as_deref().map(|error| error as _);
        while let Some(error) = cause {
            lines.push(error.to_string());
            cause = error.source();
        }
        // A transparent wrapper repeats its source's text.
        lines.dedup();
        let mut text = String::new();
        for (depth, line) in lines.iter().enumerate() {
            let label = if depth == 0 {
                paint("31;1", "error:")
            } else {
                paint("31", "  because:")
            };
            let _ = write!(text, "{}{label} {line}", if depth == 0 { "" } else { "\n" });
        }
        self.write_hints(&mut text, &paint);
        text
    }

    /// The same as one JSON object, for `--json`.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "version": 1,
            "error": self.render(false),
            "exit_code": self.kind.code(),
        })
    }

    fn write_hints(&self, text: &mut String, paint: &impl Fn(&str, &str) -> String) {
        let disk_full = self.chain().any(|error| {
            error
                .downcast_ref::<StoreError>()
                .is_some_and(StoreError::is_disk_full)
                || error
                    .downcast_ref::<std::io::Error>()
                    .is_some_and(|error| error.kind() == std::io::ErrorKind::StorageFull)
        });
        let full = disk_full.then(|| DISK_FULL.to_owned());
        for hint in self.hints.iter().chain(&full) {
            let _ = write!(text, "\n  {} {hint}", paint("36", "hint:"));
        }
    }

    fn chain(&self) -> impl Iterator<Item = &(dyn Error + 'static)> {
        let first: Option<&(dyn Error + 'static)> = self.source.as_deref().map(|error| error as _);
        std::iter::successors(first, |error: &&(dyn Error + 'static)| (*error).source())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::caused_by(Kind::Failed, error)
    }
}

/// The result of a command.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_chain_and_hints() {
        let error =
            StoreError::io("write", "/x/y")(std::io::Error::from(std::io::ErrorKind::StorageFull));
        let text = Failure::caused_by(Kind::Failed, error)
            .context("cannot build `demo`")
            .render(false);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "error: cannot build `demo`");
        assert_eq!(lines[1], "  because: cannot write `/x/y`");
        assert!(lines[3].starts_with("  hint: free some space"), "{text}");
    }
}
