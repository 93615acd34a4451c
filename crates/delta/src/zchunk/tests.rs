use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::output::{Image, Prefix};
use crate::{Error, Source};

const OPTIONS: Options = Options {
    level: 3,
    threads: 2,
};

/// Half noise, half text-like, so that chunks compress a little.
fn image(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 35) as u8 & 0x5f
        })
        .collect()
}

fn zck(image: &[u8]) -> (Header, Vec<u8>) {
    let mut file = Vec::new();
    let header = write(
        &mut &*image,
        OPTIONS,
        &mut Cursor::new(Vec::new()),
        &mut file,
    )
    .unwrap();
    (header, file)
}

fn update(
    header: &Header,
    old: &[u8],
    file: &[u8],
    new: &Image,
    prefix: Prefix,
) -> crate::Result<Vec<u8>> {
    let index = Index::of(old, old.len() as u64, header.checksum())?;
    let plan = Plan::new(header, &index);
    let mut target = Vec::new();
    let mut body = file;
    apply(
        header,
        &plan,
        old,
        Some(&mut body),
        new,
        prefix,
        &mut target,
    )
    .map(|()| target)
}

#[test]
fn the_same_bytes_whatever_the_number_of_threads() {
    let image = image(5 << 20, 1);
    let (header, file) = zck(&image);
    for threads in [1, 5] {
        let mut other = Vec::new();
        let options = Options { threads, ..OPTIONS };
        write(
            &mut &*image,
            options,
            &mut Cursor::new(Vec::new()),
            &mut other,
        )
        .unwrap();
        assert!(file == other, "{threads}");
    }
    assert_eq!(Header::read(&mut &*file).unwrap(), header);
    assert_eq!(header.file_length(), file.len() as u64);
    assert_eq!(header.plain_length(), image.len() as u64);
    assert_eq!(header.to_bytes(), file[..header.length() as usize]);
}

#[test]
fn what_the_old_image_has_is_not_fetched() {
    let old = image(4 << 20, 2);
    let mut new = old.clone();
    // An insertion moves all that follows.
    new.splice(1_000_000..1_000_000, image(3000, 3));
    let (header, file) = zck(&new);
    let index = Index::of(&old, u64::MAX, header.checksum()).unwrap();
    let plan = Plan::new(&header, &index);
    assert!(
        plan.download(&header) < 300 << 10,
        "{}",
        plan.download(&header)
    );
    let made = update(&header, &old, &file, &Image::of(&new), Prefix::none()).unwrap();
    assert!(made == new);
    // Nothing to fetch: nowhere to fetch from is needed.
    let index = Index::of(&new, u64::MAX, header.checksum()).unwrap();
    let plan = Plan::new(&header, &index);
    assert_eq!(plan.ranges(&header, 0), []);
    let mut target = Vec::new();
    apply(
        &header,
        &plan,
        &new,
        None,
        &Image::of(&new),
        Prefix::none(),
        &mut target,
    )
    .unwrap();
    assert!(target == new);
    // The other way round it is.
    let none = Plan::new(&header, &Index::empty());
    let ranges = none.ranges(&header, 0);
    assert_eq!(ranges.len(), 1);
    assert_eq!(ranges[0], header.length()..header.file_length());
    target.clear();
    let outcome = apply(
        &header,
        &none,
        &old,
        None,
        &Image::of(&new),
        Prefix::none(),
        &mut target,
    );
    assert!(
        matches!(outcome, Err(Error::NoBody { length }) if length == header.file_length() - header.length())
    );
    assert!(target.is_empty());
}

#[test]
fn chunks_that_an_interrupted_run_left_are_found() {
    let new = image(1 << 20, 4);
    let (header, file) = zck(&new);
    // Longer than the image, as a slot is, and right up to some byte within a chunk.
    let mut target = image(2 << 20, 5);
    assert_eq!(read_back(&header, &target).unwrap().length(), 0);
    target[..700_000].copy_from_slice(&new[..700_000]);
    let prefix = read_back(&header, &target).unwrap();
    let length = prefix.length() as usize;
    assert!((700_000 - (128 << 10)..=700_000).contains(&length));
    assert!(
        header
            .chunks()
            .iter()
            .any(|it| it.plain_end() == length as u64)
    );
    let rest = update(&header, &[], &file, &Image::of(&new), prefix).unwrap();
    assert!(rest == new[length..]);
    assert_eq!(read_back(&header, &new).unwrap().length(), 1 << 20);
    assert_eq!(read_back(&header, &new[..100]).unwrap().length(), 0);
}

#[test]
fn an_index_has_the_chunks_of_the_writer() {
    let image = image(3_333_333, 4);
    let (header, _) = zck(&image);
    let index = Index::of(&image, u64::MAX, header.checksum()).unwrap();
    let plan = Plan::new(&header, &index);
    for (number, chunk) in header.chunks().iter().enumerate().skip(1) {
        assert_eq!(plan.source(number), Some(chunk.plain_offset));
    }
    // Of a slot, only what the image had is looked at.
    let part = Index::of(&image, 1 << 20, header.checksum()).unwrap();
    assert!(Plan::new(&header, &part).download(&header) > 1 << 20);
}

