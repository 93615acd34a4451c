//! The signature over `sw-description`: CMS signed data (RFC 5652), detached, DER.
//!
//! What [`sign`] makes is the subset that SWUpdate 2022.12, 2024.12 and 2026.05 all take: one signer with its certificate
//! and no other inside, SHA-256, RSA PKCS #1 v1.5 of 3072 bits or more, or ECDSA P-256; signed attributes without a time, so that an RSA
//! key gives equal bytes for equal input. What [`verify`] takes is wider: SHA-384 and SHA-512, P-384, no signed attributes,
//! the text enclosed, intermediate certificates.

mod certificate;
mod sign;
#[cfg(feature = "pkcs11")]
mod token;
mod trust;
mod verify;

mod key;

#[cfg(test)]
pub(crate) mod tests;

pub use certificate::Names;
pub use key::{FileKey, Scheme, Signer};
pub use sign::sign;
#[cfg(feature = "pkcs11")]
pub use token::{Token, TokenKey};
pub use trust::{Clock, Trust};
pub use verify::{inspect, verify};

/// Longest signature that is read, in bytes. One with a chain of certificates has some kilobytes.
pub const LIMIT: usize = 64 << 10;
