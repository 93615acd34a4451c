//! zchunk headers, as they are and with the checksum put right so that what follows it is reached.

#![no_main]

use bedstone_delta::output::{Image, Prefix};
use bedstone_delta::zchunk::{Header, Index, Plan, apply};
use bedstone_store::Digest;

/// The bytes with the right checksum, when they have a lead with SHA-256.
fn sealed(data: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = b"\0ZCK1\x81".to_vec();
    let rest = data.get(..data.len().min(1 << 14))?;
    let length = rest.len();
    bytes.extend([length as u8 & 0x7f, (length >> 7) as u8 | 0x80]);
    let sum = Digest::of(&[&bytes, rest].concat());
    bytes.extend(sum.as_bytes());
    bytes.extend(rest);
    Some(bytes)
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = Header::parse(data);
    let Some(bytes) = sealed(data) else { return };
    let Ok(header) = Header::read(&mut &*bytes) else {
        return;
    };
    let expected = Image {
        length: header.plain_length(),
        digest: Digest::of(b""),
    };
    let plan = Plan::new(&header, &Index::empty());
    let mut body = &*bytes;
    let _ = apply(
        &header,
        &plan,
        data,
        Some(&mut body),
        &expected,
        Prefix::none(),
        &mut std::io::sink(),
    );
});
