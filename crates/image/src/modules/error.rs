use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong when kernel modules are chosen and packed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation failed.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory concerned.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A module that was asked for is neither a file nor part of the kernel.
    #[error("kernel {release} has no module `{name}`{}", needed_by(by.as_deref()))]
    Unknown {
        /// The kernel's release, as in `uname -r`.
        release: String,
        /// The name as it was asked for.
        name: String,
        /// The module that depends on it, or nothing when the caller asked.
        by: Option<String>,
    },
    /// A directory that was asked for holds no modules.
    #[error("kernel {release} has no modules below `{prefix}`")]
    EmptyDirectory {
        /// The kernel's release.
        release: String,
        /// The directory as it was asked for.
        prefix: String,
    },
    /// A module file is not what the kernel would load.
    #[error("`{}` is no kernel module: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// Modules depend on each other in a circle.
    #[error("the kernel modules {} depend on each other", names.join(", "))]
    Circle {
        /// The modules of the circle, each needed by the one before.
        names: Vec<String>,
    },
    /// The archive could not be made.
    #[error(transparent)]
    Disk(#[from] bedstone_disk::Error),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

fn needed_by(by: Option<&str>) -> String {
    by.map_or_else(String::new, |by| format!(", which `{by}` needs"))
}

/// The result of choosing or packing kernel modules.
pub type Result<T, E = Error> = std::result::Result<T, E>;
