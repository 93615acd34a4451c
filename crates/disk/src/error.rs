use std::io;
use std::path::{Path, PathBuf};

use bedstone_store::Digest;

/// What can go wrong with disk formats.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation failed.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, as a verb: `read`, `create`, `copy`.
        action: &'static str,
        /// The file concerned.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Reading or writing something that has no path of its own failed: a stream, a partition, a block device.
    #[error("cannot {action} the {what}")]
    Stream {
        /// What was tried, as a verb.
        action: &'static str,
        /// What was being read or written, such as `FAT volume`.
        what: &'static str,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Bytes are not what their format demands.
    #[error("malformed {format}: {field}: {reason}")]
    Malformed {
        /// The format, such as `GPT`.
        format: &'static str,
        /// The field, table or entry at fault.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Bytes end before their format does.
    #[error("{format} ends early, within {place}")]
    Truncated {
        /// The format, such as `cpio archive`.
        format: &'static str,
        /// What was being read.
        place: &'static str,
    },
    /// What was asked for does not fit the format.
    #[error("cannot make {format}: `{field}`: {reason}")]
    Unwritable {
        /// The format, such as `FAT volume`.
        format: &'static str,
        /// The name or field at fault.
        field: String,
        /// Why it does not fit.
        reason: String,
    },
    /// A partition, file or entry that was asked for is not there.
    #[error("there is no `{name}` in the {place}")]
    Missing {
        /// Where it was looked for, such as `FAT volume`.
        place: &'static str,
        /// The name looked for.
        name: String,
    },
    /// A block differs from what its dm-verity tree promises.
    #[error("dm-verity: {block} is corrupt")]
    Corrupt {
        /// The first block found corrupt.
        block: crate::verity::Block,
    },
    /// A file could not be stored.
    #[error(transparent)]
    Store(#[from] bedstone_store::Error),
    // PE, UKI, Authenticode, EFI variables.
    /// Bytes are not a PE image that firmware and tools would all read the same way.
    #[error("malformed PE image at byte {offset:#x}: {reason}")]
    Pe {
        /// Offset in the file of the field at fault.
        offset: usize,
        /// What is wrong, naming the field.
        reason: String,
    },
    /// A PE image is sound but the change asked for does not fit into it.
    #[error("cannot change PE image: {0}")]
    PeEdit(String),
    /// A unified kernel image cannot be made, or lacks something.
    #[error("unified kernel image, section `{section}`: {reason}")]
    Uki {
        /// The section's name, with its dot.
        section: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A signing key or certificate cannot be used.
    #[error("unusable signing key: {0}")]
    Key(String),
    /// An image carries no signature.
    #[error("image is not signed")]
    Unsigned,
    /// A signature's structure is not what Authenticode demands.
    #[error("malformed Authenticode signature: {0}")]
    Authenticode(String),
    /// The image was altered after it was signed.
    #[error("image digest is sha256:{actual}, its signature is over sha256:{signed}")]
    SignedDigest {
        /// The digest in the signature.
        signed: Digest,
        /// The digest of the image as it is.
        actual: Digest,
    },
    /// None of the signatures is by a trusted certificate.
    #[error("image is signed by `{0}`, which is not trusted")]
    UntrustedSigner(String),
    /// An EFI variable store is damaged or of another kind.
    #[error("malformed EFI variable store at byte {offset:#x}: {reason}")]
    VariableStore {
        /// Offset in the file of the field at fault.
        offset: usize,
        /// What is wrong, naming the field.
        reason: String,
    },
    /// The variables do not fit into their store.
    #[error("EFI variables need {needed} bytes, the store has {available}")]
    VariableStoreFull {
        /// Bytes that all variables take.
        needed: usize,
        /// Bytes that there are.
        available: usize,
    },
    /// The value of an EFI variable is malformed or cannot be encoded.
    #[error("EFI {what}: {reason}")]
    EfiValue {
        /// The structure: `load option`, `device path`, `signature list`.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
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

    /// Wraps an I/O error with what was being done to something without a path.
    pub(crate) fn stream(
        action: &'static str,
        what: &'static str,
    ) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Stream {
            action,
            what,
            source,
        }
    }

    pub(crate) fn malformed(
        format: &'static str,
        field: &'static str,
        reason: impl Into<String>,
    ) -> Self {
        Self::Malformed {
            format,
            field,
            reason: reason.into(),
        }
    }

    pub(crate) fn unwritable(
        format: &'static str,
        field: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self::Unwritable {
            format,
            field: field.into(),
            reason: reason.into(),
        }
    }
}

/// The result of an operation on disk formats.
pub type Result<T, E = Error> = std::result::Result<T, E>;
