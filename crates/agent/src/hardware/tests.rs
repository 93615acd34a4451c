use std::io::Write;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

fn matches(pattern: &str, own: &str) -> bool {
    is_among(own, &[format!("{PREFIX}{pattern}")]).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn names_are_compared_whole_and_patterns_searched() {
    let offered = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<Vec<_>>()
    };
    assert!(is_among("board", &offered(&["other", "board"])).unwrap());
    assert!(!is_among("board", &offered(&["boar", "board2", "b.*"])).unwrap());
    assert!(!is_among("board", &[]).unwrap());
    assert!(is_among("board", &offered(&["other", "#RE:oar"])).unwrap());
    assert!(!is_among("board", &offered(&["#RE:^oar"])).unwrap());
    // One that is no pattern is told even when another one matches.
    let error = is_among("board", &offered(&["board", "#RE:("])).unwrap_err();
    assert_eq!(error.code(), "malformed");
}

#[test]
fn understands_extended_expressions() {
    for (pattern, yes, no) in [
        (r"^v[0-9]+\.[0-9]+$", ["v1.2", "v10.33"], ["v1", "xv1.2"]),
        ("^(rev)?[AB]$", ["revA", "B"], ["revC", "revAB"]),
        ("^a{2,3}$", ["aa", "aaa"], ["a", "aaaa"]),
        ("^x(ab|cd){2}$", ["xabcd", "xcdcd"], ["xab", "xabcda"]),
        ("^[^a-c]$", ["d", "]"], ["a", "dd"]),
        ("^[]a]+$", ["]", "a]"], ["b", ""]),
        (r"^[\.]$", [r"\", "."], ["a", ""]),
        ("^[a-]$", ["-", "a"], ["b", ""]),
        ("^[[:digit:]x]{2,}$", ["1x", "x99"], ["1", "1y"]),
        (r"\$\^", ["a$^", "$^"], ["$", ""]),
        ("^(a|b)*c$|^d", ["ababc", "de"], ["abab", "ed"]),
        ("a.c", ["abc", "xa.cx"], ["ac", "a"]),
    ] {
        for own in yes {
            assert!(matches(pattern, own), "{pattern} {own}");
        }
        for own in no {
            assert!(!matches(pattern, own), "{pattern} {own}");
        }
    }
}

#[test]
fn refuses_what_is_no_pattern() {
    let long = "a".repeat(513);
    let deep = "(".repeat(40);
    for pattern in [
        "",
        "(",
        ")",
        "a)",
        "[",
        "[a",
        "[]",
        "[z-a]",
        "[[:word:]]",
        "[[.a.]]",
        "*",
        "a|*",
        "(|a)",
        "a**",
        "^*",
        "a{",
        "a{x}",
        "a{3,2}",
        "a{256}",
        "a{1",
        r"\d",
        r"\",
        "((a{255}){255})",
        "[ä]",
        &long,
        &deep,
    ] {
        let error = is_among("x", &[format!("{PREFIX}{pattern}")]).unwrap_err();
        assert_eq!(error.code(), "malformed", "{pattern}");
    }
}

#[test]
fn takes_no_time_for_nasty_patterns() {
    let name = "a".repeat(5000);
    assert!(!matches("^(a*)*(a*)*(a|aa)+$", &format!("{name}b")));
    assert!(matches("(x+x+)+y|a$", &name));
}

/// What `grep -E`, that is glibc's `regcomp`, says.
fn grep(pattern: &str, own: &str) -> Option<bool> {
    let mut child = Command::new("grep")
        .args(["-E", "-q", "-e", pattern])
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let _ = input
        .write_all(own.as_bytes())
        .and_then(|()| input.write_all(b"\n"));
    drop(input);
    match child.wait().unwrap().code() {
        Some(0) => Some(true),
        Some(1) => Some(false),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn agrees_with_the_c_library(
        pattern in r"(\^)?(([abx.]|\[[ab0-9-]{1,3}\]|\[\^[ab]\]|\([ab|]{1,4}\)|\\[.$*])([*+?]|\{[0-3](,[3-5]?)?\})?){1,5}(\|[ab]{1,3})?\$?",
        own in "[abx.$*0-9]{0,8}",
    ) {
        // What this crate refuses is narrower than what the C library does.
        if let Ok(ours) = is_among(&own, &[format!("{PREFIX}{pattern}")]) {
            prop_assert_eq!(Some(ours), grep(&pattern, &own), "{} {}", pattern, own);
        }
    }

    #[test]
    fn never_panics(pattern in r"[\x20-\x7e]{0,20}", own in ".{0,10}") {
        let _ = is_among(&own, &[format!("{PREFIX}{pattern}")]);
    }
}
