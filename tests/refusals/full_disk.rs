//! A full disk: said with its name and a remedy, and what is complete is kept.

use std::process::Command;

use bedstone_tests::package::Entry;
use bedstone_tests::program::{
    Outcome, Workshop, downloads, files, is_root_or_ran_as_root, program,
};
use bedstone_tests::repository::Repository;

use crate::interruption::MANIFEST;

/// Runs the program with a file system of a few megabytes at `place`, which only this run sees.
fn run_with_little_space(workshop: &Workshop, place: &str, words: &[&str]) -> Outcome {
    let script = "mkdir -p \"$1\" && mount -t tmpfs -o size=3M tmpfs \"$1\" && shift && \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--", "sh", "-c", script, "sh", place])
        .arg(program())
        .args(words)
        .current_dir(workshop.path(""))
        .env("HOME", workshop.path(""))
        .env("XDG_DATA_HOME", workshop.path("data"))
        .env("BEDSTONE_STORE", workshop.path("store"))
        .env("BEDSTONE_CACHE", workshop.path("cache"));
    Outcome::of(&command.output().expect("start unshare"))
}

#[test]
fn says_which_disk_is_full() {
    if !is_root_or_ran_as_root("full_disk::says_which_disk_is_full") {
        return;
    }
    let mut repository = Repository::new();
    let large = "x".repeat(5 << 20);
    repository.put_entries(
        "linux-image-amd64",
        &[Entry {
            path: "./boot/large",
            kind: b'0',
            content: &large,
        }],
    );
    repository.publish("");
    let workshop = Workshop::new();
    let manifest = repository.manifest(&repository.address(), "key");
    workshop.write("product.toml", &manifest);
    workshop.run(["lock"]).succeeds();
    for option in ["--store", "--cache"] {
        let outcome = run_with_little_space(
            &workshop,
            "tiny",
            &["build", "--output", "out", option, "tiny"],
        );
        outcome.refuses(1, &["tiny", "hint: free some space"]);
        assert!(files(&workshop.path("out")).is_empty());
    }
}

#[test]
fn says_that_the_output_directory_is_full() {
    if !is_root_or_ran_as_root("full_disk::says_that_the_output_directory_is_full") {
        return;
    }
    let workshop = Workshop::new();
    workshop.write("product.toml", MANIFEST);
    let (store, cache) = (downloads().join("store"), downloads().join("cache"));
    let shared = [
        "--store",
        store.to_str().expect("a path"),
        "--cache",
        cache.to_str().expect("a path"),
    ];
    workshop.run(["lock"].into_iter().chain(shared)).succeeds();
    let words: Vec<&str> = ["build", "--output", "tiny", "--keys", "keys"]
        .into_iter()
        .chain(shared)
        .collect();
    run_with_little_space(&workshop, "tiny", &words)
        .refuses(1, &["tiny/root.img", "hint: free some space"]);
    assert!(files(&workshop.path("tiny")).is_empty());
}
