//! Differences installed on a machine of files, with everything that may go wrong.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]
#![allow(clippy::panic, reason = "a test may fail anywhere")]

#[path = "deltas/machine.rs"]
mod machine;
#[allow(unreachable_pub, reason = "it is public in the library of the tests")]
#[path = "../../../tests/crash/product.rs"]
mod product;
#[allow(unreachable_pub, reason = "it is public in the library of the tests")]
#[path = "../../../tests/crash/server.rs"]
mod server;

use bedstone_agent::Progress;
use bedstone_agent::transaction::State as Transaction;
use bedstone_bundle::description::Compression;
use bedstone_bundle::layout::{Delta, Image, Root};
use bedstone_disk::bgenv::State;
use bedstone_disk::layout::Slot;
use tempfile::TempDir;

use machine::{Done, Machine};
use product::{Carried, Product, Release, artifact, image, noise, rdiff_between, zchunk_file};
use server::Server;

/// Bytes of a root file system without its hash tree, and of the partition for it.
const ROOT: usize = 3_000_000;
const PARTITION: u64 = 4 << 20;

struct Workshop {
    product: Product,
    one: Release,
    two: Release,
    machine: Machine,
    _directory: TempDir,
}

/// A machine that runs version 1, and version 2, which is a little different.
fn workshop() -> Workshop {
    let product = Product::create();
    let one = product.release_of("1.0", &noise("1.0", ROOT));
    let two = product.release_after(&one, "2.0");
    let directory = tempfile::tempdir().unwrap();
    let machine = Machine::new(
        directory.path(),
        (product.digest, &product.certificate),
        ("1.0", &one.root, &one.kernel),
        PARTITION,
    );
    Workshop {
        product,
        one,
        two,
        machine,
        _directory: directory,
    }
}

impl Workshop {
    fn rdiff(&self, with_whole: bool) -> Vec<u8> {
        let base = &self.one.root;
        self.product
            .bundle(&self.two, &Carried::Rdiff { base, with_whole })
    }

    fn zchunk(&self, url: &str, with_whole: bool) -> Vec<u8> {
        self.product
            .bundle(&self.two, &Carried::Zchunk { url, with_whole })
    }

    fn server(&self) -> Server {
        Server::start(zchunk_file(&self.two.root).1)
    }

    fn assert_installed(&self, done: &Done) {
        assert_eq!(done.code(), "installed", "{:?}", done.outcome);
        let root = self.machine.read("root-b");
        assert!(root[..self.two.root.len()] == self.two.root);
        let environment = self.machine.environment();
        assert_eq!(
            (environment.state, environment.revision),
            (State::Installed, 3)
        );
        assert!(self.machine.read("root-a")[..self.one.root.len()] == self.one.root);
    }

    /// The other slot cannot be started, and the record says why.
    fn assert_failed(&self, done: &Done, code: &str) {
        assert_eq!(done.code(), code, "{:?}", done.outcome);
        let environment = self.machine.environment();
        assert!(environment.in_progress);
        assert_eq!(
            (environment.state, environment.revision),
            (State::Failed, 0)
        );
        let record = self.machine.records().read().unwrap().unwrap();
        assert_eq!(record.state, Transaction::Failed);
        assert!(record.reason.unwrap().starts_with(code));
    }

    /// Nothing was written anywhere.
    fn assert_refused(&self, bundle: &[u8], code: &str) {
        let before = self.machine.everything();
        let done = self.machine.install(bundle);
        assert_eq!(done.code(), code, "{:?}", done.outcome);
        assert!(self.machine.everything() == before);
        assert_eq!(self.machine.records().read().unwrap(), None);
    }
}

#[test]
fn rdiff_makes_the_new_root_from_the_running_one() {
    let workshop = workshop();
    let bundle = workshop.rdiff(false);
    assert!(bundle.len() < workshop.two.bundle.len() - ROOT / 2);
    let done = workshop.machine.install(&*bundle);
    workshop.assert_installed(&done);
    assert!(done.progress.contains(&Progress::CheckingBase));
    // Where the whole one is there, too, it is not needed.
    let done = workshop.machine.install(&*workshop.rdiff(true));
    workshop.assert_installed(&done);
    assert_eq!(done.taken_whole(), None);
}

