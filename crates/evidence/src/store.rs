use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use bedstone_store::{Digest, atomic};

use crate::dsse::Envelope;
use crate::error::{Error, Result};
use crate::statement::Descriptor;

/// Largest envelope that is read: many times that of an image with ten thousand packages.
const LIMIT: u64 = 64 << 20;

/// Envelopes in a directory, found by the digest of what they are about. Nothing is ever changed or removed.
///
/// ```text
/// ROOT/<sha256 of the subject>/<predicate type>-<sha256 of the envelope>.json
/// ```
///
/// An envelope about several artifacts lies under each of them, as one file with several names.
#[derive(Debug, Clone)]
pub struct EvidenceStore {
    root: PathBuf,
}

/// One envelope in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its file.
    pub path: PathBuf,
    /// The SHA-256 of the file.
    pub digest: Digest,
    /// What it holds; signatures are not yet verified.
    pub envelope: Envelope,
}

impl EvidenceStore {
    /// A store at `root`, which the first [`EvidenceStore::put`] creates.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Keeps an envelope under each of its subjects and returns its digest; one that is there already stays as it is.
    pub fn put(&self, envelope: &Envelope) -> Result<Digest> {
        let statement = envelope.unverified_statement()?;
        let subjects: Vec<Digest> = statement
            .subject
            .iter()
            .filter_map(Descriptor::sha256)
            .collect();
        if subjects.is_empty() {
            return Err(Error::Field {
                what: "in-toto statement",
                field: "subject",
                reason: "has no artifact with a SHA-256 digest".to_owned(),
            });
        }
        let bytes = envelope.to_json()?;
        let digest = Digest::of(&bytes);
        let name = format!("{}-{digest}.json", slug(&statement.predicate_type));
        let mut first: Option<PathBuf> = None;
        for subject in subjects {
            let path = self.root.join(subject.to_string()).join(&name);
            if path.exists() {
                first.get_or_insert(path);
                continue;
            }
            let linked = first.as_deref().is_some_and(|first| link(first, &path));
            if !linked {
                atomic::write(&path, &bytes)?;
            }
            first.get_or_insert(path);
        }
        Ok(digest)
    }

    /// All envelopes about `subject`, by predicate type and digest. Fails when one was altered.
    pub fn about(&self, subject: &Digest) -> Result<Vec<Entry>> {
        let directory = self.root.join(subject.to_string());
        let listing = match fs::read_dir(&directory) {
            Ok(listing) => listing,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io("read directory", &directory)(error)),
        };
        let mut paths = Vec::new();
        for entry in listing {
            let path = entry.map_err(io("read directory", &directory))?.path();
            if let Some(digest) = digest_in_name(&path) {
                paths.push((path, digest));
            }
        }
        paths.sort();
        paths
            .into_iter()
            .map(|(path, digest)| read(path, digest))
            .collect()
    }
}

fn read(path: PathBuf, digest: Digest) -> Result<Entry> {
    let mut bytes = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(LIMIT).read_to_end(&mut bytes))
        .map_err(io("read", &path))?;
    let actual = Digest::of(&bytes);
    if actual != digest {
        return Err(Error::Altered { path, actual });
    }
    Ok(Entry {
        envelope: Envelope::from_json(&bytes)?,
        path,
        digest,
    })
}

/// Gives the file a second name; `false` where the file system cannot, so that the caller writes a copy.
fn link(first: &Path, path: &Path) -> bool {
    let Some(directory) = path.parent() else {
        return false;
    };
    fs::create_dir_all(directory).is_ok()
        && fs::hard_link(first, path).is_ok()
        && atomic::sync_directory(directory).is_ok()
}

fn digest_in_name(path: &Path) -> Option<Digest> {
    let name = path.file_name()?.to_str()?.strip_suffix(".json")?;
    name.rsplit_once('-')?.1.parse().ok()
}

/// The predicate type as a file name: without scheme, other characters than letters, digits and dots as `_`.
fn slug(predicate_type: &str) -> String {
    let text = predicate_type
        .split_once("://")
        .map_or(predicate_type, |(_, rest)| rest);
    text.chars()
        .take(100)
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' => c,
            _ => '_',
        })
        .collect()
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let wrap = bedstone_store::Error::io(action, path);
    move |error| wrap(error).into()
}

#[cfg(test)]
mod tests;
