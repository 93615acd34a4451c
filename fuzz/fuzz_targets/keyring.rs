//! OpenPGP keyrings, binary and armoured.

#![no_main]

use bedstone_deb::keyring::Keyring;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = Keyring::parse([("fuzz", data)]);
});
