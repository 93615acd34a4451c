//! Explanation (being written).
use crate::index::{NameId, Universe, VersionId};

/// A conflict.
#[derive(Debug, Clone)]
pub struct Conflict {
    /// Problems.
    pub problems: Vec<Problem>,
}
/// A problem.
#[derive(Debug, Clone)]
pub struct Problem(String);
impl Conflict {
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }
}
impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.problems)
    }
}
impl Problem {
    pub(crate) fn unknown(_: &Universe, text: &str, _: &str) -> Self {
        Self(format!("unknown {text}"))
    }
    pub(crate) fn no_candidate(_: &Universe, text: &str, _: NameId) -> Self {
        Self(format!("no candidate {text}"))
    }
}
pub(crate) fn conflict(
    _: &Universe,
    _: bool,
    _: &[Option<VersionId>],
    _: &[NameId],
    _: &[VersionId],
    _: &[VersionId],
) -> Conflict {
    Conflict {
        problems: vec![Problem("unsat".into())],
    }
}
