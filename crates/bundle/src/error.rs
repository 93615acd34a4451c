use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use bedstone_store::Digest;

/// Why a bundle was not taken. Each has a code of its own, which programs and fleet servers may rely on
/// (`docs/reference/bundle.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// There is no signature behind `sw-description`.
    NotSigned,
    /// The signature is not by a trusted key, or the signed bytes were altered.
    WrongKey,
    /// A certificate is outside its validity period.
    Expired,
    /// The bundle ends early.
    Truncated,
    /// A member is not what `sw-description` promises.
    HashMismatch,
    /// A member that `sw-description` lists is not there.
    Incomplete,
    /// A member's decryption key is missing or another one.
    Encrypted,
    /// The bytes are not a bundle, or one of a kind that is not supported.
    Malformed,
}

impl Refusal {
    /// The code, lower-case with hyphens.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotSigned => "not-signed",
            Self::WrongKey => "wrong-key",
            Self::Expired => "expired",
            Self::Truncated => "truncated",
            Self::HashMismatch => "hash-mismatch",
            Self::Incomplete => "incomplete",
            Self::Encrypted => "encrypted",
            Self::Malformed => "malformed",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// What can go wrong with bundles.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation failed.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file concerned.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The source of the bundle failed: a network, a pipe, a disk.
    #[error("cannot read the bundle")]
    Input(#[source] io::Error),
    /// The place that the bundle is written to failed.
    #[error("cannot write the bundle")]
    Output(#[source] io::Error),
    /// The archive's structure is broken, or a file that goes into it cannot be read.
    #[error(transparent)]
    Archive(#[from] bedstone_disk::Error),
    /// The bundle ends before its trailer.
    #[error("the bundle ends early, within {place}")]
    Truncated {
        /// What was being read.
        place: String,
    },
    /// A member stands where another has to.
    #[error("the bundle's first member is `{found}`, not `sw-description`")]
    NoDescription {
        /// The member that is there.
        found: String,
    },
    /// A member's name or type is one that no bundle has.
    #[error("member `{member}`: {reason}")]
    Member {
        /// Its name.
        member: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The second member is no signature.
    #[error("the bundle is not signed: `sw-description.sig` does not follow `sw-description`")]
    NotSigned,
    /// The signature's structure is not CMS signed data of the supported kind.
    #[error("malformed signature: {0}")]
    Signature(String),
    /// The key of the certificate in the signature did not make it over these bytes.
    #[error("the signature by `{subject}` is not over this `sw-description`")]
    BadSignature {
        /// The signer's certificate's subject.
        subject: String,
    },
    /// The signer's certificate is neither trusted nor issued by a trusted one.
    #[error("the bundle is signed by `{subject}`, which is not trusted")]
    Untrusted {
        /// The signer's certificate's subject.
        subject: String,
    },
    /// A certificate is used outside its validity period.
    #[error("the certificate of `{subject}` is valid from {not_before} to {not_after} only")]
    Expired {
        /// The certificate's subject.
        subject: String,
        /// First moment, RFC 3339.
        not_before: String,
        /// Last moment, RFC 3339.
        not_after: String,
    },
    /// A certificate may not be used for this.
    #[error("the certificate of `{subject}` {reason}")]
    Purpose {
        /// The certificate's subject.
        subject: String,
        /// What it may not, or lacks.
        reason: &'static str,
    },
    /// `sw-description` is neither libconfig nor JSON.
    #[error("`sw-description`, line {line}: {reason}")]
    Syntax {
        /// The line, from 1.
        line: u32,
        /// What is wrong there.
        reason: String,
    },
    /// An attribute of `sw-description` is unknown, missing, or of the wrong type.
    #[error("`sw-description`, line {line}: `{key}` {reason}")]
    Description {
        /// The line, from 1.
        line: u32,
        /// The attribute's path, such as `images[0].encrypted`.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A member's bytes do not have the digest that `sw-description` promises.
    #[error("member `{member}` has sha256:{actual}, `sw-description` promises sha256:{expected}")]
    Digest {
        /// Its name.
        member: String,
        /// What was promised.
        expected: Digest,
        /// What is there.
        actual: Digest,
    },
    /// A member's bytes do not have the sum in their header (format “crc”).
    #[error("member `{member}` does not have the checksum of its header")]
    Checksum {
        /// Its name.
        member: String,
    },
    /// Members that `sw-description` lists are not there.
    #[error("the bundle lacks `{member}`, which its `sw-description` lists")]
    Missing {
        /// The first of them.
        member: String,
    },
    /// A member's stored form cannot be turned into its content.
    #[error("member `{member}` cannot be {action}: {reason}")]
    Decode {
        /// Its name.
        member: String,
        /// `decrypted` or `decompressed`.
        action: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A member is encrypted and no key was given.
    #[error("member `{member}` is encrypted, and there is no key")]
    KeyNeeded {
        /// Its name.
        member: String,
    },
    /// A key or certificate file cannot be used.
    #[error("unusable key: {0}")]
    Key(String),
    /// A PKCS #11 token cannot be used.
    #[error("token: {0}")]
    Token(String),
    /// What was to be put in a bundle does not fit.
    #[error("cannot make the bundle: `{what}`: {reason}")]
    Unwritable {
        /// The artifact or attribute.
        what: String,
        /// Why not.
        reason: String,
    },
}

impl Error {
    /// Why the bundle was not taken; none when the bundle is not to blame.
    pub fn refusal(&self) -> Option<Refusal> {
        Some(match self {
            Self::NotSigned => Refusal::NotSigned,
            Self::BadSignature { .. } | Self::Untrusted { .. } | Self::Purpose { .. } => {
                Refusal::WrongKey
            }
            Self::Expired { .. } => Refusal::Expired,
            Self::Truncated { .. } => Refusal::Truncated,
            Self::Digest { .. } | Self::Checksum { .. } => Refusal::HashMismatch,
            Self::Missing { .. } => Refusal::Incomplete,
            Self::KeyNeeded { .. } => Refusal::Encrypted,
            Self::Decode { action, .. } if *action == "decrypted" => Refusal::Encrypted,
            Self::Archive(bedstone_disk::Error::Malformed { .. })
            | Self::Decode { .. }
            | Self::NoDescription { .. }
            | Self::Member { .. }
            | Self::Signature(_)
            | Self::Syntax { .. }
            | Self::Description { .. } => Refusal::Malformed,
            Self::Io { .. }
            | Self::Input(_)
            | Self::Output(_)
            | Self::Archive(_)
            | Self::Key(_)
            | Self::Token(_)
            | Self::Unwritable { .. } => return None,
        })
    }

    /// The error behind a failed read of a member: what the reader of this crate put there, or the input's own.
    pub fn from_read(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(own) => own,
            Err(error) => Self::Input(error),
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

/// Lets a reader hand an error of this crate through `std::io::Read`; [`Error::from_read`] takes it out again.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Input(error) => error,
            other => Self::new(io::ErrorKind::InvalidData, other),
        }
    }
}

/// The result of an operation on bundles.
pub type Result<T, E = Error> = std::result::Result<T, E>;
