//! Binary packages: `ar`, the compressions, tar.

#![no_main]

use std::io;

use bedstone_deb::archive::{Deb, Limits};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let limits = Limits {
        bytes: 1 << 20,
        entries: 1000,
        path_bytes: 1 << 16,
    };
    let Ok(mut deb) = Deb::open_limited("fuzz", data, limits, limits) else {
        return;
    };
    while let Ok(Some(_)) = deb.next_entry() {
        if io::copy(&mut deb, &mut io::sink()).is_err() {
            return;
        }
    }
});
