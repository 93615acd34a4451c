use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bedstone_event::{Reporter, Span};

use crate::error::{Error, Result};
use crate::record::Step;

/// Runs the steps of a build one after the other, tells of each and takes its time.
#[derive(Debug)]
pub(super) struct Steps<'a> {
    reporter: &'a Reporter,
    interrupt: &'a AtomicBool,
    taken: Vec<Step>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(reporter: &'a Reporter, interrupt: &'a AtomicBool) -> Self {
        Self {
            reporter,
            interrupt,
            taken: Vec::new(),
        }
    }

    /// Runs a step, unless the build is to end. `work` returns its result with the line that tells what came of it, and
    /// whether that was cached.
    pub(super) fn run<T>(
        &mut self,
        task: &'static str,
        text: &str,
        work: impl FnOnce(&Span) -> Result<(T, Told)>,
    ) -> Result<T> {
        self.check()?;
        let begun = Instant::now();
        let span = self.reporter.start(task, text);
        let (result, told) = work(&span)?;
        self.check()?;
        if told.cached {
            span.cached(told.text);
        } else {
            span.finish(told.text);
        }
        self.add(task, begun.elapsed().as_secs_f64(), told.cached);
        Ok(result)
    }

    /// Fails when the build is to end early.
    pub(super) fn check(&self) -> Result<()> {
        if self.interrupt.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        Ok(())
    }

    /// Adds a step that told of itself.
    pub(super) fn add(&mut self, task: &str, seconds: f64, cached: bool) {
        self.taken.push(Step {
            task: task.to_owned(),
            seconds: (seconds * 1000.0).round() / 1000.0,
            cached,
        });
    }

    /// Adds what was done beside these steps.
    pub(super) fn append(&mut self, other: Self) {
        self.taken.extend(other.taken);
    }

    pub(super) fn taken(self) -> Vec<Step> {
        self.taken
    }
}

/// What is told when a step has ended.
#[derive(Debug)]
pub(super) struct Told {
    text: String,
    cached: bool,
}

impl Told {
    /// The step did its work.
    pub(super) fn done(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            cached: false,
        }
    }

    /// The step's result was there already.
    pub(super) fn cached(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            cached: true,
        }
    }
}
