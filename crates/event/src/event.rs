use std::time::Duration;

use serde::Serialize;

/// Identifies one piece of work within a run; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct SpanId(pub u64);

/// What `done` and `total` count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Packages.
    Packages,
    /// Files.
    Files,
    /// Anything else that is counted one by one.
    Steps,
}

/// How a piece of work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It did what it should.
    Done,
    /// Its result was already there.
    Cached,
    /// It failed; the error comes back to the caller.
    Failed,
}

/// One thing that happened.
///
/// The serialised form is one JSON object whose `event` names the variant; fields may be added within a version, never
/// renamed or removed (`docs/reference/events.md`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Event {
    /// Work began.
    Started {
        /// The work.
        span: SpanId,
        /// The work it is a part of.
        #[serde(skip_serializing_if = "Option::is_none")]
        parent: Option<SpanId>,
        /// Machine-readable name of the kind of work, stable between versions: `fetch`, `unpack`, `configure`.
        task: &'static str,
        /// For people.
        text: String,
        /// How much there is to do, where that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
        /// What `total` counts.
        unit: Unit,
    },
    /// Work advanced.
    Progress {
        /// The work.
        span: SpanId,
        /// How much is done.
        done: u64,
        /// How much there is to do, which may be learned on the way.
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
    },
    /// Work ended.
    Finished {
        /// The work.
        span: SpanId,
        /// Machine-readable name of the kind of work.
        task: &'static str,
        /// How it ended.
        outcome: Outcome,
        /// For people: what came of it.
        text: String,
        /// How long it took.
        #[serde(rename = "seconds", serialize_with = "seconds")]
        elapsed: Duration,
    },
    /// Something the user should know and may want to change.
    Warning {
        /// What is the matter.
        text: String,
        /// What to do about it.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// A line worth reading that asks for nothing.
    Note {
        /// The line.
        text: String,
    },
}

fn seconds<S: serde::Serializer>(elapsed: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((elapsed.as_secs_f64() * 1000.0).round() / 1000.0)
}
