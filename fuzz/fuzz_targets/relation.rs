#![no_main]
//! Relation fields: what is read prints to the same again.

use bedstone_deb::relation::{Relations, parse};

libfuzzer_sys::fuzz_target!(|data: &str| {
    for relation in Relations::new(data).flatten() {
        relation.applies("amd64");
        let text = relation.to_string();
        let again = parse(&text).expect("a printed relation is one");
        assert_eq!(again[0][0].to_string(), text);
    }
});
