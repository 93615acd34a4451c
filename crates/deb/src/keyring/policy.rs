//! When a signature counts: the rules that `rpgp` leaves to its users.
//!
//! | what | rule |
//! |---|---|
//! | hash, of data and of bindings alike | SHA-256, -384, -512, SHA3-256, -512; nothing weaker, whatever its date: a forger chooses the date |
//! | public key | RSA from 2048 bits, ECDSA on P-256, -384, -521, Ed25519, Ed448 |
//! | signature | version 4 or 6, creation time present, hashed and not in the future, not expired, no critical subpacket that is not understood |
//! | certificate | newest valid self-signature on the key or on a user id that is not revoked; no revocation at all, whatever its reason and date |
//! | subkey | newest valid binding by the primary key, a back signature of its own, no revocation |
//! | signing key | allowed to sign; it and its primary key neither expired now nor at the time of the signature, nor younger than it |

use jiff::Timestamp;
use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    KeyFlags, Signature, SignatureType, SignatureVersion, SubpacketData, SubpacketType,
};
use pgp::ser::Serialize;
use pgp::types::{EcdsaPublicParams, KeyDetails, PublicParams, Tag};

use super::SignatureDefect as Defect;

/// How far clocks may differ, in seconds; apt's `Acquire::Max-FutureTime`.
pub(crate) const FUTURE_SLACK: i64 = 10;

/// The key of a certificate that made a signature.
#[derive(Debug, Clone, Copy)]
pub(super) enum Key<'a> {
    Primary,
    Subkey(&'a SignedPublicSubKey),
}

/// Checks the certificate, the key in it that signed, and the signature, all but its mathematics. Returns when the
/// signature was made.
pub(super) fn check(
    certificate: &SignedPublicKey,
    key: Key<'_>,
    signature: &Signature,
    now: Timestamp,
) -> Result<Timestamp, Defect> {
    let now = now.as_second();
    let made = acceptable(signature, now)?;
    let primary = &certificate.primary_key;
    strong(primary.public_params())?;
    let own = self_signature(certificate, now)?;
    let life = Life::of(primary, own.lifetime);
    life.covers(made, now)?;
    let flags = match key {
        Key::Primary => own.flags,
        Key::Subkey(subkey) => {
            strong(subkey.key.public_params())?;
            let binding = subkey_binding(certificate, subkey, now)?;
            Life::of(&subkey.key, binding.lifetime).covers(made, now)?;
            binding.flags
        }
    };
    if !flags.sign() {
        return Err(Defect::NotForSigning);
    }
    Timestamp::from_second(made).map_err(|_| Defect::NoCreationTime)
}

/// What a self-signature or binding says of its key.
#[derive(Debug)]
struct Statement {
    made: i64,
    flags: KeyFlags,
    /// Seconds from the key's creation to its expiry.
    lifetime: Option<u32>,
}

impl Statement {
    fn of(signature: &Signature, made: i64) -> Self {
        Self {
            made,
            flags: signature.key_flags(),
            lifetime: signature
                .key_expiration_time()
                .map(pgp::types::Duration::as_secs)
                .filter(|&seconds| seconds != 0),
        }
    }
}

/// From when to when a key may be used, in seconds since the epoch.
#[derive(Debug)]
struct Life {
    begin: i64,
    end: Option<i64>,
}

impl Life {
    fn of(key: &impl KeyDetails, lifetime: Option<u32>) -> Self {
        let begin = i64::from(key.created_at().as_secs());
        Self {
            begin,
            end: lifetime.map(|seconds| begin + i64::from(seconds)),
        }
    }

    fn covers(&self, made: i64, now: i64) -> Result<(), Defect> {
        if made < self.begin {
            return Err(Defect::OlderThanKey);
        }
        match self.end {
            Some(end) if end <= now || end <= made => Err(Defect::KeyExpired(
                Timestamp::from_second(end).unwrap_or(Timestamp::MAX),
            )),
            _ => Ok(()),
        }
    }
}

/// The newest of the signatures that the primary key made about itself.
fn self_signature(certificate: &SignedPublicKey, now: i64) -> Result<Statement, Defect> {
    let primary = &certificate.primary_key;
    let details = &certificate.details;
    // A weak hash does not make a revocation void.
    if details
        .revocation_signatures
        .iter()
        .any(|signature| signature.verify_key(primary).is_ok())
    {
        return Err(Defect::Revoked);
    }
    let mut newest = Newest::default();
    for signature in &details.direct_signatures {
        if signature.typ() == Some(SignatureType::Key) && signature.verify_key(primary).is_ok() {
            newest.consider(signature, now);
        }
    }
    for user in &details.users {
        let valid = |signature: &&Signature| {
            signature
                .verify_certification(primary, Tag::UserId, &user.id)
                .is_ok()
        };
        let (revocations, certifications): (Vec<_>, Vec<_>) = user
            .signatures
            .iter()
            .filter(valid)
            .partition(|signature| signature.typ() == Some(SignatureType::CertRevocation));
        let revoked = revocations.iter().filter_map(|it| it.created()).max();
        for signature in certifications {
            if revoked.is_none_or(|revoked| signature.created() > Some(revoked)) {
                newest.consider(signature, now);
            }
        }
    }
    newest
        .result
        .ok_or(newest.defect.unwrap_or(Defect::NoSelfSignature))
}

