//! Keyrings, and what it takes for a signature to be trusted. The rules stand at the head of `keyring/policy.rs`.

mod packets;
pub(crate) mod policy;
#[cfg(test)]
mod tests;

use std::fmt;

use jiff::Timestamp;
use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::packet::{Signature, SignatureType};
use pgp::types::{Fingerprint, KeyDetails};

use crate::error::{Error, Result};
use policy::Key;

/// Why one signature is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureDefect {
    /// No certificate of the keyring has the key.
    #[error("the key is not in the keyring")]
    UnknownKey,
    /// The signature is not about this text.
    #[error("the signature does not fit the text: one of them was altered")]
    Bad,
    /// The key had, or has, passed its end.
    #[error("the key expired on {0}")]
    KeyExpired(Timestamp),
    /// The key or its primary key was revoked.
    #[error("the key was revoked")]
    Revoked,
    /// No signature of the primary key about itself can be accepted.
    #[error("the certificate has no valid self-signature")]
    NoSelfSignature,
    /// No signature of the primary key binds the subkey.
    #[error("the subkey is not bound to its certificate")]
    NotBound,
    /// The subkey did not sign that it belongs to the certificate.
    #[error("the subkey has no valid back signature")]
    NoBackSignature,
    /// The key flags do not allow it.
    #[error("the key is not for signing")]
    NotForSigning,
    /// The hash is not collision resistant.
    #[error("{0} is not accepted as a hash, only SHA-256 and stronger")]
    WeakHash(String),
    /// The key can be broken, or was never used by Debian.
    #[error("{0} is not accepted as a key")]
    WeakKey(String),
    /// Only versions 4 and 6 are.
    #[error("the version of the signature is not accepted")]
    Version,
    /// The signer demands something that is not understood.
    #[error("the signature has a critical part that is not understood")]
    CriticalSubpacket,
    /// The creation time is missing.
    #[error("the signature does not say when it was made")]
    NoCreationTime,
    /// The creation time is later than now.
    #[error("the signature was made in the future; is the clock right?")]
    FromTheFuture,
    /// The signature carries an expiry of its own that has passed.
    #[error("the signature expired")]
    Expired,
    /// The signature was made before its key.
    #[error("the signature is older than its key")]
    OlderThanKey,
    /// The kind of signature is not the one for documents.
    #[error("the signature is not one over a document")]
    WrongType,
}

/// One signature that is not trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedSignature {
    /// Fingerprint or key id that the signature names, in upper-case hexadecimal digits.
    pub issuer: String,
    /// Why.
    pub defect: SignatureDefect,
}

impl fmt::Display for RefusedSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key `{}`: {}", self.issuer, self.defect)
    }
}

/// A key that signed, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// Fingerprint of the certificate's primary key, upper-case hexadecimal digits.
    pub certificate: String,
    /// Fingerprint of the key that signed: the primary key or a subkey.
    pub key: String,
    /// When.
    pub made: Timestamp,
}

/// Whether the text is that of a detached or of a cleartext signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Detached,
    /// Canonical: lines without trailing blanks, joined by CR LF.
    Cleartext,
}

/// OpenPGP signatures, parsed but not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signatures(Vec<Signature>);

impl Signatures {
    /// Parses detached signatures, binary or armoured. `what` names them in errors.
    pub fn parse(what: &str, bytes: &[u8]) -> Result<Self> {
        packets::signatures(bytes)
            .map(Self)
            .map_err(|reason| Error::OpenPgp {
                what: what.to_owned(),
                reason,
            })
    }
}

/// Certificates that may sign for a source.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    certificates: Vec<SignedPublicKey>,
    /// When not empty, only these may sign.
    only: Vec<String>,
}

impl Keyring {
    /// Parses keyring files, each binary (`.gpg`) or armoured (`.asc`), given as name and content.
    ///
    /// Fails when a file is no keyring, or when no certificate could be read at all.
    pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self> {
        let mut certificates = Vec::new();
        let mut names = Vec::new();
        for (name, bytes) in files {
            let parsed = packets::certificates(bytes).map_err(|reason| Error::OpenPgp {
                what: name.to_owned(),
                reason,
            })?;
            for certificate in parsed {
                merge(&mut certificates, certificate);
            }
            names.push(name);
        }
        if certificates.is_empty() {
            return Err(Error::OpenPgp {
                what: names.join("`, `"),
                reason: "holds no certificate".to_owned(),
            });
        }
        Ok(Self {
            certificates,
            only: Vec::new(),
        })
    }

    /// Lets only these certificates sign: fingerprints of primary keys, which stand for their subkeys too, or of
    /// single subkeys, in hexadecimal digits of either case (sources.list(5), `Signed-By`).
    #[must_use]
    pub fn restricted(mut self, fingerprints: &[String]) -> Self {
        let upper = |text: &String| text.trim_end_matches('!').to_uppercase();
        self.only = fingerprints.iter().map(upper).collect();
        self
    }

