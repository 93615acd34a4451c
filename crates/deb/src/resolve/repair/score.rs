//! The scores by which packages give way.

use super::Repair;
use crate::index::{Kind, NameId, Priority, VersionId};

impl Repair<'_, '_> {
    pub(super) fn score(&mut self) {
        let universe = self.state.universe;
        let mut scores = vec![0_i32; universe.entry_count()];
        let installed: Vec<(NameId, VersionId)> = universe
            .entries()
            .filter_map(|entry| Some((entry, self.state.node(entry).install?)))
            .collect();
        for &(entry, version) in &installed {
            let name = universe.name(entry);
            let node = self.state.node(entry);
            let mut score = match universe.version(version).priority {
                Priority::None => 0,
                Priority::Required => 3,
                Priority::Important => 2,
                Priority::Standard => 1,
                Priority::Optional => -1,
                Priority::Extra => -2,
            };
            score += if name.essential || name.important {
                100
            } else {
                0
            };
            score += i32::from(node.current.is_some() && node.candidate.is_some());
            scores[entry.index()] += score;
            self.score_targets(version, &mut scores);
        }
        let base = scores.clone();
        for &(entry, _) in &installed {
            for &place in universe.dependents(entry) {
                let dependency = universe.dependency(place as usize);
                let parent = universe.version(dependency.owner).name;
                let counts = matches!(
                    dependency.kind,
                    Kind::Depends | Kind::PreDepends | Kind::Recommends
                );
                if counts && self.state.node(parent).install == Some(dependency.owner) {
                    scores[entry.index()] += base[parent.index()].max(0);
                }
            }
        }
        // In this order, because a transfer may itself be transferred.
        for &entry in &self.entries {
            let transfer = (scores[entry.index()] - base[entry.index()]).abs();
            if transfer == 0 {
                continue;
            }
            let mut providers: Vec<NameId> = universe
                .providers(entry)
                .filter(|provide| !provide.implicit)
                .filter(|provide| self.installs(provide.owner))
                .map(|provide| universe.version(provide.owner).name)
                .collect();
            providers.sort_unstable();
            providers.dedup();
            for provider in providers {
                scores[provider.index()] += transfer;
            }
        }
        for entry in universe.entries() {
            let name = universe.name(entry);
            let score = &mut scores[entry.index()];
            *score += if self.named[entry.index()] { 10_000 } else { 0 };
            *score += if name.essential || name.important {
                5000
            } else {
                0
            };
        }
        self.scores = scores;
    }

    /// Whoever a package relates to gains or loses a point.
    fn score_targets(&self, version: VersionId, scores: &mut [i32]) {
        let universe = self.state.universe;
        for place in universe.dependencies(version) {
            let dependency = universe.dependency(place);
            let points = match dependency.kind {
                Kind::Depends | Kind::PreDepends | Kind::Recommends => 1,
                Kind::Conflicts | Kind::Breaks => -1,
                _ => continue,
            };
            let target = dependency.target;
            if !universe.exempts_name(dependency, target) {
                let fits = universe.wanted(dependency).is_empty()
                    || self
                        .state
                        .node(target)
                        .install
                        .is_some_and(|version| universe.accepts_version(dependency, version));
                if !fits {
                    continue;
                }
                scores[target.index()] += points;
            }
            let mut providers: Vec<NameId> = universe
                .providers(target)
                .filter(|provide| !universe.exempts_provide(dependency, provide))
                .filter(|provide| {
                    self.installs(provide.owner) && universe.accepts_provide(dependency, provide)
                })
                .map(|provide| universe.version(provide.owner).name)
                .collect();
            providers.sort_unstable();
            providers.dedup();
            for provider in providers {
                scores[provider.index()] += points;
            }
        }
    }

    fn installs(&self, version: VersionId) -> bool {
        let entry = self.state.universe.version(version).name;
        self.state.node(entry).install == Some(version)
    }
}
