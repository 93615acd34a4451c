mod satisfy;

use std::fmt::Write as _;

use super::*;
use crate::index::Index;

/// An index from lines `name version field: value; field: value`.
fn index(suite: &str, priority: i16, packages: &str) -> Index {
    let mut text = String::new();
    for line in packages
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let mut parts = line.splitn(3, ' ');
        let (name, version) = (parts.next().unwrap(), parts.next().unwrap());
        let (name, architecture) = name.split_once(':').unwrap_or((name, "amd64"));
        write!(
            text,
            "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n"
        )
        .unwrap();
        for field in parts
            .next()
            .unwrap_or("")
            .split(';')
            .map(str::trim)
            .filter(|field| !field.is_empty())
        {
            writeln!(text, "{field}").unwrap();
        }
        text.push('\n');
    }
    Index {
        source: "test".to_owned(),
        suite: suite.to_owned(),
        codename: suite.to_owned(),
        priority,
        packages: text.into_bytes(),
        ..Index::default()
    }
}

fn universe(packages: &str) -> Universe {
    Universe::new(&["amd64", "armhf"], vec![index("stable", 500, packages)]).unwrap()
}

fn request(install: &str) -> Request {
    Request {
        install: install.split_whitespace().map(str::to_owned).collect(),
        ..Request::default()
    }
}

fn answer(universe: &Universe, request: &Request) -> String {
    match resolve(universe, request) {
        Ok(solution) => solution
            .packages()
            .map(|(package, _)| match package.architecture() {
                "amd64" => format!("{}={}", package.name(), package.version()),
                other => format!("{}={}:{other}", package.name(), package.version()),
            })
            .collect::<Vec<_>>()
            .join(" "),
        Err(error) => format!("refused: {error}"),
    }
}

#[track_caller]
fn check(packages: &str, install: &str, expected: &str) {
    assert_eq!(answer(&universe(packages), &request(install)), expected);
}

#[track_caller]
fn refused(packages: &str, install: &str) {
    let answer = answer(&universe(packages), &request(install));
    assert!(answer.starts_with("refused"), "{answer}");
}

#[test]
fn follows_depends_and_takes_the_newest() {
    check("a 1 Depends: b (>= 2)\nb 1\nb 3\nb 2", "a", "a=1 b=3");
    check(
        "a 1 Pre-Depends: b\nb 1 Depends: c\nc 1 Depends: a",
        "a",
        "a=1 b=1 c=1",
    );
    refused("a 1 Depends: b (>= 2)\nb 1", "a");
    refused("a 1 Depends: b", "a");
}

#[test]
fn takes_alternatives_in_order_unless_one_is_there() {
    let packages = "a 1 Depends: b | c\nb 1\nc 1\nd 1 Depends: c";
    check(packages, "a", "a=1 b=1");
    // What is named counts as there, what others bring in only if it came first.
    check(packages, "a c", "a=1 c=1");
    check(packages, "d a", "a=1 c=1 d=1");
    check(packages, "a d", "a=1 b=1 c=1 d=1");
    check("a 1 Depends: b | c\nb 1 Depends: x\nc 1", "a", "a=1 c=1");
}

#[test]
fn chooses_providers_by_rank() {
    let packages = "a 1 Depends: v\np 1 Provides: v; Priority: optional\nq 1 Provides: v; Priority: important\nr 1 Provides: v; Priority: optional";
    check(packages, "a", "a=1 q=1");
    // Of equals the one that appeared last.
    check(
        "a 1 Depends: v\np 1 Provides: v\nq 1 Provides: v",
        "a",
        "a=1 q=1",
    );
    // A package of that very name comes first.
    check("a 1 Depends: v\np 1 Provides: v\nv 1", "a", "a=1 v=1");
}

#[test]
fn honours_versions_of_provides() {
    let packages =
        "a 1 Depends: v (>= 2)\np 1 Provides: v\nq 1 Provides: v (= 1)\nr 1 Provides: v (= 2)";
    check(packages, "a", "a=1 r=1");
    refused("a 1 Depends: v (>= 2)\np 1 Provides: v", "a");
    refused("a 1 Depends: v\np 1 Provides: v (>= 1)", "a");
}

