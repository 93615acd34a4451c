//! A whole archive.
#![no_main]

use std::io::Read;

use bedstone_disk::cpio::Reader;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut reader = Reader::new(data);
    while let Ok(Some((_, member))) = reader.next_member() {
        let mut content = Vec::new();
        if reader.read_to_end(&mut content).is_ok() {
            assert_eq!(content.len(), member.size as usize);
        }
    }
});