#[test]
fn a_wrong_base_is_refused_before_anything_is_written() {
    let workshop = workshop();
    let mut other = workshop.one.root.clone();
    other[ROOT / 2] ^= 1;
    workshop.machine.fill("root-a", &other);
    workshop.assert_refused(&workshop.rdiff(false), "wrong-base");
    workshop.machine.fill("root-a", &workshop.one.root);
    let shorter = Image {
        size: PARTITION + 1,
        ..image(&workshop.one.root)
    };
    let root = Root::Delta {
        member: "root.delta".to_owned(),
        delta: Delta::Rdiff {
            base: shorter,
            output: image(&workshop.two.root),
        },
        full: None,
    };
    let members = [
        artifact("root.delta", b"not looked at", Compression::None),
        artifact("linux.efi", &workshop.two.kernel, Compression::Zstd),
    ];
    workshop.assert_refused(&workshop.product.write("2.0", root, &members), "wrong-base");
}

#[test]
fn with_a_wrong_base_the_whole_root_is_taken_when_it_is_there() {
    let workshop = workshop();
    let mut other = workshop.one.root.clone();
    other[ROOT / 2] ^= 1;
    workshop.machine.fill("root-a", &other);
    let done = workshop.machine.install(&*workshop.rdiff(true));
    assert_eq!(done.taken_whole(), Some("wrong-base"));
    workshop.machine.fill("root-a", &workshop.one.root);
    workshop.assert_installed(&done);
}

#[test]
fn zchunk_fetches_what_the_running_root_lacks() {
    let workshop = workshop();
    let server = workshop.server();
    let done = workshop
        .machine
        .install(&*workshop.zchunk(&server.url, false));
    workshop.assert_installed(&done);
    // A tenth has changed, and the hash tree of all that follows.
    let served = server.served() as usize;
    assert!((ROOT / 10..ROOT / 3).contains(&served), "{served}");
}

#[test]
fn a_download_that_fails_goes_on_where_it_stopped() {
    let workshop = workshop();
    let server = workshop.server();
    let bundle = workshop.zchunk(&server.url, false);
    server.break_after(200_000);
    let done = workshop.machine.install(&*bundle);
    workshop.assert_failed(&done, "download");
    let first = server.served();
    server.break_after(u64::MAX);
    let again = workshop.machine.install(&*bundle);
    workshop.assert_installed(&again);
    let rest = server.served();
    assert!(rest > 0 && again.written < workshop.two.root.len() as u64);
    assert!(
        again.written + done.written <= workshop.two.root.len() as u64 + (300 << 10),
        "{} and {}",
        done.written,
        again.written
    );
    // Whatever was fetched and not written yet is fetched again.
    assert!(
        first + rest < ROOT as u64 / 3 + (400 << 10),
        "{first} and {rest}"
    );
}

#[test]
fn without_a_server_the_whole_root_is_taken_when_it_is_there() {
    let workshop = workshop();
    let server = workshop.server();
    server.break_after(200_000);
    let done = workshop
        .machine
        .install(&*workshop.zchunk(&server.url, true));
    assert_eq!(done.taken_whole(), Some("download"));
    workshop.assert_installed(&done);
}

#[test]
fn an_interrupted_difference_writes_the_rest_only() {
    let workshop = workshop();
    let server = workshop.server();
    for bundle in [workshop.rdiff(false), workshop.zchunk(&server.url, false)] {
        workshop
            .machine
            .fill("root-b", &vec![0; PARTITION as usize]);
        let half = |progress: &Progress| matches!(progress, Progress::Member { bytes, .. } if *bytes > ROOT as u64 / 2);
        let done = workshop.machine.install_until(&*bundle, half);
        assert_eq!(done.code(), "interrupted");
        assert!(workshop.machine.environment().in_progress);
        let again = workshop.machine.install(&*bundle);
        workshop.assert_installed(&again);
        let whole = workshop.two.root.len() as u64;
        assert!(done.written > whole / 2);
        assert!(
            again.written <= whole - done.written + (128 << 10),
            "{}",
            again.written
        );
    }
    // Before anything is written, too.
    let before = workshop.machine.everything();
    let checking = |progress: &Progress| *progress == Progress::CheckingBase;
    let done = workshop
        .machine
        .install_until(&*workshop.rdiff(true), checking);
    assert_eq!(done.code(), "interrupted");
    assert!(workshop.machine.everything() == before);
}

