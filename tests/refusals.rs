//! What Bedstone must refuse: with the documented exit code (docs/reference/exit-codes.md), with a message that names the
//! thing, and without leaving anything half done.

#[path = "refusals/full_disk.rs"]
mod full_disk;
#[path = "refusals/interruption.rs"]
mod interruption;

use std::fs;

use bedstone_tests::package::{Entry, deb};
use bedstone_tests::program::{Outcome, Workshop, files};
use bedstone_tests::repository::{Repository, control};

const FAILED: i32 = 1;
const USAGE: i32 = 2;
const INPUT: i32 = 3;

/// A workshop with a manifest for the repository.
fn workshop(repository: &Repository) -> Workshop {
    let workshop = Workshop::new();
    let manifest = repository.manifest(&repository.address(), "key");
    workshop.write("product.toml", &manifest);
    workshop
}

/// Runs `lock`, which must not leave a lock file.
#[track_caller]
fn lock_refused(workshop: &Workshop, code: i32, words: &[&str]) {
    workshop.run(["lock"]).refuses(code, words);
    assert!(!workshop.path("bedstone.lock").exists());
    let indexes = files(&workshop.path("cache/indexes"));
    assert!(indexes.is_empty(), "{indexes:?}");
}

/// Runs `build`, which must not leave a finished image.
#[track_caller]
fn build_refused(workshop: &Workshop, code: i32, words: &[&str]) -> Outcome {
    let outcome = workshop.run(["build", "--output", "out"]);
    outcome.refuses(code, words);
    for name in ["image.json", "disk.img", "root.img"] {
        assert!(!workshop.path("out").join(name).exists(), "{name} was left");
    }
    outcome
}

#[test]
fn refuses_wrong_usage() {
    let workshop = Workshop::new();
    for (words, named) in [
        (&["build", "--frobnicate"][..], "--frobnicate"),
        (&["build", "--jobs", "0"], "--jobs"),
        (&["bulid"], "bulid"),
        (&["lock", "--check", "--upgrade"], "--check"),
        (&["run"], "<DIR>"),
    ] {
        workshop.run(words).refuses(USAGE, &[named]);
    }
    assert!(files(&workshop.path("")).is_empty());
}

#[test]
fn refuses_manifests_with_their_line() {
    let workshop = Workshop::new();
    let head = "[product]\nname = \"stub\"\nversion = \"1\"\n";
    for (rest, words) in [
        (
            "[debian]\nsuitee = \"bookworm\"\n",
            &[
                "product.toml:5:1",
                "unknown key `suitee`",
                "did you mean `suite`",
            ][..],
        ),
        ("[debian]\nsuite = 12\n", &["product.toml:5:9", "suite"]),
        (
            "[files.\"/etc/x\"]\nsource = \"gone.txt\"\n",
            &["product.toml:5:10", "gone.txt"],
        ),
        ("[packages\n", &["product.toml:4"]),
        ("profiles = [\"nope\"]\n", &["product.toml:4"]),
    ] {
        workshop.write("product.toml", &format!("{head}{rest}"));
        for command in ["lock", "build", "show"] {
            workshop.run([command]).refuses(INPUT, words);
        }
    }
    workshop
        .run(["build", "nowhere"])
        .refuses(INPUT, &["nowhere"]);
    assert_eq!(files(&workshop.path("")), ["product.toml"]);
}

#[test]
fn refuses_packages_that_do_not_exist() {
    let repository = Repository::new();
    let workshop = workshop(&repository);
    let manifest = repository.manifest(&repository.address(), "key");
    workshop.write(
        "product.toml",
        &format!("{manifest}\n[packages]\ninstall = [\"netbsae\"]\n"),
    );
    workshop.run(["lock"]).refuses(
        INPUT,
        &["no package is named `netbsae`", "did you mean `netbase`"],
    );
    assert!(!workshop.path("bedstone.lock").exists());
}

