//! apt's source files, in both styles.

#![no_main]

use bedstone_deb::sources::{Mirrors, apt};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for name in ["fuzz.list", "fuzz.sources"] {
        if let Ok(entries) = apt::parse([(name, data)]) {
            let _ = Mirrors::from_apt(&entries);
        }
    }
});
