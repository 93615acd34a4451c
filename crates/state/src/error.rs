use std::io;
use std::path::{Path, PathBuf};

/// Why the device's state cannot be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation failed.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file concerned.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file could not be kept.
    #[error(transparent)]
    Store(#[from] bedstone_store::Error),
    /// A value is none that this program writes.
    #[error("{place}: {reason}")]
    Malformed {
        /// Where it was found.
        place: String,
        /// What is wrong.
        reason: String,
    },
}

/// The result of an operation on the device's state.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whether a file system has no room left.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ),
            Self::Store(error) => error.is_disk_full(),
            Self::Malformed { .. } => false,
        }
    }

    /// Wraps a system error with what was being done to which path.
    pub(crate) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source: source.into(),
        }
    }
}
