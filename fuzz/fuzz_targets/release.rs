//! Release files, signed and plain.

#![no_main]

use bedstone_deb::keyring::{Keyring, Signatures};
use bedstone_deb::release::Release;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = Release::parse("fuzz", data);
    let _ = Signatures::parse("fuzz", data);
    let now = jiff::Timestamp::UNIX_EPOCH;
    let _ = Release::from_inrelease("fuzz", data, &Keyring::default(), now);
});
