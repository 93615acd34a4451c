use crate::index::Universe;

/// At most this many names are suggested.
const COUNT: usize = 3;

/// The names closest to one that does not exist, the closest first.
///
/// Close is one edit, or one for every four letters, or the name as a whole word of another one.
pub(super) fn names(universe: &Universe, name: &str) -> Vec<String> {
    let limit = (name.len() / 4).max(1);
    let mut close: Vec<(usize, usize, &str)> = universe
        .names()
        .filter_map(|known| {
            if known.len().abs_diff(name.len()) <= limit {
                let distance = distance(name.as_bytes(), known.as_bytes());
                if distance <= limit {
                    return Some((distance, known.len(), known));
                }
            }
            let word = name.len() >= 3 && known.split(['-', '.', '+']).any(|word| word == name);
            word.then_some((limit + 1, known.len(), known))
        })
        .collect();
    close.sort_unstable();
    close.truncate(COUNT);
    close
        .into_iter()
        .map(|(_, _, known)| known.to_owned())
        .collect()
}

/// Optimal string alignment distance: insertions, deletions, replacements, exchanges of neighbours.
fn distance(left: &[u8], right: &[u8]) -> usize {
    let mut before = vec![0; right.len() + 1];
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for i in 1..=left.len() {
        let mut row = vec![i; right.len() + 1];
        for j in 1..=right.len() {
            let replaced = last[j - 1] + usize::from(left[i - 1] != right[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn counts_edits() {
        for (left, right, expected) in [
            ("nginx", "nginx", 0),
            ("ngnix", "nginx", 1),
            ("openssh", "openssl", 1),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(
                distance(left.as_bytes(), right.as_bytes()),
                expected,
                "{left} {right}"
            );
        }
    }
}
