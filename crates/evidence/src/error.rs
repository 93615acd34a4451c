use std::io;
use std::path::PathBuf;

use bedstone_store::Digest;

/// What can go wrong with statements, signatures and keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be stored or locked.
    #[error(transparent)]
    Store(#[from] bedstone_store::Error),
    /// Bytes are not the JSON that they should be.
    #[error("malformed {what}")]
    Json {
        /// `DSSE envelope`, `in-toto statement`.
        what: &'static str,
        /// Line, column and reason.
        #[source]
        source: serde_json::Error,
    },
    /// JSON that is well formed but not what its format demands.
    #[error("malformed {what}: `{field}` {reason}")]
    Field {
        /// `DSSE envelope`, `in-toto statement`.
        what: &'static str,
        /// The field at fault.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Too few of the signatures are by trusted keys.
    #[error(
        "{valid} of {needed} required signatures are by trusted keys (the envelope has {found})"
    )]
    Untrusted {
        /// Distinct trusted keys whose signature is right.
        valid: usize,
        /// How many were demanded.
        needed: usize,
        /// Signatures in the envelope.
        found: usize,
    },
    /// An evidence file does not have the digest in its name.
    #[error("evidence file `{}` was altered: its digest is now sha256:{actual}", path.display())]
    Altered {
        /// The file.
        path: PathBuf,
        /// The digest of what it holds now.
        actual: Digest,
    },
    /// A key cannot be used.
    #[error("unusable key: {0}")]
    Key(String),
    /// The program that makes RSA keys failed.
    #[error("cannot generate an RSA key with `{}`: {reason}", program.display())]
    Generator {
        /// The program.
        program: PathBuf,
        /// What it said.
        reason: String,
        /// Why it could not be run, if that is what failed.
        #[source]
        source: Option<io::Error>,
    },
}

/// The result of an operation on evidence.
pub type Result<T, E = Error> = std::result::Result<T, E>;
