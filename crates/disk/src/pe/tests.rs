use super::*;
use proptest::prelude::*;

/// systemd's stub as Debian's `systemd-boot-efi` installs it.
pub(crate) fn debian_stub() -> Vec<u8> {
    std::fs::read("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
        .expect("install Debian's package systemd-boot-efi")
}

/// A PE32+ image laid out as systemd-stub 257 and later are: high image base, addresses by page, room for headers.
pub(crate) fn synthetic(sections: &[(&str, &[u8])]) -> Vec<u8> {
    const HEADERS: usize = 0x600;
    let mut out = vec![0; HEADERS];
    out[..2].copy_from_slice(b"MZ");
    out[0x3c] = 0x40;
    out[0x40..0x44].copy_from_slice(b"PE\0\0");
    put(&mut out, 0x44, &0x8664_u16.to_le_bytes());
    put(&mut out, 0x46, &(sections.len() as u16).to_le_bytes());
    put(&mut out, 0x54, &240_u16.to_le_bytes());
    let optional = 0x58;
    put(&mut out, optional, &0x020b_u16.to_le_bytes());
    put(&mut out, optional + 24, &0x1_4df9_0000_u64.to_le_bytes());
    put(&mut out, optional + 32, &0x1000_u32.to_le_bytes());
    put(&mut out, optional + 36, &0x200_u32.to_le_bytes());
    put(&mut out, optional + 60, &(HEADERS as u32).to_le_bytes());
    put(&mut out, optional + 68, &10_u16.to_le_bytes());
    put(&mut out, optional + 70, &0x0160_u16.to_le_bytes());
    put(&mut out, optional + 108, &16_u32.to_le_bytes());
    let mut address = 0x1000_u32;
    for (index, (name, data)) in sections.iter().enumerate() {
        let header = optional + 240 + index * 40;
        let raw = data.len().next_multiple_of(0x200);
        put(&mut out, header, name.as_bytes());
        let offset = out.len() as u32;
        for (at, value) in [
            (8, data.len() as u32),
            (12, address),
            (16, raw as u32),
            (20, offset),
        ] {
            put(&mut out, header + at, &value.to_le_bytes());
        }
        put(&mut out, header + 36, &0x4000_0040_u32.to_le_bytes());
        out.extend_from_slice(data);
        out.resize(offset as usize + raw, 0);
        address += (data.len() as u32).next_multiple_of(0x1000);
    }
    out
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    out[at..at + bytes.len()].copy_from_slice(bytes);
}

fn new<'a>(name: &'a str, data: &'a [u8]) -> NewSection<'a> {
    NewSection {
        name,
        data,
        characteristics: characteristics::INITIALIZED_DATA | characteristics::READ,
    }
}

#[test]
fn reads_the_debian_stub() {
    let bytes = debian_stub();
    let image = Image::parse(&bytes).unwrap();
    assert_eq!(image.machine(), 0x8664);
    let magic = image.section(".sdmagic").unwrap().unwrap();
    assert!(
        image
            .data(magic)
            .starts_with(b"#### LoaderInfo: systemd-stub")
    );
    assert!(image.certificates().unwrap().is_empty());
    // systemd's build computes the checksum itself.
    let stored = u32::from_le_bytes(bytes[0xd8..0xdc].try_into().unwrap());
    assert_eq!(checksum(&image), stored);
}

#[test]
fn appends_behind_what_is_there() {
    for base in [
        debian_stub(),
        synthetic(&[(".text", &[1; 700]), (".sbat", b"sbat,1,x\n")]),
    ] {
        let before = Image::parse(&base).unwrap();
        let out = append_sections(&before, &[new(".one", &[7; 5000]), new(".two", b"2")]).unwrap();
        let after = Image::parse(&out).unwrap();
        assert_eq!(after.sections().len(), before.sections().len() + 2);
        assert_eq!(
            &after.sections()[..before.sections().len()],
            before.sections()
        );
        let (one, two) = (
            after.section(".one").unwrap().unwrap(),
            after.section(".two").unwrap().unwrap(),
        );
        assert_eq!(after.data(one), [7; 5000]);
        assert_eq!(after.data(two), b"2");
        assert!(two.virtual_address >= one.virtual_address + 5000);
        assert_eq!(two.virtual_address % 0x200, 0);
        assert_eq!(two.raw_offset % 0x200, 0);
        assert_eq!(out.len() as u32, two.raw_offset + two.raw_size);
    }
}

#[test]
fn refuses_what_does_not_fit() {
    let base = synthetic(&[(".text", &[1; 700])]);
    let image = Image::parse(&base).unwrap();
    let many = vec![new(".x", b"x"); 40];
    let error = append_sections(&image, &many).unwrap_err().to_string();
    assert!(error.contains("no room for 40 more sections"), "{error}");
    for (section, part) in [
        (new(".far-too-long", b"x"), "1 to 8 bytes"),
        (new(".x", b""), "is empty"),
    ] {
        let error = append_sections(&image, &[section]).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let mut trailing = base.clone();
    trailing.extend_from_slice(b"overlay");
    let error = append_sections(&Image::parse(&trailing).unwrap(), &[new(".x", b"x")]);
    assert!(error.unwrap_err().to_string().contains("7 bytes behind"));
    let signed = append_certificate(&image, b"pkcs7").unwrap();
    let error = append_sections(&Image::parse(&signed).unwrap(), &[new(".x", b"x")]);
    assert!(error.unwrap_err().to_string().contains("is signed"));
}

#[test]
fn replaces_content_in_place() {
    let base = synthetic(&[(".text", &[1; 700]), (".sbat", b"sbat,1,x\n")]);
    let image = Image::parse(&base).unwrap();
    let out = replace_section(&image, ".sbat", &[b'y'; 0x200]).unwrap();
    let after = Image::parse(&out).unwrap();
    let section = after.section(".sbat").unwrap().unwrap();
    assert_eq!(after.data(section), [b'y'; 0x200]);
    assert!(replace_section(&image, ".sbat", &[b'y'; 0x201]).is_err());
    assert!(replace_section(&image, ".none", b"").is_err());
}

#[test]
fn certificates_come_and_go() {
    let base = synthetic(&[(".text", &[1; 700])]);
    let one = append_certificate(&Image::parse(&base).unwrap(), b"first").unwrap();
    let two = append_certificate(&Image::parse(&one).unwrap(), b"second one").unwrap();
    let image = Image::parse(&two).unwrap();
    let entries = image.certificates().unwrap();
    assert_eq!(entries.len(), 2);
    assert!(entries[0].content.starts_with(b"first\0"));
    assert!(entries[1].content.starts_with(b"second one\0"));
    let bare = strip_certificates(&image);
    let again = strip_certificates(&Image::parse(&base).unwrap());
    assert_eq!(bare, again);
}

#[test]
fn names_the_field_at_fault() {
    let good = synthetic(&[(".text", &[1; 700]), (".data", &[2; 700])]);
    let cases: [(usize, &[u8], &str); 9] = [
        (0, b"ZM", "MZ"),
        (0x3c, &[0xff, 0xff, 0xff, 0xff], "file ends here"),
        (0x3c, &[0x3f, 0, 0, 0], "DOS header"),
        (0x46, &[0, 0], "NumberOfSections"),
        (0x58, &[7, 1], "Magic"),
        (0x58 + 36, &[3, 0, 0, 0], "power of two"),
        (0x58 + 60, &[8, 0, 0, 0], "SizeOfHeaders"),
        (0x58 + 240 + 40 + 20, &[0, 6, 0, 0], "overlaps"),
        (0x58 + 144, &[8, 0, 0, 0, 8], "certificate table"),
    ];
    for (at, bytes, part) in cases {
        let mut bad = good.clone();
        put(&mut bad, at, bytes);
        let error = Image::parse(&bad).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

/// What a fuzz target does too: no input may panic, and what parses survives every edit.
fn exercise(bytes: &[u8]) {
    let Ok(image) = Image::parse(bytes) else {
        return;
    };
    for section in image.sections() {
        let _ = (section.name(), image.data(section));
    }
    let _ = (image.certificates(), checksum(&image));
    let _ = replace_section(&image, ".sbat", b"x");
    let bare = strip_certificates(&image);
    let bare = Image::parse(&bare).expect("stripping keeps an image sound");
    if let Ok(out) = append_sections(&bare, &[new(".x", b"x")]) {
        Image::parse(&out).expect("appending keeps an image sound");
    }
    let signed = append_certificate(&bare, b"pkcs7").unwrap();
    Image::parse(&signed).expect("signing keeps an image sound");
}

proptest! {
    #[test]
    fn any_bytes(bytes: Vec<u8>) {
        exercise(&bytes);
    }

    #[test]
    fn altered_images(at in 0_usize..0x600, value: u8, cut in 0_usize..3000) {
        let mut bytes = synthetic(&[(".text", &[1; 700]), (".sbat", &[2; 700])]);
        bytes[at] = value;
        exercise(&bytes);
        bytes.truncate(cut);
        exercise(&bytes);
    }
}
