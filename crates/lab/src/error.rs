use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use crate::qmp;

/// What can go wrong with a device.
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
    /// The store or one of its locks failed.
    #[error(transparent)]
    Store(#[from] bedstone_store::Error),
    /// A program or firmware file is not installed.
    #[error("`{what}` is missing; install it with `apt-get install {package}`")]
    Missing {
        /// The program or file.
        what: String,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A program is too old.
    #[error("`{program}` is version {found}, but {needed} or newer is needed")]
    TooOld {
        /// The program.
        program: PathBuf,
        /// The version it tells.
        found: String,
        /// The oldest one that works.
        needed: &'static str,
    },
    /// A program said something that we do not understand.
    #[error("`{program}` answered `{answer}`, which is not understood")]
    Strange {
        /// The program.
        program: String,
        /// The beginning of what it said.
        answer: String,
    },
    /// A program could not be started.
    #[error("cannot start `{program}`")]
    Start {
        /// The program.
        program: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A program ended where it should not have.
    #[error("`{program}` ended ({status}): {message}")]
    Ended {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote to its standard error.
        message: String,
    },
    /// Something did not happen in time.
    #[error("{what} did not come within {:.1} s; the console's last lines:\n{tail}", limit.as_secs_f64())]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// The end of the console's output.
        tail: String,
    },
    /// The console closed, because the machine went off, while something was expected from it.
    #[error("the machine went off while waiting for {what}; the console's last lines:\n{tail}")]
    Closed {
        /// What was waited for.
        what: String,
        /// The end of the console's output.
        tail: String,
    },
    /// Whoever started the work asked for its end.
    #[error("interrupted while waiting for {0}")]
    Interrupted(String),
    /// The monitor connection failed.
    #[error("monitor: {0}")]
    Qmp(#[from] qmp::Error),
    /// The device is off.
    #[error("device `{0}` is off")]
    Off(String),
    /// The device is on, where it must be off.
    #[error("device `{0}` is on")]
    On(String),
    /// The guest refused a login.
    #[error("the guest refused the login of `{0}`")]
    Login(String),
    /// The output of a command came damaged over the console, several times.
    #[error("the output of `{0}` came damaged over the console")]
    Damaged(String),
    /// The chosen acceleration does not work here.
    #[error("acceleration `{0}` does not work here")]
    Acceleration(&'static str),
    /// A choice that makes no machine.
    #[error("{field}: {reason}")]
    Config {
        /// The field of the configuration.
        field: &'static str,
        /// Why it cannot be.
        reason: String,
    },
    /// The variable store could not be written.
    #[error("cannot prepare the firmware's variables from `{}`", template.display())]
    Variables {
        /// The empty variable store.
        template: PathBuf,
        /// Why.
        #[source]
        source: bedstone_disk::Error,
    },
}

impl Error {
    /// Wraps an I/O error with what was being done to which path.
    pub(crate) fn io(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// The result of an operation on a device.
pub type Result<T, E = Error> = std::result::Result<T, E>;
