use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::index::Index;
use crate::resolve::resolve;

fn digest(seed: u8) -> Digest {
    Digest::of(&[seed])
}

fn locked(name: &str, version: &str) -> Locked {
    Locked {
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: "amd64".to_owned(),
        sha256: digest(1),
        size: 10,
        source: name.to_owned(),
        source_version: version.to_owned(),
        origin: "debian".to_owned(),
        filename: format!("pool/{name}.deb"),
    }
}

fn lock() -> Lock {
    Lock {
        architecture: "amd64".to_owned(),
        request: Some(digest(9)),
        epoch: 1_763_683_200,
        sources: vec![Source {
            name: "debian".to_owned(),
            suite: "trixie".to_owned(),
            components: vec!["main".to_owned()],
            release_sha256: digest(0),
            release_date: 1_763_683_200,
        }],
        packages: vec![locked("bash", "5.2-1"), locked("dash", "1:0.5")],
        tools: vec![locked("erofs-utils", "1.8")],
        boot: vec![locked("efibootguard", "0.22")],
        users: BTreeMap::from([("messagebus".to_owned(), 100)]),
        groups: BTreeMap::from([("messagebus".to_owned(), 101), ("odd name".to_owned(), 102)]),
    }
}

#[test]
fn writes_what_it_reads() {
    let text = lock().to_text();
    assert_eq!(Lock::parse("lock", &text).unwrap(), lock());
    let mut turned = lock();
    turned.packages.reverse();
    assert_eq!(turned.to_text(), text);
}

#[test]
fn refuses_with_the_line() {
    let text = lock().to_text();
    let sha256 = digest(1).to_string();
    let cases = [
        (
            "version = 1\n",
            "version = 2\n",
            2,
            "version 2 of the lock format is not supported: expected 1",
        ),
        (sha256.as_str(), &sha256[..63], 18, "`sha256`: `"),
        ("size = 10", "size = -1", 19, "invalid value"),
        (
            "size = 10",
            "size = 10\nextra = 1",
            20,
            "unknown field `extra`",
        ),
        (
            "\"dash\"",
            "\"bash\"",
            25,
            "package `bash:amd64` is listed twice",
        ),
        (
            "name = \"bash\"",
            "name = \"../bash\"",
            15,
            "`name`: `../bash` is not a name",
        ),
        (
            "pool/bash",
            "../bash",
            23,
            "`filename`: `../bash.deb` is not a path without `..`",
        ),
        (
            "version = \"5.2-1\"",
            "version = \"5_2\"",
            16,
            "`version`: `5_2` is not a version number",
        ),
        (
            "origin = \"debian\"",
            "origin = \"other\"",
            22,
            "`bash` has the origin `other`, which no [[source]] is",
        ),
        (
            "architecture = \"amd64\"\nrequest",
            "request",
            1,
            "missing field `architecture`",
        ),
        ("name = \"bash\"", "name = \"bash", 15, ""),
    ];
    for (old, new, line, message) in cases {
        let error = Lock::parse("l", &text.replacen(old, new, 1))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with(&format!("`l` line {line}: {message}")),
            "{new}: {error}"
        );
    }
}

fn universe(packages: &[(&str, &str, &str)]) -> Universe {
    let mut text = String::new();
    for (name, version, more) in packages {
        let sha256 = Digest::of(format!("{name}{version}").as_bytes());
        let _ = write!(
            text,
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: pool/{name}\nSize: 1\nSHA256: {sha256}\n{more}\n\n"
        );
    }
    let index = Index {
        source: "debian".to_owned(),
        priority: 500,
        packages: text.replace("\n\n\n", "\n\n").into_bytes(),
        ..Index::default()
    };
    Universe::new(&["amd64"], vec![index]).unwrap()
}

const OLD: &[(&str, &str, &str)] = &[
    ("a", "1", "Depends: lib"),
    ("b", "1", "Depends: lib"),
    ("lib", "1", ""),
    ("c", "1", ""),
];
const NEW: &[(&str, &str, &str)] = &[
    ("a", "1", "Depends: lib"),
    ("a", "2", "Depends: lib (>= 2), extra"),
    ("b", "1", "Depends: lib"),
    ("lib", "1", ""),
    ("lib", "2", ""),
    ("c", "2", ""),
    ("extra", "1", ""),
];

