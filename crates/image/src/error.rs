use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong while an image is made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // Root file system.
    /// A file operation failed.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] bedstone_store::Error),
    /// A package could not be read.
    #[error(transparent)]
    Deb(#[from] bedstone_deb::Error),
    /// The kernel refused something.
    #[error(transparent)]
    System(#[from] bedstone_sys::Error),
    /// The caller's interrupt flag was raised.
    #[error("interrupted")]
    Interrupted,
    /// A package's control data lacks or garbles a field.
    #[error("control data of package `{package}`: {problem}")]
    Control {
        /// The package.
        package: String,
        /// What is wrong, naming the field.
        problem: String,
    },
    /// The .deb is not the package that the lock names.
    #[error("the .deb of `{package}` holds {found}")]
    WrongPackage {
        /// Name and version in the lock.
        package: String,
        /// Name, version and architecture in the .deb.
        found: String,
    },
    /// A path in a package is not UTF-8.
    #[error("package `{package}` has a path that is not UTF-8: `{path}`")]
    PathEncoding {
        /// The package.
        package: String,
        /// The path, escaped.
        path: String,
    },
    /// Two packages ship the same file and neither replaces the other; dpkg refuses that too.
    #[error("packages `{first}` and `{second}` both ship `{path}`, and neither replaces the other")]
    FileConflict {
        /// The package unpacked first.
        first: String,
        /// The package unpacked second.
        second: String,
        /// The path.
        path: String,
    },
    /// A program in the sandbox failed.
    #[error("{what} failed with {status}\n{log}")]
    Program {
        /// What it was to do.
        what: String,
        /// Its exit status.
        status: String,
        /// The end of what it said.
        log: String,
    },
    /// dpkg finds fault with the finished tree.
    #[error("`{command}` finds fault with the finished tree:\n{findings}")]
    Inconsistent {
        /// The dpkg command.
        command: &'static str,
        /// What it said.
        findings: String,
    },
    /// A change of the manifest cannot be applied.
    #[error("cannot apply the change to `{subject}`: {problem}")]
    Change {
        /// The path, user, group or unit.
        subject: String,
        /// What is wrong.
        problem: String,
    },
    /// An account file of the tree is malformed.
    #[error("`{file}` in the tree, line {line}: {problem}")]
    Accounts {
        /// The file.
        file: &'static str,
        /// Line number from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// No number is left for an account.
    #[error("no id is left for `{name}` in {first}-{last}")]
    IdsExhausted {
        /// The user or group.
        name: String,
        /// First number of the range.
        first: u32,
        /// Last number of the range.
        last: u32,
    },
    /// The host's clock is behind the packages: files made now would look older than they may.
    #[error(
        "the clock of this machine is before the packages' newest file ({newest} s since 1970); set it"
    )]
    Clock {
        /// Newest modification time in the packages.
        newest: i64,
    },
    /// A socket, fifo or device is in the finished tree.
    #[error("`{path}` in the finished tree is a {kind}")]
    SpecialFile {
        /// Path in the image.
        path: String,
        /// What it is.
        kind: &'static str,
    },
}

impl Error {
    /// Wraps an I/O error with what was being done to which path.
    pub fn io<E: Into<io::Error>>(
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

/// The result of an image operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;
