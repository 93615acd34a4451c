//! What a machine does with an image: boots in QEMU from the firmware on, with Secure Boot enforced.
//!
//! Each case has a copy of an image's disk and a variable store of its own, which live as long as the case. Images are
//! built once and kept in `test-images` below Cargo's target directory.

// Failing loudly is what tests are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "guest/damage.rs"]
mod damage;
#[path = "guest/image.rs"]
mod image;
#[path = "guest/machine.rs"]
mod machine;

#[path = "guest/boots.rs"]
mod boots;
#[path = "guest/data.rs"]
mod data;
#[path = "guest/fallback.rs"]
mod fallback;
