//! The CMS (PKCS #7) structure of an Authenticode signature.

use bedstone_store::Digest;
use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos,
};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911::{ID_CONTENT_TYPE, ID_MESSAGE_DIGEST, ID_SIGNED_DATA};
use const_oid::db::rfc5912::{ID_SHA_256, RSA_ENCRYPTION, SHA_256_WITH_RSA_ENCRYPTION};
use der::asn1::{OctetString, SetOfVec};
use der::{Any, AnyRef, Decode, Encode, Header, Reader, Sequence, SliceReader, Tag};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use spki::AlgorithmIdentifierOwned;
use x509_cert::Certificate;
use x509_cert::attr::{Attribute, Attributes};

use super::{Signature, Signer};
use crate::error::{Error, Result};

/// `SPC_INDIRECT_DATA_OBJID`.
const INDIRECT_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.4");
/// `SPC_PE_IMAGE_DATA_OBJID`.
const PE_IMAGE_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.15");
/// `SpcPeImageData` as all signers write it: no flags, `file` an empty Unicode string.
const EMPTY_PE_IMAGE_DATA: &[u8] = &[
    0x30, 0x09, 0x03, 0x01, 0x00, 0xa0, 0x04, 0xa2, 0x02, 0x80, 0x00,
];

/// `SpcIndirectDataContent`.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct IndirectData {
    data: TypeAndValue,
    message_digest: DigestInfo,
}

/// `SpcAttributeTypeAndOptionalValue`.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct TypeAndValue {
    kind: ObjectIdentifier,
    value: Any,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct DigestInfo {
    algorithm: AlgorithmIdentifierOwned,
    digest: OctetString,
}

/// Encodes the signature of `signer` over an image with `digest`.
pub(super) fn encode(digest: &Digest, signer: &dyn Signer) -> Result<Vec<u8>> {
    encode_parts(digest, signer)?
        .to_der()
        .map_err(|error| malformed(&error))
}

fn encode_parts(digest: &Digest, signer: &dyn Signer) -> Result<ContentInfo> {
    let certificate = Certificate::from_der(signer.certificate_der())
        .map_err(|error| Error::Key(format!("certificate: {error}")))?;
    let content = indirect_data(digest).map_err(|error| malformed(&error))?;
    // The content's digest covers neither its tag nor its length (PKCS #7, RFC 2315 §9.3).
    let attributes =
        signed_attributes(&Digest::of(content.value())).map_err(|error| malformed(&error))?;
    let message = attributes.to_der().map_err(|error| malformed(&error))?;
    let signature = signer.sign_sha256(&message)?;
    signed_data(certificate, content, attributes, signature).map_err(|error| malformed(&error))
}

fn indirect_data(digest: &Digest) -> der::Result<Any> {
    Any::encode_from(&IndirectData {
        data: TypeAndValue {
            kind: PE_IMAGE_DATA,
            value: Any::from_der(EMPTY_PE_IMAGE_DATA)?,
        },
        message_digest: DigestInfo {
            algorithm: with_null(ID_SHA_256),
            digest: OctetString::new(digest.as_bytes().as_slice())?,
        },
    })
}

fn signed_attributes(content: &Digest) -> der::Result<Attributes> {
    let attribute = |oid, value| -> der::Result<Attribute> {
        Ok(Attribute {
            oid,
            values: SetOfVec::from_iter([value])?,
        })
    };
    SetOfVec::from_iter([
        attribute(ID_CONTENT_TYPE, Any::encode_from(&INDIRECT_DATA)?)?,
        attribute(
            ID_MESSAGE_DIGEST,
            Any::new(Tag::OctetString, content.as_bytes().as_slice())?,
        )?,
    ])
}

fn signed_data(
    certificate: Certificate,
    content: Any,
    attributes: Attributes,
    signature: Vec<u8>,
) -> der::Result<ContentInfo> {
    let signer = SignerInfo {
        version: CmsVersion::V1,
        sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
            issuer: certificate.tbs_certificate.issuer.clone(),
            serial_number: certificate.tbs_certificate.serial_number.clone(),
        }),
        digest_alg: with_null(ID_SHA_256),
        signed_attrs: Some(attributes),
        signature_algorithm: with_null(RSA_ENCRYPTION),
        signature: OctetString::new(signature)?,
        unsigned_attrs: None,
    };
    // Version 1 and the content directly in `[0]`, not in an OCTET STRING: PKCS #7 v1.5, which firmware expects.
    let data = SignedData {
        version: CmsVersion::V1,
        digest_algorithms: SetOfVec::from_iter([with_null(ID_SHA_256)])?,
        encap_content_info: EncapsulatedContentInfo {
            econtent_type: INDIRECT_DATA,
            econtent: Some(content),
        },
        certificates: Some(CertificateSet(SetOfVec::from_iter([
            CertificateChoices::Certificate(certificate),
        ])?)),
        crls: None,
        signer_infos: SignerInfos(SetOfVec::from_iter([signer])?),
    };
    Ok(ContentInfo {
        content_type: ID_SIGNED_DATA,
        content: Any::encode_from(&data)?,
    })
}

