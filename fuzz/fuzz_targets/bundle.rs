//! A whole bundle, members decoded with a key.
#![no_main]

use bedstone_bundle::crypt::Key;
use bedstone_bundle::{Bundle, check};

const KEY: &[u8] = b"603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4 \
    000102030405060708090a0b0c0d0e0f";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let key = Key::parse(KEY).expect("a key");
    let Ok(bundle) = Bundle::inspect(data) else {
        return;
    };
    let listed: Vec<String> = bundle
        .description()
        .sections()
        .iter()
        .flat_map(|(_, section)| section.entries())
        .filter_map(|entry| entry.filename.clone())
        .collect();
    if let Ok(contents) = check(bundle, Some(&key)) {
        assert!(listed.iter().all(|name| contents.members.iter().any(|member| member.name == *name)));
    }
});
