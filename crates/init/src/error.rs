use std::io;
use std::path::{Path, PathBuf};

use crate::slot::Slot;

/// Why a start, or a step of it, failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("kernel command line: {0}")]
    Parameters(String),
    #[error("no disk with the GUID `{guid}` came up within {seconds} s ({seen})")]
    NoDisk {
        guid: String,
        seconds: u64,
        seen: String,
    },
    #[error("root file system of slot {slot} on `{device}`: {reason}")]
    Root {
        slot: Slot,
        device: String,
        reason: String,
    },
    #[error("`{}` {reason}", path.display())]
    Unusable { path: PathBuf, reason: String },
    #[error("`{program}` {outcome}")]
    Tool { program: String, outcome: String },
    #[error(transparent)]
    Format(#[from] bedstone_disk::Error),
    #[error(transparent)]
    State(#[from] bedstone_state::Error),
    #[error("the changes of /etc cannot be carried over to this image: {0}")]
    Etc(Box<Self>),
}

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
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
