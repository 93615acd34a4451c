//! Any text as a kernel's Kconfig files, which may include each other.

#![no_main]

use bedstone_image::kernel::{Config, Rules};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // Only the first level includes, or a file that includes itself twice would be read 20000 times.
    let rules = Rules::read("x86", &|path| match path {
        "Kconfig" => Some(text.to_owned()),
        "a" => Some(text.replace("source", "comment")),
        _ => None,
    });
    let _ = rules.explain("CONFIG_A", &Config::default());
});