#[test]
fn names_a_virtual_package_with_one_provider() {
    check("p 1 Provides: v", "v", "p=1");
    refused("p 1 Provides: v\nq 1 Provides: v", "v");
}

#[test]
fn keeps_conflicts_apart() {
    refused("a 1 Conflicts: b\nb 1", "a b");
    refused("a 1 Breaks: b (<< 2)\nb 1", "a b");
    check("a 1 Breaks: b (<< 2)\nb 2", "a b", "a=1 b=2");
    refused("a 1 Conflicts: v\nb 1 Provides: v", "a b");
    // Itself excepted, by name or by what it provides.
    check("a 1 Conflicts: a, v; Provides: v", "a", "a=1");
    refused(
        "a 1 Conflicts: v; Provides: v\nb 1 Conflicts: v; Provides: v",
        "a b",
    );
    // The alternative that clashes with what is named is passed over.
    check(
        "a 1 Depends: b | c\nb 1 Conflicts: d\nc 1\nd 1",
        "a d",
        "a=1 c=1 d=1",
    );
}

#[test]
fn follows_recommends_when_told() {
    let universe = universe("a 1 Recommends: b | c, x; Suggests: d\nb 1 Conflicts: a\nc 1\nd 1");
    let mut request = request("a");
    assert_eq!(answer(&universe, &request), "a=1");
    request.recommends = true;
    assert_eq!(answer(&universe, &request), "a=1 c=1");
}

#[test]
fn takes_versions_and_suites_as_named() {
    let indexes = vec![
        index("stable", 500, "a 1 Depends: b\nb 1\nc 1"),
        index("backports", 100, "a 2 Depends: b (>= 2)\nb 2\nc 2"),
    ];
    let universe = Universe::new(&["amd64"], indexes).unwrap();
    for (install, expected) in [
        ("a c", "a=1 b=1 c=1"),
        ("a=2 b=2", "a=2 b=2"),
        ("a/backports", "a=2 b=2"),
        ("a/backports c", "a=2 b=2 c=1"),
        ("a=1*", "a=1 b=1"),
    ] {
        assert_eq!(answer(&universe, &request(install)), expected, "{install}");
    }
    for install in ["a=2", "a=3", "a/unstable"] {
        assert!(
            answer(&universe, &request(install)).starts_with("refused"),
            "{install}"
        );
    }
}

#[test]
fn obeys_pins() {
    let mut indexes = vec![
        index("stable", 500, "a 1\nb 1\nc 1"),
        index(
            "backports",
            Index::default_priority(true, true),
            "a 2\nb 2\nc 2",
        ),
        index(
            "experimental",
            Index::default_priority(true, false),
            "a 3\nb 3\nd 3",
        ),
    ];
    indexes[1].source = "newer".to_owned();
    let universe = Universe::new(&["amd64"], indexes).unwrap();
    let with = |pins: &str, install: &str| {
        let request = Request {
            preferences: Preferences::parse("pins", pins.as_bytes()).unwrap(),
            ..request(install)
        };
        answer(&universe, &request)
    };
    assert_eq!(with("", "a b d"), "a=1 b=1 d=3");
    assert_eq!(
        with(
            "Package: *\nPin: release n=backports\nPin-Priority: 990\n",
            "a b"
        ),
        "a=2 b=2"
    );
    assert_eq!(
        with(
            "Package: a\nPin: release a=experimental\nPin-Priority: 501\n",
            "a b"
        ),
        "a=3 b=1"
    );
    assert_eq!(
        with(
            "Package: b\nPin: release source=newer\nPin-Priority: 990\n",
            "a b"
        ),
        "a=1 b=2"
    );
    assert_eq!(
        with("Package: ?\nPin: version 2*\nPin-Priority: 1001\n", "a b c"),
        "a=2 b=2 c=2"
    );
    assert_eq!(
        with("Package: a\nPin: release a=stable\nPin-Priority: -1\n", "a"),
        "a=2"
    );
    assert!(
        with("Package: d\nPin: release a=*\nPin-Priority: -1\n", "d")
            .contains("there is 3 in experimental")
    );
    let first = "Package: a\nPin: version 3\nPin-Priority: 600\n\nPackage: a\nPin: version 3\nPin-Priority: -1\n";
    assert_eq!(with(first, "a"), "a=3");
}

