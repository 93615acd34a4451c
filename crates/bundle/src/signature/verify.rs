use cms::cert::CertificateChoices;
use cms::content_info::ContentInfo;
use cms::signed_data::{SignedData, SignerIdentifier, SignerInfo};
use const_oid::AssociatedOid as _;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911::{ID_CONTENT_TYPE, ID_DATA, ID_MESSAGE_DIGEST, ID_SIGNED_DATA};
use const_oid::db::rfc5912::{ID_SHA_256, ID_SHA_384, ID_SHA_512};
use der::asn1::{ObjectIdentifier as Oid, OctetStringRef};
use der::{Any, Decode, Encode};
use ring::digest;
use x509_cert::Certificate;
use x509_cert::attr::Attributes;
use x509_cert::ext::pkix::SubjectKeyIdentifier;

use super::Names;
use super::certificate::{Hash, names, subject, verifies};
use super::trust::Trust;
use crate::error::{Error, Result};

/// Checks that `signature` is over `message` by a signer that `trust` trusts, and says who that is.
pub fn verify(message: &[u8], signature: &[u8], trust: &Trust) -> Result<Names> {
    let data = parse(signature)?;
    let (signer, others) = check(message, &data)?;
    trust.check(signer, &others)?;
    names(signer)
}

/// Checks that the key of the certificate in `signature` made it over `message`, and says whose that claims to be.
///
/// Anyone can make such a signature. It is for showing a bundle to a person who has no certificate to hold it against.
pub fn inspect(message: &[u8], signature: &[u8]) -> Result<Names> {
    let data = parse(signature)?;
    let (signer, _) = check(message, &data)?;
    names(signer)
}

fn parse(bytes: &[u8]) -> Result<SignedData> {
    let info = ContentInfo::from_der(bytes).map_err(|error| malformed(&error))?;
    if info.content_type != ID_SIGNED_DATA {
        return Err(fault("it is not CMS signed data"));
    }
    let data: SignedData = info
        .content
        .decode_as()
        .map_err(|error| malformed(&error))?;
    if data.encap_content_info.econtent_type != ID_DATA {
        return Err(fault("its content type is not `data`"));
    }
    Ok(data)
}

/// Checks the mathematics, and returns the signer's certificate and the other ones.
fn check<'a>(
    message: &[u8],
    data: &'a SignedData,
) -> Result<(&'a Certificate, Vec<&'a Certificate>)> {
    let [info] = data.signer_infos.0.as_slice() else {
        return Err(fault("it has not exactly one signer"));
    };
    let (signer, others) = certificates(info, data)?;
    let refuse = || Error::BadSignature {
        subject: subject(signer),
    };
    if let Some(enclosed) = &data.encap_content_info.econtent {
        let enclosed: OctetStringRef<'_> =
            enclosed.decode_as().map_err(|error| malformed(&error))?;
        if enclosed.as_bytes() != message {
            return Err(refuse());
        }
    }
    let (hash, algorithm) = match info.digest_alg.oid {
        ID_SHA_256 => (Hash::Sha256, &digest::SHA256),
        ID_SHA_384 => (Hash::Sha384, &digest::SHA384),
        ID_SHA_512 => (Hash::Sha512, &digest::SHA512),
        other => return Err(fault(format!("digest algorithm {other} is not supported"))),
    };
    let signed = match &info.signed_attrs {
        None => message.to_vec(),
        Some(attributes) => {
            let content_type: Oid = value(attributes, ID_CONTENT_TYPE)?
                .decode_as()
                .map_err(|error| malformed(&error))?;
            let found = value(attributes, ID_MESSAGE_DIGEST)?;
            let found: OctetStringRef<'_> = found.decode_as().map_err(|error| malformed(&error))?;
            let expected = digest::digest(algorithm, message);
            if content_type != ID_DATA || found.as_bytes() != expected.as_ref() {
                return Err(refuse());
            }
            // The signature covers them as a SET, not with the tag they have here (RFC 5652 §5.4).
            attributes.to_der().map_err(|error| malformed(&error))?
        }
    };
    if verifies(
        signer,
        info.signature_algorithm.oid,
        Some(hash),
        &signed,
        info.signature.as_bytes(),
    )? {
        Ok((signer, others))
    } else {
        Err(refuse())
    }
}

fn certificates<'a>(
    info: &SignerInfo,
    data: &'a SignedData,
) -> Result<(&'a Certificate, Vec<&'a Certificate>)> {
    let (signers, others): (Vec<&Certificate>, Vec<&Certificate>) = data
        .certificates
        .iter()
        .flat_map(|set| set.0.iter())
        .filter_map(|choice| match choice {
            CertificateChoices::Certificate(certificate) => Some(certificate),
            CertificateChoices::Other(_) => None,
        })
        .partition(|certificate| is_of(certificate, &info.sid));
    match signers.as_slice() {
        [signer] => Ok((signer, others)),
        _ => Err(fault("its signer's certificate is not in it exactly once")),
    }
}

fn is_of(certificate: &Certificate, identifier: &SignerIdentifier) -> bool {
    let tbs = &certificate.tbs_certificate;
    match identifier {
        SignerIdentifier::IssuerAndSerialNumber(wanted) => {
            tbs.issuer == wanted.issuer && tbs.serial_number == wanted.serial_number
        }
        SignerIdentifier::SubjectKeyIdentifier(wanted) => tbs
            .extensions
            .iter()
            .flatten()
            .filter(|extension| extension.extn_id == SubjectKeyIdentifier::OID)
            .any(|extension| {
                SubjectKeyIdentifier::from_der(extension.extn_value.as_bytes())
                    .is_ok_and(|found| found == *wanted)
            }),
    }
}

fn value(attributes: &Attributes, oid: ObjectIdentifier) -> Result<&Any> {
    let mut found = attributes.iter().filter(|attribute| attribute.oid == oid);
    match (found.next().map(|a| a.values.as_slice()), found.next()) {
        (Some([value]), None) => Ok(value),
        _ => Err(fault(format!("it has not exactly one attribute {oid}"))),
    }
}

fn malformed(error: &der::Error) -> Error {
    fault(error.to_string())
}

fn fault(reason: impl Into<String>) -> Error {
    Error::Signature(reason.into())
}
