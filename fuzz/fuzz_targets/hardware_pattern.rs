//! `#RE:` in `hardware-compatibility`, and a device's name: the first line and the second.
#![no_main]

use bedstone_agent::hardware::is_among;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (pattern, own) = text.split_once('\n').unwrap_or((text, "board"));
    let _ = is_among(own, &[format!("#RE:{pattern}")]);
});
