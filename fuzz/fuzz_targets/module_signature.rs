//! Any bytes as a kernel module: splitting never panics, and what is split is part of what was there.

#![no_main]

use bedstone_disk::module_signature::split;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (elf, signature) = split(data);
    assert!(data.starts_with(elf));
    assert!(elf.len() + signature.map_or(0, <[u8]>::len) <= data.len());
});
