//! `zck`, `unzck` and `zck_read_header` of this machine's and trixie's zchunk, in both directions.

use std::fs::{self, File};
use std::io::Cursor;

use bedstone_delta::output::{Image, Prefix};
use bedstone_delta::zchunk::{Checksum, Compression, Header, Index, Options, Plan, apply, write};

use super::images::{noise, pair};
use super::programs::Suite;

/// Expands a zchunk file.
fn expand(file: &[u8], image: &[u8]) -> (Header, Vec<u8>) {
    let header = Header::read(&mut &*file).unwrap();
    assert_eq!(header.file_length(), file.len() as u64);
    let plan = Plan::new(&header, &Index::empty());
    let (mut made, mut body) = (Vec::new(), file);
    apply(
        &header,
        &plan,
        &[0_u8; 0][..],
        Some(&mut body),
        &Image::of(image),
        Prefix::none(),
        &mut made,
    )
    .unwrap();
    (header, made)
}

fn zck(image: &[u8]) -> (Header, Vec<u8>) {
    let mut file = Vec::new();
    let options = Options {
        level: 9,
        threads: 2,
    };
    let header = write(
        &mut &*image,
        options,
        &mut Cursor::new(Vec::new()),
        &mut file,
    )
    .unwrap();
    (header, file)
}

#[test]
fn we_read_what_zck_writes() {
    let (image, _) = pair(5_000_000);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("image"), &image).unwrap();
    fs::write(path("dictionary"), &image[1_300_000..1_400_000]).unwrap();
    fs::write(path("empty"), "").unwrap();
    for suite in Suite::ALL {
        let made = |arguments: &[&str]| {
            let _ = fs::remove_file(path("image.zck"));
            suite.run("zck", [&["-o", &path("image.zck")], arguments].concat());
            fs::read(path("image.zck")).unwrap()
        };
        for (arguments, checksum, compression) in [
            (
                &["-u", "--chunk-hash-type", "sha256"][..],
                Checksum::Sha256,
                Compression::Zstd,
            ),
            (
                &["-u", "--chunk-hash-type", "sha512"],
                Checksum::Sha512,
                Compression::Zstd,
            ),
            (&[], Checksum::Sha512Half, Compression::Zstd),
            (
                &["--compression-format", "none"],
                Checksum::Sha512Half,
                Compression::None,
            ),
            (
                &["-D", &path("dictionary")],
                Checksum::Sha512Half,
                Compression::Zstd,
            ),
        ] {
            let file = made(&[arguments, &[&path("image")]].concat());
            let (header, expanded) = expand(&file, &image);
            assert!(expanded == image, "{suite:?} {arguments:?}");
            assert_eq!(
                (header.checksum(), header.compression()),
                (checksum, compression)
            );
            assert_eq!(header.chunks()[0].length > 0, arguments.contains(&"-D"));
        }
        expand(
            &made(&["-u", "--chunk-hash-type", "sha256", &path("empty")]),
            &[],
        );
    }
}

#[test]
fn zchunk_reads_what_we_write() {
    let (image, _) = pair(5_000_000);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    for image in [&image[..], &image[..100], &[]] {
        let (header, file) = zck(image);
        fs::write(path("ours.zck"), &file).unwrap();
        for suite in Suite::ALL {
            assert!(
                suite.run("unzck", ["-c", &path("ours.zck")]) == image,
                "{suite:?}"
            );
            let text = suite.run("zck_read_header", ["-v", &path("ours.zck")]);
            let text = String::from_utf8(text).unwrap();
            let field = |name: &str| {
                text.lines()
                    .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                    .unwrap_or_else(|| panic!("{name} in:\n{text}"))
                    .trim()
                    .to_owned()
            };
            assert_eq!(field("Header size"), header.length().to_string());
            assert_eq!(
                field("Data size"),
                (header.file_length() - header.length()).to_string()
            );
            assert_eq!(field("Chunk count"), header.chunks().len().to_string());
            assert_eq!(field("Chunk checksum type"), "SHA-256");
            assert_eq!(field("Overall checksum type"), "SHA-256");
        }
    }
}

#[test]
fn chunks_begin_where_zck_begins_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (mixed, _) = pair(20_000_000);
    // Few different bytes make many matches of the rolling hash, also where a chunk is too short for them.
    let few: Vec<u8> = noise(6_000_000, 5).iter().map(|byte| byte & 1).collect();
    let cyclic: Vec<u8> = noise(9_973, 6)
        .iter()
        .copied()
        .cycle()
        .take(3_000_000)
        .collect();
    let boundaries = |header: &Header| -> Vec<u64> {
        header
            .chunks()
            .iter()
            .map(|chunk| chunk.plain_offset)
            .collect()
    };
    for (name, image) in [
        ("mixed", mixed),
        ("few", few),
        ("cyclic", cyclic),
        ("zero", vec![0; 1_000_000]),
    ] {
        fs::write(path(name), &image).unwrap();
        let (ours, _) = zck(&image);
        for suite in Suite::ALL {
            let _ = fs::remove_file(path("zck"));
            suite.run(
                "zck",
                [
                    "-o",
                    &path("zck"),
                    "-u",
                    "--chunk-hash-type",
                    "sha256",
                    &path(name),
                ],
            );
            let theirs = Header::read(&mut File::open(path("zck")).unwrap()).unwrap();
            assert_eq!(boundaries(&ours), boundaries(&theirs), "{suite:?} {name}");
            // So an old image has all of the chunks.
            let index = Index::of(&image, u64::MAX, theirs.checksum()).unwrap();
            assert_eq!(
                Plan::new(&theirs, &index).download(&theirs),
                0,
                "{suite:?} {name}"
            );
        }
    }
}
