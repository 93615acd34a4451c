//! Installing takes less than 32 MB of memory, whole or as a difference, with a root file system of 512 MiB.
//!
//! Each installation runs in a process of its own, which reports the peak of its resident memory. Has no test harness,
//! because that process is this program again.

#![allow(clippy::print_stdout, reason = "it is its own test harness")]
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]
#![allow(clippy::panic, reason = "a test may fail anywhere")]

#[path = "deltas/machine.rs"]
mod machine;
#[path = "../../delta/tests/memory/peak.rs"]
mod peak;
#[allow(unreachable_pub, reason = "it is public in the library of the tests")]
#[path = "../../../tests/crash/product.rs"]
mod product;
#[allow(unreachable_pub, reason = "it is public in the library of the tests")]
#[path = "../../../tests/crash/server.rs"]
mod server;

use std::env;
use std::fs::{self, File};
use std::path::Path;

use bedstone_store::Digest;

use machine::Machine;
use product::{Carried, Product, noise, zchunk_file};
use server::Server;

/// Bytes of a root file system without its hash tree, and of the partition for it.
const ROOT: usize = 512 << 20;
const PARTITION: u64 = 520 << 20;
const LIMIT_KB: u64 = 32_000;
const TEST: &str = "installs_in_less_than_32_mb";

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["install", directory, bundle] = words[..] {
        install(Path::new(directory), Path::new(bundle));
        return;
    }
    let mut names = words
        .iter()
        .filter(|word| !word.starts_with('-') && **word != "terse");
    // It is none of the ignored ones that nextest asks for, too.
    if words.contains(&"--ignored") || names.any(|name| !TEST.contains(name)) {
        return;
    }
    if words.contains(&"--list") {
        println!("{TEST}: test");
    } else {
        run();
    }
}

/// Noise in one MiB of eight.
fn sparse() -> Vec<u8> {
    let mut data = vec![0; ROOT];
    for part in 0..ROOT >> 23 {
        let at = part << 23;
        data[at..at + (1 << 20)].copy_from_slice(&noise(&part.to_string(), 1 << 20));
    }
    data
}

fn run() {
    let product = Product::create();
    let one = product.release_of("1.0", &sparse());
    let mut data = sparse();
    for part in (0..ROOT >> 23).step_by(4) {
        let at = part << 23;
        data[at..at + 300_000].copy_from_slice(&noise(&format!("new {part}"), 300_000));
    }
    let two = product.release_of("2.0", &data);
    let server = Server::start(zchunk_file(&two.root).1);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("product"), product.digest.to_string()).unwrap();
    fs::write(path("certificate"), &product.certificate).unwrap();
    let rdiff = Carried::Rdiff {
        base: &one.root,
        with_whole: false,
    };
    let zchunk = Carried::Zchunk {
        url: &server.url,
        with_whole: false,
    };
    for (name, carried) in [
        ("whole", Carried::Whole),
        ("rdiff", rdiff),
        ("zchunk", zchunk),
    ] {
        let bundle = path(name);
        fs::write(&bundle, product.bundle(&two, &carried)).unwrap();
        Machine::new(
            directory.path(),
            (product.digest, &product.certificate),
            ("1.0", &one.root, &one.kernel),
            PARTITION,
        );
        let peak = peak::of_this_program(&[
            "install".as_ref(),
            directory.path().as_os_str(),
            bundle.as_os_str(),
        ]);
        println!("{name}: peak of resident memory {peak} kB");
        assert!(peak < LIMIT_KB, "{name}: {peak} kB");
    }
}

/// What the process of its own does.
fn install(directory: &Path, bundle: &Path) {
    let product: Digest = fs::read_to_string(directory.join("product"))
        .unwrap()
        .parse()
        .unwrap();
    let certificate = fs::read(directory.join("certificate")).unwrap();
    let machine = Machine::open(directory, (product, &certificate), "1.0");
    let done = machine.install(File::open(bundle).unwrap());
    assert_eq!(done.code(), "installed", "{:?}", done.outcome);
    peak::tell();
}
