//! CMS signatures over a fixed text, and trusted certificates.
#![no_main]

use bedstone_bundle::signature::{Clock, Trust, inspect, verify};

const MESSAGE: &[u8] = b"software = { version = \"1\"; };\n";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = inspect(MESSAGE, data);
    if let Ok(trust) = Trust::new(data, Clock::At(1_800_000_000)) {
        let _ = verify(MESSAGE, data, &trust);
    }
});
