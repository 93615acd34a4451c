use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::error::Error;

fn index(text: &str) -> Index {
    Index {
        source: "test".to_owned(),
        suite: "stable".to_owned(),
        priority: 500,
        packages: text.as_bytes().to_vec(),
        ..Index::default()
    }
}

fn universe(texts: &[&str]) -> Universe {
    Universe::new(
        &["amd64", "armhf"],
        texts.iter().map(|text| index(text)).collect(),
    )
    .unwrap()
}

const LIBC: &str = "Package: libc6\nSource: glibc (2.36-9)\nVersion: 2.36-9+b1\nArchitecture: amd64\n\
    Multi-Arch: same\nPriority: optional\nSection: libs\nEssential: no\nProtected: yes\n\
    Depends: libgcc-s1, libcrypt1 (>= 1:4.4.10-10~)\nInstalled-Size: 12986\n\
    Filename: pool/libc6.deb\nSize: 2757368\n\
    SHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n";

#[test]
fn shows_a_package() {
    let universe = universe(&[LIBC]);
    let package = universe.versions("libc6", None).next().unwrap();
    assert_eq!(format!("{package:?}"), "libc6=2.36-9+b1:amd64");
    assert_eq!(
        (package.source(), package.source_version()),
        ("glibc", "2.36-9")
    );
    assert_eq!(
        (package.priority(), package.multi_arch()),
        (Priority::Optional, MultiArch::Same)
    );
    assert_eq!(
        (package.essential(), package.protected(), package.section()),
        (false, true, "libs")
    );
    assert_eq!(package.field("installed-size").unwrap(), Some("12986"));
    let details = package.details().unwrap();
    assert_eq!(
        (
            details.filename.as_str(),
            details.size,
            details.installed_size
        ),
        ("pool/libc6.deb", 2_757_368, 12986)
    );
}

#[test]
fn merges_equal_versions_and_sorts_others() {
    let newer = LIBC.replace("2.36-9", "2.36-10");
    // Same number, other needs: two versions, as apt sees it.
    let rebuilt = LIBC.replace("libgcc-s1, ", "");
    let universe = universe(&[LIBC, LIBC, &newer, &rebuilt]);
    let versions: Vec<_> = universe
        .versions("libc6", Some("amd64"))
        .map(|package| (package.version(), package.indexes().count()))
        .collect();
    assert_eq!(
        versions,
        [("2.36-10+b1", 1), ("2.36-9+b1", 2), ("2.36-9+b1", 1)]
    );
}

#[test]
fn keeps_architectures_apart() {
    let foreign = LIBC.replace("amd64", "armhf");
    let other = LIBC
        .replace("Architecture: amd64", "Architecture: riscv64")
        .replace("libc6", "libx");
    let all = "Package: data\nVersion: 1\nArchitecture: all\n";
    let universe = universe(&[LIBC, &foreign, &other, all]);
    assert_eq!(universe.packages().count(), 3);
    assert_eq!(universe.versions("libc6", Some("armhf")).count(), 1);
    assert_eq!(universe.versions("libx", None).count(), 0);
    assert_eq!(
        universe
            .versions("data", None)
            .next()
            .unwrap()
            .architecture(),
        "all"
    );
    let names: Vec<_> = universe.names().collect();
    assert_eq!(names, ["libc6", "data"]);
}

#[test]
fn names_file_line_and_field() {
    let cases = [
        (
            "Package: a\nVersion: 1\n",
            1,
            "field `Architecture`: missing",
        ),
        (
            "Package: a\nVersion: 1_0\nArchitecture: all\n",
            2,
            "field `Version`: version `1_0` has `_` in its upstream version",
        ),
        (
            "Package: a\nVersion: 1\nArchitecture: all\nDepends: b (>> )\n",
            4,
            "field `Depends`: no version after the operator for `b`",
        ),
        (
            "Package: a b\n",
            1,
            "field `Package`: `a b` is not one word",
        ),
        (
            "Package: a\nnonsense\n",
            2,
            "a field has the form `Name: value`",
        ),
    ];
    for (text, line, defect) in cases {
        let text = format!("{LIBC}\n\n{text}");
        let line = line + LIBC.lines().count() + 2;
        let error = Universe::new(&["amd64"], vec![index(&text)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("`test stable Packages` line {line}: {defect}")
        );
    }
}

#[test]
fn names_the_line_of_a_bad_detail() {
    let text = format!(
        "{LIBC}\n{}",
        LIBC.replace("e3b0", "E3B0").replace("libc6", "libd")
    );
    let universe = universe(&[&text]);
    let package = universe.versions("libd", None).next().unwrap();
    let Err(Error::Field { line, field, .. }) = package.details() else {
        panic!("accepted")
    };
    assert_eq!((line, field), (LIBC.lines().count() + 2, "SHA256"));
}

/// A large index is cut into parts that are read in parallel.
#[test]
fn reads_parts_in_order() {
    let mut text = String::new();
    for number in 0..40_000 {
        let _ = write!(
            text,
            "Package: p{number}
Version: 1
Architecture: all
Description: {:100}

",
            "x"
        );
    }
    text.push_str("Package: last\nVersion: ?\nArchitecture: all\n");
    let error = Universe::new(&["amd64"], vec![index(&text)])
        .unwrap_err()
        .to_string();
    assert!(error.contains("line 200002: field `Version`"), "{error}");
    let good = text.replace('?', "2");
    let universe = Universe::new(&["amd64"], vec![index(&good)]).unwrap();
    let names: Vec<&str> = universe.names().collect();
    assert_eq!(names.len(), 40_001);
    assert!(
        names
            .iter()
            .enumerate()
            .take(40_000)
            .all(|(number, name)| *name == format!("p{number}"))
    );
}

proptest! {
    #[test]
    fn never_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut in any::<prop::sample::Index>()) {
        let mut bytes = format!("{LIBC}\n{LIBC}Provides: a (= 1), b:any, c\nConflicts: a, d:armhf\n").into_bytes();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        let universe = Universe::new(&["amd64", "armhf"], vec![Index { packages: bytes, ..Index::default() }]);
        if let Ok(universe) = universe {
            for package in universe.packages() {
                let _ = (package.details(), package.name(), package.version());
            }
        }
    }
}
