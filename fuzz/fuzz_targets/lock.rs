#![no_main]
//! Lock files: what is read is written the same way ever after.

use bedstone_deb::lock::Lock;

libfuzzer_sys::fuzz_target!(|data: &str| {
    if let Ok(lock) = Lock::parse("fuzz", data) {
        let text = lock.to_text();
        let again = Lock::parse("again", &text).expect("a written lock is one");
        assert_eq!(again.to_text(), text);
    }
});
