//! PE images: what parses survives every edit, and takes apart as a UKI or not without harm.

#![no_main]

use bedstone_disk::pe::{self, Image, NewSection, characteristics};
use bedstone_disk::uki::{self, Contents};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = uki::kernel_release(data);
    let Ok(image) = Image::parse(data) else {
        return;
    };
    for section in image.sections() {
        let _ = (section.name(), image.data(section));
    }
    let _ = (image.certificates(), pe::checksum(&image), Contents::read(data));
    let _ = pe::replace_section(&image, ".sbat", b"sbat,1\n");
    let bare = pe::strip_certificates(&image);
    let bare = Image::parse(&bare).expect("stripping keeps an image sound");
    let section = NewSection {
        name: ".x",
        data: b"x",
        characteristics: characteristics::READ,
    };
    if let Ok(longer) = pe::append_sections(&bare, &[section]) {
        Image::parse(&longer).expect("appending keeps an image sound");
    }
    let signed = pe::append_certificate(&bare, data).expect("there is always room at the end");
    Image::parse(&signed).expect("signing keeps an image sound");
});
