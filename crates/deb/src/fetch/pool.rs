//! The same work on many items, on a few threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::error::Result;

/// Does `work` on every item, at most `threads` at a time, and returns the results in the order of the items. After an
/// error no further item is begun; the error of the earliest item is returned. Meanwhile `watch` is called twenty times a
/// second.
pub(super) fn each<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    watch: impl Fn(),
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    thread::scope(|scope| {
        let workers = threads.clamp(1, items.len().max(1));
        // A worker drops its sender when it ends, however it ends; with the last one the receiver ends.
        let (sender, receiver) = mpsc::channel::<()>();
        for _ in 0..workers {
            let sender = sender.clone();
            let (next, failed, results, work) = (&next, &failed, &results, &work);
            scope.spawn(move || {
                let _sender = sender;
                while !failed.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else {
                        return;
                    };
                    let result = work(item);
                    failed.fetch_or(result.is_err(), Ordering::Relaxed);
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    results.push((index, result));
                }
            });
        }
        drop(sender);
        while receiver.recv_timeout(Duration::from_millis(50)) == Err(RecvTimeoutError::Timeout) {
            watch();
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
