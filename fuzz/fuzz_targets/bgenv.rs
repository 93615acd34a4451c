//! An environment's first bytes; zeros and a correct CRC follow. As it is, it is given to the selection too.
#![no_main]

use bedstone_disk::bgenv::{Environment, Loader, SIZE, select};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut bytes = data.to_vec();
    bytes.resize(SIZE - 4, 0);
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    if let Ok(environment) = Environment::from_bytes(&bytes) {
        let again = environment.to_bytes().unwrap();
        assert_eq!(Environment::from_bytes(&again).unwrap(), environment);
    }
    for pair in [
        [Some(data), Some(&bytes)],
        [Some(&bytes), None],
        [Some(&bytes), Some(data)],
    ] {
        let decision = select(&pair, Loader::Since0_20);
        assert!(decision.writes.len() <= 1);
        for (_, written) in &decision.writes {
            assert!(bedstone_disk::bgenv::is_valid(written));
        }
    }
});
