//! Authenticode: how EFI programs are signed and what firmware with Secure Boot on verifies.
//!
//! Source: Microsoft *Windows Authenticode Portable Executable Signature Format* (2008), UEFI 2.10 §32.2.4, RFC 5652.
//! [`sign`] puts one signature without signing time on an image, so that equal input gives equal bytes; [`verify`] decides
//! as firmware does whose `db` holds exactly the given certificates; [`signatures`] lists what is there.

use bedstone_store::{Digest, Hasher};

use crate::error::{Error, Result};
use crate::pe;

mod key;
mod pkcs7;

#[cfg(test)]
mod tests;

pub use key::{RsaKey, Signer, certificate_pem};

/// One signature that was found on an image and that its own certificate confirms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The digest that was signed: of the image, unless that was altered since.
    pub digest: Digest,
    /// The signer's X.509 certificate, DER.
    pub certificate: Vec<u8>,
    /// The certificate's subject (RFC 4514).
    pub subject: String,
}

/// The digest that is signed: SHA-256 of the file without `CheckSum`, the certificate table's directory entry and the
/// certificate table, padded with zeros to 8 bytes.
///
/// Firmware hashes headers, then the sections by file offset, then what follows; that is the same unless bytes between
/// sections belong to none, which is refused.
pub fn digest(image: &pe::Image<'_>) -> Result<Digest> {
    let mut free = image.size_of_headers();
    for section in image.placed_sections() {
        if section.raw_offset as usize != free {
            return Err(Error::Pe {
                offset: free,
                reason:
                    "bytes between sections belong to none, programs would hash them differently"
                        .to_owned(),
            });
        }
        free += section.raw_size as usize;
    }
    let (checksum, entry, end) = image.unsigned_fields();
    let bytes = image.bytes();
    let mut hasher = Hasher::new();
    hasher.update(&bytes[..checksum]);
    hasher.update(&bytes[checksum + 4..entry]);
    hasher.update(&bytes[entry + 8..end]);
    hasher.update(&[0; 8][..end.next_multiple_of(8) - end]);
    Ok(hasher.finish())
}

/// Returns `image` with the signature of `signer` in place of all that it had.
pub fn sign(image: &[u8], signer: &dyn Signer) -> Result<Vec<u8>> {
    let bare = pe::strip_certificates(&pe::Image::parse(image)?);
    add_signature(&bare, signer)
}

/// Returns `image` with the signature of `signer` behind those that it has.
pub fn add_signature(image: &[u8], signer: &dyn Signer) -> Result<Vec<u8>> {
    let image = pe::Image::parse(image)?;
    let signature = pkcs7::encode(&digest(&image)?, signer)?;
    pe::append_certificate(&image, &signature)
}

/// The signatures on `image`, each checked against its own certificate, none yet against the image or for trust.
pub fn signatures(image: &pe::Image<'_>) -> Result<Vec<Signature>> {
    image
        .certificates()?
        .iter()
        .filter(|entry| entry.kind == pe::Certificate::PKCS_SIGNED_DATA)
        .map(|entry| pkcs7::decode(entry.content))
        .collect()
}

/// Returns the first signature on `image` by one of the `trusted` certificates (DER), if it is over the image as it is.
///
/// The certificate itself must be trusted, not an issuer of it; validity periods do not count, as firmware has no clock
/// to rely on.
pub fn verify(image: &[u8], trusted: &[&[u8]]) -> Result<Signature> {
    let image = pe::Image::parse(image)?;
    let found = signatures(&image)?;
    let Some(first) = found.first() else {
        return Err(Error::Unsigned);
    };
    let subject = first.subject.clone();
    let signature = found
        .into_iter()
        .find(|signature| trusted.contains(&signature.certificate.as_slice()))
        .ok_or(Error::UntrustedSigner(subject))?;
    let actual = digest(&image)?;
    if signature.digest != actual {
        return Err(Error::SignedDigest {
            signed: signature.digest,
            actual,
        });
    }
    Ok(signature)
}
