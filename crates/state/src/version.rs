//! How versions of bundles and images compare.
//!
//! Numbers between dots by their value, letters by the alphabet, numbers after letters; what follows a `-`, or
//! a `~` as in Debian's versions, is a pre-release and comes before the version without it; what follows a `+` does not
//! count (semver.org 2.0.0, §10 and §11, with any number of parts). So `1.10 > 1.9`, `2.0-rc1 < 2.0`, `1.0 = 1.0.0`.

use std::cmp::Ordering;

/// Compares two versions.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (without_build(a), without_build(b));
    let (a_main, a_pre) = split(a);
    let (b_main, b_pre) = split(b);
    parts(a_main, b_main, "0").then_with(|| match (a_pre, b_pre) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => parts(a, b, ""),
    })
}

fn without_build(version: &str) -> &str {
    version.split_once('+').map_or(version, |(main, _)| main)
}

fn split(version: &str) -> (&str, Option<&str>) {
    version
        .split_once(['-', '~'])
        .map_or((version, None), |(main, pre)| (main, Some(pre)))
}

/// Compares part by part; `missing` stands for parts that the shorter one lacks.
fn parts(a: &str, b: &str, missing: &'static str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let (x, y) = (a.next(), b.next());
        if x.is_none() && y.is_none() {
            return Ordering::Equal;
        }
        let order = part(x.unwrap_or(missing), y.unwrap_or(missing));
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Compares runs of digits by their value and other runs by their bytes, digits after the rest.
fn part(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    while !a.is_empty() && !b.is_empty() {
        let (x, x_rest) = run(a);
        let (y, y_rest) = run(b);
        let digits = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let order = match (digits(x), digits(y)) {
            (true, true) => {
                let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
                x.len().cmp(&y.len()).then_with(|| x.cmp(y))
            }
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => x.cmp(y),
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (x_rest, y_rest);
    }
    a.len().cmp(&b.len())
}

fn run(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text
        .find(|c: char| c.is_ascii_digit() != digits)
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn orders_as_people_do() {
        let rising = [
            "",
            "0.9",
            "1.0-alpha",
            "1.0-alpha.1",
            "1.0-beta",
            "1.0-rc.2",
            "1.0-rc.10",
            "1.0",
            "1.0.1",
            "1.0a",
            "1.9",
            "1.10",
            "2.0.0",
            "10.0",
            "2026.11.21",
        ];
        for (at, low) in rising.iter().enumerate() {
            for high in &rising[at + 1..] {
                assert_eq!(compare(low, high), Ordering::Less, "{low} {high}");
                assert_eq!(compare(high, low), Ordering::Greater, "{high} {low}");
            }
        }
        for (a, b) in [
            ("1.0", "1.0.0"),
            ("1.0+x", "1.0+y"),
            ("01.2", "1.02"),
            ("1.0~rc.2", "1.0-rc.2"),
        ] {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn is_an_order(a in "[0-9a-z.+~-]{0,8}", b in "[0-9a-z.+~-]{0,8}", c in "[0-9a-z.+~-]{0,8}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
            if compare(&a, &b) != Ordering::Greater && compare(&b, &c) != Ordering::Greater {
                prop_assert_ne!(compare(&a, &c), Ordering::Greater);
            }
        }
    }
}
