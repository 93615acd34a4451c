use std::path::Path;
use std::process::Command;

use bedstone_store::Digest;
use proptest::prelude::*;

use super::*;
use crate::error::Error;
use crate::guid::Guid;

/// Bytes that look random and are the same each time.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

const UUID: &str = "0f4d7a35-9a55-4a0f-8d53-0d3c5c5bbd51";

fn uuid() -> Guid {
    UUID.parse().unwrap()
}

fn veritysetup(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("veritysetup")
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("veritysetup: {error}; apt-get install cryptsetup-bin"));
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Formats a copy of `data` by veritysetup: the file and the root hash.
fn theirs(directory: &Path, data: &[u8], salt: &[u8]) -> (Vec<u8>, String) {
    let path = directory.join("theirs");
    let blocks = data.len().next_multiple_of(4096);
    let mut padded = data.to_vec();
    padded.resize(blocks, 0);
    std::fs::write(&path, padded).unwrap();
    let path_text = path.to_str().unwrap();
    let salt = if salt.is_empty() {
        "-".to_owned()
    } else {
        hex(salt)
    };
    let (ok, text) = veritysetup(&[
        "format",
        path_text,
        path_text,
        &format!("--hash-offset={blocks}"),
        &format!("--data-blocks={}", blocks / 4096),
        &format!("--salt={salt}"),
        &format!("--uuid={UUID}"),
    ]);
    assert!(ok, "{text}");
    let root = text
        .lines()
        .find_map(|line| line.strip_prefix("Root hash:"));
    let root = root.unwrap().trim().to_owned();
    (std::fs::read(&path).unwrap(), root)
}

#[test]
fn the_same_bytes_as_veritysetup() {
    let directory = tempfile::tempdir().unwrap();
    let ours = directory.path().join("ours");
    let salt = [0xab; 32];
    // One block; one leaf, full and overfull; three levels; incomplete last blocks.
    let blocks = [1, 2, 127, 128, 129, 1000, 128 * 128, 128 * 128 + 1];
    let sizes = blocks.iter().map(|blocks| blocks * 4096);
    for size in sizes.chain([1, 4097, 1_234_567]) {
        let data = noise(size);
        std::fs::write(&ours, &data).unwrap();
        let formatted = append(&ours, &salt, uuid()).unwrap();
        let (bytes, root) = theirs(directory.path(), &data, &salt);
        assert_eq!(formatted.root.to_string(), root, "{size} bytes");
        assert!(std::fs::read(&ours).unwrap() == bytes, "{size} bytes");
    }
}

#[test]
fn other_salts() {
    let directory = tempfile::tempdir().unwrap();
    let data = noise(300 * 4096);
    for length in [0, 1, 64, 256] {
        let salt = noise(length);
        let formatted = format(&data, &salt, uuid()).unwrap();
        let (bytes, root) = theirs(directory.path(), &data, &salt);
        assert_eq!(formatted.root.to_string(), root, "salt of {length} bytes");
        assert!(bytes[data.len()..] == formatted.bytes);
    }
    assert!(format(&data, &noise(257), uuid()).is_err());
    assert!(format(&Vec::new(), &[], uuid()).is_err());
}

#[test]
fn veritysetup_verifies_and_dumps_ours() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    std::fs::write(&path, noise(5_000_000)).unwrap();
    let formatted = append(&path, &[1; 32], uuid()).unwrap();
    let path = path.to_str().unwrap();
    let offset = format!("--hash-offset={}", formatted.hash_offset());
    let root = formatted.root.to_string();
    let (ok, text) = veritysetup(&["verify", path, path, &root, &offset]);
    assert!(ok, "{text}");
    let (ok, text) = veritysetup(&["dump", path, &offset]);
    assert!(ok, "{text}");
    for expected in [UUID, "sha256", &hex(&[1; 32]), "Data blocks:     \t1221"] {
        assert!(text.contains(expected), "no `{expected}` in {text}");
    }
}

