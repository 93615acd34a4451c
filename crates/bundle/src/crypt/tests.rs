#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::io::Read;

use proptest::prelude::*;

use super::*;
use crate::fixtures::Workshop;

const IV: &str = "000102030405060708090a0b0c0d0e0f";
const KEYS: [&str; 3] = [
    "2b7e151628aed2a6abf7158809cf4f3c",
    "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
    "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
];

fn key(hex: &str) -> Key {
    Key::parse(format!("{hex} {IV}\n").as_bytes()).unwrap()
}

/// Gives a few bytes at a time.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.1 = self.1 * 7 % 1009 + 1;
        let limit = buffer.len().min(self.1);
        self.0.read(&mut buffer[..limit])
    }
}

/// NIST SP 800-38A, F.2.1, F.2.3 and F.2.5: the first two blocks.
#[test]
fn nist_vectors() {
    let plain = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51";
    let plain = from_hex::<32>(plain).unwrap();
    for (hex, first) in KEYS.iter().zip([
        "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2",
        "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a",
        "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d",
    ]) {
        let mut cipher = Vec::new();
        encrypt(
            &mut &plain[..],
            &mut cipher,
            &key(hex),
            from_hex(IV).unwrap(),
        )
        .unwrap();
        assert_eq!(cipher.len(), 48);
        assert_eq!(to_hex(&cipher[..32]), first);
    }
}

#[test]
fn openssl_and_we_read_each_other() {
    let workshop = Workshop::new();
    let plain: Vec<u8> = (0..200_003_u32).flat_map(u32::to_le_bytes).collect();
    workshop.write("plain", &plain);
    for (hex, cipher) in KEYS
        .iter()
        .zip(["-aes-128-cbc", "-aes-192-cbc", "-aes-256-cbc"])
    {
        let run = |direction, input, output| {
            workshop.openssl(&[
                "enc", direction, cipher, "-K", hex, "-iv", IV, "-in", input, "-out", output,
            ]);
        };
        run("-e", "plain", "theirs");
        let theirs = workshop.read("theirs");
        let mut ours = Vec::new();
        let iv = from_hex(IV).unwrap();
        encrypt(&mut Trickle(&plain, 3), &mut ours, &key(hex), iv).unwrap();
        assert!(ours == theirs);
        let mut back = Vec::new();
        Decrypting::new(Trickle(&theirs, 5), &key(hex), None)
            .read_to_end(&mut back)
            .unwrap();
        assert!(back == plain);
    }
}

#[test]
fn key_files_are_checked() {
    for text in [
        "",
        KEYS[0],
        &format!("{} {IV} more", KEYS[2]),
        &format!("{} {}", KEYS[2], &IV[2..]),
        &format!("{}0 {IV}", KEYS[2]),
        &format!("{} {IV}", KEYS[2].replace('6', "g")),
        &format!("+{} {IV}", &KEYS[2][1..]),
    ] {
        assert!(Key::parse(text.as_bytes()).is_err(), "{text}");
    }
    assert!(Key::parse(b"\xff\xfe").is_err());
    assert_eq!(format!("{:?}", key(KEYS[2])), "Key { .. }");
}

proptest! {
    #[test]
    fn round_trips(plain: Vec<u8>, size in 0_usize..200_000, iv: [u8; 16]) {
        let plain: Vec<u8> = plain.iter().copied().cycle().take(if plain.is_empty() { 0 } else { size }).collect();
        let mut cipher = Vec::new();
        encrypt(&mut plain.as_slice(), &mut cipher, &key(KEYS[2]), iv).unwrap();
        let mut back = Vec::new();
        Decrypting::new(cipher.as_slice(), &key(KEYS[2]), Some(iv)).read_to_end(&mut back).unwrap();
        prop_assert!(back == plain);
        // Cut off anywhere but between blocks, it is refused.
        let cut = cipher.len() - 1;
        let mut rest = Vec::new();
        prop_assert!(Decrypting::new(&cipher[..cut], &key(KEYS[2]), Some(iv)).read_to_end(&mut rest).is_err());
    }

    #[test]
    fn strangers_bytes_do_not_panic(bytes: Vec<u8>) {
        let mut back = Vec::new();
        let _ = Decrypting::new(bytes.as_slice(), &key(KEYS[0]), None).read_to_end(&mut back);
    }
}