/// Decodes a signature and checks that the key of the certificate in it made it over the digest in it.
pub(super) fn decode(bytes: &[u8]) -> Result<Signature> {
    let data = parse(bytes)?;
    let [signer] = data.signer_infos.0.as_slice() else {
        return Err(fault("it has not exactly one signer"));
    };
    let certificate = certificate_of(signer, &data)?;
    let content = data
        .encap_content_info
        .econtent
        .as_ref()
        .filter(|_| data.encap_content_info.econtent_type == INDIRECT_DATA)
        .ok_or_else(|| fault("its content is not SpcIndirectDataContent"))?;
    let indirect: IndirectData = content
        .decode_as()
        .map_err(|error| fault(format!("SpcIndirectDataContent: {error}")))?;
    if signer.digest_alg.oid != ID_SHA_256
        || indirect.message_digest.algorithm.oid != ID_SHA_256
        || ![RSA_ENCRYPTION, SHA_256_WITH_RSA_ENCRYPTION].contains(&signer.signature_algorithm.oid)
    {
        return Err(fault("its algorithms are not RSA with SHA-256"));
    }

    let attributes = signer
        .signed_attrs
        .as_ref()
        .ok_or_else(|| fault("it has no signed attributes"))?;
    let expected = Digest::of(content.value());
    if value(attributes, ID_MESSAGE_DIGEST)?.value() != expected.as_bytes()
        || value(attributes, ID_CONTENT_TYPE)?.value() != INDIRECT_DATA.as_bytes()
    {
        return Err(fault("its signed attributes do not match its content"));
    }
    let message = attributes.to_der().map_err(|error| malformed(&error))?;
    let info = &certificate.tbs_certificate.subject_public_key_info;
    UnparsedPublicKey::new(
        &RSA_PKCS1_2048_8192_SHA256,
        info.subject_public_key.raw_bytes(),
    )
    .verify(&message, signer.signature.as_bytes())
    .map_err(|_| fault("its certificate's key did not make it"))?;

    let digest = indirect
        .message_digest
        .digest
        .as_bytes()
        .try_into()
        .map_err(|_| fault("its image digest is not 32 bytes long"))?;
    Ok(Signature {
        digest: Digest::from_bytes(digest),
        subject: certificate.tbs_certificate.subject.to_string(),
        certificate: certificate.to_der().map_err(|error| malformed(&error))?,
    })
}

/// Parses the structure, which may be followed by padding to 8 bytes.
fn parse(bytes: &[u8]) -> Result<SignedData> {
    let end = SliceReader::new(bytes)
        .and_then(|mut reader| {
            let header = Header::decode(&mut reader)?;
            reader.position() + header.length
        })
        .map_err(|error| malformed(&error))?;
    let (structure, padding) = usize::try_from(end)
        .ok()
        .and_then(|end| bytes.split_at_checked(end))
        .ok_or_else(|| fault("it is cut short"))?;
    if padding.len() > 7 || padding.iter().any(|byte| *byte != 0) {
        return Err(fault("something follows it"));
    }
    let info = ContentInfo::from_der(structure).map_err(|error| malformed(&error))?;
    if info.content_type != ID_SIGNED_DATA {
        return Err(fault("it is not CMS signed data"));
    }
    info.content.decode_as().map_err(|error| malformed(&error))
}

fn certificate_of<'a>(signer: &SignerInfo, data: &'a SignedData) -> Result<&'a Certificate> {
    let SignerIdentifier::IssuerAndSerialNumber(wanted) = &signer.sid else {
        return Err(fault("its signer is not named by issuer and serial number"));
    };
    data.certificates
        .iter()
        .flat_map(|set| set.0.iter())
        .find_map(|choice| match choice {
            CertificateChoices::Certificate(certificate)
                if certificate.tbs_certificate.issuer == wanted.issuer
                    && certificate.tbs_certificate.serial_number == wanted.serial_number =>
            {
                Some(certificate)
            }
            _ => None,
        })
        .ok_or_else(|| fault("its signer's certificate is missing"))
}

fn value(attributes: &Attributes, oid: ObjectIdentifier) -> Result<&Any> {
    let mut found = attributes.iter().filter(|attribute| attribute.oid == oid);
    match (found.next().map(|a| a.values.as_slice()), found.next()) {
        (Some([value]), None) => Ok(value),
        _ => Err(fault(format!("it has not exactly one attribute {oid}"))),
    }
}

fn with_null(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid,
        parameters: Some(AnyRef::NULL.into()),
    }
}

fn malformed(error: &der::Error) -> Error {
    fault(error.to_string())
}

fn fault(reason: impl Into<String>) -> Error {
    Error::Authenticode(reason.into())
}
