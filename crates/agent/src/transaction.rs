//! What is remembered of an update across restarts: `transaction.json` in [`DIRECTORY`].
//!
//! It is for people and fleets, who want to know what became of an update and why. Which slot is started never depends on
//! it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bedstone_disk::layout::Slot;
use bedstone_state::etc::layers::{self, Layers};
use bedstone_store::atomic;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Where the agent keeps what it must not forget.
pub const DIRECTORY: &str = "/var/lib/bedstone/update";
/// Lines of the journal that are kept with a failure.
pub const JOURNAL_LINES: usize = 40;

const FILE: &str = "transaction.json";
const HISTORY: &str = "history.jsonl";
/// Bytes after which the history starts anew, its former self kept once.
const HISTORY_LIMIT: u64 = 256 << 10;

/// An update and how far it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// 1.
    pub version: u32,
    /// Version of the bundle.
    pub to: String,
    /// Version of the image that installed it.
    pub from: String,
    /// The slot that it went to.
    pub slot: String,
    /// How far it came.
    pub state: State,
    /// Seconds since 1970 of the last change of `state`, by the device's clock.
    pub changed: u64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The last lines of the journal before it was given up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub journal: Vec<String>,
}

/// How far an update came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The slot is being written.
    Installing,
    /// It is started next.
    Installed,
    /// It runs and has to prove itself.
    Testing,
    /// It works.
    Confirmed,
    /// It was not taken, or did not prove itself.
    Failed,
}

/// The place where transactions are kept.
#[derive(Debug, Clone)]
pub struct Records {
    directory: PathBuf,
}

impl Records {
    /// Keeps them in `directory`, made when needed.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    /// Where they are kept.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The changes of `/etc`, which the initramfs keeps beside.
    pub fn etc_layers(&self) -> Layers {
        Layers::new(self.directory.join(layers::DIRECTORY))
    }

    /// The last transaction. One that cannot be read is as good as none.
    pub fn read(&self) -> Result<Option<Transaction>> {
        let path = self.directory.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }

    /// Keeps a transaction, and adds it to the history when it has come to an end.
    pub fn write(&self, transaction: &Transaction) -> Result<()> {
        fs::create_dir_all(&self.directory).map_err(Error::io("create", &self.directory))?;
        let mut line = to_json(transaction);
        line.push('\n');
        if matches!(transaction.state, State::Confirmed | State::Failed) {
            self.append(&line)?;
        }
        atomic::write(self.directory.join(FILE), line.as_bytes())?;
        Ok(())
    }

    fn append(&self, line: &str) -> Result<()> {
        let path = self.directory.join(HISTORY);
        let full = fs::metadata(&path).is_ok_and(|metadata| metadata.len() > HISTORY_LIMIT);
        let mut text = if full {
            let old = self.directory.join("history.old.jsonl");
            fs::rename(&path, &old).map_err(Error::io("rename to", &old))?;
            String::new()
        } else {
            fs::read_to_string(&path).unwrap_or_default()
        };
        text.push_str(line);
        atomic::write(&path, text.as_bytes())?;
        Ok(())
    }
}

impl Transaction {
    /// A transaction that begins.
    pub fn begin(from: &str, to: &str, slot: Slot) -> Self {
        Self {
            version: 1,
            to: to.to_owned(),
            from: from.to_owned(),
            slot: slot.to_string(),
            state: State::Installing,
            changed: now(),
            reason: None,
            journal: Vec::new(),
        }
    }

    /// The same, one state on.
    #[must_use]
    pub fn become_state(mut self, state: State) -> Self {
        self.state = state;
        self.changed = now();
        self
    }

    /// The same, failed for a reason.
    #[must_use]
    pub fn failed(self, reason: impl Into<String>) -> Self {
        Self {
            reason: Some(reason.into()),
            ..self.become_state(State::Failed)
        }
    }
}

fn to_json(transaction: &Transaction) -> String {
    // A struct of texts and numbers has no value that JSON lacks.
    serde_json::to_string(transaction).unwrap_or_default()
}

fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_and_a_history() {
        let directory = tempfile::tempdir().unwrap();
        let records = Records::new(directory.path().join("new"));
        assert_eq!(records.read().unwrap(), None);
        let first = Transaction::begin("1", "2", Slot::B);
        records.write(&first).unwrap();
        assert_eq!(records.read().unwrap(), Some(first.clone()));
        assert!(!records.directory().join(HISTORY).exists());
        let failed = first.failed("it did not come up");
        records.write(&failed).unwrap();
        records
            .write(&Transaction::begin("1", "3", Slot::B).become_state(State::Confirmed))
            .unwrap();
        let history = fs::read_to_string(records.directory().join(HISTORY)).unwrap();
        assert_eq!(history.lines().count(), 2);
        assert!(history.contains("it did not come up"));
    }

    #[test]
    fn a_damaged_record_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let records = Records::new(directory.path());
        fs::write(directory.path().join(FILE), "{\"version\":").unwrap();
        assert_eq!(records.read().unwrap(), None);
    }
}