#[test]
fn what_comes_out_has_to_be_what_was_signed() {
    let workshop = workshop();
    let (one, two) = (&workshop.one, &workshop.two);
    let kernel = artifact("linux.efi", &two.kernel, Compression::Zstd);
    let bundle = |delta: Delta, member: &[u8]| {
        let root = Root::Delta {
            member: "root.delta".to_owned(),
            delta,
            full: None,
        };
        let members = [
            artifact("root.delta", member, Compression::None),
            kernel.clone(),
        ];
        workshop.product.write("2.0", root, &members)
    };
    let base = image(&one.root);
    let rdiff = |output| Delta::Rdiff { base, output };
    let delta = rdiff_between(&one.root, &two.root);

    let other = Image {
        sha256: base.sha256,
        ..image(&two.root)
    };
    let done = workshop.machine.install(&*bundle(rdiff(other), &delta));
    workshop.assert_failed(&done, "hash-mismatch");
    let longer = Image {
        size: two.root.len() as u64 + 1,
        ..image(&two.root)
    };
    let done = workshop.machine.install(&*bundle(rdiff(longer), &delta));
    workshop.assert_failed(&done, "hash-mismatch");
    let done = workshop
        .machine
        .install(&*bundle(rdiff(image(&two.root)), b"no delta"));
    workshop.assert_failed(&done, "malformed");

    // A server that has another file of the same length. What an earlier attempt left would do without it.
    workshop
        .machine
        .fill("root-b", &vec![0; PARTITION as usize]);
    let (header, mut file) = zchunk_file(&two.root);
    let length = file.len();
    for byte in &mut file[header.len()..length] {
        *byte ^= 0x55;
    }
    let server = Server::start(file);
    let zchunk = |output| Delta::Zchunk {
        url: server.url.clone(),
        output,
    };
    let done = workshop
        .machine
        .install(&*bundle(zchunk(image(&two.root)), &header));
    workshop.assert_failed(&done, "download");
    let mut longer = header.clone();
    longer.push(0);
    let done = workshop
        .machine
        .install(&*bundle(zchunk(image(&two.root)), &longer));
    workshop.assert_failed(&done, "malformed");
}

#[test]
fn a_damaged_bundle_is_blamed_and_not_the_difference() {
    let workshop = workshop();
    let mut bundle = workshop.rdiff(true);
    // In the middle of the delta, which comes first.
    let at = bundle
        .windows(10)
        .position(|it| it == b"root.delta")
        .unwrap();
    let place = bundle[at + 10..]
        .windows(10)
        .position(|it| it == b"root.delta")
        .unwrap();
    bundle[at + 10 + place + 100_000] ^= 1;
    let done = workshop.machine.install(&*bundle);
    workshop.assert_failed(&done, "hash-mismatch");
    assert_eq!(done.taken_whole(), None);
}

#[test]
fn a_difference_to_something_too_large_is_refused() {
    let workshop = workshop();
    let large = Image {
        size: PARTITION + 1,
        ..image(&workshop.two.root)
    };
    for delta in [
        Delta::Rdiff {
            base: image(&workshop.one.root),
            output: large,
        },
        Delta::Zchunk {
            url: "http://127.0.0.1:1/".to_owned(),
            output: large,
        },
    ] {
        let root = Root::Delta {
            member: "root.delta".to_owned(),
            delta,
            full: None,
        };
        let members = [
            artifact("root.delta", b"not looked at", Compression::None),
            artifact("linux.efi", &workshop.two.kernel, Compression::Zstd),
        ];
        workshop.assert_refused(&workshop.product.write("2.0", root, &members), "too-large");
    }
    assert_eq!(workshop.machine.device().target(), Slot::B);
}
