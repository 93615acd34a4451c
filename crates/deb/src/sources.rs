//! Where packages come from: sources as a manifest names them, mirrors, the host's apt configuration, local directories.

pub mod apt;
mod local;
mod mirrors;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::keyring::Keyring;
use crate::release::{Expected, ValidUntil};

pub use local::{LocalPackage, packages_index, scan, scan_file};
pub use mirrors::Mirrors;
pub(crate) use mirrors::is_supported;

/// Whose signatures count for a source. There is no way to trust a source without.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignedBy {
    /// Keyring files, binary or armoured.
    pub files: Vec<PathBuf>,
    /// Armoured keyrings as text.
    pub inline: Vec<String>,
    /// When not empty, only these of the certificates: fingerprints of primary keys or subkeys.
    pub fingerprints: Vec<String>,
}

impl SignedBy {
    /// Reads the keyrings.
    pub fn keyring(&self) -> Result<Keyring> {
        let mut files = Vec::new();
        for path in &self.files {
            let bytes = fs::read(path).map_err(bedstone_store::Error::io("read", path))?;
            files.push((path.display().to_string(), bytes));
        }
        for text in &self.inline {
            files.push(("Signed-By".to_owned(), text.clone().into_bytes()));
        }
        let files = files
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
        Ok(Keyring::parse(files)?.restricted(&self.fingerprints))
    }
}

/// One suite of one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// What the manifest and the lock call it.
    pub name: String,
    /// Base addresses (`http:`, `https:`, `file:`), tried in order.
    pub uris: Vec<String>,
    /// The suite; one that ends with `/` is the path of a flat repository below the base address.
    pub suite: String,
    /// Components; none for a flat repository.
    pub components: Vec<String>,
    /// Architectures whose indexes are wanted. `all` need not be named.
    pub architectures: Vec<String>,
    /// Whose signatures count.
    pub signed_by: SignedBy,
    /// `Origin` that its Release file must have, where given.
    pub origin: Option<String>,
    /// `Label` that its Release file must have, where given.
    pub label: Option<String>,
    /// What to do when its Release file has expired.
    pub valid_until: ValidUntil,
    /// Pin priority as in apt_preferences(5); without, that of its Release file.
    pub priority: Option<i32>,
}

impl Source {
    /// Whether indexes lie beside the Release file instead of in `dists`.
    pub fn is_flat(&self) -> bool {
        self.suite.ends_with('/')
    }

    /// What the Release file must be for.
    pub fn expected(&self) -> Expected {
        Expected {
            suite: self.suite.clone(),
            origin: self.origin.clone(),
            label: self.label.clone(),
            valid_until: self.valid_until.clone(),
        }
    }

    /// Checks what can be checked without a network.
    pub fn check(&self) -> Result<()> {
        let refuse = |reason: String| {
            Err(Error::Source {
                name: self.name.clone(),
                reason,
            })
        };
        if self.uris.is_empty() {
            return refuse("has no address; name `uris`, a mirror, or configure apt".to_owned());
        }
        if let Some(uri) = self.uris.iter().find(|uri| !is_supported(uri)) {
            return refuse(format!(
                "has the address `{uri}`, which is none of http, https, file"
            ));
        }
        let words = [&self.components, &self.architectures];
        let suite = self.suite.trim_end_matches('/');
        let suite = std::iter::once(suite).filter(|it| !it.is_empty() && *it != ".");
        let words = words.into_iter().flatten().map(String::as_str).chain(suite);
        for word in words {
            if !crate::release::is_relative(word) {
                return refuse(format!("has `{word}`, which cannot be part of an address"));
            }
        }
        if self.suite.is_empty() || self.is_flat() != self.components.is_empty() {
            return refuse("needs a suite and components, or a path ending with `/`".to_owned());
        }
        if !self.is_flat() && self.architectures.is_empty() {
            return refuse("has no architecture".to_owned());
        }
        let signed_by = &self.signed_by;
        if signed_by.files.is_empty() && signed_by.inline.is_empty() {
            return refuse("has no keyring; name one in `signed-by`".to_owned());
        }
        Ok(())
    }
}