#[test]
fn a_corrupt_chunk_is_named_and_not_written() {
    let new = image(2 << 20, 5);
    let (header, mut file) = zck(&new);
    let victim = header.chunks()[7];
    file[victim.offset as usize + 3] ^= 1;
    let mut target = Vec::new();
    let plan = Plan::new(&header, &Index::empty());
    let mut body = &*file;
    let outcome = apply(
        &header,
        &plan,
        &[0_u8; 0][..],
        Some(&mut body),
        &Image::of(&new),
        Prefix::none(),
        &mut target,
    );
    assert!(matches!(
        outcome,
        Err(Error::WrongChunk {
            chunk: 7,
            source_of_chunk: Source::Body
        })
    ));
    assert!(target.len() as u64 <= victim.plain_offset);
    assert!(new.starts_with(&target));
}

#[test]
fn an_old_image_that_changes_after_it_was_read_is_noticed() {
    let mut old = image(1 << 20, 6);
    let (header, file) = zck(&old);
    let new = Image::of(&old);
    let index = Index::of(&old, u64::MAX, header.checksum()).unwrap();
    let plan = Plan::new(&header, &index);
    old[500_000] ^= 1;
    let mut target = Vec::new();
    let mut body = &*file;
    let outcome = apply(
        &header,
        &plan,
        &old,
        Some(&mut body),
        &new,
        Prefix::none(),
        &mut target,
    );
    assert!(matches!(
        outcome,
        Err(Error::WrongChunk {
            source_of_chunk: Source::Base,
            ..
        })
    ));
    assert!(target.len() <= 500_000);
}

#[test]
fn another_length_than_promised_is_refused_at_once() {
    let new = image(100_000, 7);
    let (header, file) = zck(&new);
    let other = Image {
        length: 100_001,
        ..Image::of(&new)
    };
    assert!(matches!(
        update(&header, &[], &file, &other, Prefix::none()),
        Err(Error::WrongLength {
            expected: 100_001,
            found: 100_000
        })
    ));
    let other = Image {
        digest: Image::of(b"").digest,
        ..Image::of(&new)
    };
    assert!(matches!(
        update(&header, &[], &file, &other, Prefix::none()),
        Err(Error::WrongOutput { .. })
    ));
}

#[test]
fn an_empty_image_is_a_file_too() {
    let (header, file) = zck(&[]);
    assert_eq!(header.chunks().len(), 1);
    assert!(
        update(&header, &[], &file, &Image::of(&[]), Prefix::none())
            .unwrap()
            .is_empty()
    );
}

#[test]
fn detached_headers_are_read() {
    let (header, mut file) = zck(&image(50_000, 8));
    file.truncate(header.length() as usize);
    file[..5].copy_from_slice(b"\0ZHR1");
    assert_eq!(Header::parse(&file).unwrap(), header);
    file.push(0);
    assert!(matches!(
        Header::parse(&file),
        Err(Error::Malformed { field: "end", .. })
    ));
}

/// A header with the right checksum around `rest`.
fn sealed(rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"\0ZCK1".to_vec();
    number::put(&mut bytes, 1);
    number::put(&mut bytes, rest.len() as u64);
    let sum = Checksum::Sha256.of(&[&bytes, rest]);
    bytes.extend(sum.as_bytes());
    bytes.extend(rest);
    bytes
}

