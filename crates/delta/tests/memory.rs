//! Applying deltas to an image of 1 GiB takes less than 32 MB of memory.
//!
//! Each delta is applied in a process of its own, which reports the peak of its resident memory. The images are files
//! with holes: noise in one MiB of eight. Has no test harness, because that process is this program again.

#![allow(clippy::print_stdout, reason = "it is its own test harness")]
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "memory/peak.rs"]
mod peak;

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::{env, io};

use bedstone_delta::base::VerifiedBase;
use bedstone_delta::output::{Image, Prefix};
use bedstone_delta::rdiff::{self, Options, Signature};
use bedstone_delta::zchunk::{self, Header, Index, Plan};

const LENGTH: u64 = 1 << 30;
const LIMIT_KB: u64 = 32_000;
const TESTS: [&str; 2] = [
    "rdiff_takes_less_than_32_mb",
    "zchunk_takes_less_than_32_mb",
];

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["apply", test, directory] = words[..] {
        apply(test, Path::new(directory));
        return;
    }
    let listing = words.contains(&"--list");
    let names = || {
        words
            .iter()
            .filter(|word| !word.starts_with('-') && **word != "terse")
    };
    for test in TESTS {
        // None of them is of the ignored ones that nextest asks for, too.
        if words.contains(&"--ignored") || names().any(|name| !test.contains(name)) {
            continue;
        }
        if listing {
            println!("{test}: test");
        } else {
            run(test);
        }
    }
}

fn run(test: &str) {
    let directory = tempfile::tempdir().unwrap();
    make(test, directory.path());
    let peak = peak::of_this_program(&[
        "apply".as_ref(),
        test.as_ref(),
        directory.path().as_os_str(),
    ]);
    println!("{test}: peak of resident memory {peak} kB");
    assert!(peak < LIMIT_KB, "{test}: {peak} kB");
}

fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..1 << 17)
        .flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .collect()
}

/// The old and the new image, and what the test applies to one to get the other.
fn make(test: &str, directory: &Path) {
    for (name, changed) in [("old", 0), ("new", 1)] {
        let image = File::create(directory.join(name)).unwrap();
        image.set_len(LENGTH).unwrap();
        for part in 0..LENGTH >> 23 {
            let mut bytes = noise(part);
            // One in four has changed: its first third, and all that follows is moved by a byte.
            if changed == 1 && part % 4 == 0 {
                bytes[..300_000].copy_from_slice(&noise(part + 1000)[..300_000]);
                bytes.insert(400_000, 7);
            }
            image.write_all_at(&bytes, part << 23).unwrap();
        }
    }
    let open = |name: &str| File::open(directory.join(name)).unwrap();
    let create = |name: &str| File::create(directory.join(name)).unwrap();
    if test == TESTS[0] {
        let mut sums = Vec::new();
        rdiff::signature(&mut open("old"), Options::recommended(LENGTH), &mut sums).unwrap();
        let sums = Signature::read(&mut &*sums).unwrap();
        let mut delta = io::BufWriter::new(create("new.rdiff"));
        rdiff::delta(&sums, &mut open("new"), &mut delta).unwrap();
        delta.flush().unwrap();
    } else {
        let mut spool = tempfile::tempfile_in(directory).unwrap();
        let options = zchunk::Options {
            level: 1,
            threads: 2,
        };
        zchunk::write(
            &mut open("new"),
            options,
            &mut spool,
            &mut create("new.zck"),
        )
        .unwrap();
    }
    for name in ["old", "new"] {
        let image = Image::of_reader(&mut open(name)).unwrap();
        fs::write(
            directory.join(format!("{name}.sha256")),
            image.digest.to_string(),
        )
        .unwrap();
    }
}

/// What the process of its own does.
fn apply(test: &str, directory: &Path) {
    let image = |name: &str| Image {
        length: fs::metadata(directory.join(name)).unwrap().len(),
        digest: fs::read_to_string(directory.join(format!("{name}.sha256")))
            .unwrap()
            .parse()
            .unwrap(),
    };
    let old = File::open(directory.join("old")).unwrap();
    let mut target = File::create(directory.join("target")).unwrap();
    // As when an earlier run was interrupted.
    let mut new = File::open(directory.join("new")).unwrap();
    let prefix = Prefix::read_back(&mut new, 5_000_000).unwrap();
    target.seek(SeekFrom::Start(5_000_000)).unwrap();
    if test == TESTS[0] {
        let base = VerifiedBase::check(&old, image("old")).unwrap();
        let delta = File::open(directory.join("new.rdiff")).unwrap();
        rdiff::apply(&base, delta, &image("new"), prefix, &mut target).unwrap();
    } else {
        let file = File::open(directory.join("new.zck")).unwrap();
        let header = Header::read(&mut io::BufReader::new(&file)).unwrap();
        let index = Index::of(&old, LENGTH, header.checksum()).unwrap();
        let plan = Plan::new(&header, &index);
        let mut body = &file;
        zchunk::apply(
            &header,
            &plan,
            &old,
            Some(&mut body),
            &image("new"),
            prefix,
            &mut target,
        )
        .unwrap();
    }
    peak::tell();
}
