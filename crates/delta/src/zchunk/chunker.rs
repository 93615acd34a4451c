//! Where chunks end: zchunk's content-defined boundaries.
//!
//! A chunk ends before a byte that makes the hash of the 48 bytes up to and including it end in 15 zero bits, so that
//! an insertion moves only the boundaries near it. Chunks have 8 KiB to 128 KiB. SWUpdate cuts the old image in the
//! same way and finds only chunks with these very boundaries.

mod table;
#[cfg(test)]
mod tests;

use table::TABLE;

/// Bytes under the rolling hash.
const WINDOW: usize = 48;
/// A boundary is where these bits of the hash are zero.
const MASK: u32 = (1 << 15) - 1;
/// The shortest chunk, save the last one, in bytes.
const MIN: usize = 8 << 10;
/// The longest chunk in bytes.
pub(super) const MAX: usize = 128 << 10;

/// [`TABLE`] as a byte counts when it leaves the window.
const LEAVING: [u32; 256] = {
    let mut leaving = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        leaving[byte] = TABLE[byte].rotate_left((WINDOW % 32) as u32);
        byte += 1;
    }
    leaving
};

/// The length of the chunk at the start of `data`, which is all that is left of the input or longer than [`MAX`].
pub(super) fn chunk_length(data: &[u8]) -> usize {
    let end = data.len().min(MAX);
    if end < WINDOW {
        return end;
    }
    let mut hash = first_hash(&data[..WINDOW]);
    let mut at = WINDOW - 1;
    loop {
        if hash & MASK == 0 {
            if at >= MIN {
                return at;
            }
            (hash, at) = after_early_match(data, end, at);
        } else {
            (hash, at) = next_match(data, end, hash, at);
        }
        if at == end {
            return end;
        }
    }
}

/// The hash of a full window.
fn first_hash(window: &[u8]) -> u32 {
    window.iter().fold(0_u32, |hash, &byte| {
        hash.rotate_left(1) ^ TABLE[byte as usize]
    })
}

/// From the hash of the window that ends at `at`: the next position with a match, or `end`, and the hash there.
fn next_match(data: &[u8], end: usize, mut hash: u32, mut at: usize) -> (u32, usize) {
    let change = |out: u8, into: u8| LEAVING[out as usize] ^ TABLE[into as usize];
    let (leaving, leaving_rest) = data[at + 1 - WINDOW..end - WINDOW].as_chunks::<4>();
    let (joining, joining_rest) = data[at + 1..end].as_chunks::<4>();
    // Four steps at once, each from the hash before all of them: step by step, every byte would wait for the one before.
    for (out, into) in leaving.iter().zip(joining) {
        let first = change(out[0], into[0]);
        let second = first.rotate_left(1) ^ change(out[1], into[1]);
        let third = second.rotate_left(1) ^ change(out[2], into[2]);
        let fourth = third.rotate_left(1) ^ change(out[3], into[3]);
        let hashes = [
            hash.rotate_left(1) ^ first,
            hash.rotate_left(2) ^ second,
            hash.rotate_left(3) ^ third,
            hash.rotate_left(4) ^ fourth,
        ];
        if let Some(step) = hashes.iter().position(|hash| hash & MASK == 0) {
            return (hashes[step], at + 1 + step);
        }
        hash = hashes[3];
        at += 4;
    }
    for (&out, &into) in leaving_rest.iter().zip(joining_rest) {
        hash = hash.rotate_left(1) ^ change(out, into);
        at += 1;
        if hash & MASK == 0 {
            return (hash, at);
        }
    }
    (hash, end)
}

/// What zchunk does when it finds a match before a chunk is long enough: it takes the byte at `at` into the window a
/// second time, and again while that matches. Returns the hash at the first position whose window is a plain one again
/// and that position, or `end`.
fn after_early_match(data: &[u8], end: usize, mut at: usize) -> (u32, usize) {
    let mut window = [0; WINDOW];
    window.copy_from_slice(&data[at + 1 - WINDOW..=at]);
    let mut hash = first_hash(&window);
    let mut oldest = 0;
    let mut take = |byte: u8| {
        hash = hash.rotate_left(1) ^ LEAVING[window[oldest] as usize] ^ TABLE[byte as usize];
        window[oldest] = byte;
        oldest = (oldest + 1) % WINDOW;
        hash
    };
    // A window full of one byte never matches, whatever the byte, so this comes to an end.
    while take(data[at]) & MASK == 0 {}
    let mut since = 0;
    loop {
        at += 1;
        if at == end {
            return (1, end);
        }
        since += 1;
        let mut hash = take(data[at]);
        if hash & MASK == 0 {
            if at >= MIN {
                return (hash, at);
            }
            while hash & MASK == 0 {
                hash = take(data[at]);
            }
            since = 0;
        }
        if since == WINDOW - 1 {
            return (hash, at);
        }
    }
}
