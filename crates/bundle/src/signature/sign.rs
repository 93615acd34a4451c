use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos,
};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911::{ID_CONTENT_TYPE, ID_DATA, ID_MESSAGE_DIGEST, ID_SIGNED_DATA};
use const_oid::db::rfc5912::{ECDSA_WITH_SHA_256, ID_SHA_256, RSA_ENCRYPTION};
use der::asn1::{OctetString, SetOfVec};
use der::{Any, AnyRef, Decode, Encode, Tag};
use spki::AlgorithmIdentifierOwned;
use x509_cert::Certificate;
use x509_cert::attr::{Attribute, Attributes};

use super::key::{Scheme, Signer};
use crate::error::{Error, Result};

/// Signs `message`: CMS signed data in DER without the message.
///
/// The signer's certificate goes in and no other: SWUpdate 2024.12 does not find its way over a certificate between the
/// signer's and a trusted one.
pub fn sign(message: &[u8], signer: &dyn Signer) -> Result<Vec<u8>> {
    let failed = |error: der::Error| Error::Key(format!("cannot encode the signature: {error}"));
    let certificate = Certificate::from_der(signer.certificate())
        .map_err(|error| Error::Key(format!("certificate: {error}")))?;
    let attributes = attributes(message).map_err(failed)?;
    let signature = signer.sign(&attributes.to_der().map_err(failed)?)?;
    encode(certificate, attributes, signature, signer.scheme()).map_err(failed)
}

fn attributes(message: &[u8]) -> der::Result<Attributes> {
    let attribute = |oid, value| -> der::Result<Attribute> {
        Ok(Attribute {
            oid,
            values: SetOfVec::from_iter([value])?,
        })
    };
    let digest = bedstone_store::Digest::of(message);
    SetOfVec::from_iter([
        attribute(ID_CONTENT_TYPE, Any::encode_from(&ID_DATA)?)?,
        attribute(
            ID_MESSAGE_DIGEST,
            Any::new(Tag::OctetString, digest.as_bytes().as_slice())?,
        )?,
    ])
}

fn encode(
    certificate: Certificate,
    attributes: Attributes,
    signature: Vec<u8>,
    scheme: Scheme,
) -> der::Result<Vec<u8>> {
    let info = SignerInfo {
        version: CmsVersion::V1,
        sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
            issuer: certificate.tbs_certificate.issuer.clone(),
            serial_number: certificate.tbs_certificate.serial_number.clone(),
        }),
        digest_alg: plain(ID_SHA_256),
        signed_attrs: Some(attributes),
        signature_algorithm: match scheme {
            Scheme::RsaSha256 => AlgorithmIdentifierOwned {
                oid: RSA_ENCRYPTION,
                parameters: Some(AnyRef::NULL.into()),
            },
            Scheme::EcdsaP256Sha256 => plain(ECDSA_WITH_SHA_256),
        },
        signature: OctetString::new(signature)?,
        unsigned_attrs: None,
    };
    let data = SignedData {
        version: CmsVersion::V1,
        digest_algorithms: SetOfVec::from_iter([plain(ID_SHA_256)])?,
        encap_content_info: EncapsulatedContentInfo {
            econtent_type: ID_DATA,
            econtent: None,
        },
        certificates: Some(CertificateSet(SetOfVec::from_iter([
            CertificateChoices::Certificate(certificate),
        ])?)),
        crls: None,
        signer_infos: SignerInfos(SetOfVec::from_iter([info])?),
    };
    ContentInfo {
        content_type: ID_SIGNED_DATA,
        content: Any::encode_from(&data)?,
    }
    .to_der()
}

/// An algorithm without parameters, as RFC 5754 asks for SHA-256 and for ECDSA.
fn plain(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid,
        parameters: None,
    }
}
