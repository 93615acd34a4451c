use proptest::prelude::*;

use super::*;

fn show(field: &str) -> String {
    match parse(field) {
        Ok(groups) => groups
            .iter()
            .map(|group| {
                group
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(" | ")
            })
            .collect::<Vec<_>>()
            .join(", "),
        Err(defect) => format!("error: {defect}"),
    }
}

#[test]
fn reads_every_form() {
    for (field, expected) in [
        ("", ""),
        ("a", "a"),
        ("a,b|c ,  d", "a, b | c, d"),
        (
            "a (>= 1:2-3~x), b(<<2) | c ( = 3 )",
            "a (>= 1:2-3~x), b (<< 2) | c (= 3)",
        ),
        ("a (< 1), b (> 2)", "a (<= 1), b (>= 2)"),
        (
            "python3:any (>= 3.9), gcc:native, libc6:armhf",
            "python3:any (>= 3.9), gcc:native, libc6:armhf",
        ),
        (
            "a [amd64 !i386] <!nocheck> <!cross x>, b",
            "a [amd64 !i386] <!nocheck> <!cross x>, b",
        ),
        ("a,\n b,", "a, b"),
    ] {
        assert_eq!(show(field), expected, "{field}");
    }
}

#[test]
fn says_what_is_wrong() {
    for (field, expected) in [
        ("a,,b", "expected a package name before `,b`"),
        ("a |", "expected a package name before `end`"),
        ("a (>= )", "no version after the operator for `a`"),
        ("a (1.0)", "unknown operator in `(1.0`"),
        ("a (>= 1", "`(` is not closed"),
        ("a [amd64", "`[` is not closed"),
        ("a b", "unexpected `b`"),
        (
            "a (>= 1_2)",
            "version `1_2` has `_` in its upstream version",
        ),
        ("ü", "`ü` is not a package name"),
        ("a:", "`a:` is not a package name"),
    ] {
        assert_eq!(show(field), format!("error: {expected}"), "{field}");
    }
}

#[test]
fn applies_by_architecture_and_profile() {
    let applies = |field: &str| parse(field).unwrap()[0][0].applies("amd64");
    for yes in [
        "a",
        "a [amd64]",
        "a [!i386]",
        "a [linux-any]",
        "a [any-amd64]",
        "a <!nocheck>",
        "a <x> <!y>",
    ] {
        assert!(applies(yes), "{yes}");
    }
    for no in [
        "a [arm64]",
        "a [!amd64]",
        "a [!amd64 !i386]",
        "a <x>",
        "a <!x y>",
    ] {
        assert!(!applies(no), "{no}");
    }
}

#[test]
fn compares_by_operator() {
    let cases = [
        (Operator::Earlier, [true, false, false]),
        (Operator::EarlierEqual, [true, true, false]),
        (Operator::Equal, [false, true, false]),
        (Operator::LaterEqual, [false, true, true]),
        (Operator::Later, [false, false, true]),
    ];
    for (operator, expected) in cases {
        let found = ["1", "2", "3"].map(|version| operator.accepts(version.as_bytes(), b"2"));
        assert_eq!(found, expected, "{operator}");
    }
}

proptest! {
    #[test]
    fn prints_what_it_reads(
        groups in prop::collection::vec(
            prop::collection::vec("[a-z0-9][a-z0-9+.-]{1,6}(:any)?( \\((<<|<=|=|>=|>>) [0-9][a-z0-9.~]{0,4}\\))?( \\[[a-z0-9]{1,5}\\])?( <!x>)?", 1..4),
            1..5,
        )
    ) {
        let field = groups.iter().map(|group| group.join(" | ")).collect::<Vec<_>>().join(", ");
        prop_assert_eq!(show(&field), field);
    }

    #[test]
    fn never_panics(field in "[a-z(),|<>=!:\\[\\] \\n0-9ü~]{0,40}") {
        for relation in Relations::new(&field).flatten() {
            relation.applies("amd64");
        }
    }
}
