use std::fmt;

use bedstone_store::Digest;
use der::pem::{self, LineEnding};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, UnparsedPublicKey,
};

use crate::error::{Error, Result};

const PRIVATE_KEY: &str = "PRIVATE KEY";
const PUBLIC_KEY: &str = "PUBLIC KEY";
/// PKCS #8 v1 `PrivateKeyInfo` of an Ed25519 key up to its 32-byte seed (RFC 8410 §7).
const ED25519_PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// `SubjectPublicKeyInfo` of an Ed25519 key up to its 32 bytes (RFC 8410 §4).
const ED25519_SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// `SubjectPublicKeyInfo` of a P-256 key up to its uncompressed point of 65 bytes (RFC 5480).
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Whoever holds a private key: a file, a token, a signing service.
pub trait Signer {
    /// The key that verifies what this one signs.
    fn verifying_key(&self) -> VerifyingKey;

    /// Signs `message`: Ed25519 (RFC 8032) or ECDSA P-256 with SHA-256, DER encoded, as the verifying key's kind says.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>>;
}

/// A public key of one of the two kinds that evidence is signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    spki: Vec<u8>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ed25519,
    EcdsaP256,
}

impl VerifyingKey {
    /// Takes a `SubjectPublicKeyInfo` (RFC 5280), DER.
    pub fn from_spki(spki: &[u8]) -> Result<Self> {
        let kind = if spki.starts_with(&ED25519_SPKI) && spki.len() == ED25519_SPKI.len() + 32 {
            Kind::Ed25519
        } else if spki.starts_with(&P256_SPKI) && spki.len() == P256_SPKI.len() + 65 {
            Kind::EcdsaP256
        } else {
            return Err(Error::Key(
                "public key is neither Ed25519 nor ECDSA P-256".to_owned(),
            ));
        };
        Ok(Self {
            spki: spki.to_vec(),
            kind,
        })
    }

    /// Takes a PEM file with a `PUBLIC KEY`.
    pub fn from_pem(text: &[u8]) -> Result<Self> {
        Self::from_spki(&decode_pem(PUBLIC_KEY, text)?)
    }

    /// The key as a PEM file, as `openssl pkey -pubout` writes it.
    pub fn to_pem(&self) -> Result<String> {
        encode_pem(PUBLIC_KEY, &self.spki)
    }

    /// The `SubjectPublicKeyInfo`, DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The name of the key in envelopes: the SHA-256 of its `SubjectPublicKeyInfo`.
    pub fn id(&self) -> String {
        Digest::of(&self.spki).to_string()
    }

    /// Whether `signature` over `message` is by this key.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.kind {
            Kind::Ed25519 => UnparsedPublicKey::new(&ED25519, &self.spki[ED25519_SPKI.len()..])
                .verify(message, signature),
            Kind::EcdsaP256 => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.spki[P256_SPKI.len()..])
                    .verify(message, signature)
            }
        }
        .is_ok()
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.id())
    }
}

/// A private key held in memory.
///
/// Ed25519 is the one to choose: its signatures are deterministic, so equal statements give equal envelopes.
pub struct FileKey(Pair);

enum Pair {
    Ed25519(Ed25519KeyPair),
    EcdsaP256(EcdsaKeyPair),
}

impl FileKey {
    /// Takes an unencrypted PKCS #8 key (`BEGIN PRIVATE KEY`), PEM or DER.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self> {
        let decoded;
        let der = if bytes.trim_ascii_start().starts_with(b"-----BEGIN ") {
            decoded = decode_pem(PRIVATE_KEY, bytes)?;
            &decoded
        } else {
            bytes
        };
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Ok(Self(Pair::Ed25519(pair)));
        }
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der, &SystemRandom::new())
            .map(|pair| Self(Pair::EcdsaP256(pair)))
            .map_err(|reason| {
                Error::Key(format!(
                    "private key is neither Ed25519 nor ECDSA P-256: {reason}"
                ))
            })
    }

    /// Makes a new Ed25519 key and returns it as a PEM file, which openssl reads too.
    pub(crate) fn generate_pem(random: &dyn SecureRandom) -> Result<String> {
        let mut der = [0; 48];
        der[..16].copy_from_slice(&ED25519_PKCS8);
        random
            .fill(&mut der[16..])
            .map_err(|_| Error::Key("no randomness".to_owned()))?;
        encode_pem(PRIVATE_KEY, &der)
    }
}

impl Signer for FileKey {
    fn verifying_key(&self) -> VerifyingKey {
        match &self.0 {
            Pair::Ed25519(pair) => VerifyingKey {
                spki: [&ED25519_SPKI, pair.public_key().as_ref()].concat(),
                kind: Kind::Ed25519,
            },
            Pair::EcdsaP256(pair) => VerifyingKey {
                spki: [&P256_SPKI, pair.public_key().as_ref()].concat(),
                kind: Kind::EcdsaP256,
            },
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        match &self.0 {
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::EcdsaP256(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| Error::Key("ECDSA signing failed".to_owned())),
        }
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileKey({})", self.verifying_key().id())
    }
}

pub(crate) fn encode_pem(label: &str, der: &[u8]) -> Result<String> {
    pem::encode_string(label, LineEnding::LF, der)
        .map_err(|error| Error::Key(format!("PEM: {error}")))
}

pub(crate) fn decode_pem(wanted: &str, text: &[u8]) -> Result<Vec<u8>> {
    match pem::decode_vec(text) {
        Ok((label, der)) if label == wanted => Ok(der),
        Ok((label, _)) => Err(Error::Key(format!(
            "PEM holds `{label}`, an unencrypted `{wanted}` is needed"
        ))),
        Err(error) => Err(Error::Key(format!("PEM: {error}"))),
    }
}
