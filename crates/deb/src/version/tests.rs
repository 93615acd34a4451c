use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;

fn version() -> impl Strategy<Value = String> {
    let chunk = || prop_oneof!["[0-9]{1,9}", "[a-z]{1,3}", "[.+~]", Just("~".to_owned())];
    (
        prop_oneof![4 => Just(String::new()), 1 => "[0-3]:"],
        "[0-9]{1,2}",
        prop::collection::vec(chunk(), 0..4),
        prop_oneof![1 => Just(String::new()), 1 => "-[0-9]{1,2}", 1 => "-[0-9a-z.+~]{1,4}"],
    )
        .prop_map(|(epoch, first, rest, revision)| {
            format!("{epoch}{first}{}{revision}", rest.concat())
        })
}

#[test]
fn orders_as_policy_says() {
    let ascending = [
        "~~",
        "~~a",
        "~",
        "0",
        "1.0~beta1~svn1245",
        "1.0~beta1",
        "1.0",
        "1.0-0.1",
        "1.0-1~bpo9+1",
        "1.0-1",
        "1.0-1+b1",
        "1.0a",
        "1.0+x",
        "1.9",
        "1.10",
        "20240101",
        "1:0.1",
        "2:0",
    ];
    for pair in ascending.windows(2) {
        assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        assert_eq!(compare(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
    }
    for (left, right) in [("1.0", "1.00"), ("0:1", "1"), ("1-0", "1"), ("1.0", "1.0-")] {
        assert_eq!(compare(left, right), Ordering::Equal, "{left} {right}");
    }
}

#[test]
fn checks_what_dpkg_checks() {
    for good in ["1", "0:1-1", "2:1:0-1", "1.2-3-4", "1~rc1+b2"] {
        check(good).unwrap();
    }
    for bad in [
        "",
        ":1",
        "a:1",
        "1:",
        "1-",
        "1_0",
        "1 0",
        "1-a_b",
        "2147483648:1",
        "-1",
    ] {
        assert!(check(bad).is_err(), "{bad}");
    }
    let version: Version = "3:1.2-4-5".parse().unwrap();
    assert_eq!(
        (version.epoch(), version.upstream(), version.revision()),
        (3, "1.2-4", "5")
    );
}

/// One shell asks dpkg about a thousand pairs.
#[test]
fn agrees_with_dpkg() {
    let mut runner = TestRunner::deterministic();
    let strategy = (version(), version(), any::<bool>());
    let mut script = String::new();
    let mut expected = Vec::new();
    for _ in 0..1000 {
        let (left, other, near) = strategy.new_tree(&mut runner).unwrap().current();
        // Versions that share a beginning reach deeper rules than two random ones.
        let right = if near {
            format!(
                "{left}{}",
                other.trim_start_matches(char::is_numeric).replace(':', "")
            )
        } else {
            other
        };
        if check(&right).is_err() {
            continue;
        }
        let _ = writeln!(
            script,
            "if dpkg --compare-versions '{left}' lt '{right}'; then echo Less; \
             elif dpkg --compare-versions '{left}' eq '{right}'; then echo Equal; else echo Greater; fi"
        );
        expected.push((left, right));
    }
    assert!(expected.len() > 600);
    let mut shell = Command::new("sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = shell.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(script.as_bytes()).unwrap());
    let output = shell.wait_with_output().unwrap();
    writer.join().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    assert_eq!(answers.lines().count(), expected.len(), "dpkg is installed");
    for ((left, right), answer) in expected.iter().zip(answers.lines()) {
        assert_eq!(
            format!("{:?}", compare(left, right)),
            answer,
            "{left} {right}"
        );
    }
}

proptest! {
    #[test]
    fn is_a_total_order(a in version(), b in version(), c in version()) {
        prop_assert!(check(&a).is_ok());
        prop_assert_eq!(compare(&a, &a), Ordering::Equal);
        prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
        let mut sorted = [a, b, c];
        sorted.sort_by(|left, right| compare(left, right));
        prop_assert_ne!(compare(&sorted[0], &sorted[2]), Ordering::Greater);
    }

    #[test]
    fn never_panics(left in prop::collection::vec(any::<u8>(), 0..30), right in prop::collection::vec(any::<u8>(), 0..30)) {
        prop_assert_eq!(compare_bytes(&left, &right), compare_bytes(&right, &left).reverse());
    }

    #[test]
    fn checks_any_text(text in "\\PC{0,20}") {
        if let Ok(version) = text.parse::<Version>() {
            prop_assert_eq!(version.as_str(), text);
        }
    }
}
