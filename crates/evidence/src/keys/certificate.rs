//! Self-signed X.509 certificates (RFC 5280) that follow from their key alone.

use bedstone_store::Digest;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc4519::{CN, OU};
use const_oid::db::rfc5280::{ID_KP_CODE_SIGNING, ID_KP_EMAIL_PROTECTION};
use const_oid::db::rfc5912::{RSA_ENCRYPTION, SHA_256_WITH_RSA_ENCRYPTION};
use der::asn1::{BitString, OctetString, SetOfVec, UtcTime, Utf8StringRef};
use der::oid::AssociatedOid;
use der::{Any, AnyRef, DateTime, Encode};
use ring::rand::SystemRandom;
use ring::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::certificate::{CertificateInner, TbsCertificateInner, Version};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectKeyIdentifier,
};
use x509_cert::name::{RdnSequence, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::{Time, Validity};

use crate::error::{Error, Result};

/// What a certificate may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To issue and to sign, without saying so: what firmware expects of its own.
    Authority,
    /// To sign bundles: digital signatures, for e-mail protection and code signing, which SWUpdate asks for.
    Signing,
}

/// The certificate (DER) of an RSA key (PKCS #8, DER), valid from 2024 through 2049.
///
/// Its serial number is taken from the digest of the public key and it names no other time or random value, so the same
/// key always gives the same certificate.
pub(super) fn self_signed(
    pkcs8: &[u8],
    common_name: &str,
    unit: &str,
    purpose: Purpose,
) -> Result<Vec<u8>> {
    let pair = RsaKeyPair::from_pkcs8(pkcs8)
        .map_err(|reason| Error::Key(format!("RSA private key: {reason}")))?;
    let tbs =
        to_be_signed(pair.public_key().as_ref(), common_name, unit, purpose).map_err(malformed)?;
    let message = tbs.to_der().map_err(malformed)?;
    let mut signature = vec![0; pair.public().modulus_len()];
    // Randomness only blinds the computation against timing.
    pair.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        &message,
        &mut signature,
    )
    .map_err(|_| Error::Key("RSA signing failed".to_owned()))?;
    let signed = || {
        CertificateInner {
            signature_algorithm: tbs.signature.clone(),
            signature: BitString::from_bytes(&signature)?,
            tbs_certificate: tbs,
        }
        .to_der()
    };
    signed().map_err(malformed)
}

fn to_be_signed(
    public_key: &[u8],
    common_name: &str,
    unit: &str,
    purpose: Purpose,
) -> der::Result<TbsCertificateInner> {
    let key = SubjectPublicKeyInfoOwned {
        algorithm: with_null(RSA_ENCRYPTION),
        subject_public_key: BitString::from_bytes(public_key)?,
    };
    let digest = Digest::of(&key.to_der()?);
    let mut serial = [0; 16];
    serial.copy_from_slice(&digest.as_bytes()[..16]);
    // Positive, and of the same length for every key.
    serial[0] = serial[0] & 0x3f | 0x40;
    let name = RdnSequence(vec![attribute(OU, unit)?, attribute(CN, common_name)?]);
    Ok(TbsCertificateInner {
        version: Version::V3,
        serial_number: SerialNumber::new(&serial)?,
        signature: with_null(SHA_256_WITH_RSA_ENCRYPTION),
        issuer: name.clone(),
        validity: Validity {
            not_before: instant(DateTime::new(2024, 1, 1, 0, 0, 0)?)?,
            not_after: instant(DateTime::new(2049, 12, 31, 23, 59, 59)?)?,
        },
        subject: name,
        subject_public_key_info: key,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(extensions(&digest, purpose)?),
    })
}

fn extensions(key: &Digest, purpose: Purpose) -> der::Result<Vec<Extension>> {
    let mut extensions = vec![
        extension(
            true,
            &BasicConstraints {
                ca: purpose == Purpose::Authority,
                path_len_constraint: None,
            },
        )?,
        extension(
            false,
            &SubjectKeyIdentifier(OctetString::new(&key.as_bytes()[..20])?),
        )?,
    ];
    if purpose == Purpose::Signing {
        let usage = KeyUsage(KeyUsages::DigitalSignature.into());
        let extended = ExtendedKeyUsage(vec![ID_KP_EMAIL_PROTECTION, ID_KP_CODE_SIGNING]);
        extensions.push(extension(true, &usage)?);
        extensions.push(extension(false, &extended)?);
    }
    Ok(extensions)
}

fn extension<T: AssociatedOid + Encode>(critical: bool, value: &T) -> der::Result<Extension> {
    Ok(Extension {
        extn_id: T::OID,
        critical,
        extn_value: OctetString::new(value.to_der()?)?,
    })
}

fn attribute(oid: ObjectIdentifier, text: &str) -> der::Result<RelativeDistinguishedName> {
    let value = Any::encode_from(&Utf8StringRef::new(text)?)?;
    Ok(RelativeDistinguishedName(SetOfVec::from_iter([
        AttributeTypeAndValue { oid, value },
    ])?))
}

fn instant(time: DateTime) -> der::Result<Time> {
    Ok(Time::UtcTime(UtcTime::from_date_time(time)?))
}

fn with_null(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid,
        parameters: Some(AnyRef::NULL.into()),
    }
}

fn malformed(error: der::Error) -> Error {
    Error::Key(format!("certificate: {error}"))
}
