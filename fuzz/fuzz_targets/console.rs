#![no_main]
//! What a guest may print: stripped, searched and measured, in pieces of 16 bytes.

use std::time::Duration;

use bedstone_lab::console::{Milestones, Pattern, Transcript};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let pattern = Pattern::glob("* login: ").or(Pattern::glob("slot *, root * verified"));
    let pattern = pattern.or(Pattern::text("\n@nonce@"));
    let mut transcript = Transcript::new(256);
    let mut milestones = Milestones::default();
    let mut resume = 0;
    for piece in data.chunks(16) {
        let text = transcript.push(piece);
        assert!(!text.contains(&0x1b) && !text.contains(&b'\r'));
        milestones.push(text, Duration::from_secs(1));
        while transcript.find(&pattern, &mut resume).is_some() {}
    }
    let _ = transcript.next_line();
    let _ = transcript.tail(3);
});
