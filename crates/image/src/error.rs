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
    System(bedstone_sys::Error),
    /// The caller's interrupt flag was raised.
    #[error("interrupted")]
    Interrupted,
    /// A file of the output could not be filled.
    #[error("cannot write `{}`", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: bedstone_disk::Error,
    },
    /// Another build writes to the same output directory.
    #[error("another build writes to `{}`", .0.display())]
    OutputInUse(PathBuf),
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
    /// A disk format cannot hold what it should.
    #[error(transparent)]
    Disk(#[from] bedstone_disk::Error),
    /// Signing or keeping evidence failed.
    #[error(transparent)]
    Evidence(#[from] bedstone_evidence::Error),
    /// Kernel modules could not be chosen.
    #[error(transparent)]
    Modules(#[from] crate::modules::Error),

    // Build.
    /// The packages do not hold exactly one kernel that can be used.
    #[error("no usable kernel: {0}")]
    NoKernel(String),
    /// The hardening baseline that is compiled in cannot be read.
    #[error("the kernel hardening baseline cannot be read")]
    Baseline(#[source] Box<crate::document::Problems>),
    /// The kernel's configuration deviates from the baseline, and nobody has accepted that.
    #[error("the kernel's configuration deviates from the hardening baseline:\n  {}", .0.join("\n  "))]
    KernelCheck(Vec<String>),
    /// A report cannot be written as JSON.
    #[error("cannot write a report")]
    Json(#[source] serde_json::Error),
    /// The root file system does not fit its slot.
    #[error("the root file system with its hash tree needs {size} bytes, the slot has {limit}")]
    RootTooLarge {
        /// Bytes needed.
        size: u64,
        /// Bytes of a slot: `partitions.root`.
        limit: u64,
    },
    /// There is no boot chain for the architecture.
    #[error("there is no boot chain for architecture `{0}` yet")]
    NoBootChain(&'static str),
    /// The lock lacks a package of the boot chain.
    #[error("the lock has no package `{0}` for the boot chain")]
    NotLocked(&'static str),
    /// A package of the boot chain lacks its program.
    #[error("package `{package}` has no program `{name}`")]
    NoProgram {
        /// The package.
        package: &'static str,
        /// The program.
        name: String,
    },

    // Lock.
    /// A package to upgrade is in no source.
    #[error("package `{0}` is in no source of the manifest")]
    UnknownPackage(String),
    /// A pin says more or less than one thing about versions.
    #[error("`debian.pins.{name}` needs exactly one of `version`, `suite` and `source`")]
    Pin {
        /// Its name.
        name: String,
    },
    /// The suite's systemd cannot seal a key to the TPM.
    #[error(
        "`partitions.data-encryption = \"tpm2\"` needs systemd 248 and cryptsetup 2.4 or later, which `{suite}` does not have: take bookworm or a later suite"
    )]
    NoSealing {
        /// `debian.suite`.
        suite: String,
    },
    /// The boot chain's suite lacks one of its packages.
    #[error("source `{source_name}` has no package `{package}`")]
    NoBootPackage {
        /// The package.
        package: &'static str,
        /// The source.
        source_name: &'static str,
    },

    // Record of a build.
    /// The directory holds no finished build.
    #[error("`{}` holds no built image", directory.display())]
    NoRecord {
        /// The directory.
        directory: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// `image.json` is malformed.
    #[error("`{}` is not a record of a build", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The parser's reason, with line and column.
        #[source]
        source: serde_json::Error,
    },
    /// `image.json` is of another version.
    #[error("`{}` has version {found}, this program reads version 1", path.display())]
    RecordVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
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

impl From<bedstone_sys::Error> for Error {
    fn from(error: bedstone_sys::Error) -> Self {
        match error {
            bedstone_sys::Error::Interrupted => Self::Interrupted,
            other => Self::System(other),
        }
    }
}

/// The result of an image operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;
