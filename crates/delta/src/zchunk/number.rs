//! The variable-length numbers of zchunk headers.

/// The longest number taken, in bytes: 63 bits.
const MAX_BYTES: usize = 9;

/// Takes a number off the front of `bytes`. `None` when they end within it or it is longer than nine bytes.
pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let last = bytes
        .iter()
        .take(MAX_BYTES)
        .position(|byte| byte & 0x80 != 0)?;
    let (digits, rest) = bytes.split_at(last + 1);
    *bytes = rest;
    Some(
        digits
            .iter()
            .rev()
            .fold(0, |number, digit| number << 7 | u64::from(digit & 0x7f)),
    )
}

/// Appends a number below 2^63 in its shortest form.
pub(super) fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        bytes.push(number as u8 & 0x7f);
        number >>= 7;
    }
    bytes.push(number as u8 | 0x80);
}