#[test]
fn refuses_locks_that_do_not_fit() {
    let repository = Repository::new();
    let workshop = workshop(&repository);
    workshop.run(["lock"]).succeeds();
    let lock = fs::read_to_string(workshop.path("bedstone.lock")).expect("a lock");

    workshop.write("bedstone.lock", &format!("garbage = 1\n{lock}"));
    build_refused(&workshop, INPUT, &["bedstone.lock` line 1", "garbage"]);
    workshop.write("bedstone.lock", &lock.replace("amd64", "arm64"));
    build_refused(&workshop, INPUT, &["bedstone.lock", "arm64"]);
    let cut = &lock[..lock.len() / 2];
    workshop.write("bedstone.lock", cut);
    build_refused(&workshop, INPUT, &["bedstone.lock"]);

    workshop.write("bedstone.lock", &lock);
    let manifest = repository.manifest(&repository.address(), "key");
    workshop.write(
        "product.toml",
        &format!("{manifest}\n[packages]\nrecommends = true\n"),
    );
    build_refused(
        &workshop,
        INPUT,
        &["does not fit", "recommends", "bedstone lock"],
    );
    workshop.write(
        "product.toml",
        &format!("{manifest}\n[packages]\ninstall = [\"erofs-utils\"]\n"),
    );
    build_refused(
        &workshop,
        INPUT,
        &[
            "does not fit",
            "lacks package `erofs-utils`",
            "bedstone lock",
        ],
    );
    assert_eq!(
        fs::read_to_string(workshop.path("bedstone.lock")).expect("a lock"),
        lock
    );
}

#[test]
fn refuses_locks_of_other_local_packages() {
    let repository = Repository::new();
    let workshop = workshop(&repository);
    let manifest = repository.manifest(&repository.address(), "key");
    workshop.write(
        "product.toml",
        &format!("{manifest}local = [\"fix.deb\"]\n"),
    );
    let fixed = control("netbase").replace("Version: 1.0", "Version: 1.1");
    fs::write(workshop.path("fix.deb"), deb(&fixed, &[])).expect("write a package");
    workshop.run(["lock"]).succeeds();
    build_refused(&workshop, FAILED, &["no usable kernel"]);
    let newer = control("netbase").replace("Version: 1.0", "Version: 1.2");
    fs::write(workshop.path("fix.deb"), deb(&newer, &[])).expect("write a package");
    build_refused(&workshop, INPUT, &["does not fit", "bedstone lock"]);
    fs::remove_file(workshop.path("fix.deb")).expect("remove a package");
    build_refused(&workshop, FAILED, &["fix.deb"]);
}

#[test]
fn refuses_repositories_that_cannot_be_trusted() {
    let repository = Repository::new();
    let workshop = workshop(&repository);

    let signed = repository.path("dists/bookworm/InRelease");
    let text = fs::read_to_string(&signed).expect("InRelease");
    fs::write(&signed, text.replace("2026", "2025")).expect("write InRelease");
    lock_refused(&workshop, FAILED, &["InRelease", "no trusted signature"]);

    fs::remove_file(&signed).expect("remove InRelease");
    lock_refused(&workshop, FAILED, &["Release"]);

    repository.publish("Valid-Until: Fri, 02 Jan 2026 00:00:00 UTC\n");
    lock_refused(
        &workshop,
        FAILED,
        &["expired", "2026-01-02", "accept-expired"],
    );

    repository.publish("");
    repository.key("other");
    workshop.write(
        "product.toml",
        &repository.manifest(&repository.address(), "other"),
    );
    lock_refused(&workshop, FAILED, &["InRelease", "no trusted signature"]);

    workshop.write(
        "product.toml",
        &repository.manifest(&repository.address(), "key"),
    );
    // Both suites' index has the same digest: a whole one of either would serve the other.
    for suite in ["bookworm", "forky"] {
        repository.damage(&format!("dists/{suite}/main/binary-amd64/Packages"));
    }
    lock_refused(
        &workshop,
        FAILED,
        &["main/binary-amd64/Packages", "altered"],
    );

    repository.publish("");
    workshop.run(["lock"]).succeeds();
}

