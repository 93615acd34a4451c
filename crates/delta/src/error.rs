use std::io;

use bedstone_store::Digest;

use crate::output::Image;

/// Where bytes came from that turned out to be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The image that the device holds.
    Base,
    /// The zchunk file, local or downloaded.
    Body,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Base => "old image",
            Self::Body => "zchunk file",
        })
    }
}

/// What can go wrong with deltas.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing failed.
    #[error("cannot {action} the {what}")]
    Io {
        /// What was tried, as a verb: `read`, `write`.
        action: &'static str,
        /// What was being read or written, such as `old image`.
        what: &'static str,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Bytes are not what their format demands.
    #[error("malformed {format} at byte {offset}: {field}: {reason}")]
    Malformed {
        /// The format, such as `zchunk header`.
        format: &'static str,
        /// Offset of the field at fault from the start of the file, in bytes.
        offset: u64,
        /// The field at fault.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A size is beyond what this implementation takes, so that memory stays bounded.
    #[error("{format}: {field} is {length} bytes, more than the {limit} that are taken")]
    TooLarge {
        /// The format, such as `zchunk header`.
        format: &'static str,
        /// The field at fault.
        field: &'static str,
        /// The size found, in bytes.
        length: u64,
        /// The largest size taken, in bytes.
        limit: u64,
    },
    /// What was asked for does not fit the format.
    #[error("cannot make {format}: {field} of {value} is not within {range}")]
    Unwritable {
        /// The format, such as `rdiff signature`.
        format: &'static str,
        /// The parameter at fault.
        field: &'static str,
        /// Its value.
        value: u64,
        /// What it may be.
        range: &'static str,
    },
    /// The old image is not the one that the delta was made for. Nothing has been written.
    #[error("the old image is not the one this delta was made for: {found}, not {expected}")]
    WrongBase {
        /// What the delta was made for.
        expected: Image,
        /// What is there. Shorter than expected when the old image ends early.
        found: Image,
    },
    /// A delta asks for bytes that the old image does not have.
    #[error(
        "the delta copies {length} bytes from byte {offset} of the old image, which has {size}"
    )]
    OutsideBase {
        /// First byte asked for.
        offset: u64,
        /// Number of bytes asked for.
        length: u64,
        /// Size of the old image in bytes.
        size: u64,
    },
    /// A chunk does not have the digest that the header promises.
    #[error("chunk {chunk} from the {source_of_chunk} is corrupt")]
    WrongChunk {
        /// Number of the chunk in the header; the dictionary is chunk 0.
        chunk: usize,
        /// Where its bytes came from.
        source_of_chunk: Source,
    },
    /// The output would be longer or is shorter than promised. Not more than the promised length has been written.
    #[error("the delta makes {found} bytes, not the {expected} promised")]
    WrongLength {
        /// The promised length in bytes.
        expected: u64,
        /// The length reached, or the first one known to be too long.
        found: u64,
    },
    /// The output is complete and is not what was promised. It must not be used.
    #[error("the new image is not the one promised: SHA-256 {found}, not {expected}")]
    WrongOutput {
        /// The promised digest.
        expected: Digest,
        /// The digest of what was written.
        found: Digest,
    },
    /// Chunks are needed that only a download has, and none was offered.
    #[error("{length} bytes have to be downloaded and there is nowhere to download them from")]
    NoBody {
        /// Number of bytes missing.
        length: u64,
    },
    /// A server cannot be reached, or the connection to it broke more often than was allowed.
    #[error("cannot download from `{url}`: {reason}")]
    Connection {
        /// The address asked.
        url: String,
        /// What happened.
        reason: String,
    },
    /// A server answers with something other than the bytes asked for.
    #[error("`{url}` answers {status}: {reason}")]
    Refused {
        /// The address asked.
        url: String,
        /// The HTTP status code.
        status: u16,
        /// What is wrong with it.
        reason: String,
    },
    /// A file on a server is not the one whose beginning was downloaded.
    #[error("the file at `{url}` was changed while it was downloaded")]
    Changed {
        /// The address asked.
        url: String,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// The result of working on deltas.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Wraps an error of reading `what`.
    pub(crate) fn read(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action: "read",
            what,
            source,
        }
    }

    /// Wraps an error of writing `what`.
    pub(crate) fn write(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action: "write",
            what,
            source,
        }
    }
}
