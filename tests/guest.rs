//! What a machine does with an image: boots in QEMU from the firmware on, with Secure Boot enforced.
//!
//! Each case has a copy of an image's disk and a variable store of its own, which live as long as the case. Images are
//! built once and kept in `test-images` below Cargo's target directory. Other file systems, suites and examples are in
//! `guest_full`.

// Failing loudly is what tests are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "guest/data.rs"]
mod data;
#[path = "guest/fallback.rs"]
mod fallback;
#[path = "guest/refusal.rs"]
mod refusal;
#[path = "guest/verified.rs"]
mod verified;

#[test]
fn the_security_example_boots_verified() {
    verified::boots(&bedstone_tests::image::Image::example(
        "security", "security", "",
    ));
}
