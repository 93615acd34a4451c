//! What the store remembers of a source: the Release file that was verified last.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use bedstone_store::{Digest, Store, atomic};
use serde::{Deserialize, Serialize};

use super::transport::Validators;
use crate::error::Result;
use crate::sources::Source;

/// The Release file of a source that was verified last; `ROOT/releases/DIGEST.json`, where the digest is that of the
/// addresses and the suite. Its objects are in the store, and are verified again whenever they are used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The base address it came from.
    pub(super) uri: String,
    /// `InRelease`, or `Release` when there is a signature beside it.
    pub(super) release: Digest,
    /// `Release.gpg`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signature: Option<Digest>,
    /// `Date`, in seconds since the epoch.
    pub(super) date: i64,
    #[serde(flatten)]
    pub(super) validators: Validators,
}

impl Record {
    /// Reads the record of a source. One that is malformed counts as none: it is only a short cut.
    pub(super) fn load(store: &Store, source: &Source) -> Result<Option<Self>> {
        let path = path(store, source);
        match fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(bedstone_store::Error::io("read", path)(error).into()),
        }
    }

    pub(super) fn save(&self, store: &Store, source: &Source) -> Result<()> {
        // A struct of strings and numbers always has a JSON form.
        let bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        Ok(atomic::write(path(store, source), &bytes)?)
    }
}

fn path(store: &Store, source: &Source) -> PathBuf {
    let key = format!("{}\n{}\n", source.uris.join(" "), source.suite);
    store
        .root()
        .join("releases")
        .join(format!("{}.json", Digest::of(key.as_bytes())))
}
