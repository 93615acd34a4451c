//! Authenticode signatures: the input is a CMS structure that gets attached to a small image.

#![no_main]

use bedstone_disk::authenticode;
use bedstone_disk::pe::{self, Image};

const IMAGE: &[u8] = include_bytes!("../corpus/pe/small.efi");

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let image = Image::parse(IMAGE).expect("the corpus holds a sound image");
    let Ok(signed) = pe::append_certificate(&image, data) else {
        return;
    };
    let image = Image::parse(&signed).expect("signing keeps an image sound");
    if let Ok(found) = authenticode::signatures(&image) {
        for signature in found {
            let _ = authenticode::verify(&signed, &[&signature.certificate]);
        }
    }
});
