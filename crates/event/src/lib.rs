//! The one stream of what a run does: started, progress, finished, warning, note.
//!
//! Libraries report through a [`Reporter`] and know nothing of terminals; a [`Sink`] at the edge decides what becomes of
//! the events: [`Terminal`] bars, [`JsonLines`], [`Quiet`], or several at once through [`Tee`].

mod event;
mod json;
mod reporter;
mod terminal;

pub use event::{Event, Outcome, SpanId, Unit};
pub use json::JsonLines;
pub use reporter::{Quiet, Reporter, Sink, Span, Tee};
pub use terminal::Terminal;
