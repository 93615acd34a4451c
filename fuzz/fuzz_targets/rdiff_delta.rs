//! rdiff deltas, applied to an image of their own bytes.

#![no_main]

use bedstone_delta::base::VerifiedBase;
use bedstone_delta::output::{Image, Prefix};
use bedstone_delta::rdiff::apply;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(base) = VerifiedBase::check(data, Image::of(data)) else {
        unreachable!("it was made from the same bytes");
    };
    let mut target = Vec::new();
    let expected = Image {
        length: 1 << 16,
        ..Image::of(data)
    };
    let _ = apply(&base, data, &expected, Prefix::none(), &mut target);
    assert!(target.len() <= 1 << 16);
});