    /// Verifies a detached signature over `data` as of `now`. `what` names the data in errors.
    ///
    /// As apt has it: one trusted signature is enough, others may be of unknown or expired keys; but a signature by a
    /// known key that does not fit the data is refused whatever the others say.
    pub fn verify(
        &self,
        what: &str,
        data: &[u8],
        signatures: &Signatures,
        now: Timestamp,
    ) -> Result<Vec<Signer>> {
        self.verify_form(what, data, signatures, now, Form::Detached)
    }

    pub(crate) fn verify_form(
        &self,
        what: &str,
        data: &[u8],
        signatures: &Signatures,
        now: Timestamp,
        form: Form,
    ) -> Result<Vec<Signer>> {
        let mut signers = Vec::new();
        let mut refused = Vec::new();
        for signature in &signatures.0 {
            match self.verify_one(data, signature, now, form) {
                Ok(signer) => signers.push(signer),
                Err(defect) => refused.push(RefusedSignature {
                    issuer: issuer(signature),
                    defect,
                }),
            }
        }
        let bad = refused.iter().any(|it| it.defect == SignatureDefect::Bad);
        if signers.is_empty() || bad {
            return Err(Error::Untrusted {
                what: what.to_owned(),
                refused,
            });
        }
        Ok(signers)
    }

    fn verify_one(
        &self,
        data: &[u8],
        signature: &Signature,
        now: Timestamp,
        form: Form,
    ) -> Result<Signer, SignatureDefect> {
        match (signature.typ(), form) {
            (Some(SignatureType::Text), _) | (Some(SignatureType::Binary), Form::Detached) => {}
            _ => return Err(SignatureDefect::WrongType),
        }
        let mut defect = SignatureDefect::UnknownKey;
        for certificate in &self.certificates {
            let primary = &certificate.primary_key;
            let subkeys = certificate.public_subkeys.iter();
            let candidates = std::iter::once((Key::Primary, primary.fingerprint()))
                .chain(subkeys.map(|it| (Key::Subkey(it), it.key.fingerprint())));
            for (key, fingerprint) in candidates {
                let named = match key {
                    Key::Primary => names(signature, primary),
                    Key::Subkey(it) => names(signature, &it.key),
                };
                if !named || !self.allows(&primary.fingerprint(), &fingerprint) {
                    continue;
                }
                let fits = match key {
                    Key::Primary => signature.verify(primary, data),
                    Key::Subkey(it) => signature.verify(&it.key, data),
                };
                if fits.is_err() {
                    defect = SignatureDefect::Bad;
                    continue;
                }
                match policy::check(certificate, key, signature, now) {
                    Ok(made) => {
                        return Ok(Signer {
                            certificate: hex(primary.fingerprint().as_bytes()),
                            key: hex(fingerprint.as_bytes()),
                            made,
                        });
                    }
                    Err(reason) => defect = reason,
                }
            }
        }
        Err(defect)
    }

    fn allows(&self, primary: &Fingerprint, key: &Fingerprint) -> bool {
        self.only.is_empty()
            || [primary, key]
                .iter()
                .any(|it| self.only.contains(&hex(it.as_bytes())))
    }
}

/// Adds a certificate; what is known of the same one is joined, so that a revocation in one file counts in all.
fn merge(certificates: &mut Vec<SignedPublicKey>, new: SignedPublicKey) {
    let known = certificates
        .iter_mut()
        .find(|it| it.primary_key.fingerprint() == new.primary_key.fingerprint());
    let Some(known) = known else {
        certificates.push(new);
        return;
    };
    let details = &mut known.details;
    details
        .revocation_signatures
        .extend(new.details.revocation_signatures);
    details
        .direct_signatures
        .extend(new.details.direct_signatures);
    for user in new.details.users {
        match details.users.iter_mut().find(|it| it.id == user.id) {
            Some(known) => known.signatures.extend(user.signatures),
            None => details.users.push(user),
        }
    }
    for subkey in new.public_subkeys {
        let same = |it: &&mut SignedPublicSubKey| it.key.fingerprint() == subkey.key.fingerprint();
        match known.public_subkeys.iter_mut().find(same) {
            Some(known) => known.signatures.extend(subkey.signatures),
            None => known.public_subkeys.push(subkey),
        }
    }
}

/// Whether the signature says that this key made it.
fn names(signature: &Signature, key: &impl KeyDetails) -> bool {
    let fingerprints = signature.issuer_fingerprint();
    if fingerprints.is_empty() {
        signature.issuer_key_id().contains(&&key.legacy_key_id())
    } else {
        fingerprints.contains(&&key.fingerprint())
    }
}

fn issuer(signature: &Signature) -> String {
    if let Some(fingerprint) = signature.issuer_fingerprint().first() {
        return hex(fingerprint.as_bytes());
    }
    match signature.issuer_key_id().first() {
        Some(id) => hex(id.as_ref()),
        None => "unnamed".to_owned(),
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}
