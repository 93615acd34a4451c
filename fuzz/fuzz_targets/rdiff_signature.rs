//! rdiff signatures, and deltas made from them.

#![no_main]

use bedstone_delta::rdiff::{Signature, delta};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(signature) = Signature::read(&mut &*data)
        && signature.options().block_length <= 1 << 16
    {
        let mut out = Vec::new();
        let made = delta(&signature, &mut &*data, &mut out);
        assert!(made.is_ok());
    }
});