#[test]
fn refuses_bad_pins() {
    for (pins, expected) in [
        (
            "Package: a\nPin: release a=\"\"\nPin-Priority: 1\n",
            "`pins` line 1: `release a=\"\"` is not a pin: expected `version …`, `release …` or `origin …`",
        ),
        (
            "Package:\nPin: version 1\nPin-Priority: 1\n",
            "`pins` line 1: the preference has no `Package`",
        ),
        (
            "Package: a\nPin: version 1\n",
            "`pins` line 1: the preference has no `Pin-Priority`",
        ),
        (
            "\nPackage: a\nPin: maybe x\nPin-Priority: 1\n",
            "`pins` line 2: `maybe x` is not a pin: expected `version …`, `release …` or `origin …`",
        ),
        (
            "Package: a\nPin: release x=y\nPin-Priority: 1\n",
            "`pins` line 1: `release x=y` is not a pin: expected `version …`, `release …` or `origin …`",
        ),
        (
            "Package: *\nPin: version 1\nPin-Priority: 1\n",
            "`pins` line 1: a version pin needs the names of packages",
        ),
        (
            "Package: a\nPin: version 1\nPin-Priority: 0\n",
            "`pins` line 1: `0` is not a priority: expected a number from -32767 to 32767 but 0",
        ),
        (
            "Package: /a/\nPin: version 1\nPin-Priority: 1\n",
            "`pins` line 1: `/a/` is a regular expression, which is not supported: use `*`, `?` and `[…]`",
        ),
    ] {
        assert_eq!(
            Preferences::parse("pins", pins.as_bytes())
                .unwrap_err()
                .to_string(),
            expected
        );
    }
    let text = "Package: a b\nPin: release a=x,n=y\nPin-Priority: 5\n\nPackage: *\nPin: origin \"h\"\nPin-Priority: -7\n\n";
    assert_eq!(
        Preferences::parse("pins", text.as_bytes())
            .unwrap()
            .to_string(),
        text
    );
}

#[test]
fn matches_globs() {
    for (pattern, text, expected) in [
        ("*", "", true),
        ("a*c", "abbc", true),
        ("a*c", "abbd", false),
        ("linux-*-amd64", "linux-image-amd64", true),
        ("?[bc]d", "xcd", true),
        ("?[!bc]d", "xcd", false),
        ("[a-c]", "b", true),
        ("LIB*", "libc", true),
        ("[", "[", false),
    ] {
        assert_eq!(
            preferences::glob(pattern, text),
            expected,
            "{pattern} {text}"
        );
    }
}

#[test]
fn excludes() {
    check("a 1 Depends: b | c\nb 1\nc 1", "a b-", "a=1 c=1");
    refused("a 1 Depends: b\nb 1", "a b-");
    // A name may end in a sign.
    check("g++ 1\na- 1", "g++ a-", "a-=1 g++=1");
    refused("a 1", "a no-such-name-");
}

