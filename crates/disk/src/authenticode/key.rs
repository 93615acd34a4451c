use std::fmt;

use der::{Decode, DecodePem, Encode, EncodePem, SecretDocument};
use ring::rand::SystemRandom;
use ring::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use x509_cert::Certificate;

use crate::error::{Error, Result};

/// Whoever holds the private key of a certificate: a file, a token, a signing service.
pub trait Signer {
    /// The X.509 certificate (DER) of the key.
    fn certificate_der(&self) -> &[u8];

    /// Signs `message` with RSASSA-PKCS1-v1_5 over SHA-256 (RFC 8017 §8.2), the one scheme that every firmware knows.
    fn sign_sha256(&self, message: &[u8]) -> Result<Vec<u8>>;
}

/// An RSA key held in memory, of 2048 to 4096 bits.
pub struct RsaKey {
    pair: RsaKeyPair,
    certificate: Vec<u8>,
}

impl RsaKey {
    /// Takes an unencrypted PKCS #8 key and its X.509 certificate, each DER or PEM.
    pub fn new(pkcs8: &[u8], certificate: &[u8]) -> Result<Self> {
        let decoded = match std::str::from_utf8(pkcs8) {
            Ok(text) if is_pem(pkcs8) => match SecretDocument::from_pem(text) {
                Ok(("PRIVATE KEY", document)) => Some(document),
                Ok((label, _)) => {
                    return Err(Error::Key(format!(
                        "PEM holds `{label}`, an unencrypted PKCS #8 `PRIVATE KEY` is needed"
                    )));
                }
                Err(error) => return Err(Error::Key(format!("private key: {error}"))),
            },
            _ => None,
        };
        let der = decoded.as_ref().map_or(pkcs8, SecretDocument::as_bytes);
        let pair = RsaKeyPair::from_pkcs8(der)
            .map_err(|reason| Error::Key(format!("RSA private key: {reason}")))?;
        let certificate = if is_pem(certificate) {
            Certificate::from_pem(certificate)
        } else {
            Certificate::from_der(certificate)
        }
        .map_err(|error| Error::Key(format!("certificate: {error}")))?;
        let info = &certificate.tbs_certificate.subject_public_key_info;
        if info.subject_public_key.raw_bytes() != pair.public_key().as_ref() {
            return Err(Error::Key(format!(
                "certificate of `{}` belongs to another key",
                certificate.tbs_certificate.subject
            )));
        }
        let certificate = certificate
            .to_der()
            .map_err(|error| Error::Key(format!("certificate: {error}")))?;
        Ok(Self { pair, certificate })
    }
}

impl Signer for RsaKey {
    fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    fn sign_sha256(&self, message: &[u8]) -> Result<Vec<u8>> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        // Randomness only blinds the computation against timing; the signature does not depend on it.
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message,
                &mut signature,
            )
            .map_err(|_| Error::Key("RSA signing failed".to_owned()))?;
        Ok(signature)
    }
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RsaKey").finish_non_exhaustive()
    }
}

/// A certificate (DER) in PEM form (RFC 7468).
pub fn certificate_pem(certificate: &[u8]) -> Result<String> {
    Certificate::from_der(certificate)
        .and_then(|certificate| certificate.to_pem(der::pem::LineEnding::LF))
        .map_err(|error| Error::Key(format!("certificate: {error}")))
}

fn is_pem(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"-----BEGIN ")
}
