#![no_main]
//! Control stanzas: any bytes are read or refused with a line.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for stanza in bedstone_deb::deb822::Stanzas::new("fuzz", data) {
        let _ = stanza.check();
        let _ = stanza.get("Package");
    }
});
