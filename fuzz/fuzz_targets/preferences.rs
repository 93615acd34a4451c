#![no_main]
//! Pins: what is read prints to the same again.

use bedstone_deb::resolve::Preferences;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(preferences) = Preferences::parse("fuzz", data) {
        let text = preferences.to_string();
        let again = Preferences::parse("again", text.as_bytes()).expect("printed preferences are some");
        assert_eq!(again.to_string(), text);
    }
});
