use proptest::prelude::*;

use super::command::{Command, Commands, Writer};
use super::rolling::{RabinKarp, Roll, Rsync};
use super::*;
use crate::Error;
use crate::base::VerifiedBase;
use crate::output::{Image, Prefix};

const KINDS: [(Rolling, Strong); 4] = [
    (Rolling::Rsync, Strong::Md4),
    (Rolling::Rsync, Strong::Blake2),
    (Rolling::RabinKarp, Strong::Md4),
    (Rolling::RabinKarp, Strong::Blake2),
];

fn options(kind: usize, block_length: u32, strong_length: u32) -> Options {
    let (rolling, strong) = KINDS[kind % KINDS.len()];
    Options {
        kind: Kind { rolling, strong },
        block_length,
        strong_length: strong_length.min(strong.length()),
    }
}

fn delta_of(old: &[u8], new: &[u8], options: Options) -> Vec<u8> {
    let mut sums = Vec::new();
    signature(&mut &*old, options, &mut sums).unwrap();
    let read = Signature::read(&mut &*sums).unwrap();
    assert_eq!(read.options(), options);
    let mut out = Vec::new();
    delta(&read, &mut &*new, &mut out).unwrap();
    out
}

fn patch(old: &[u8], delta: &[u8], expected: &Image, prefix: Prefix) -> crate::Result<Vec<u8>> {
    let base = VerifiedBase::check(old, Image::of(old))?;
    let mut target = Vec::new();
    apply(&base, delta, expected, prefix, &mut target).map(|()| target)
}

/// Bytes that never repeat within the lengths used here.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

fn rolls<R: Roll>(data: &[u8], window: usize) {
    let mut sum = R::of(&data[..window]);
    for at in 0..data.len() - window {
        assert_eq!(sum.value(), R::of(&data[at..at + window]).value(), "{at}");
        sum.rotate(data[at], data[at + window]);
    }
    for at in data.len() - window..data.len() {
        assert_eq!(sum.value(), R::of(&data[at..]).value(), "{at}");
        sum.shorten(data[at]);
    }
}

#[test]
fn weak_sums_roll() {
    let data = noise(3000, 1);
    for window in [1, 7, 8, 64, 1000] {
        rolls::<Rsync>(&data, window);
        rolls::<RabinKarp>(&data, window);
    }
}

#[test]
fn strong_sums_are_the_standards() {
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    };
    // RFC 1320, appendix A.5.
    assert_eq!(
        hex(&Strong::Md4.of(b"abc")[..16]),
        "a448017aaf21d8525fc10ae87aa6729d"
    );
    // BLAKE2b with 32 bytes of output, as `b2sum -l 256` prints it.
    assert_eq!(
        hex(&Strong::Blake2.of(b"abc")),
        "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"
    );
}

