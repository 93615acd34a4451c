//! Fetching: Release files and indexes ([`Fetcher::update`]), packages ([`Fetcher::packages`]).
//!
//! Whatever is fetched ends in the [`Store`] under the digest that a verified Release file or a lock promises, or not at
//! all. Downloads run in parallel, are continued where they were interrupted, and repeated when a server fails.

mod download;
mod forward;
mod pool;
mod record;
#[cfg(test)]
mod tests;
mod transport;
mod update;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bedstone_event::{Reporter, Unit};
use bedstone_store::{Digest, Store};
use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::release::is_relative;
use download::Wanted;
use transport::{Transport, address};

pub use update::FetchedIndex;

/// How to fetch.
#[derive(Debug, Clone)]
pub struct Options {
    /// The time against which signatures and `Valid-Until` are checked.
    pub now: Timestamp,
    /// Use no network at all: only what is in the store.
    pub offline: bool,
    /// Files fetched at the same time.
    pub connections: usize,
    /// How often an address is tried when it fails transiently.
    pub attempts: u32,
    /// How long to wait before the second try; twice as long before each further one.
    pub pause: Duration,
    /// How long a connection may take to be made, and how long a server may send nothing.
    pub timeout: Duration,
    /// Proxy for `http:` addresses, as an address.
    pub http_proxy: Option<String>,
    /// Proxy for `https:` addresses.
    pub https_proxy: Option<String>,
    /// Hosts and domains that are reached without a proxy; `*` for all.
    pub no_proxy: Vec<String>,
    /// Certificates of authorities for `https:`, in PEM form, instead of those built in (Mozilla's).
    pub certificates: Option<Vec<u8>>,
    /// Set by whoever wants the run to end soon; fetching then returns [`Error::Interrupted`].
    pub interrupt: Arc<AtomicBool>,
}

impl Options {
    /// Four connections, three attempts, half a second, thirty seconds; no proxy.
    pub fn new(now: Timestamp) -> Self {
        Self {
            now,
            offline: false,
            connections: 4,
            attempts: 3,
            pause: Duration::from_millis(500),
            timeout: Duration::from_secs(30),
            http_proxy: None,
            https_proxy: None,
            no_proxy: Vec::new(),
            certificates: None,
            interrupt: Arc::default(),
        }
    }
}

/// A package to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedFile {
    /// For messages: name and version.
    pub name: String,
    /// Path below the base addresses (`Filename` of the index).
    pub filename: String,
    /// SHA-256 of the file.
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
    /// Base addresses of its source, in the order in which to try.
    pub uris: Vec<String>,
}

/// Fetches into a store.
#[derive(Debug)]
pub struct Fetcher<'a> {
    store: &'a Store,
    options: Options,
    reporter: Reporter,
    transport: Transport,
}

impl<'a> Fetcher<'a> {
    /// Prepares to fetch; opens no connection yet.
    pub fn new(store: &'a Store, options: Options, reporter: Reporter) -> Result<Self> {
        Ok(Self {
            store,
            transport: Transport::new(&options)?,
            options,
            reporter,
        })
    }

    /// Brings every package into the store. Those that are there are neither fetched nor read.
    ///
    /// On an error, or when interrupted, what arrived whole is kept, and what arrived in part is continued next time.
    pub fn packages(&self, files: &[WantedFile]) -> Result<()> {
        let mut seen = HashSet::new();
        let missing: Vec<_> = files
            .iter()
            .filter(|file| seen.insert(file.digest) && !self.store.contains(&file.digest))
            .collect();
        let total = missing.iter().map(|file| file.size).sum();
        let text = format!("{} packages", missing.len());
        let span = self
            .reporter
            .start_counted("fetch", text.as_str(), Some(total), Unit::Bytes);
        if missing.is_empty() {
            span.cached(format!("{} packages in the store", files.len()));
            return Ok(());
        }
        let watch = || self.watch();
        pool::each(&missing, self.options.connections, watch, |file| {
            if !is_relative(&file.filename) {
                return Err(Error::Index {
                    what: file.filename.clone(),
                    reason: format!("is no path that `{}` could have in a repository", file.name),
                });
            }
            let wanted = Wanted {
                digest: file.digest,
                size: file.size,
                addresses: file
                    .uris
                    .iter()
                    .map(|uri| address(uri, &file.filename))
                    .collect(),
            };
            self.fetch(&wanted, &span).map_err(|error| match error {
                Error::NotFound { address } => Error::Superseded {
                    name: file.name.clone(),
                    address,
                },
                Error::Offline { .. } => Error::Offline {
                    what: file.name.clone(),
                },
                other => other,
            })
        })?;
        span.finish(text);
        Ok(())
    }

    /// Called now and then while others fetch: ends their connections at once when the run is to end.
    fn watch(&self) {
        if self.options.interrupt.load(Ordering::Relaxed) {
            self.transport.shut_down();
        }
    }

    fn check_interrupt(&self) -> Result<()> {
        if self.options.interrupt.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        Ok(())
    }
}