#[test]
fn refuses_packages_that_were_altered() {
    let repository = Repository::new();
    let workshop = workshop(&repository);
    workshop.run(["lock"]).succeeds();
    repository.damage("pool/netbase.deb");
    build_refused(
        &workshop,
        FAILED,
        &["pool/netbase.deb", "altered", "sha256:"],
    );
    fs::remove_file(repository.path("pool/netbase.deb")).expect("remove a package");
    build_refused(
        &workshop,
        FAILED,
        &["netbase 1.0", "no longer", "bedstone lock --upgrade"],
    );

    // Nothing of the altered file is left that would spoil the next run: with no kernel among the packages, this is as
    // far as it can come.
    repository.publish("");
    build_refused(&workshop, FAILED, &["no usable kernel"]);
    assert!(files(&workshop.path("store/partial")).is_empty());
}

#[test]
fn refuses_packages_that_are_made_to_do_harm() {
    let evil = |path, kind, content| Entry {
        path,
        kind,
        content,
    };
    let kernel = "linux-image-amd64";
    let cases: [(&str, Vec<u8>, &[&str]); 7] = [
        (
            "a path that leads out",
            deb(
                &control(kernel),
                &[evil("./../../../tmp/bedstone-evil", b'0', "x")],
            ),
            &["bedstone-evil"],
        ),
        (
            "an absolute path",
            deb(
                &control(kernel),
                &[evil("/tmp/../../bedstone-evil", b'0', "x")],
            ),
            &["bedstone-evil"],
        ),
        (
            "a file behind a link",
            deb(
                &control(kernel),
                &[
                    evil("./out", b'2', "/tmp"),
                    evil("./out/bedstone-evil", b'0', "x"),
                ],
            ),
            &["out"],
        ),
        (
            "a device",
            deb(&control(kernel), &[evil("./dev/bedstone-evil", b'3', "")]),
            &["bedstone-evil"],
        ),
        ("no control data", deb("\n", &[]), &["control"]),
        (
            "malformed control data",
            deb("Package linux\n  : :\n", &[]),
            &["control"],
        ),
        ("another package", deb(&control("other"), &[]), &["other"]),
    ];
    let mut repository = Repository::new();
    for (what, file, words) in cases {
        repository.put(kernel, file);
        repository.publish("");
        let workshop = workshop(&repository);
        workshop.run(["lock"]).succeeds();
        let mut all = vec![kernel];
        all.extend(words);
        let outcome = build_refused(&workshop, FAILED, &all);
        assert!(
            !outcome.said.contains("no usable kernel"),
            "{what}: {}",
            outcome.said
        );
        // Other packages are unpacked meanwhile. What was under way is in `KEY.part`, which nothing reads.
        for file in files(&workshop.path("cache/packages")) {
            let Some(entry) = file.strip_suffix("/.complete") else {
                continue;
            };
            let path = workshop.path("cache/packages").join(entry);
            let control = fs::read_to_string(path.join("control/control")).expect("a control file");
            for name in [kernel, "other"] {
                assert!(!control.contains(&format!("Package: {name}\n")), "{what}");
            }
        }
    }
    assert!(!std::path::Path::new("/tmp/bedstone-evil").exists());
}

#[test]
fn refuses_places_that_cannot_be_written() {
    let repository = Repository::new();
    let workshop = workshop(&repository);
    workshop.run(["lock"]).succeeds();
    workshop.write("out", "a file, not a directory");
    workshop
        .run(["build", "--output", "out"])
        .refuses(FAILED, &["out"]);
    assert_eq!(
        fs::read_to_string(workshop.path("out")).expect("the file"),
        "a file, not a directory"
    );

    let output = workshop
        .command(["build", "--output", "image"])
        .env_remove("HOME")
        .env_remove("XDG_DATA_HOME")
        .env_remove("XDG_CACHE_HOME")
        .env_remove("BEDSTONE_STORE")
        .env_remove("BEDSTONE_CACHE")
        .output()
        .expect("start the program");
    Outcome::of(&output).refuses(INPUT, &["HOME", "--store"]);
    assert!(!workshop.path("image").exists());
}
