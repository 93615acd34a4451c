//! Unpacking many packages beside other work: the first stage's packages first, so that configuring can begin early.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::thread;

use bedstone_event::Span;

use super::Package;
use super::cache::CacheDirs;
use super::control::Control;
use super::stages::Scripts;
use super::unpacked::{self, Unpacked};
use crate::error::{Error, Result};

/// Packages being unpacked by several threads.
pub(super) struct Unpacking<'a> {
    packages: &'a [Package],
    cache: &'a CacheDirs,
    interrupt: &'a AtomicBool,
    span: &'a Span,
    done: Vec<OnceLock<Unpacked>>,
    found: AtomicUsize,
    stop: AtomicBool,
    failure: Mutex<Option<Error>>,
    progress: Condvar,
}

impl<'a> Unpacking<'a> {
    pub(super) fn new(
        packages: &'a [Package],
        cache: &'a CacheDirs,
        interrupt: &'a AtomicBool,
        span: &'a Span,
    ) -> Self {
        Self {
            packages,
            cache,
            interrupt,
            span,
            done: packages.iter().map(|_| OnceLock::new()).collect(),
            found: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            failure: Mutex::new(None),
            progress: Condvar::new(),
        }
    }

    /// Unpacks the packages in this order with `jobs` threads while `work` runs in the calling thread.
    pub(super) fn during<T>(
        &self,
        order: &[usize],
        jobs: NonZeroUsize,
        work: impl FnOnce(&Self) -> Result<T>,
    ) -> Result<T> {
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..jobs.get() {
                scope.spawn(|| {
                    while !self.stop.load(Ordering::Relaxed)
                        && let Some(&index) = order.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        self.unpack(index);
                    }
                });
            }
            let result = work(self);
            // After an error nobody wants the rest.
            self.stop.store(true, Ordering::Relaxed);
            result
        })
    }

    /// Waits for a package.
    pub(super) fn get(&self, index: usize) -> Result<&Unpacked> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(error) = failure.take() {
                return Err(error);
            }
            if let Some(unpacked) = self.done[index].get() {
                return Ok(unpacked);
            }
            failure = self
                .progress
                .wait(failure)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How many were in the cache.
    pub(super) fn found(&self) -> usize {
        self.found.load(Ordering::Relaxed)
    }

    fn unpack(&self, index: usize) {
        let result = unpacked::obtain(&self.packages[index], self.cache, self.interrupt);
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok((unpacked, found)) => {
                self.found.fetch_add(usize::from(found), Ordering::Relaxed);
                // Each index is in the order once, so nobody has set it before.
                let _ = self.done[index].set(unpacked);
            }
            Err(error) => {
                self.stop.store(true, Ordering::Relaxed);
                failure.get_or_insert(error);
            }
        }
        drop(failure);
        self.progress.notify_all();
        self.span.advance(1);
    }
}

/// Reads the control data of all packages: name, relations, scripts.
pub(super) fn controls(
    packages: &[Package],
    cache: &CacheDirs,
    jobs: NonZeroUsize,
) -> Result<Vec<(Control, Scripts)>> {
    let chunk = packages.len().div_ceil(jobs.get()).max(1);
    let parts: Vec<Result<Vec<_>>> = thread::scope(|scope| {
        let threads: Vec<_> = packages
            .chunks(chunk)
            .map(|part| {
                scope.spawn(move || {
                    part.iter()
                        .map(|package| unpacked::peek(package, cache))
                        .collect()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| match thread.join() {
                Ok(part) => part,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    });
    let mut all = Vec::with_capacity(packages.len());
    for part in parts {
        all.extend(part?);
    }
    Ok(all)
}
