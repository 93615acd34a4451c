//! Taking back what was pulled in and is needed by nobody in the end, by the rules of apt's autoremover.

use super::state::{Mode, State};
use crate::index::{Kind, NameId, Priority, VersionId};
use crate::version;

/// Packages that will be installed although nobody needs them, by entry.
///
/// Needed is what the user asked for, essential and protected packages, required ones that were installed before, and
/// whatever those depend on, recommend or suggest.
pub(super) fn garbage(state: &State<'_>) -> Vec<bool> {
    let universe = state.universe;
    let mut marking = Marking {
        state,
        marked: vec![false; universe.entry_count()],
        explored: vec![false; universe.entry_count()],
    };
    for entry in universe.entries() {
        let Some(version) = marking.present(entry) else {
            continue;
        };
        let node = state.node(entry);
        let name = universe.name(entry);
        let required = node
            .current
            .is_some_and(|current| universe.version(current).priority == Priority::Required);
        if !node.automatic || name.essential || name.important || required || node.held {
            marking.mark(entry, version);
        }
    }
    universe
        .entries()
        .map(|entry| {
            let node = state.node(entry);
            let required = node
                .current
                .is_some_and(|current| universe.version(current).priority == Priority::Required);
            let there = node.current.is_some() || node.mode == Mode::Install;
            there && !required && !marking.marked[entry.index()]
        })
        .collect()
}

/// Takes back new packages that are garbage, unless something turns out to need them.
pub(super) fn sweep(state: &mut State<'_>) {
    let garbage = garbage(state);
    let universe = state.universe;
    let mut taken: Vec<NameId> = Vec::new();
    for entry in universe.entries() {
        let node = state.node(entry);
        if garbage[entry.index()] && node.mode == Mode::Install && node.current.is_none() {
            taken.push(entry);
            state.mark_delete(entry, 0, false);
        }
    }
    if taken.is_empty() {
        return;
    }
    let policy_broken = |state: &State<'_>| {
        universe
            .entries()
            .any(|entry| state.is_policy_broken(entry))
    };
    if state.broken_count() == 0 && !policy_broken(state) {
        return;
    }
    while let Some(place) = taken.iter().position(|&entry| is_missed(state, entry)) {
        let entry = taken.remove(place);
        state.mark_install(entry, false, 0, false);
    }
}

/// Whether somebody who will be installed depends on the package or on what it provides.
fn is_missed(state: &State<'_>, entry: NameId) -> bool {
    let universe = state.universe;
    let provided = state
        .node(entry)
        .candidate
        .into_iter()
        .flat_map(|version| universe.provides(version).map(|provide| provide.target));
    std::iter::once(entry).chain(provided).any(|name| {
        universe.dependents(name).iter().any(|&place| {
            let dependency = universe.dependency(place as usize);
            if dependency.kind.negative() || !state.important(dependency.kind) {
                return false;
            }
            let parent = state.node(universe.version(dependency.owner).name);
            if parent.current == Some(dependency.owner) {
                parent.mode == Mode::Keep
            } else {
                parent.candidate == Some(dependency.owner) && parent.mode == Mode::Install
            }
        })
    })
}

struct Marking<'s, 'u> {
    state: &'s State<'u>,
    marked: Vec<bool>,
    /// Names of which every provider has been followed.
    explored: Vec<bool>,
}

impl Marking<'_, '_> {
    /// The version of a package that will be there in the end.
    fn present(&self, entry: NameId) -> Option<VersionId> {
        let node = self.state.node(entry);
        match (node.mode, node.current) {
            (Mode::Install, _) => node.install,
            (Mode::Keep, current) => current,
            (Mode::Delete, _) => None,
        }
    }

    fn mark(&mut self, entry: NameId, version: VersionId) {
        let mut open = vec![(entry, version)];
        while let Some((entry, version)) = open.pop() {
            if std::mem::replace(&mut self.marked[entry.index()], true) {
                continue;
            }
            for place in self.state.universe.dependencies(version) {
                self.follow(place, &mut open);
            }
        }
    }

    fn follow(&mut self, place: usize, open: &mut Vec<(NameId, VersionId)>) {
        let universe = self.state.universe;
        let dependency = universe.dependency(place);
        let target = dependency.target;
        let counts = matches!(
            dependency.kind,
            Kind::Depends | Kind::PreDepends | Kind::Recommends | Kind::Suggests
        );
        if !counts || self.explored[target.index()] {
            return;
        }
        let mut unsuitable = false;
        let mut found: Vec<VersionId> = Vec::new();
        if let Some(version) = self.present(target) {
            if universe.accepts_version(dependency, version) {
                found.push(version);
            } else {
                unsuitable = true;
            }
        }
        if found.is_empty() && !unsuitable {
            self.marked[target.index()] = true;
        }
        for provide in universe.providers(target) {
            if self.present(universe.version(provide.owner).name) != Some(provide.owner) {
                continue;
            }
            if universe.accepts_provide(dependency, provide) {
                found.push(provide.owner);
            } else {
                unsuitable = true;
            }
        }
        self.explored[target.index()] = !unsuitable;
        // Of several packages from one source only those of its latest version count.
        let latest = |version: VersionId| {
            !found.iter().any(|&other| {
                universe.source_name(other) == universe.source_name(version)
                    && version::compare_bytes(
                        universe.source_version(other),
                        universe.source_version(version),
                    )
                    .is_gt()
            })
        };
        open.extend(
            found
                .iter()
                .filter(|&&version| latest(version))
                .map(|&version| (universe.version(version).name, version)),
        );
    }
}