/// An image with its tree, the parameters and the root hash.
fn image(blocks: usize) -> (Vec<u8>, Superblock, u64, Digest) {
    let mut bytes = noise(blocks * 4096);
    let formatted = format(&bytes, &[7; 16], uuid()).unwrap();
    bytes.extend(&formatted.bytes);
    let offset = formatted.hash_offset();
    (bytes, formatted.superblock, offset, formatted.root)
}

#[test]
fn finds_each_corrupt_block() {
    for blocks in [1, 2, 130, 128 * 128 + 5] {
        let (good, superblock, offset, root) = image(blocks);
        verify(&good, &superblock, offset, &root).unwrap();
        let tree = offset as usize + 4096;
        let some = |count: usize| [0, 1, count / 2, count.saturating_sub(1)];
        let data = some(blocks).map(|block| Block::Data(block.min(blocks - 1) as u64));
        let hashes = (good.len() - tree) / 4096;
        let hash = some(hashes).map(|block| Block::Hash(block as u64));
        let hash = hash.into_iter().filter(|_| hashes > 0);
        for block in data.into_iter().chain(hash) {
            let (Block::Data(index) | Block::Hash(index)) = block;
            if matches!(block, Block::Hash(_)) && index >= hashes as u64 {
                continue;
            }
            let start = if matches!(block, Block::Data(_)) {
                0
            } else {
                tree
            };
            let mut bytes = good.clone();
            bytes[start + index as usize * 4096 + 4095] ^= 0x80;
            match verify(&bytes, &superblock, offset, &root) {
                Err(Error::Corrupt { block: found }) => assert_eq!(found, block),
                other => panic!("{block}: {other:?}"),
            }
            if let Block::Data(index) = block {
                let single = |i| verify_block(&bytes, &superblock, offset, &root, i);
                assert!(matches!(single(index), Err(Error::Corrupt { .. })));
                assert!(blocks == 1 || single((index + 1) % blocks as u64).is_ok());
            }
        }
        assert!(verify(&good, &superblock, offset, &Digest::of(b"")).is_err());
        let beyond = verify_block(&good, &superblock, offset, &root, blocks as u64);
        assert!(matches!(beyond, Err(Error::Missing { .. })));
    }
}

#[test]
fn names_the_first_of_several() {
    let (mut bytes, superblock, offset, root) = image(1000);
    for block in [900, 300, 700] {
        bytes[block * 4096] ^= 1;
    }
    let error = verify(&bytes, &superblock, offset, &root).unwrap_err();
    assert_eq!(error.to_string(), "dm-verity: data block 300 is corrupt");
}

#[test]
fn other_block_sizes_are_read() {
    // CIP's images have blocks of 1024 bytes.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cip");
    std::fs::write(&path, noise(1024 * 1024)).unwrap();
    let path_text = path.to_str().unwrap();
    let (ok, text) = veritysetup(&[
        "format",
        path_text,
        path_text,
        "--hash-offset=1048576",
        "--data-blocks=1024",
        "--data-block-size=1024",
        "--hash-block-size=1024",
    ]);
    assert!(ok, "{text}");
    let root = text
        .lines()
        .find_map(|line| line.strip_prefix("Root hash:"));
    let root: Digest = root.unwrap().trim().parse().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let superblock = Superblock::from_bytes(&bytes[1_048_576..]).unwrap();
    assert_eq!(superblock.data_block_size, 1024);
    verify(&bytes, &superblock, 1_048_576, &root).unwrap();
    bytes[77_777] ^= 1;
    assert!(verify(&bytes, &superblock, 1_048_576, &root).is_err());
}