#[test]
fn fields_out_of_bounds_are_refused_by_name() {
    let fields = |flags: u64, compression: u64, index: &[u8], tail: &[u8]| {
        let mut rest = vec![0; 32];
        number::put(&mut rest, flags);
        number::put(&mut rest, compression);
        number::put(&mut rest, index.len() as u64);
        rest.extend(index);
        rest.extend(tail);
        Header::parse(&sealed(&rest))
    };
    // One chunk, the dictionary, with 16-byte digests.
    let index = |lengths: [u64; 2]| {
        let mut index = vec![0x83, 0x81];
        index.extend([0; 16]);
        for length in lengths {
            number::put(&mut index, length);
        }
        index
    };
    assert!(fields(0, 2, &index([0, 0]), &[0x80]).is_ok());
    let refused = |outcome: crate::Result<Header>, name: &str| match outcome {
        Err(Error::Malformed { field, .. } | Error::TooLarge { field, .. }) => {
            assert_eq!(field, name);
        }
        other => panic!("{name}: {other:?}"),
    };
    refused(fields(1, 2, &index([0, 0]), &[0x80]), "flags");
    refused(fields(8, 2, &index([0, 0]), &[0x80]), "flags");
    refused(fields(0, 1, &index([0, 0]), &[0x80]), "compression");
    refused(fields(0, 2, &[0x84, 0x81], &[0x80]), "chunk checksum kind");
    refused(fields(0, 2, &[0x83, 0x80], &[0x80]), "number of chunks");
    refused(fields(0, 2, &index([1, 0]), &[0x80]), "chunk length");
    refused(fields(0, 0, &index([1, 2]), &[0x80]), "chunk length");
    refused(fields(0, 2, &index([9, 5 << 20]), &[0x80]), "plain chunk");
    refused(fields(0, 2, &index([9 << 20, 9]), &[0x80]), "stored chunk");
    refused(
        fields(0, 2, &index([0, 0]), &[0x81]),
        "number of signatures",
    );
    refused(fields(0, 2, &index([0, 0]), &[0x80, 0]), "length");
    let mut long = index([0, 0]);
    long.push(0);
    refused(fields(0, 2, &long, &[0x80]), "index length");
    // Two optional elements, which nobody knows, are passed over.
    let mut rest = vec![0; 32];
    rest.extend([0x82, 0x82, 0x82, 0x85, 0x83, 1, 2, 3, 0x86, 0x80]);
    number::put(&mut rest, index([0, 0]).len() as u64);
    rest.extend(index([0, 0]));
    rest.push(0x80);
    assert!(Header::parse(&sealed(&rest)).is_ok());
    // A length that is not there is not reserved either.
    let mut bytes = b"\0ZCK1\x81".to_vec();
    number::put(&mut bytes, 15 << 20);
    refused(Header::parse(&bytes), "header checksum");
    let mut bytes = b"\0ZCK1\x81".to_vec();
    number::put(&mut bytes, 1 << 60);
    refused(Header::parse(&bytes), "header");
}

#[test]
fn chunks_may_be_stored_as_they_are() {
    let plain = image(1000, 9);
    let digest = Checksum::Sha256.of(&[&plain]);
    let mut index = vec![0x81, 0x82];
    index.extend([0; 64]);
    index.extend([0x80, 0x80]);
    index.extend([0; 32]);
    index.extend(digest.as_bytes());
    number::put(&mut index, 1000);
    number::put(&mut index, 1000);
    let mut rest = vec![0; 32];
    rest.extend([0x84, 0x82]);
    number::put(&mut rest, index.len() as u64);
    rest.extend(index);
    rest.push(0x80);
    let mut file = sealed(&rest);
    let header = Header::parse(&file).unwrap();
    file.extend(&plain);
    assert_eq!(
        update(&header, &[], &file, &Image::of(&plain), Prefix::none()).unwrap(),
        plain
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn numbers_round_trip(number in 0_u64..1 << 63, rest: Vec<u8>) {
        let mut bytes = Vec::new();
        number::put(&mut bytes, number);
        let length = bytes.len();
        prop_assert_eq!(number::take(&mut &bytes[..length - 1]), None);
        bytes.extend(&rest);
        let mut left = &*bytes;
        prop_assert_eq!(number::take(&mut left), Some(number));
        prop_assert_eq!(left, &*rest);
    }

    #[test]
    fn updates_make_the_new_image(
        lengths in (0_usize..700_000, 0_usize..700_000),
        shared in 0_usize..700_000,
        written: u64,
    ) {
        let mut old = image(lengths.0, 10);
        let mut new = image(lengths.1, 11);
        let common = image(shared, 12);
        old.extend(&common);
        new.splice(new.len() / 2..new.len() / 2, common);
        let (header, file) = zck(&new);
        let expected = Image::of(&new);
        let made = update(&header, &old, &file, &expected, Prefix::none()).unwrap();
        prop_assert!(made == new);
        // Interrupted anywhere, the rest comes out, and no chunk before it is fetched.
        let written = written % (new.len() as u64 + 1);
        let prefix = Prefix::read_back(&mut &*new, written).unwrap();
        let made = update(&header, &old, &file, &expected, prefix).unwrap();
        prop_assert!(made == new[written as usize..]);
        let index = Index::of(&old, u64::MAX, header.checksum()).unwrap();
        let plan = Plan::new(&header, &index);
        let first = header.chunks().iter().skip(1).find(|it| it.plain_end() > written);
        if let Some(range) = plan.ranges(&header, written).first() {
            prop_assert!(range.start >= first.unwrap().offset);
        }
    }

    #[test]
    fn prefixes_and_flipped_bits_are_refused(at: prop::sample::Index, bit in 0_u8..8) {
        let (header, mut file) = zck(&image(60_000, 13));
        file.truncate(header.length() as usize);
        prop_assert!(Header::parse(&file[..at.index(file.len())]).is_err());
        file[at.index(header.length() as usize)] ^= 1 << bit;
        prop_assert!(Header::parse(&file).is_err());
    }

    #[test]
    fn sealed_bytes_are_taken_or_refused(rest: Vec<u8>) {
        let _ = Header::parse(&sealed(&rest));
        let mut with_start = vec![0; 32];
        with_start.extend([0x84, 0x82]);
        with_start.extend(rest);
        let _ = Header::parse(&sealed(&with_start));
    }
}
