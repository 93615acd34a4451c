#![no_main]
//! Any text as a kernel configuration: reading never panics, and what is written reads the same.

use bedstone_image::kernel::Config;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(config) = Config::parse(text) {
        let again = Config::parse(&config.to_string()).expect("what we write reads");
        assert!(config.iter().eq(again.iter()));
    }
});