#[test]
fn installs_the_base_in_two_steps() {
    let packages = "base 1 Essential: yes; Pre-Depends: awk\n\
        mawk 1 Provides: awk; Priority: required\n\
        gawk 1 Provides: awk; Priority: optional\n\
        tool 1 Priority: required\n\
        net 1 Priority: important\n\
        man 1 Priority: standard\n\
        app 1 Priority: optional; Depends: awk";
    let universe = universe(packages);
    for (base, expected) in [
        (Base::None, "gawk=1"),
        (Base::Essential, "base=1 gawk=1 mawk=1"),
        (Base::Required, "base=1 gawk=1 mawk=1 tool=1"),
        (Base::Important, "base=1 gawk=1 mawk=1 net=1 tool=1"),
        (Base::Standard, "base=1 gawk=1 man=1 mawk=1 net=1 tool=1"),
    ] {
        let request = Request {
            base,
            ..request("gawk")
        };
        assert_eq!(answer(&universe, &request), expected, "{base:?}");
    }
    let solution = resolve(
        &universe,
        &Request {
            base: Base::Essential,
            ..request("app")
        },
    )
    .unwrap();
    let reasons: Vec<_> = solution
        .packages()
        .map(|(package, reason)| (package.name(), reason))
        .collect();
    assert_eq!(
        reasons,
        [
            ("app", Reason::Requested),
            ("base", Reason::Base),
            ("mawk", Reason::Needed)
        ]
    );
}

#[test]
fn never_removes_what_is_essential() {
    let universe = universe(
        "base 1 Essential: yes; Depends: lib\nlib 1\nx 1 Conflicts: base\ny 1 Conflicts: lib\nz 1",
    );
    let with = |install: &str| {
        answer(
            &universe,
            &Request {
                base: Base::Essential,
                ..request(install)
            },
        )
    };
    assert_eq!(with("z"), "base=1 lib=1 z=1");
    assert!(with("x").starts_with("refused"));
    assert!(with("y").starts_with("refused"));
}

#[test]
fn replaces_what_the_first_step_brought() {
    let universe = universe(
        "base 1 Essential: yes; Depends: syslog | other\nsyslog 1\nother 1 Conflicts: syslog; Provides: syslog",
    );
    let request = Request {
        base: Base::Essential,
        ..request("other")
    };
    assert_eq!(answer(&universe, &request), "base=1 other=1");
}

#[test]
fn combines_architectures() {
    let packages = "lib 1 Multi-Arch: same\nlib:armhf 1 Multi-Arch: same\n\
        tool 1 Multi-Arch: foreign\ntool:armhf 1 Multi-Arch: foreign\n\
        perl 1 Multi-Arch: allowed\n\
        app:armhf 1 Depends: lib, tool\nown 1\nown:armhf 1\n\
        any:armhf 1 Depends: perl:any\nplain:armhf 1 Depends: perl\nexact 1 Depends: lib:armhf\ndata:all 1";
    check(packages, "lib lib:armhf", "lib=1 lib=1:armhf");
    check(packages, "app:armhf", "app=1:armhf lib=1:armhf tool=1");
    refused(packages, "own own:armhf");
    check(packages, "any:armhf", "any=1:armhf perl=1");
    refused(packages, "plain:armhf");
    check(packages, "exact", "exact=1 lib=1:armhf");
    check(packages, "data", "data=1:all");
    // Co-installable only in step.
    refused(
        "lib 1 Multi-Arch: same\nlib:armhf 2 Multi-Arch: same",
        "lib lib:armhf",
    );
}

#[test]
fn sweeps_what_a_failed_branch_left() {
    // b is entered, pulls in c, then fails for d; a takes e instead, and c must not remain.
    let packages = "a 1 Depends: b | e\nb 1 Depends: c, d\nc 1\nd 1 Conflicts: x\ne 1\nx 1";
    check(packages, "x a", "a=1 e=1 x=1");
}

#[test]
fn stays_with_kept_versions() {
    let universe = universe("a 1\na 2\nb 1\nb 2 Depends: a (>= 2)");
    let mut request = request("a b");
    request.keep = vec![
        ("a".to_owned(), "amd64".to_owned(), "1".to_owned()),
        ("b".to_owned(), "amd64".to_owned(), "1".to_owned()),
    ];
    assert_eq!(answer(&universe, &request), "a=1 b=1");
    request.keep.pop();
    assert!(answer(&universe, &request).starts_with("refused"));
    request.keep[0].2 = "0".to_owned();
    assert_eq!(answer(&universe, &request), "a=2 b=2");
}
