use bedstone_store::Digest;

/// What can go wrong with disk, boot and signature formats.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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

/// The result of an operation on a disk, boot or signature format.
pub type Result<T, E = Error> = std::result::Result<T, E>;