/// The newest binding of a subkey to its primary key.
fn subkey_binding(
    certificate: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    now: i64,
) -> Result<Statement, Defect> {
    let primary = &certificate.primary_key;
    let mut newest = Newest::default();
    for signature in &subkey.signatures {
        if signature
            .verify_subkey_binding(primary, &subkey.key)
            .is_err()
        {
            continue;
        }
        if signature.typ() == Some(SignatureType::SubkeyRevocation) {
            return Err(Defect::Revoked);
        }
        // A key that does not agree to belong to this certificate must not sign for it.
        if signature.key_flags().sign() {
            let agreed = signature
                .embedded_signature()
                .ok_or(Defect::NoBackSignature)
                .and_then(|back| {
                    back.verify_primary_key_binding(&subkey.key, primary)
                        .map_err(|_| Defect::NoBackSignature)?;
                    acceptable(back, now)
                });
            if let Err(defect) = agreed {
                newest.defect = Some(defect);
                continue;
            }
        }
        newest.consider(signature, now);
    }
    newest
        .result
        .ok_or(newest.defect.unwrap_or(Defect::NotBound))
}

/// Keeps the newest acceptable statement, and why another one was not acceptable.
#[derive(Debug, Default)]
struct Newest {
    result: Option<Statement>,
    defect: Option<Defect>,
}

impl Newest {
    fn consider(&mut self, signature: &Signature, now: i64) {
        match acceptable(signature, now) {
            Ok(made) => {
                if self.result.as_ref().is_none_or(|newest| newest.made < made) {
                    self.result = Some(Statement::of(signature, made));
                }
            }
            Err(defect) => self.defect = Some(defect),
        }
    }
}

/// Checks what holds for signatures of every kind; returns when it was made, in seconds since the epoch.
fn acceptable(signature: &Signature, now: i64) -> Result<i64, Defect> {
    if !matches!(
        signature.version(),
        SignatureVersion::V4 | SignatureVersion::V6
    ) {
        return Err(Defect::Version);
    }
    match signature.hash_alg() {
        Some(
            HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha3_256
            | HashAlgorithm::Sha3_512,
        ) => {}
        Some(other) => return Err(Defect::WeakHash(other.to_string())),
        None => return Err(Defect::WeakHash("no hash".to_owned())),
    }
    let unknown = signature.config().is_none_or(|config| {
        config.hashed_subpackets().any(|subpacket| {
            subpacket.is_critical
                && (matches!(
                    subpacket.typ(),
                    SubpacketType::Other(_) | SubpacketType::Experimental(_)
                ) || matches!(subpacket.data, SubpacketData::Notation(_)))
        })
    });
    if unknown {
        return Err(Defect::CriticalSubpacket);
    }
    let made = signature
        .created()
        .map(|created| i64::from(created.as_secs()))
        .ok_or(Defect::NoCreationTime)?;
    if made > now + FUTURE_SLACK {
        return Err(Defect::FromTheFuture);
    }
    match signature.signature_expiration_time() {
        Some(seconds) if seconds.as_secs() != 0 && made + i64::from(seconds.as_secs()) <= now => {
            Err(Defect::Expired)
        }
        _ => Ok(made),
    }
}

fn strong(parameters: &PublicParams) -> Result<(), Defect> {
    match parameters {
        PublicParams::RSA(rsa) => {
            // The first number of the wire form is the modulus, and its first two bytes are its length in bits.
            let bytes = rsa.to_bytes().unwrap_or_default();
            let bits = bytes
                .first_chunk()
                .map_or(0, |length| u16::from_be_bytes(*length));
            if bits < 2048 {
                return Err(Defect::WeakKey(format!("RSA of {bits} bits")));
            }
            Ok(())
        }
        PublicParams::ECDSA(
            EcdsaPublicParams::P256 { .. }
            | EcdsaPublicParams::P384 { .. }
            | EcdsaPublicParams::P521 { .. },
        )
        | PublicParams::EdDSALegacy(_)
        | PublicParams::Ed25519(_)
        | PublicParams::Ed448(_) => Ok(()),
        PublicParams::DSA(_) => Err(Defect::WeakKey("DSA".to_owned())),
        _ => Err(Defect::WeakKey(
            "an algorithm that is not accepted".to_owned(),
        )),
    }
}
