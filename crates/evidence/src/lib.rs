//! Evidence: signed statements about what was done to which digest.
//!
//! - [`Statement`], [`Descriptor`]: in-toto Statement v1, what is said about which artifacts.
//! - [`provenance`]: the SLSA v1 predicate, how an image was built and from what.
//! - [`Envelope`]: DSSE v1, a statement with its signatures; [`Verified`] is what came out of one.
//! - [`Signer`], [`FileKey`], [`VerifyingKey`]: Ed25519 and ECDSA P-256 keys, in files or elsewhere.
//! - [`keys`]: development keys, made on first use and marked as such.

mod dsse;
mod error;
pub mod keys;
pub mod provenance;
mod signer;
mod statement;

pub use dsse::{Envelope, IN_TOTO, Verified, pre_authentication_encoding};
pub use error::{Error, Result};
pub use signer::{FileKey, Signer, VerifyingKey};
pub use statement::{Descriptor, Predicate, Statement};
