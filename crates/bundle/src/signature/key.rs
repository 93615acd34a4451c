use std::fmt;

use const_oid::db::rfc5280::ID_KP_EMAIL_PROTECTION;
use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1};
use der::asn1::ObjectIdentifier;
use der::{Encode, SecretDocument};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use x509_cert::Certificate;
use x509_cert::ext::pkix::KeyUsages;

use super::certificate::{Extensions, is_pem, parse, subject};
use crate::error::{Error, Result};

/// Shortest RSA modulus, in bits: what NIST SP 800-57 asks for beyond 2030.
const RSA_BITS: usize = 3072;

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 §8.2): the same signature every time.
    RsaSha256,
    /// ECDSA on P-256 with SHA-256, DER encoded (RFC 3279 §2.2.3): another signature every time.
    EcdsaP256Sha256,
}

/// Whoever holds the private key of a certificate: a file, a token, a signing service.
pub trait Signer {
    /// The X.509 certificate (DER) of the key.
    fn certificate(&self) -> &[u8];

    /// How it signs.
    fn scheme(&self) -> Scheme;

    /// Signs `message`, which is hashed on the way.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>>;
}

/// A private key held in memory.
pub struct FileKey {
    pair: Pair,
    certificate: Vec<u8>,
}

enum Pair {
    Rsa(RsaKeyPair),
    EcdsaP256(EcdsaKeyPair),
}

impl FileKey {
    /// Takes an unencrypted PKCS #8 key and its certificate, each PEM or DER.
    ///
    /// Fails when they do not belong together, or when some SWUpdate would refuse what they sign: an RSA key below 3072
    /// bits, another curve than P-256, a certificate that is not for e-mail protection (what SWUpdate asks for unless told
    /// otherwise) or not for signatures.
    pub fn new(pkcs8: &[u8], certificate: &[u8]) -> Result<Self> {
        let certificate = parse(certificate)?;
        let scheme = suitable(&certificate)?;
        let decoded;
        let der = if is_pem(pkcs8) {
            decoded = pem(pkcs8)?;
            decoded.as_bytes()
        } else {
            pkcs8
        };
        let refuse =
            |reason: ring::error::KeyRejected| Error::Key(format!("private key: {reason}"));
        let pair = match scheme {
            Scheme::RsaSha256 => Pair::Rsa(RsaKeyPair::from_pkcs8(der).map_err(refuse)?),
            Scheme::EcdsaP256Sha256 => {
                let signing = &ECDSA_P256_SHA256_ASN1_SIGNING;
                let random = SystemRandom::new();
                Pair::EcdsaP256(EcdsaKeyPair::from_pkcs8(signing, der, &random).map_err(refuse)?)
            }
        };
        let public = match &pair {
            Pair::Rsa(pair) => pair.public_key().as_ref(),
            Pair::EcdsaP256(pair) => pair.public_key().as_ref(),
        };
        let info = &certificate.tbs_certificate.subject_public_key_info;
        if info.subject_public_key.raw_bytes() != public {
            return Err(Error::Key(format!(
                "certificate of `{}` belongs to another key",
                subject(&certificate)
            )));
        }
        let certificate = to_der(&certificate)?;
        Ok(Self { pair, certificate })
    }
}

impl Signer for FileKey {
    fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    fn scheme(&self) -> Scheme {
        match self.pair {
            Pair::Rsa(_) => Scheme::RsaSha256,
            Pair::EcdsaP256(_) => Scheme::EcdsaP256Sha256,
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let random = SystemRandom::new();
        let failed = |_| Error::Key("signing failed".to_owned());
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                // Randomness only blinds the computation against timing; the signature does not depend on it.
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
            Pair::EcdsaP256(pair) => Ok(pair
                .sign(&random, message)
                .map_err(failed)?
                .as_ref()
                .to_vec()),
        }
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileKey").finish_non_exhaustive()
    }
}

/// How the certificate's key signs, if every SWUpdate takes what it signs.
pub(super) fn suitable(certificate: &Certificate) -> Result<Scheme> {
    let refuse = |reason: String| {
        Err(Error::Key(format!(
            "certificate of `{}`: {reason}",
            subject(certificate)
        )))
    };
    let info = &certificate.tbs_certificate.subject_public_key_info;
    let parameters = info.algorithm.parameters.as_ref();
    let scheme = match info.algorithm.oid {
        RSA_ENCRYPTION => {
            let bits = modulus_bits(info.subject_public_key.raw_bytes());
            if bits < RSA_BITS {
                return refuse(format!(
                    "its RSA key has {bits} bits, {RSA_BITS} are needed"
                ));
            }
            Scheme::RsaSha256
        }
        ID_EC_PUBLIC_KEY
            if parameters
                .and_then(|any| any.decode_as::<ObjectIdentifier>().ok())
                .is_some_and(|curve| curve == SECP_256_R_1) =>
        {
            Scheme::EcdsaP256Sha256
        }
        _ => return refuse("its key is neither RSA nor ECDSA P-256".to_owned()),
    };
    let extensions = Extensions::of(certificate)?;
    if !extensions.allows(KeyUsages::DigitalSignature) {
        return refuse("its key usage lacks digitalSignature".to_owned());
    }
    if extensions
        .extended
        .is_some_and(|extended| !extended.0.contains(&ID_KP_EMAIL_PROTECTION))
    {
        return refuse(
            "its extended key usage lacks emailProtection, which SWUpdate asks for unless told otherwise"
                .to_owned(),
        );
    }
    Ok(scheme)
}

/// Bits of the modulus in an `RSAPublicKey` (RFC 8017 A.1.1); 0 when it is none.
fn modulus_bits(key: &[u8]) -> usize {
    use der::{Decode, Reader, SliceReader, asn1::UintRef};
    let modulus = SliceReader::new(key).and_then(|mut reader| {
        reader.sequence(|inner| {
            let modulus = UintRef::decode(inner)?;
            UintRef::decode(inner)?;
            Ok(modulus)
        })
    });
    modulus.map_or(0, |modulus| {
        let bytes = modulus.as_bytes();
        let zeros = bytes.first().map_or(0, |first| first.leading_zeros());
        bytes.len() * 8 - zeros as usize
    })
}

pub(super) fn to_der(certificate: &Certificate) -> Result<Vec<u8>> {
    certificate
        .to_der()
        .map_err(|error| Error::Key(format!("certificate: {error}")))
}

fn pem(bytes: &[u8]) -> Result<SecretDocument> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| Error::Key("private key: not text".to_owned()))?;
    match SecretDocument::from_pem(text) {
        Ok(("PRIVATE KEY", document)) => Ok(document),
        Ok((label, _)) => Err(Error::Key(format!(
            "PEM holds `{label}`, an unencrypted PKCS #8 `PRIVATE KEY` is needed"
        ))),
        Err(error) => Err(Error::Key(format!("private key: {error}"))),
    }
}
