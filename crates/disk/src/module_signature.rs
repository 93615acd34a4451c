//! Signatures of kernel modules, as `scripts/sign-file` of the Linux source appends them.
//!
//! Source: Linux 6.1 `include/linux/module_signature.h`, `kernel/module/signing.c`, `crypto/asymmetric_keys/`; RFC 5652.
//! A signed module is the ELF file, a detached CMS signature without signed attributes and without certificates, twelve
//! bytes that describe it, and [`MARKER`]. The kernel looks for the signer, by issuer and serial number, among the
//! certificates that are built into it.

use cms::cert::IssuerAndSerialNumber;
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos,
};
use const_oid::db::rfc5911::{ID_DATA, ID_SIGNED_DATA};
use const_oid::db::rfc5912::{ID_SHA_256, RSA_ENCRYPTION};
use der::asn1::{OctetString, SetOfVec};
use der::{Any, Decode, Encode};
use spki::AlgorithmIdentifierOwned;
use x509_cert::Certificate;

use crate::authenticode::Signer;
use crate::error::{Error, Result};

/// The last bytes of a signed module.
pub const MARKER: &[u8; 28] = b"~Module signature appended~\n";
/// Bytes of `struct module_signature`: five one-byte fields, three of padding, the signature's length in big-endian order.
const TRAILER: usize = 12;
/// `PKEY_ID_PKCS7`, the one kind that the kernel takes; all other fields are zero with it.
const PKCS7: u8 = 2;

/// The parts of a module: the ELF file and its signature (CMS, DER), if it has one.
///
/// Returns no signature for what is not a well-formed signed module; the kernel then treats it as unsigned or refuses it.
pub fn split(module: &[u8]) -> (&[u8], Option<&[u8]>) {
    let parts = || {
        let rest = module.strip_suffix(MARKER)?;
        let (rest, trailer) = rest.split_at_checked(rest.len().checked_sub(TRAILER)?)?;
        let (&[0, 0, PKCS7, 0, 0, 0, 0, 0], length) = trailer.split_first_chunk::<8>()? else {
            return None;
        };
        let length = usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()?;
        rest.split_at_checked(rest.len().checked_sub(length)?)
    };
    match parts() {
        Some((elf, signature)) => (elf, Some(signature)),
        None => (module, None),
    }
}

/// Returns `module` with the signature of `signer` (RSA with SHA-256) in place of the one that it may have.
///
/// Equal input gives equal bytes: there is no signing time. The kernel needs SHA-256 built in (`CONFIG_CRYPTO_SHA256`).
pub fn sign(module: &[u8], signer: &dyn Signer) -> Result<Vec<u8>> {
    let (elf, _) = split(module);
    let certificate = Certificate::from_der(signer.certificate_der())
        .map_err(|error| Error::Key(format!("certificate: {error}")))?;
    let signature = signer.sign_sha256(elf)?;
    let signature = detached(&certificate, signature)
        .and_then(|structure| structure.to_der())
        .map_err(|error| Error::Key(format!("CMS: {error}")))?;
    let length = u32::try_from(signature.len())
        .map_err(|_| Error::Key("the signature is too long".to_owned()))?;
    let mut signed = Vec::with_capacity(elf.len() + signature.len() + TRAILER + MARKER.len());
    signed.extend_from_slice(elf);
    signed.extend_from_slice(&signature);
    signed.extend_from_slice(&[0, 0, PKCS7, 0, 0, 0, 0, 0]);
    signed.extend_from_slice(&length.to_be_bytes());
    signed.extend_from_slice(MARKER);
    Ok(signed)
}

fn detached(certificate: &Certificate, signature: Vec<u8>) -> der::Result<ContentInfo> {
    // As OpenSSL writes it: SHA-256 without parameters, RSA with NULL.
    let digest = AlgorithmIdentifierOwned {
        oid: ID_SHA_256,
        parameters: None,
    };
    let signer = SignerInfo {
        version: CmsVersion::V1,
        sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
            issuer: certificate.tbs_certificate.issuer.clone(),
            serial_number: certificate.tbs_certificate.serial_number.clone(),
        }),
        digest_alg: digest.clone(),
        // The kernel refuses modules whose signature has signed attributes.
        signed_attrs: None,
        signature_algorithm: AlgorithmIdentifierOwned {
            oid: RSA_ENCRYPTION,
            parameters: Some(Any::null()),
        },
        signature: OctetString::new(signature)?,
        unsigned_attrs: None,
    };
    let data = SignedData {
        version: CmsVersion::V1,
        digest_algorithms: SetOfVec::from_iter([digest])?,
        encap_content_info: EncapsulatedContentInfo {
            econtent_type: ID_DATA,
            econtent: None,
        },
        certificates: None,
        crls: None,
        signer_infos: SignerInfos(SetOfVec::from_iter([signer])?),
    };
    Ok(ContentInfo {
        content_type: ID_SIGNED_DATA,
        content: Any::encode_from(&data)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authenticode::RsaKey;
    use proptest::prelude::*;
    use std::path::Path;
    use std::process::Command;

    fn openssl(directory: &Path, words: &str) -> Vec<u8> {
        let output = Command::new("openssl")
            .args(words.split(' '))
            .current_dir(directory)
            .output()
            .expect("install Debian's package openssl");
        assert!(
            output.status.success(),
            "{words}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    #[test]
    fn openssl_writes_the_same_signature_and_verifies_it() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        openssl(
            directory.path(),
            "req -x509 -newkey rsa:2048 -nodes -sha256 -days 3650 -subj /CN=Modules/O=Tests -keyout key.pem -out cert.pem",
        );
        let read = |name| std::fs::read(at(name)).unwrap();
        let key = RsaKey::new(&read("key.pem"), &read("cert.pem")).unwrap();
        let module = b"\x7fELF not really a module".repeat(1000);
        std::fs::write(at("module"), &module).unwrap();
        let signed = sign(&module, &key).unwrap();
        assert_eq!(
            signed,
            sign(&signed, &key).unwrap(),
            "signing again replaces"
        );
        let (elf, signature) = split(&signed);
        assert_eq!(elf, module);
        let signature = signature.unwrap();
        std::fs::write(at("signature"), signature).unwrap();
        // What `scripts/sign-file` asks of OpenSSL.
        let theirs = openssl(
            directory.path(),
            "cms -sign -binary -nocerts -noattr -nosmimecap -md sha256 -outform DER -in module -signer cert.pem -inkey key.pem",
        );
        assert_eq!(signature, theirs);
        openssl(
            directory.path(),
            "cms -verify -binary -inform DER -in signature -content module -certfile cert.pem -noverify -out verified",
        );
    }

    #[test]
    fn unsigned_and_damaged_modules_have_no_signature() {
        assert_eq!(split(b"\x7fELF"), (&b"\x7fELF"[..], None));
        assert_eq!(split(MARKER), (&MARKER[..], None));
        let mut long = [0, 0, PKCS7, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff].to_vec();
        long.extend_from_slice(MARKER);
        assert_eq!(split(&long).1, None);
    }

    proptest! {
        #[test]
        fn splitting_takes_any_bytes(mut bytes in proptest::collection::vec(any::<u8>(), 0..64), marked: bool) {
            if marked {
                bytes.extend_from_slice(MARKER);
            }
            let (elf, signature) = split(&bytes);
            prop_assert!(elf.len() + signature.map_or(0, <[u8]>::len) <= bytes.len());
        }
    }
}
