use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong at the kernel's border.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation on a path failed.
    #[error("cannot {action} `{}`", path.display())]
    Path {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file, directory or mount point.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A system call failed.
    #[error("cannot {action}")]
    Call {
        /// What was tried, as a verb with its object.
        action: &'static str,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A user namespace was asked for after threads were started.
    #[error("cannot enter a user namespace: the process has {0} threads, it must have one")]
    Threads(usize),
    /// The kernel refuses user namespaces to this user.
    #[error(
        "the kernel refuses user namespaces; allow them with `sysctl -w {sysctl}` or run as root"
    )]
    NamespacesForbidden {
        /// The setting that is most likely in the way, with the value it needs.
        sysctl: &'static str,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The user has no range of subordinate ids.
    #[error(
        "`{file}` has no range of 65536 ids for user `{user}`; add one with `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}`"
    )]
    NoSubordinateIds {
        /// The user's name, or number when it has no name.
        user: String,
        /// The file that was read.
        file: &'static str,
    },
    /// newuidmap or newgidmap failed or is not there.
    #[error("cannot map user and group ids: {0}")]
    MapIds(String),
    /// A sandbox could not be set up.
    #[error("cannot set up the sandbox: {step}")]
    Sandbox {
        /// What was tried when it failed.
        step: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Too many or too long overlay layers for one mount.
    #[error("{0} overlay layers do not fit into one mount")]
    TooManyLayers(usize),
    /// The caller's interrupt flag was raised.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Wraps a system error with what was being done to which path.
    pub fn path<E: Into<io::Error>>(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Path {
            action,
            path,
            source: source.into(),
        }
    }

    /// Wraps a system error with what was being done.
    pub fn call<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Call {
            action,
            source: source.into(),
        }
    }
}

/// The result of a system operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;
