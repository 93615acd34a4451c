use std::path::PathBuf;

use crate::keyring::RefusedSignature;
use crate::{archive, deb822, explain, lock, relation, release, resolve, version};

/// What can go wrong with packages and repositories.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // Control data.
    /// A control file is malformed.
    #[error("`{file}` line {line}: {defect}")]
    Stanza {
        /// The file, as it was named to the reader.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        defect: deb822::Defect,
    },
    /// A field of a package in an index does not hold what it must.
    #[error("`{file}` line {line}: field `{field}`: {defect}")]
    Field {
        /// The index, as it was named to the reader.
        file: String,
        /// The line of the field, counted from 1.
        line: usize,
        /// The field's name.
        field: &'static str,
        /// What is wrong.
        defect: FieldDefect,
    },
    /// The indexes together exceed what a universe can address.
    #[error("index `{file}` of {bytes} bytes is too large: the limit is {limit}")]
    IndexTooLarge {
        /// The index.
        file: String,
        /// Its length.
        bytes: usize,
        /// The largest length that is read.
        limit: usize,
    },

    // Resolution.
    /// A preference (pin) is not understood.
    #[error("`{file}` line {line}: {defect}")]
    Preference {
        /// The preferences file, as it was named to the reader.
        file: String,
        /// The line of the stanza, counted from 1.
        line: usize,
        /// What is wrong.
        defect: resolve::PreferenceDefect,
    },
    /// No set of packages fulfils the request.
    #[error("{0}")]
    Unsatisfiable(Box<explain::Conflict>),

    // Lock file.
    /// The lock file is not valid.
    #[error("`{file}` line {line}: {defect}")]
    Lock {
        /// The lock file, as it was named to the reader.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        defect: lock::Defect,
    },

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
    /// A file does not exist at any of its addresses.
    #[error("`{address}` does not exist")]
    NotFound {
        /// The address that was tried first.
        address: String,
    },
    /// A locked package is gone from its archive.
    #[error(
        "`{name}` is no longer at `{address}`: superseded in the archive; run `bedstone lock --upgrade`"
    )]
    Superseded {
        /// Name and version of the package.
        name: String,
        /// The address that was tried first.
        address: String,
    },
    /// A server cannot be reached, or does not do its work.
    #[error("cannot fetch `{address}`: {reason}")]
    Network {
        /// The address.
        address: String,
        /// The reason that the server or the system gave.
        reason: String,
    },
    /// A file does not have the digest that was promised.
    #[error("`{address}` was altered: expected sha256:{expected}, got sha256:{actual}")]
    WrongContent {
        /// Where it came from.
        address: String,
        /// The digest that was promised.
        expected: bedstone_store::Digest,
        /// The digest it has.
        actual: bedstone_store::Digest,
    },
    /// A file does not have the length that was promised.
    #[error("`{address}` was altered: expected {expected} bytes, got {actual} or more")]
    WrongSize {
        /// Where it came from.
        address: String,
        /// The length that was promised, in bytes.
        expected: u64,
        /// The length announced, or the number of bytes after which reading was given up.
        actual: u64,
    },
    /// An index is not listed, or not what is listed.
    #[error("`{what}` {reason}")]
    Index {
        /// Its path.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// Something is missing, and the network must not be used.
    #[error("`{what}` is not in the store, and fetching is switched off")]
    Offline {
        /// What is missing.
        what: String,
    },
    /// The disk, or the quota on it, is full.
    #[error("the disk is full: cannot write `{}`", path.display())]
    DiskFull {
        /// The file that was being written; it was removed.
        path: PathBuf,
    },
    /// The caller asked to end.
    #[error("interrupted; what was fetched is kept, and the next run continues from there")]
    Interrupted,
    /// The store, or a file, could not be read or written.
    #[error(transparent)]
    Store(#[from] bedstone_store::Error),
    /// A line of a text file is malformed.
    #[error("`{what}` line {line}: {reason}")]
    Syntax {
        /// The file.
        what: String,
        /// Line number, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

/// Why the value of a field is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldDefect {
    /// A relation such as `Depends` does not parse.
    #[error(transparent)]
    Relation(#[from] relation::Defect),
    /// A version number does not parse.
    #[error(transparent)]
    Version(#[from] version::Defect),
    /// A field that every package needs is absent.
    #[error("missing")]
    Missing,
    /// The value is not what the field may hold.
    #[error("`{value}` is not {expected}")]
    Value {
        /// The value found.
        value: String,
        /// What may stand there.
        expected: &'static str,
    },
}

fn list(items: &[impl ToString]) -> String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    items.join("; ")
}

/// The result of an operation on packages or repositories.
pub type Result<T, E = Error> = std::result::Result<T, E>;
