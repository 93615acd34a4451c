//! What a command is run with: directories, jobs, output, interruption.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bedstone_event::{JsonLines, Quiet, Reporter, Terminal};
use serde::Serialize;

use crate::args::Global;
use crate::failure::{Failure, Kind, Result};

/// Environment variables that Bedstone reads; `docs/reference/environment.md` tells of each.
pub(crate) mod environment {
    /// Base URI of a Debian mirror, over the host's apt configuration and under the manifest.
    pub(crate) const MIRROR: &str = "BEDSTONE_MIRROR";
    /// Program that becomes `/init` of the initramfs, instead of the one installed beside `bedstone`.
    pub(crate) const INIT: &str = "BEDSTONE_INIT";
    /// Program that takes updates on the device.
    pub(crate) const AGENT: &str = "BEDSTONE_AGENT";
}

/// What a command is run with.
#[derive(Debug)]
pub(crate) struct Context {
    /// Where events go.
    pub(crate) reporter: Reporter,
    /// Whether results are printed as JSON.
    pub(crate) json: bool,
    /// Whether the network is off limits.
    pub(crate) offline: bool,
    /// Parallel jobs.
    pub(crate) jobs: usize,
    /// Set by Ctrl-C; long work looks at it.
    pub(crate) interrupt: Arc<AtomicBool>,
    store: Option<PathBuf>,
    cache: Option<PathBuf>,
}

impl Context {
    /// Reads the global options and the terminal.
    pub(crate) fn new(global: &Global, interrupt: Arc<AtomicBool>) -> Self {
        let interactive = std::io::stderr().is_terminal();
        let reporter = if global.quiet {
            Reporter::new(Quiet)
        } else if global.json {
            Reporter::new(JsonLines::new(std::io::stderr()))
        } else {
            Reporter::new(Terminal::new(
                interactive,
                global.color.is_wanted(interactive),
            ))
        };
        Self {
            reporter,
            json: global.json,
            offline: global.offline,
            jobs: global.jobs.map_or_else(
                || std::thread::available_parallelism().map_or(1, usize::from),
                usize::from,
            ),
            interrupt,
            store: global.store.clone(),
            cache: global.cache.clone(),
        }
    }

    /// The package store: `--store`, else `$XDG_DATA_HOME/bedstone/store`.
    pub(crate) fn store_directory(&self) -> Result<PathBuf> {
        match &self.store {
            Some(directory) => Ok(directory.clone()),
            None => Ok(user_directory("XDG_DATA_HOME", ".local/share")?.join("bedstone/store")),
        }
    }

    /// The cache of trees and layers: `--cache`, else `$XDG_CACHE_HOME/bedstone`.
    pub(crate) fn cache_directory(&self) -> Result<PathBuf> {
        match &self.cache {
            Some(directory) => Ok(directory.clone()),
            None => Ok(user_directory("XDG_CACHE_HOME", ".cache")?.join("bedstone")),
        }
    }

    /// The development keys: `$XDG_DATA_HOME/bedstone/keys`.
    pub(crate) fn keys_directory() -> Result<PathBuf> {
        Ok(user_directory("XDG_DATA_HOME", ".local/share")?.join("bedstone/keys"))
    }

    /// Prints the result: `value` as JSON where that was asked for, else `text`.
    pub(crate) fn print(
        &self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<()> {
        let text = if self.json {
            let mut text = serde_json::to_string_pretty(value)
                .map_err(|error| Failure::caused_by(Kind::Failed, error))?;
            text.push('\n');
            text
        } else {
            text()
        };
        print(&text)
    }
}

/// Writes `text` to standard output; a reader that went away is no failure.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut output = std::io::stdout().lock();
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::caused_by(Kind::Failed, error).context("cannot write to standard output"))
        }
        _ => Ok(()),
    }
}

fn user_directory(variable: &str, below_home: &str) -> Result<PathBuf> {
    if let Some(directory) = std::env::var_os(variable).filter(|value| !value.is_empty()) {
        return Ok(PathBuf::from(directory));
    }
    match std::env::var_os("HOME").filter(|value| !value.is_empty()) {
        Some(home) => Ok(PathBuf::from(home).join(below_home)),
        None => Err(
            Failure::new(Kind::Input, format!("neither {variable} nor HOME is set"))
                .hint("name the directories with --store, --cache and --keys"),
        ),
    }
}
