//! A block map, as it is and with its checksum set right.
#![no_main]

use bedstone_disk::bmap::Bmap;
use bedstone_store::Digest;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(xml) = std::str::from_utf8(data) else {
        return;
    };
    let _ = Bmap::from_xml(xml);
    let zeros = "0".repeat(64);
    if xml.contains(&zeros) {
        let sealed = xml.replacen(&zeros, &Digest::of(data).to_string(), 1);
        if let Ok(bmap) = Bmap::from_xml(&sealed) {
            assert_eq!(Bmap::from_xml(&bmap.to_xml()).unwrap(), bmap);
        }
    }
});
