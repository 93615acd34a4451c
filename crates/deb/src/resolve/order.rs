//! The orders by which apt decides between equals.

use std::cmp::Ordering;

use super::state::State;
use crate::index::{MultiArch, NameId, Universe, VersionId};

/// Which of two providers of `target` is tried first.
///
/// Protected before others; `Multi-Arch: same` with a sibling installed; installed; of the very name asked for;
/// essential; protected from removal; native; of higher priority; at last, the one whose name appeared later.
pub(super) fn provider(
    state: &State<'_>,
    target: NameId,
    left: VersionId,
    right: VersionId,
) -> Ordering {
    let universe = state.universe;
    let key = |version: VersionId| {
        let node = universe.version(version);
        let entry = node.name;
        let name = universe.name(entry);
        let sibling_installed = node.multi_arch == MultiArch::Same
            && universe
                .siblings(entry)
                .any(|sibling| state.node(sibling).current.is_some());
        (
            !state.node(entry).protected,
            !sibling_installed,
            state.node(entry).current.is_none(),
            name.group != universe.name(target).group,
            !name.essential,
            !name.important,
            name.architecture.rank(),
            node.priority,
            std::cmp::Reverse(entry),
        )
    };
    key(left).cmp(&key(right))
}

/// All entries in the order of apt's hash table.
pub(super) fn all(universe: &Universe) -> Vec<NameId> {
    let mut entries: Vec<NameId> = universe.entries().collect();
    entries.sort_by_cached_key(|&entry| (universe.hash_order(entry), entry));
    entries
}

/// All entries from the highest score down, equal ones in the order of [`all`].
///
/// apt's sort is not stable, so that among equals it may look at another package first.
pub(super) fn by_score(entries: &[NameId], scores: &[i32]) -> Vec<NameId> {
    let mut entries = entries.to_vec();
    entries.sort_by_key(|entry| std::cmp::Reverse(scores[entry.index()]));
    entries
}