#[test]
fn commands_take_their_shortest_form() {
    let literal = |length: usize| {
        let mut bytes = Vec::new();
        Writer::new(&mut bytes)
            .unwrap()
            .literal(&vec![7; length])
            .unwrap();
        bytes[4..bytes.len() - length].to_vec()
    };
    assert_eq!(literal(0), []);
    assert_eq!(literal(64), [64]);
    assert_eq!(literal(65), [0x41, 65]);
    assert_eq!(literal(256), [0x42, 1, 0]);
    assert_eq!(literal(65536), [0x43, 0, 1, 0, 0]);
    let copy = |offset, length| {
        let mut bytes = Vec::new();
        Writer::new(&mut bytes)
            .unwrap()
            .copy(offset, length)
            .unwrap();
        bytes[4..].to_vec()
    };
    assert_eq!(copy(0, 255), [0x45, 0, 255]);
    assert_eq!(copy(0x1234, 1), [0x49, 0x12, 0x34, 1]);
    assert_eq!(copy(1, 1 << 32), [0x48, 1, 0, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(copy(1 << 40, 0x10000).len(), 1 + 8 + 4);
}

#[test]
fn equal_images_are_one_copy() {
    // Zeros too: each block of them is equal to all the others.
    let mut old = noise(300_000, 2);
    old[100_000..200_000].fill(0);
    let delta = delta_of(&old, &old, options(3, 1024, 32));
    let mut commands = Commands::new(&*delta).unwrap();
    assert_eq!(
        commands.next().unwrap(),
        Command::Copy {
            offset: 0,
            length: 300_000
        }
    );
    assert_eq!(commands.next().unwrap(), Command::End);
}

#[test]
fn the_short_last_block_is_found() {
    let old = noise(10_100, 3);
    let mut new = noise(5000, 4);
    new.extend(&old[8192..]);
    let delta = delta_of(&old, &new, options(3, 1024, 32));
    assert!(delta.len() < 5100, "{}", delta.len());
}

#[test]
fn a_wrong_base_is_refused_before_anything_is_written() {
    let old = noise(100_000, 5);
    let expected = Image::of(&old);
    let mut wrong = old.clone();
    wrong[99_999] ^= 1;
    assert!(matches!(
        VerifiedBase::check(&wrong, expected),
        Err(Error::WrongBase { expected: named, .. }) if named == expected
    ));
    assert!(matches!(
        VerifiedBase::check(&old[..50_000], expected),
        Err(Error::WrongBase { found, .. }) if found.length == 50_000
    ));
    // A slot is longer than the image in it.
    wrong = old.clone();
    wrong.extend([1; 5000]);
    assert!(VerifiedBase::check(&wrong, expected).is_ok());
}

#[test]
fn copies_stay_within_the_verified_image() {
    let old = noise(1000, 6);
    let mut slot = old.clone();
    slot.extend([9; 1000]);
    let base = VerifiedBase::check(&slot, Image::of(&old)).unwrap();
    let mut delta = Vec::new();
    let mut writer = Writer::new(&mut delta).unwrap();
    writer.copy(990, 11).unwrap();
    writer.end().unwrap();
    let mut target = Vec::new();
    let outcome = apply(
        &base,
        &*delta,
        &Image::of(&slot),
        Prefix::none(),
        &mut target,
    );
    assert!(matches!(
        outcome,
        Err(Error::OutsideBase {
            offset: 990,
            length: 11,
            size: 1000
        })
    ));
    assert!(target.is_empty());
}

#[test]
fn an_output_that_was_not_promised_is_an_error() {
    let (old, new) = (noise(100_000, 7), noise(600_000, 8));
    let delta = delta_of(&old, &new, options(3, 1024, 32));
    let other = Image {
        digest: Image::of(&old).digest,
        ..Image::of(&new)
    };
    assert!(matches!(
        patch(&old, &delta, &other, Prefix::none()),
        Err(Error::WrongOutput { .. })
    ));
    for length in [599_999, 600_001] {
        let other = Image {
            length,
            ..Image::of(&new)
        };
        assert!(matches!(
            patch(&old, &delta, &other, Prefix::none()),
            Err(Error::WrongLength { expected, .. }) if expected == length
        ));
    }
}

#[test]
fn pieces_are_whole_blocks() {
    struct Sizes(Vec<usize>);
    impl std::io::Write for Sizes {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.push(bytes.len());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (old, mut new) = (noise(900_000, 9), noise(100_000, 10));
    new.extend(&old);
    let delta = delta_of(&old, &new, options(3, 1024, 32));
    let base = VerifiedBase::check(&old, Image::of(&old)).unwrap();
    let mut sizes = Sizes(Vec::new());
    apply(&base, &*delta, &Image::of(&new), Prefix::none(), &mut sizes).unwrap();
    assert_eq!(sizes.0, [262_144, 262_144, 262_144, 213_568]);
}

#[test]
fn bytes_without_a_meaning_are_refused() {
    let old = noise(100, 11);
    let expected = Image::of(&old);
    let mut good = Vec::new();
    let mut writer = Writer::new(&mut good).unwrap();
    writer.copy(0, 100).unwrap();
    writer.end().unwrap();
    assert_eq!(patch(&old, &good, &expected, Prefix::none()).unwrap(), old);
    let magic = &good[..4];
    for (bytes, field) in [
        (&[0x55_u8][..], "command"),
        (&[0xff], "command"),
        (&[0x41, 0], "literal length"),
        (&[0x45, 0, 0], "copy length"),
        (&[0x54, 0x80, 0, 0, 0, 0, 0, 0, 0], "copy offset"),
        (&[0x45, 0, 100, 0, 0], "end"),
        (&[0x45, 0, 100], "command"),
        (&[3, 1, 2], "literal"),
    ] {
        let outcome = patch(&old, &[magic, bytes].concat(), &expected, Prefix::none());
        assert!(
            matches!(&outcome, Err(Error::Malformed { field: named, .. }) if *named == field),
            "{bytes:02x?}: {outcome:?}"
        );
    }
}

fn edits() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    // Pieces of old material, repeated and moved, with new bytes in between.
    (
        0_usize..40_000,
        prop::collection::vec(
            (
                0_usize..40_000,
                0_usize..12_000,
                prop::collection::vec(any::<u8>(), 0..60),
            ),
            0..8,
        ),
    )
        .prop_map(|(length, pieces)| {
            let mut old = noise(length, 12);
            let zeros = length / 3..length / 2;
            old[zeros].fill(0);
            let mut new = Vec::new();
            for (start, count, added) in pieces {
                let start = start.min(old.len());
                new.extend(&old[start..(start + count).min(old.len())]);
                new.extend(added);
            }
            (old, new)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn deltas_make_the_new_image((old, new) in edits(), kind in 0_usize..4, block in 1_u32..3000, strong in 8_u32..32, written: u64) {
        let delta = delta_of(&old, &new, options(kind, block, strong));
        let expected = Image::of(&new);
        prop_assert_eq!(&patch(&old, &delta, &expected, Prefix::none()).unwrap(), &new);
        // Interrupted anywhere, the rest comes out.
        let written = written % (new.len() as u64 + 1);
        let prefix = Prefix::read_back(&mut &*new, written).unwrap();
        prop_assert_eq!(&patch(&old, &delta, &expected, prefix).unwrap(), &new[written as usize..]);
    }

    #[test]
    fn prefixes_and_flipped_bits_never_make_another_image((old, new) in edits(), at: prop::sample::Index, bit in 0_u8..8) {
        let delta = delta_of(&old, &new, options(3, 512, 32));
        let expected = Image::of(&new);
        prop_assert!(patch(&old, &delta[..at.index(delta.len())], &expected, Prefix::none()).is_err());
        let mut flipped = delta.clone();
        flipped[at.index(delta.len())] ^= 1 << bit;
        if let Ok(made) = patch(&old, &flipped, &expected, Prefix::none()) {
            prop_assert_eq!(made, new);
        }
    }

    #[test]
    fn any_bytes_are_taken_or_refused(bytes: Vec<u8>, with_magic: bool) {
        let old = noise(1000, 13);
        let mut delta = if with_magic { DELTA_MAGIC.to_be_bytes().to_vec() } else { Vec::new() };
        delta.extend(&bytes);
        let _ = patch(&old, &delta, &Image::of(&old), Prefix::none());
        let mut sums = if with_magic { vec![0x72, 0x73, 1, 0x47, 0, 0, 1, 0, 0, 0, 0, 8] } else { Vec::new() };
        sums.extend(&bytes);
        if let Ok(signature) = Signature::read(&mut &*sums) {
            delta_of(&old, &bytes, signature.options());
            let mut out = Vec::new();
            super::delta(&signature, &mut &*old, &mut out).unwrap();
        }
    }
}
