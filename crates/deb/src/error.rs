use crate::keyring::RefusedSignature;
use crate::{archive, release};

/// What can go wrong with packages and repositories.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // Packages and transport.
    /// A .deb is malformed or holds what a package must not hold.
    #[error("package `{deb}`: {place}: {defect}")]
    Archive {
        /// The package, as it was named to the reader.
        deb: String,
        /// The `ar` member, and the entry in it where one is concerned.
        place: String,
        /// What is wrong.
        defect: archive::Defect,
    },
    /// A keyring or signature file is malformed.
    #[error("`{what}` {reason}")]
    OpenPgp {
        /// The file.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// No signature, or one that was tampered with.
    #[error("`{what}` has no trusted signature: {}", list(refused))]
    Untrusted {
        /// The signed file.
        what: String,
        /// Every signature that was refused, and why.
        refused: Vec<RefusedSignature>,
    },
    /// A Release file is malformed, expired or not the one that was asked for.
    #[error("`{what}` {defect}")]
    Release {
        /// The file or address.
        what: String,
        /// What is wrong.
        defect: release::Defect,
    },
    /// The address of a mirror cannot be used.
    #[error("mirror `{value}`: {reason}")]
    Mirror {
        /// What was given.
        value: String,
        /// What is wrong.
        reason: String,
    },
    /// A source cannot be used as it is described.
    #[error("source `{name}` {reason}")]
    Source {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The store, or a file, could not be read or written.
    #[error(transparent)]
    Store(#[from] bedstone_store::Error),
    /// A line of a text file is malformed.
    #[error("`{what}`, line {line}: {reason}")]
    Syntax {
        /// The file.
        what: String,
        /// Line number, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

fn list(items: &[impl ToString]) -> String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    items.join("; ")
}

/// The result of an operation on packages or repositories.
pub type Result<T, E = Error> = std::result::Result<T, E>;
