use std::io;
use std::path::{Path, PathBuf};

use bedstone_disk::layout::Slot;

/// What can go wrong on the device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation failed.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or device concerned.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The bundle is not one that this device takes, or cannot be read.
    #[error(transparent)]
    Bundle(bedstone_bundle::Error),
    /// The bundle cannot be downloaded.
    #[error("cannot download the bundle")]
    Download(#[source] bedstone_delta::Error),
    /// A partition's content is not what it should be, or cannot be made.
    #[error(transparent)]
    Disk(#[from] bedstone_disk::Error),
    /// A file could not be kept.
    #[error(transparent)]
    Store(#[from] bedstone_store::Error),
    /// The minimum version, or the changes of `/etc` of a slot, could not be changed.
    #[error(transparent)]
    State(#[from] bedstone_state::Error),
    /// A file that the image or an earlier run left is malformed.
    #[error("malformed `{}`: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The bundle is for other hardware.
    #[error("the bundle is for {}, this is `{own}`", list(offered))]
    WrongHardware {
        /// What the bundle says it is for.
        offered: Vec<String>,
        /// What this device is.
        own: String,
    },
    /// The bundle names hardware by a pattern that is none.
    #[error("`#RE:{}` in `hardware-compatibility`: {reason}", pattern.escape_debug())]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The bundle is for another product's disk.
    #[error("the bundle's kernel looks for the disk {wanted}, this is {own}")]
    WrongProduct {
        /// GUID on the kernel's command line.
        wanted: String,
        /// GUID of this disk.
        own: String,
    },
    /// A bundle is older than what may be installed, or a slot than what may be started.
    #[error("version {offered} is older than {limit}, {reason}")]
    Downgrade {
        /// Its version.
        offered: String,
        /// The lowest version that is taken.
        limit: String,
        /// Where that comes from.
        reason: &'static str,
    },
    /// The bundle asks for something that this agent does not do.
    #[error("line {line} of `sw-description`: {what}")]
    Unsupported {
        /// Line of the entry.
        line: u32,
        /// What it asks for.
        what: String,
    },
    /// An artifact does not fit where it belongs.
    #[error("`{member}` is larger than the {limit} bytes of {place}")]
    TooLarge {
        /// The member of the bundle.
        member: String,
        /// Bytes that there are.
        limit: u64,
        /// What is too small.
        place: String,
    },
    /// The running slot does not hold the version that the bundle is the difference to. Nothing has been written.
    #[error("`{member}` is the difference to another version than the running one")]
    WrongBase {
        /// The member of the bundle.
        member: String,
        /// What is there, and what should be.
        #[source]
        source: bedstone_delta::Error,
    },
    /// The root file system cannot be made from a difference.
    #[error("cannot make the root file system from `{member}`")]
    Delta {
        /// The member of the bundle.
        member: String,
        /// Why not.
        #[source]
        source: bedstone_delta::Error,
    },
    /// What was written does not belong together: the kernel's command line announces another root file system.
    #[error("kernel and root file system of the bundle do not belong together")]
    Mismatch(#[source] bedstone_disk::Error),
    /// What was read back is not what was written.
    #[error("{place} does not keep what is written to it")]
    ReadBack {
        /// The partition.
        place: String,
        /// What differs.
        #[source]
        source: bedstone_disk::Error,
    },
    /// The running slot is still on trial: the other one is what the machine would fall back to.
    #[error("slot {0} is on trial: confirm it or roll back before the other slot is written")]
    OnTrial(Slot),
    /// The running slot's environment would not make the boot loader start it.
    #[error("slot {slot} is running, but the boot loader would not start it again: {reason}")]
    NotBootable {
        /// The running slot.
        slot: Slot,
        /// Why not.
        reason: String,
    },
    /// The other slot cannot be started.
    #[error("slot {slot} cannot be started: {reason}")]
    NoOther {
        /// The other slot.
        slot: Slot,
        /// Why not.
        reason: String,
    },
    /// It is not known which slot is running, so neither may be written.
    #[error("the firmware does not tell which slot is running")]
    UnknownSlot,
    /// Another process changes the slots.
    #[error("another installation is running")]
    Busy,
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// The result code: lower-case with hyphens, stable, documented in `docs/reference/agent.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Bundle(error) => match error.refusal() {
                Some(refusal) => refusal.code(),
                None => "unreadable",
            },
            Self::Download(_) => "download",
            Self::Pattern { .. } => "malformed",
            Self::WrongHardware { .. } => "wrong-hardware",
            Self::WrongProduct { .. } => "wrong-product",
            Self::Downgrade { .. } => "downgrade",
            Self::Unsupported { .. } => "unsupported",
            Self::TooLarge { .. } => "too-large",
            Self::WrongBase { .. } => "wrong-base",
            Self::Delta { source, .. } => code_of(source),
            Self::Mismatch(_) => "mismatch",
            Self::ReadBack { .. } => "read-back",
            Self::OnTrial(_) => "on-trial",
            Self::NotBootable { .. } | Self::NoOther { .. } => "not-bootable",
            Self::UnknownSlot => "unknown-slot",
            Self::Busy => "busy",
            Self::Interrupted => "interrupted",
            Self::Io { source, .. } if is_full(source) => "disk-full",
            Self::Store(error) if error.is_disk_full() => "disk-full",
            Self::State(error) if error.is_disk_full() => "disk-full",
            Self::Io { .. }
            | Self::Disk(_)
            | Self::Store(_)
            | Self::State(_)
            | Self::Malformed { .. } => "failed",
        }
    }

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

fn code_of(error: &bedstone_delta::Error) -> &'static str {
    use bedstone_delta::{Error, Source};
    match error {
        // The digest of a chunk is signed, so it is the server that sent something else.
        Error::Connection { .. }
        | Error::Refused { .. }
        | Error::NoBody { .. }
        | Error::WrongChunk {
            source_of_chunk: Source::Body,
            ..
        } => "download",
        Error::WrongLength { .. } | Error::WrongOutput { .. } => "hash-mismatch",
        Error::Malformed { .. } | Error::TooLarge { .. } | Error::OutsideBase { .. } => "malformed",
        _ => "failed",
    }
}

impl From<bedstone_bundle::Error> for Error {
    /// Takes out what a download put into the error of reading.
    fn from(error: bedstone_bundle::Error) -> Self {
        let source = match error {
            bedstone_bundle::Error::Input(source) => source,
            other => return Self::Bundle(other),
        };
        match source.downcast::<bedstone_delta::Error>() {
            Ok(bedstone_delta::Error::Interrupted) => Self::Interrupted,
            Ok(error) => Self::Download(error),
            Err(source) => Self::Bundle(bedstone_bundle::Error::Input(source)),
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "no hardware".to_owned();
    }
    let quoted: Vec<String> = names
        .iter()
        .map(|name| format!("`{}`", name.escape_debug()))
        .collect();
    quoted.join(", ")
}

/// The result of an operation on the device.
pub type Result<T, E = Error> = std::result::Result<T, E>;
