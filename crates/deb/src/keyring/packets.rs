//! OpenPGP packets out of binary or ASCII-armoured bytes (RFC 9580 section 6).

use std::io::{BufReader, Read};

use pgp::armor::{BlockType, Dearmor, DearmorOptions};
use pgp::composed::{Deserializable, SignedPublicKey};
use pgp::packet::{Packet, PacketParser, Signature};

/// Most bytes of keys or signatures that are looked at.
const LIMIT: usize = 16 << 20;

const BEGIN: &[u8] = b"-----BEGIN PGP ";
const END: &[u8] = b"-----END PGP ";

/// Reads certificates; one that is malformed or of an unknown kind is left out, which can only make trust smaller.
pub(super) fn certificates(bytes: &[u8]) -> Result<Vec<SignedPublicKey>, String> {
    let mut certificates = Vec::new();
    for block in blocks(bytes, BlockType::PublicKey)? {
        let parsed = SignedPublicKey::from_bytes_many(block.as_slice())
            .map_err(|error| error.to_string())?;
        certificates.extend(parsed.flatten());
    }
    Ok(certificates)
}

/// Reads detached signatures. Anything else among them is refused.
pub(super) fn signatures(bytes: &[u8]) -> Result<Vec<Signature>, String> {
    let mut signatures = Vec::new();
    for block in blocks(bytes, BlockType::Signature)? {
        for packet in PacketParser::new(block.as_slice()) {
            match packet.map_err(|error| error.to_string())? {
                Packet::Signature(signature) => signatures.push(signature),
                _ => return Err("holds a packet that is no signature".to_owned()),
            }
        }
    }
    if signatures.is_empty() {
        return Err("holds no signature".to_owned());
    }
    Ok(signatures)
}

/// The binary content of every armoured block, or the bytes themselves when they are binary.
fn blocks(bytes: &[u8], wanted: BlockType) -> Result<Vec<Vec<u8>>, String> {
    if bytes.len() > LIMIT {
        return Err(format!("is longer than {LIMIT} bytes"));
    }
    // Every OpenPGP packet begins with a byte whose top bit is set; no text does.
    if bytes.first().is_none_or(|&first| first & 0x80 != 0) {
        return Ok(vec![bytes.to_vec()]);
    }
    let mut blocks = Vec::new();
    let mut begin = None;
    let mut offset = 0;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let start = offset;
        offset += line.len();
        if line.starts_with(BEGIN) {
            if begin.replace(start).is_some() {
                return Err("has an armoured block without end".to_owned());
            }
        } else if line.starts_with(END) {
            let begin = begin
                .take()
                .ok_or("has the end of an armoured block only")?;
            blocks.push(dearmor(&bytes[begin..offset], wanted)?);
        }
    }
    match (begin, blocks.is_empty()) {
        (Some(_), _) => Err("has an armoured block without end".to_owned()),
        (None, true) => Err("is neither OpenPGP data nor ASCII armour".to_owned()),
        (None, false) => Ok(blocks),
    }
}

fn dearmor(block: &[u8], wanted: BlockType) -> Result<Vec<u8>, String> {
    let options = DearmorOptions::new().set_limit(LIMIT);
    let mut dearmor = Dearmor::with_options(BufReader::new(block), options);
    let mut bytes = Vec::new();
    dearmor
        .read_to_end(&mut bytes)
        .map_err(|error| format!("has malformed armour: {error}"))?;
    if dearmor.typ != Some(wanted) {
        return Err(format!("is not armoured as `{wanted}`"));
    }
    Ok(bytes)
}
