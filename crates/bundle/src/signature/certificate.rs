//! X.509 certificates (RFC 5280) as far as the signatures of bundles need them.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1,
    SECP_384_R_1, SHA_256_WITH_RSA_ENCRYPTION, SHA_384_WITH_RSA_ENCRYPTION,
    SHA_512_WITH_RSA_ENCRYPTION,
};
use der::{Decode, DecodePem, Encode};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    UnparsedPublicKey, VerificationAlgorithm,
};
use x509_cert::Certificate;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages};

use crate::error::{Error, Result};

/// What a signer's certificate says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// Subject (RFC 4514).
    pub subject: String,
    /// Issuer (RFC 4514).
    pub issuer: String,
    /// SHA-256 of the certificate in DER.
    pub fingerprint: bedstone_store::Digest,
    /// First moment of validity, RFC 3339.
    pub not_before: String,
    /// Last moment of validity, RFC 3339.
    pub not_after: String,
}

/// The hash functions that signatures use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// Reads one certificate, PEM or DER.
pub(super) fn parse(bytes: &[u8]) -> Result<Certificate> {
    if is_pem(bytes) {
        Certificate::from_pem(bytes)
    } else {
        Certificate::from_der(bytes)
    }
    .map_err(|error| Error::Key(format!("certificate: {error}")))
}

/// Reads all certificates of a PEM file, or one in DER.
pub(super) fn parse_all(bytes: &[u8]) -> Result<Vec<Certificate>> {
    if !is_pem(bytes) {
        return Ok(vec![parse(bytes)?]);
    }
    Certificate::load_pem_chain(bytes).map_err(|error| Error::Key(format!("certificates: {error}")))
}

pub(super) fn is_pem(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"-----BEGIN ")
}

/// The subject, without control characters: messages reach terminals.
pub(super) fn subject(certificate: &Certificate) -> String {
    printable(&certificate.tbs_certificate.subject)
}

fn printable(name: &x509_cert::name::Name) -> String {
    name.to_string().replace(char::is_control, "\u{fffd}")
}

pub(super) fn names(certificate: &Certificate) -> Result<Names> {
    let der = certificate
        .to_der()
        .map_err(|error| Error::Signature(format!("certificate: {error}")))?;
    let validity = &certificate.tbs_certificate.validity;
    Ok(Names {
        subject: subject(certificate),
        issuer: printable(&certificate.tbs_certificate.issuer),
        fingerprint: bedstone_store::Digest::of(&der),
        not_before: validity.not_before.to_date_time().to_string(),
        not_after: validity.not_after.to_date_time().to_string(),
    })
}

/// The way to verify with the certificate's key: by the signature algorithm, which may leave the hash to `hash`.
fn algorithm(
    certificate: &Certificate,
    signature: ObjectIdentifier,
    hash: Option<Hash>,
) -> Option<&'static dyn VerificationAlgorithm> {
    let key = &certificate
        .tbs_certificate
        .subject_public_key_info
        .algorithm;
    if key.oid == RSA_ENCRYPTION {
        let hash = match signature {
            RSA_ENCRYPTION => hash?,
            SHA_256_WITH_RSA_ENCRYPTION => Hash::Sha256,
            SHA_384_WITH_RSA_ENCRYPTION => Hash::Sha384,
            SHA_512_WITH_RSA_ENCRYPTION => Hash::Sha512,
            _ => return None,
        };
        return Some(match hash {
            Hash::Sha256 => &RSA_PKCS1_2048_8192_SHA256,
            Hash::Sha384 => &RSA_PKCS1_2048_8192_SHA384,
            Hash::Sha512 => &RSA_PKCS1_2048_8192_SHA512,
        });
    }
    if key.oid != ID_EC_PUBLIC_KEY {
        return None;
    }
    let curve: ObjectIdentifier = key.parameters.as_ref()?.decode_as().ok()?;
    match (curve, signature) {
        (SECP_256_R_1, ECDSA_WITH_SHA_256) => Some(&ECDSA_P256_SHA256_ASN1),
        (SECP_256_R_1, ECDSA_WITH_SHA_384) => Some(&ECDSA_P256_SHA384_ASN1),
        (SECP_384_R_1, ECDSA_WITH_SHA_256) => Some(&ECDSA_P384_SHA256_ASN1),
        (SECP_384_R_1, ECDSA_WITH_SHA_384) => Some(&ECDSA_P384_SHA384_ASN1),
        _ => None,
    }
}

/// Whether the certificate's key made `signature` over `message`.
///
/// Fails when the algorithm is none of the supported ones.
pub(super) fn verifies(
    certificate: &Certificate,
    oid: ObjectIdentifier,
    hash: Option<Hash>,
    message: &[u8],
    signature: &[u8],
) -> Result<bool> {
    let Some(algorithm) = algorithm(certificate, oid, hash) else {
        return Err(Error::Signature(format!(
            "algorithm {oid} with the key of `{}` is not supported",
            subject(certificate)
        )));
    };
    let info = &certificate.tbs_certificate.subject_public_key_info;
    let key = UnparsedPublicKey::new(algorithm, info.subject_public_key.raw_bytes());
    Ok(key.verify(message, signature).is_ok())
}

/// Whether `issuer` issued `certificate`: its name, its signature.
pub(super) fn issued_by(certificate: &Certificate, issuer: &Certificate) -> Result<bool> {
    if certificate.tbs_certificate.issuer != issuer.tbs_certificate.subject {
        return Ok(false);
    }
    let message = certificate
        .tbs_certificate
        .to_der()
        .map_err(|error| Error::Signature(format!("certificate: {error}")))?;
    verifies(
        issuer,
        certificate.signature_algorithm.oid,
        None,
        &message,
        certificate.signature.raw_bytes(),
    )
}

/// The extensions that decide what a certificate may do.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub(super) basic: Option<BasicConstraints>,
    pub(super) usage: Option<KeyUsage>,
    pub(super) extended: Option<ExtendedKeyUsage>,
}

impl Extensions {
    /// Reads them. A critical extension that is not among them is an error, as RFC 5280 §4.2 demands.
    pub(super) fn of(certificate: &Certificate) -> Result<Self> {
        use const_oid::AssociatedOid as _;
        let broken =
            |error: der::Error| Error::Signature(format!("certificate's extension: {error}"));
        let mut found = Self::default();
        let extensions = certificate.tbs_certificate.extensions.iter().flatten();
        for extension in extensions {
            let value = extension.extn_value.as_bytes();
            match extension.extn_id {
                BasicConstraints::OID => {
                    found.basic = Some(BasicConstraints::from_der(value).map_err(broken)?);
                }
                KeyUsage::OID => found.usage = Some(KeyUsage::from_der(value).map_err(broken)?),
                ExtendedKeyUsage::OID => {
                    found.extended = Some(ExtendedKeyUsage::from_der(value).map_err(broken)?);
                }
                _ if extension.critical => {
                    return Err(Error::Purpose {
                        subject: subject(certificate),
                        reason: "has a critical extension that is not known here",
                    });
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// Whether the key may be used in this way; without the extension it may.
    pub(super) fn allows(&self, usage: KeyUsages) -> bool {
        self.usage
            .as_ref()
            .is_none_or(|found| found.0.contains(usage))
    }
}
