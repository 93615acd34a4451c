use std::io;
use std::path::{Path, PathBuf};

use crate::Digest;

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation failed.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, as a verb: `read`, `create`, `rename`.
        action: &'static str,
        /// The file or directory concerned.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Content did not have the digest it was announced with.
    #[error("digest mismatch in `{what}`: expected sha256:{expected}, got sha256:{actual}")]
    Mismatch {
        /// The object, address or file that was checked.
        what: String,
        /// The digest that was promised.
        expected: Digest,
        /// The digest of the bytes that came.
        actual: Digest,
    },
    /// An object is not in the store.
    #[error("object sha256:{0} is not in the store")]
    Missing(Digest),
    /// The stream that an object was read from failed.
    #[error("cannot read the content of sha256:{digest}")]
    Content {
        /// The object that was being stored.
        digest: Digest,
        /// The stream's reason.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Wraps an I/O error with what was being done to which path.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// Whether the disk, or the quota on it, is full.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Io { source, .. } | Self::Content { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ),
            Self::Mismatch { .. } | Self::Missing(_) => false,
        }
    }
}

/// The result of a store operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;
