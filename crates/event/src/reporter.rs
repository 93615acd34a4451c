use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::event::{Event, Outcome, SpanId, Unit};

/// Receives events; called from any thread, in no promised order between threads.
pub trait Sink: Send + Sync {
    /// Takes one event. Must not block for long and must not fail: reporting never stops the work.
    fn emit(&self, event: &Event);
}

/// Drops every event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Sink for Quiet {
    fn emit(&self, _: &Event) {}
}

/// Passes every event to several sinks.
pub struct Tee(pub Vec<Box<dyn Sink>>);

impl Sink for Tee {
    fn emit(&self, event: &Event) {
        for sink in &self.0 {
            sink.emit(event);
        }
    }
}

impl fmt::Debug for Tee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tee of {}", self.0.len())
    }
}

/// The handle through which libraries report; cheap to clone.
#[derive(Clone)]
pub struct Reporter {
    sink: Arc<dyn Sink>,
    next: Arc<AtomicU64>,
    parent: Option<SpanId>,
}

impl Reporter {
    /// Reports to `sink`.
    pub fn new(sink: impl Sink + 'static) -> Self {
        Self {
            sink: Arc::new(sink),
            next: Arc::new(AtomicU64::new(1)),
            parent: None,
        }
    }

    /// Reports to nobody.
    pub fn quiet() -> Self {
        Self::new(Quiet)
    }

    /// Begins a piece of work of the kind `task`, told to people as `text`.
    pub fn start(&self, task: &'static str, text: impl Into<String>) -> Span {
        self.start_counted(task, text, None, Unit::Steps)
    }

    /// Begins a piece of work whose size is counted in `unit`.
    pub fn start_counted(
        &self,
        task: &'static str,
        text: impl Into<String>,
        total: Option<u64>,
        unit: Unit,
    ) -> Span {
        let id = SpanId(self.next.fetch_add(1, Ordering::Relaxed));
        let text = text.into();
        self.sink.emit(&Event::Started {
            span: id,
            parent: self.parent,
            task,
            text: text.clone(),
            total,
            unit,
        });
        Span {
            reporter: Self {
                parent: Some(id),
                ..self.clone()
            },
            id,
            task,
            text,
            done: AtomicU64::new(0),
            total,
            begun: Instant::now(),
            ended: false,
        }
    }

    /// Tells of something the user may want to change.
    pub fn warn(&self, text: impl Into<String>, hint: Option<String>) {
        self.sink.emit(&Event::Warning {
            text: text.into(),
            hint,
        });
    }

    /// Tells a line that asks for nothing.
    pub fn note(&self, text: impl Into<String>) {
        self.sink.emit(&Event::Note { text: text.into() });
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reporter(parent: {:?})", self.parent)
    }
}

/// A piece of work under way. Dropped without [`Span::finish`] or [`Span::cached`] it counts as failed, which is what an
/// early return with an error means.
#[derive(Debug)]
pub struct Span {
    reporter: Reporter,
    id: SpanId,
    task: &'static str,
    text: String,
    done: AtomicU64,
    total: Option<u64>,
    begun: Instant,
    ended: bool,
}

impl Span {
    /// A reporter for the parts of this work.
    pub fn reporter(&self) -> &Reporter {
        &self.reporter
    }

    /// Adds `amount` to what is done; callable from several threads.
    pub fn advance(&self, amount: u64) {
        let done = self.done.fetch_add(amount, Ordering::Relaxed) + amount;
        self.reporter.sink.emit(&Event::Progress {
            span: self.id,
            done,
            total: self.total,
        });
    }

    /// Ends the work, telling what came of it.
    pub fn finish(mut self, text: impl Into<String>) {
        self.end(Outcome::Done, text.into());
    }

    /// Ends the work because its result was already there.
    pub fn cached(mut self, text: impl Into<String>) {
        self.end(Outcome::Cached, text.into());
    }

    fn end(&mut self, outcome: Outcome, text: String) {
        self.ended = true;
        self.reporter.sink.emit(&Event::Finished {
            span: self.id,
            task: self.task,
            outcome,
            text,
            elapsed: self.begun.elapsed(),
        });
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if !self.ended {
            let text = std::mem::take(&mut self.text);
            self.end(Outcome::Failed, text);
        }
    }
}
