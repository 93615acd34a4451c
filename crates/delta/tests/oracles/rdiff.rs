//! `rdiff` of bookworm's or this machine's and trixie's librsync, in both directions.

use std::fs;

use bedstone_delta::base::VerifiedBase;
use bedstone_delta::output::{Image, Prefix};
use bedstone_delta::rdiff::{Kind, Options, Rolling, Signature, Strong, apply, delta, signature};

use super::images::pair;
use super::programs::Suite;

const KINDS: [(Rolling, &str, Strong, &str); 4] = [
    (Rolling::Rsync, "rollsum", Strong::Md4, "md4"),
    (Rolling::Rsync, "rollsum", Strong::Blake2, "blake2"),
    (Rolling::RabinKarp, "rabinkarp", Strong::Md4, "md4"),
    (Rolling::RabinKarp, "rabinkarp", Strong::Blake2, "blake2"),
];

fn both_ways(suite: Suite, old: &[u8], new: &[u8], block_length: u32, strong_length: u32) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("old"), old).unwrap();
    fs::write(path("new"), new).unwrap();
    let base = VerifiedBase::check(old, Image::of(old)).unwrap();
    let patched = |delta: &[u8]| {
        let mut made = Vec::new();
        apply(&base, delta, &Image::of(new), Prefix::none(), &mut made).unwrap();
        made
    };
    for (rolling, rolling_name, strong, strong_name) in KINDS {
        let strong_length = strong_length.min(strong.length());
        let options = Options {
            kind: Kind { rolling, strong },
            block_length,
            strong_length,
        };
        let what = format!(
            "{suite:?} {options:?}, {} -> {} bytes",
            old.len(),
            new.len()
        );
        let mut ours = Vec::new();
        signature(&mut &*old, options, &mut ours).unwrap();
        suite.run(
            "rdiff",
            [
                "-f",
                "-R",
                rolling_name,
                "-H",
                strong_name,
                "-b",
                &block_length.to_string(),
                "-S",
                &strong_length.to_string(),
                "signature",
                &path("old"),
                &path("theirs.sig"),
            ],
        );
        assert!(
            ours == fs::read(path("theirs.sig")).unwrap(),
            "signatures: {what}"
        );

        fs::write(path("ours.sig"), &ours).unwrap();
        suite.run(
            "rdiff",
            [
                "-f",
                "delta",
                &path("ours.sig"),
                &path("new"),
                &path("theirs.delta"),
            ],
        );
        let theirs = fs::read(path("theirs.delta")).unwrap();
        assert!(patched(&theirs) == new, "their delta: {what}");

        let mut ours = Vec::new();
        let sums = Signature::read(&mut &*fs::read(path("theirs.sig")).unwrap()).unwrap();
        delta(&sums, &mut &*new, &mut ours).unwrap();
        assert!(patched(&ours) == new, "our delta: {what}");
        fs::write(path("ours.delta"), &ours).unwrap();
        suite.run(
            "rdiff",
            [
                "-f",
                "patch",
                &path("old"),
                &path("ours.delta"),
                &path("made"),
            ],
        );
        assert!(
            fs::read(path("made")).unwrap() == new,
            "their patch: {what}"
        );
        assert!(
            ours.len() <= theirs.len(),
            "{} bytes, theirs {}: {what}",
            ours.len(),
            theirs.len()
        );
    }
}

#[test]
fn rdiff_and_we_make_and_apply_the_same() {
    let (old, new) = pair(3_000_000);
    for suite in Suite::ALL {
        for (block_length, strong_length) in [(2048, 32), (4096, 12), (1000, 8), (50_000, 32)] {
            both_ways(suite, &old, &new, block_length, strong_length);
        }
    }
}

#[test]
fn images_shorter_than_a_block_and_empty_ones() {
    let (old, new) = pair(20_000);
    for (old, new) in [
        (&old[..], &[][..]),
        (&[], &new),
        (&[], &[]),
        (&old[..100], &old[..100]),
        (&old[..2048], &old[..2048]),
        (&old[..2049], &old[..2048]),
        (&old[..5000], &old[4096..5000]),
        (&old[..5000], &new[..64]),
        (&old[..1], &old[..1]),
    ] {
        both_ways(Suite::Host, old, new, 2048, 16);
    }
}

#[test]
fn our_recommendation_is_rdiffs() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    for length in [0, 1, 65_536, 65_537, 70_000, 1 << 20, 3_333_333] {
        fs::write(path("old"), vec![1; length]).unwrap();
        Suite::Host.run("rdiff", ["-f", "signature", &path("old"), &path("sig")]);
        let theirs = Signature::read(&mut &*fs::read(path("sig")).unwrap()).unwrap();
        assert_eq!(
            theirs.options(),
            Options::recommended(length as u64),
            "{length}"
        );
    }
}

#[test]
fn rdiff_refuses_what_we_refuse() {
    let (old, new) = pair(100_000);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("old"), &old).unwrap();
    let mut sums = Vec::new();
    signature(&mut &*old, Options::recommended(100_000), &mut sums).unwrap();
    let mut good = Vec::new();
    delta(
        &Signature::read(&mut &*sums).unwrap(),
        &mut &*new,
        &mut good,
    )
    .unwrap();
    let base = VerifiedBase::check(&old, Image::of(&old)).unwrap();
    let reserved = [&good[..4], &[0x55]].concat();
    let negative = [&good[..4], &[0x48, 0, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    for bytes in [
        &good[..3],
        &good[..good.len() - 1],
        &good[..good.len() / 2],
        &reserved,
        &negative,
    ] {
        fs::write(path("delta"), bytes).unwrap();
        let theirs = Suite::Host.outcome(
            "rdiff",
            ["-f", "patch", &path("old"), &path("delta"), &path("made")],
        );
        assert!(!theirs.status.success());
        let ours = apply(
            &base,
            bytes,
            &Image::of(&new),
            Prefix::none(),
            &mut std::io::sink(),
        );
        assert!(ours.is_err());
    }
}
