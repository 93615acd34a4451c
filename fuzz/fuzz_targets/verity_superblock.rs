//! A superblock, applied to a small image; and a kernel command line.
#![no_main]

use bedstone_disk::verity::{RootArguments, Superblock, verify, verify_block};
use bedstone_store::Digest;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(superblock) = Superblock::from_bytes(data) {
        let bytes = superblock.to_bytes().unwrap();
        assert_eq!(Superblock::from_bytes(&bytes).unwrap(), superblock);
        let image = vec![0; 64 << 10];
        for offset in [0, 32 << 10, u64::MAX] {
            let _ = verify(&image, &superblock, offset, &Digest::of(b""));
            let _ = verify_block(&image, &superblock, offset, &Digest::of(b""), 0);
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(arguments) = RootArguments::parse(text) {
            assert_eq!(
                RootArguments::parse(&arguments.to_string()).unwrap(),
                arguments
            );
        }
    }
});
