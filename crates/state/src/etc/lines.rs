//! Three-way merge of texts, line by line, as diff3(1) does it.

/// Differences beyond which two texts count as unrelated; bounds time and memory.
const MOST_EDITS: usize = 1000;

/// Merges what `mine` and `theirs` changed of `base`; none where both changed the same place, or lines next to each other.
///
/// Lines are bytes up to and with a line feed. Where both made the same change it is taken once.
pub fn merge(base: &[u8], mine: &[u8], theirs: &[u8]) -> Option<Vec<u8>> {
    let [base, mine, theirs] = [base, mine, theirs].map(lines);
    let in_mine = matches(&base, &mine)?;
    let in_theirs = matches(&base, &theirs)?;
    let mut merged = Vec::new();
    let (mut at, mut at_mine, mut at_theirs) = (0, 0, 0);
    loop {
        // The next line that all three have, or their ends.
        let stable = (at..base.len())
            .find_map(|line| Some((line, in_mine[line]?, in_theirs[line]?)))
            .unwrap_or((base.len(), mine.len(), theirs.len()));
        let (end, end_mine, end_theirs) = stable;
        let old = &base[at..end];
        let (ours, other) = (&mine[at_mine..end_mine], &theirs[at_theirs..end_theirs]);
        let chosen = if ours == old || ours == other {
            other
        } else if other == old {
            ours
        } else {
            return None;
        };
        merged.extend(chosen.iter().copied().flatten());
        let Some(line) = base.get(end) else {
            return Some(merged);
        };
        merged.extend(*line);
        (at, at_mine, at_theirs) = (end + 1, end_mine + 1, end_theirs + 1);
    }
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

/// For each line of `old` the line of `new` that it is, in the shortest way from one to the other (Myers, *An O(ND)
/// Difference Algorithm*, 1986); none when that is longer than [`MOST_EDITS`].
fn matches(old: &[&[u8]], new: &[&[u8]]) -> Option<Vec<Option<usize>>> {
    let mut found = vec![None; old.len()];
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let tail = old[head..]
        .iter()
        .rev()
        .zip(new[head..].iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    for (line, place) in found.iter_mut().enumerate() {
        if line < head {
            *place = Some(line);
        } else if line >= old.len() - tail {
            *place = Some(line + new.len() - old.len());
        }
    }
    let (a, b) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let rounds = furthest(a, b)?;
    // Back from the end: each round's diagonal came from one of its two neighbours in the round before.
    let (mut x, mut y) = (a.len(), b.len());
    for edits in (0..rounds.len()).rev() {
        let (from_x, from_y) = if edits == 0 {
            (0, 0)
        } else {
            let reach = &rounds[edits - 1];
            let diagonal = x.cast_signed() - y.cast_signed();
            let previous = previous(reach, edits, diagonal);
            let from_x = at(reach, edits - 1, previous);
            (from_x, (from_x.cast_signed() - previous).cast_unsigned())
        };
        while x > from_x && y > from_y {
            (x, y) = (x - 1, y - 1);
            found[head + x] = Some(head + y);
        }
        (x, y) = (from_x, from_y);
    }
    Some(found)
}

/// For each number of edits how far each diagonal gets, up to the number that reaches the end.
fn furthest(a: &[&[u8]], b: &[&[u8]]) -> Option<Vec<Vec<usize>>> {
    let mut rounds: Vec<Vec<usize>> = Vec::new();
    for edits in 0..=MOST_EDITS.min(a.len() + b.len()) {
        let mut reach = Vec::with_capacity(edits + 1);
        for step in 0..=edits {
            let diagonal = 2 * step.cast_signed() - edits.cast_signed();
            let mut x = match rounds.last() {
                None => 0,
                Some(last) => {
                    let previous = previous(last, edits, diagonal);
                    let x = at(last, edits - 1, previous);
                    // From the left a line of `a` is dropped, from above a line of `b` added.
                    if previous < diagonal { x + 1 } else { x }
                }
            };
            let mut y = x.cast_signed() - diagonal;
            while y >= 0
                && x < a.len()
                && y.cast_unsigned() < b.len()
                && a[x] == b[y.cast_unsigned()]
            {
                (x, y) = (x + 1, y + 1);
            }
            reach.push(x);
            if x >= a.len() && y >= b.len().cast_signed() {
                // The later diagonals are not asked for.
                rounds.push(reach);
                return Some(rounds);
            }
        }
        rounds.push(reach);
    }
    None
}

/// The neighbour from which `diagonal` is reached with one edit more.
fn previous(last: &[usize], edits: usize, diagonal: isize) -> isize {
    let edits = edits.cast_signed();
    let down = diagonal == -edits
        || (diagonal != edits
            && at(last, edits.cast_unsigned() - 1, diagonal - 1)
                < at(last, edits.cast_unsigned() - 1, diagonal + 1));
    if down { diagonal + 1 } else { diagonal - 1 }
}

/// How far a diagonal got in the round with so many edits.
fn at(reach: &[usize], edits: usize, diagonal: isize) -> usize {
    reach[diagonal.midpoint(edits.cast_signed()).cast_unsigned()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn merged(base: &str, mine: &str, theirs: &str) -> Option<String> {
        let merged = merge(base.as_bytes(), mine.as_bytes(), theirs.as_bytes());
        merged.map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn takes_changes_of_different_places() {
        let base = "a\nb\nc\nd\ne\n";
        let both = merged(base, "A\nb\nc\nd\ne\n", "a\nb\nc\nd\ne\nf\n");
        assert_eq!(both.as_deref(), Some("A\nb\nc\nd\ne\nf\n"));
        let both = merged(base, "a\nc\nd\ne\n", "a\nb\nc\nnew\nd\ne\n");
        assert_eq!(both.as_deref(), Some("a\nc\nnew\nd\ne\n"));
        let same = merged(base, "a\nb\nX\nd\ne\n", "a\nb\nX\nd\nE\n");
        assert_eq!(same.as_deref(), Some("a\nb\nX\nd\nE\n"));
    }

    #[test]
    fn leaves_conflicts_to_people() {
        let base = "a\nb\nc\n";
        for (mine, theirs) in [
            ("a\nX\nc\n", "a\nY\nc\n"),
            // Next to each other.
            ("A\nb\nc\n", "a\nB\nc\n"),
            ("a\nc\n", "a\nB\nc\n"),
            // Both add at the same place.
            ("a\nb\nc\nx\n", "a\nb\nc\ny\n"),
            // A last line without an end would run into what follows.
            ("a\nb\nc", "a\nb\nc\nd\n"),
        ] {
            assert_eq!(merged(base, mine, theirs), None, "{mine:?} {theirs:?}");
        }
    }

    #[test]
    fn unrelated_texts_are_not_compared_to_the_end() {
        let long = |prefix: &str| {
            let lines: Vec<String> = (0..5000).map(|line| format!("{prefix}{line}\n")).collect();
            lines.concat()
        };
        assert_eq!(merged(&long("a"), &long("b"), &long("c")), None);
    }

    fn text() -> impl Strategy<Value = String> {
        prop::collection::vec(
            prop::sample::select(vec!["a\n", "b\n", "c\n", "d\n", "\n"]),
            0..12,
        )
        .prop_map(|lines| lines.concat())
    }

    proptest! {
        #[test]
        fn an_unchanged_side_gives_the_other(base in text(), changed in text()) {
            prop_assert_eq!(merged(&base, &base, &changed), Some(changed.clone()));
            prop_assert_eq!(merged(&base, &changed, &base), Some(changed.clone()));
            prop_assert_eq!(merged(&base, &changed, &changed), Some(changed));
        }

        #[test]
        fn sides_are_equal(base in text(), mine in text(), theirs in text()) {
            prop_assert_eq!(merged(&base, &mine, &theirs), merged(&base, &theirs, &mine));
        }

        #[test]
        fn no_new_line_is_lost(
            base in text(),
            places in prop::collection::vec((0_usize..12, 0_usize..3), 0..5),
            theirs in text(),
        ) {
            // Lines that only the device has: each must be in the result.
            let mut mine: Vec<String> = base.split_inclusive('\n').map(str::to_owned).collect();
            for (number, (place, dropped)) in places.iter().enumerate() {
                let place = (*place).min(mine.len());
                let end = (place + dropped).min(mine.len());
                let kept: Vec<String> = mine.drain(place..end).filter(|line| line.starts_with('m')).collect();
                mine.insert(place, format!("m{number}\n"));
                mine.extend(kept);
            }
            if let Some(merged) = merged(&base, &mine.concat(), &theirs) {
                for line in mine.iter().filter(|line| line.starts_with('m')) {
                    prop_assert!(merged.contains(line.as_str()), "{line} of {mine:?} is not in {merged:?}");
                }
            }
        }

        #[test]
        fn never_panics(base: Vec<u8>, mine: Vec<u8>, theirs: Vec<u8>) {
            let _ = merge(&base, &mine, &theirs);
        }
    }
}
