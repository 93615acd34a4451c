#![no_main]
//! Version order: total over any two texts.

use bedstone_deb::version::{check, compare};

libfuzzer_sys::fuzz_target!(|data: (String, String)| {
    let (left, right) = data;
    let _ = check(&left);
    assert_eq!(compare(&left, &right), compare(&right, &left).reverse());
});
