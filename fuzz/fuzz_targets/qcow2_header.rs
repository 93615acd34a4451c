//! The start of a qcow2 image.
#![no_main]

use bedstone_disk::qcow2::Header;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = Header::from_bytes(data);
});
