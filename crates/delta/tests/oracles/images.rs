//! Images to make deltas between.

/// Bytes that look random and are the same every time.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend((state >> 16).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// An old and a new image of about `length` bytes: noise, text and holes; blocks replaced, bytes put in and taken out.
pub(crate) fn pair(length: usize) -> (Vec<u8>, Vec<u8>) {
    let mut old = noise(length, 1);
    let text = b"All the same, and all the same again. ";
    for (at, byte) in old[length / 4..length / 3].iter_mut().enumerate() {
        *byte = text[at % text.len()];
    }
    old[length / 2..length / 2 + length / 10].fill(0);
    let mut new = old.clone();
    for number in 0..20 {
        let at = (number * 7919 * 613) % (length - 5000);
        new[at..at + 4096].copy_from_slice(&noise(4096, number as u64 + 2));
    }
    new.drain(length / 5..length / 5 + 777);
    new.splice(length * 3 / 5..length * 3 / 5, noise(1234, 99));
    (old, new)
}
