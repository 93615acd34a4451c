use proptest::prelude::*;

use super::*;

/// zchunk's own procedure, byte by byte: every byte goes through a ring of 48; one that matches too early goes in again.
fn literal_chunk_length(data: &[u8]) -> usize {
    let mut window = Vec::new();
    let mut at = 0;
    while at < data.len() {
        window.push(data[at]);
        if window.len() > WINDOW {
            window.remove(0);
        }
        let hash = if window.len() < WINDOW {
            1
        } else {
            first_hash(&window)
        };
        if hash & MASK == 0 || at >= MAX {
            if at >= MIN {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

#[test]
fn a_window_of_one_byte_never_matches() {
    for byte in 0..=255 {
        assert_ne!(first_hash(&[byte; WINDOW]) & MASK, 0, "{byte}");
    }
}

/// A window that matches, to be planted where matches are rare.
fn matching_window() -> [u8; WINDOW] {
    let mut window = [7; WINDOW];
    for number in 0_u32.. {
        window[20..24].copy_from_slice(&number.to_le_bytes());
        if first_hash(&window) & MASK == 0 {
            break;
        }
    }
    window
}

#[test]
fn early_matches_disturb_later_ones_as_they_do_in_zchunk() {
    let window = matching_window();
    // A second match at each distance from an early one, with the byte in between twice in the window.
    for distance in 0..100 {
        let mut data = vec![0; 2 * MIN];
        data[MIN - 60..][..WINDOW].copy_from_slice(&window);
        data[MIN - 60 + distance..][..WINDOW].copy_from_slice(&window);
        assert_eq!(
            chunk_length(&data),
            literal_chunk_length(&data),
            "{distance}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn boundaries_are_zchunks(seed: u64, length in 0_usize..200_000, planted in prop::collection::vec(0_usize..150_000, 0..8)) {
        let mut state = seed | 1;
        let mut data: Vec<u8> = (0..length)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        let window = matching_window();
        for at in planted {
            if let Some(place) = data.get_mut(at..at + WINDOW) {
                place.copy_from_slice(&window);
            }
        }
        prop_assert_eq!(chunk_length(&data), literal_chunk_length(&data));
    }
}
