//! `EFI_SIGNATURE_LIST`: the content of PK, KEK, db and dbx (UEFI 2.10 §32.4.1).

use crate::error::{Error, Result};
use crate::guid::Guid;

/// `EFI_CERT_X509_GUID`: each entry is one DER certificate.
pub const X509: Guid = Guid::from_bytes(0xa5c059a1_94e4_4aa7_87b5_ab155c2bf072_u128.to_be_bytes());
/// `EFI_CERT_SHA256_GUID`: each entry is one SHA-256 digest of an image.
pub const SHA256: Guid =
    Guid::from_bytes(0xc1c41626_504c_4092_aca9_41f936934328_u128.to_be_bytes());

/// `SignatureType`, `SignatureListSize`, `SignatureHeaderSize`, `SignatureSize`.
const HEADER: usize = 28;
/// The owner's GUID before each entry.
const OWNER: usize = 16;

/// One entry of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What `data` is: [`X509`], [`SHA256`] or another `EFI_CERT_*` type.
    pub kind: Guid,
    /// Who put it there.
    pub owner: Guid,
    /// The certificate or digest.
    pub data: &'a [u8],
}

/// Encodes each entry as a list of its own, as all tools do with certificates, whose sizes differ.
pub fn encode(entries: &[Entry<'_>]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for entry in entries {
        let size = u32::try_from(HEADER + OWNER + entry.data.len())
            .map_err(|_| fault(out.len(), "entry is too long"))?;
        out.extend_from_slice(&entry.kind.to_disk());
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(&0_u32.to_le_bytes());
        out.extend_from_slice(&(size - HEADER as u32).to_le_bytes());
        out.extend_from_slice(&entry.owner.to_disk());
        out.extend_from_slice(entry.data);
    }
    Ok(out)
}

/// The entries of all lists in a database.
pub fn decode(bytes: &[u8]) -> Result<Vec<Entry<'_>>> {
    let mut entries = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let header: &[u8; HEADER] = bytes[at..]
            .first_chunk()
            .ok_or_else(|| fault(at, "list is shorter than its header"))?;
        let word = |i: usize| {
            u32::from_le_bytes([header[i], header[i + 1], header[i + 2], header[i + 3]]) as usize
        };
        let (list, extra, entry) = (word(16), word(20), word(24));
        let content = bytes[at..]
            .get(HEADER..list)
            .and_then(|content| content.get(extra..))
            .ok_or_else(|| fault(at, "`SignatureListSize` exceeds the variable"))?;
        if entry <= OWNER || content.is_empty() || !content.len().is_multiple_of(entry) {
            return Err(fault(at, "`SignatureSize` does not divide the list"));
        }
        let kind = guid(header, 0);
        entries.extend(content.chunks_exact(entry).map(|item| Entry {
            kind,
            owner: guid(item, 0),
            data: &item[OWNER..],
        }));
        at += list;
    }
    Ok(entries)
}

fn guid(bytes: &[u8], at: usize) -> Guid {
    let mut raw = [0; 16];
    raw.copy_from_slice(&bytes[at..at + 16]);
    Guid::from_disk(raw)
}

fn fault(offset: usize, reason: &str) -> Error {
    Error::EfiValue {
        what: "signature list",
        reason: format!("byte {offset}: {reason}"),
    }
}