#[test]
fn arguments_round_trip() {
    let data = noise(10 * 4096);
    let formatted = format(&data, &[1, 2, 0xff], uuid()).unwrap();
    let arguments = RootArguments::new(&formatted, "erofs");
    let text = arguments.to_string();
    assert!(text.starts_with("bedstone.root.hash="), "{text}");
    assert!(text.ends_with(" bedstone.root.hash-offset=40960 bedstone.root.uuid=0f4d7a35-9a55-4a0f-8d53-0d3c5c5bbd51 bedstone.root.fs=erofs"), "{text}");
    let line = format!("quiet {text} panic=5");
    assert_eq!(RootArguments::parse(&line).unwrap(), arguments);
    assert_eq!(arguments.superblock(), formatted.superblock);
    let refused = |line: &str, reason: &str| {
        let error = RootArguments::parse(line).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    };
    refused("", "`bedstone.root.fs` is missing");
    refused(&format!("{text} bedstone.root.fs=erofs"), "twice");
    refused(&format!("{text} bedstone.root.hsah=1"), "not known");
    refused(&text.replace("blocks=10", "blocks=+10"), "decimal");
    refused(&text.replace("blocks=10", "blocks=0"), "there are none");
    refused(&text.replace("=erofs", "=../x"), "file system");
    refused(&text.replace("salt=01", "salt=1"), "hexadecimal");
}

proptest! {
    #[test]
    fn superblocks_never_panic(at in 0_usize..512, byte: u8, length in 0_usize..600) {
        let (bytes, superblock, _, _) = image(1);
        let mut head = bytes[4096..].to_vec();
        prop_assert_eq!(Superblock::from_bytes(&head).unwrap(), superblock);
        head[at] = byte;
        if let Ok(superblock) = Superblock::from_bytes(&head) {
            let _ = verify(&bytes, &superblock, 4096, &Digest::of(b""));
            let _ = verify_block(&bytes, &superblock, 4096, &Digest::of(b""), 0);
            let _ = verify(&bytes, &superblock, u64::MAX - 5, &Digest::of(b""));
        }
        head.truncate(length);
        let _ = Superblock::from_bytes(&head);
    }

    #[test]
    fn arguments_never_panic(text: String) {
        let _ = RootArguments::parse(&text);
        let _ = RootArguments::parse(&format!("bedstone.root.{text}"));
    }
}

#[test]
fn leaves_hashed_before_are_not_read_again() {
    let data = noise(300 * 4096);
    let formatted = format(&data, &[9; 32], uuid()).unwrap();
    let image = [&data[..], &formatted.bytes].concat();
    let (superblock, offset) = (&formatted.superblock, formatted.hash_offset());
    let leaves = Leaves::new(superblock).unwrap();
    assert_eq!((leaves.whole(), leaves.data()), (2, 128 * 4096));
    let known: Vec<_> = data
        .chunks_exact(leaves.data())
        .map(|data| leaves.hash(data))
        .collect();
    verify_rest(&image, superblock, offset, &formatted.root, &known).unwrap();

    // What is damaged after it was read is not seen, what was damaged before is named, and so is the tree, and the rest.
    let rest = |at: usize, known: &[Digest]| {
        let mut damaged = image.clone();
        damaged[at] ^= 1;
        verify_rest(&damaged, superblock, offset, &formatted.root, known)
    };
    rest(5 * 4096, &known).unwrap();
    let corrupt = |outcome: Result<(), Error>| match outcome {
        Err(Error::Corrupt { block }) => block,
        other => panic!("{other:?}"),
    };
    let mut read_damaged = data[..leaves.data()].to_vec();
    read_damaged[5 * 4096] ^= 1;
    let read = [leaves.hash(&read_damaged), known[1]];
    assert_eq!(corrupt(rest(5 * 4096, &read)), Block::Data(5));
    assert_eq!(corrupt(rest(299 * 4096, &known)), Block::Data(299));
    let second_leaf = data.len() + 3 * 4096;
    assert_eq!(corrupt(rest(second_leaf, &known)), Block::Hash(2));
}
