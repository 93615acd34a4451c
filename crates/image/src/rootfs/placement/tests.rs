use std::path::PathBuf;

use super::*;

fn entry(path: &str) -> Entry {
    let (path, kind) = match path.split_once(" -> ") {
        Some((path, target)) => (path, Kind::Symlink(target.to_owned())),
        None if path.ends_with('/') => (path.trim_end_matches('/'), Kind::Directory),
        None => (path, Kind::File(0)),
    };
    Entry {
        path: path.to_owned(),
        kind,
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: 0,
    }
}

/// A package whose entries are `dir/`, `file` and `link -> target`.
fn package(name: &str, replaces: &[&str], entries: &[&str]) -> Unpacked {
    Unpacked {
        digest: bedstone_store::Digest::of(b""),
        control: Control {
            name: name.to_owned(),
            version: "1".to_owned(),
            architecture: "amd64".to_owned(),
            coinstallable: false,
            essential: false,
            pre_depends: Vec::new(),
            depends: Vec::new(),
            provides: Vec::new(),
            replaces: replaces.iter().map(|&it| it.to_owned()).collect(),
        },
        stanza: String::new(),
        tree: PathBuf::new(),
        control_files: PathBuf::new(),
        control_names: Vec::new(),
        entries: entries.iter().map(|it| entry(it)).collect(),
        newest: 0,
    }
}

fn place(placer: &mut Placer, packages: &[Unpacked], diversions: &Diversions) -> Result<Placement> {
    let references: Vec<&Unpacked> = packages.iter().collect();
    placer.place(&references, diversions, &|_, _| true, &|_| None)
}

fn targets(placement: &Placement) -> Vec<&str> {
    placement.files.keys().map(String::as_str).collect()
}

#[test]
fn directories_are_followed_through_links() {
    let mut placer = Placer::new(&[("bin", "usr/bin".to_owned()), ("lib", "usr/lib".to_owned())]);
    let packages = [
        package(
            "base",
            &[],
            &["var/", "run/", "var/run -> /run", "bin -> usr/bin"],
        ),
        package(
            "a",
            &[],
            &[
                "bin/",
                "bin/a",
                "lib/",
                "lib/x/",
                "lib/x/y",
                "var/run/a/",
                "var/run/a/b",
            ],
        ),
    ];
    let placement = place(&mut placer, &packages, &Diversions::new()).unwrap();
    assert_eq!(
        targets(&placement),
        ["bin", "run/a/b", "usr/bin/a", "usr/lib/x/y", "var/run"]
    );
    let directories: Vec<_> = placement.directories.keys().map(String::as_str).collect();
    assert_eq!(directories, ["run", "run/a", "usr/lib/x", "var"]);
    assert_eq!(placement.records[1].listed[1], "bin/a");
}

#[test]
fn replaces_moves_ownership_within_and_between_stages() {
    let mut placer = Placer::default();
    let first = [
        package("old", &[], &["a", "b"]),
        package("new", &["old"], &["b"]),
    ];
    let placement = place(&mut placer, &first, &Diversions::new()).unwrap();
    assert_eq!(placement.files["b"], (1, 0));
    assert_eq!(placement.records[0].listed, ["a"]);
    assert!(placement.lost.is_empty());

    let placement = place(
        &mut placer,
        &[package("newer", &["old"], &["a"])],
        &Diversions::new(),
    )
    .unwrap();
    assert!(placement.lost["old"].contains("a"));

    // The present owner replaces the newcomer, which therefore does not get the file.
    let placement = place(
        &mut placer,
        &[package("old", &[], &["b", "c"])],
        &Diversions::new(),
    )
    .unwrap();
    assert_eq!(targets(&placement), ["c"]);
    assert_eq!(placement.records[0].listed, ["c"]);
}

#[test]
fn a_conflict_is_refused() {
    let packages = [package("one", &[], &["x"]), package("two", &[], &["x"])];
    let error = place(&mut Placer::default(), &packages, &Diversions::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "packages `one` and `two` both ship `/x`, and neither replaces the other"
    );
}

#[test]
fn diverted_files_go_to_their_new_place() {
    let diversions = parse_diversions("/bin/sh\n/bin/sh.distrib\ndash\n/x\n/y\n:\n");
    let packages = [
        package("dash", &[], &["bin/sh"]),
        package("other", &[], &["bin/sh", "x"]),
    ];
    let placement = place(&mut Placer::default(), &packages, &diversions).unwrap();
    assert_eq!(targets(&placement), ["bin/sh", "bin/sh.distrib", "y"]);
    assert_eq!(placement.records[1].listed, ["bin/sh", "x"]);
}

#[test]
fn what_is_left_out_takes_its_directories_along() {
    let package = package(
        "linux",
        &[],
        &[
            "lib/", "lib/m/", "lib/m/a", "lib/n/", "lib/n/b", "lib/e/", "boot",
        ],
    );
    let mut placer = Placer::default();
    let placement = placer
        .place(
            &[&package],
            &Diversions::new(),
            &|_, path| !path.starts_with("lib/m"),
            &|_| None,
        )
        .unwrap();
    assert_eq!(
        placement.records[0].listed,
        ["lib", "lib/n", "lib/n/b", "lib/e", "boot"]
    );
    assert_eq!(placement.left_out[0].path, "/lib/m/a");
}

#[test]
fn a_loop_of_links_is_refused() {
    let packages = [package("a", &[], &["x -> y", "y -> x", "x/file"])];
    let error = place(&mut Placer::default(), &packages, &Diversions::new()).unwrap_err();
    assert!(error.to_string().contains("loop"), "{error}");
}