fn resolved(universe: &Universe) -> (Lock, Request) {
    let request = Request {
        install: vec!["a".to_owned(), "b".to_owned(), "c".to_owned()],
        ..Request::default()
    };
    let mut lock = Lock::default();
    lock.set_packages(&resolve(universe, &request).unwrap())
        .unwrap();
    (lock, request)
}

fn show(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .map(|change| match change {
            Change::Added(new) => format!("+{}={}", new.name, new.version),
            Change::Removed(old) => format!("-{}={}", old.name, old.version),
            Change::Changed { from, to } => format!("{}={}>{}", to.name, from.version, to.version),
        })
        .collect()
}

#[test]
fn checks_against_newer_indexes() {
    let (lock, request) = resolved(&universe(OLD));
    let same = check(&lock, &universe(OLD), &request).unwrap();
    assert!(same.required.is_empty() && same.possible.is_empty());
    let newer = check(&lock, &universe(NEW), &request).unwrap();
    // `c` 1 is gone from the archive, the others only have newer versions.
    assert_eq!(show(&newer.required), ["c=1>2"]);
    assert_eq!(
        show(&newer.possible),
        ["a=1>2", "c=1>2", "+extra=1", "lib=1>2"]
    );
    let more = Request {
        install: vec!["b".to_owned()],
        ..Request::default()
    };
    assert_eq!(
        show(&check(&lock, &universe(OLD), &more).unwrap().required),
        ["-a=1", "-c=1"]
    );
}

#[test]
fn upgrades_only_what_is_named() {
    let (lock, request) = resolved(&universe(OLD));
    let newer = universe(NEW);
    let upgraded = |name: &str| {
        let mut now = Lock::default();
        now.set_packages(&upgrade(&lock, &newer, &request, &[name.to_owned()]).unwrap())
            .unwrap();
        show(&diff(&lock.packages, &now.packages))
    };
    assert_eq!(upgraded("lib"), ["c=1>2", "lib=1>2"]);
    // `a` 2 needs a newer `lib`, which therefore moves as well.
    assert_eq!(upgraded("a"), ["a=1>2", "c=1>2", "+extra=1", "lib=1>2"]);
}

#[test]
fn sees_other_bytes_and_downgrades() {
    let mut rebuilt = locked("a", "1");
    rebuilt.sha256 = digest(9);
    let changes = diff(&[locked("a", "1")], &[rebuilt]);
    assert!(matches!(&changes[..], [Change::Changed { .. }]) && !changes[0].is_downgrade());
    assert!(diff(&[locked("a", "2")], &[locked("a", "1")])[0].is_downgrade());
}

#[test]
fn tells_reasons_of_a_lock() {
    let universe = universe(&[
        ("a", "1", "Depends: lib"),
        ("lib", "1", ""),
        ("base", "1", "Essential: yes"),
    ]);
    let request = Request {
        install: vec!["a".to_owned()],
        base: Base::Essential,
        ..Request::default()
    };
    let mut lock = Lock::default();
    lock.set_packages(&resolve(&universe, &request).unwrap())
        .unwrap();
    let solution = lock.solution(&universe, &request);
    let reasons: Vec<_> = solution
        .packages()
        .map(|(package, reason)| (package.name(), reason))
        .collect();
    assert_eq!(
        reasons,
        [
            ("a", Reason::Requested),
            ("base", Reason::Base),
            ("lib", Reason::Needed)
        ]
    );
}

proptest! {
    #[test]
    fn never_panics(place in any::<prop::sample::Index>(), text in "\\PC{0,3}") {
        let mut whole = lock().to_text();
        let mut place = place.index(whole.len());
        while !whole.is_char_boundary(place) {
            place -= 1;
        }
        whole.insert_str(place, &text);
        if let Ok(lock) = Lock::parse("lock", &whole) {
            prop_assert_eq!(&Lock::parse("lock", &lock.to_text()).unwrap().to_text(), &lock.to_text());
        }
        let _ = Lock::parse("lock", &whole[..place]);
    }
}
