//! Meeting the needs of a package that is being marked.

use crate::index::{NameId, VersionId};
use crate::resolve::order;
use crate::resolve::state::{CANDIDATE, INSTALL, Mode, NOW, State};

/// Whose packages [`State::solutions`] looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Among {
    Candidates,
    Installed,
}

impl State<'_> {
    /// Meets the needs of a package one after the other.
    pub(super) fn meet(
        &mut self,
        entry: NameId,
        needs: &[usize],
        depth: usize,
        protected: bool,
        by_user: bool,
    ) -> bool {
        let mut worked = true;
        for &start in needs {
            let last = self.last_alternative(start);
            let critical = self.universe.dependency(start).kind.critical();
            let met = (start..=last).any(|place| self.has(place, INSTALL));
            if met {
                if protected && critical {
                    worked &= self.protect_only_choice(start, last, depth);
                }
                continue;
            }
            if !critical && self.node(entry).current.is_some() && !self.was_met(entry, start) {
                continue;
            }
            let choices = self.solutions(start, last, Among::Candidates, true);
            let only = protected && critical && choices.len() == 1;
            let found = choices.iter().any(|&choice| {
                let other = self.universe.version(choice).name;
                if self.node(other).candidate != Some(choice) {
                    return false;
                }
                if only {
                    if !self.mark_install(other, false, depth + 1, false) {
                        return false;
                    }
                    self.node_mut(other).protected = true;
                }
                self.mark_install(other, true, depth + 1, false)
            });
            if !found && critical {
                worked = false;
                if !protected && !by_user {
                    return false;
                }
            }
        }
        worked
    }

    /// The package that alone meets a need of a protected one becomes protected as well.
    fn protect_only_choice(&mut self, start: usize, last: usize, depth: usize) -> bool {
        let mut choices = self.solutions(start, last, Among::Candidates, false);
        choices.extend(self.solutions(start, last, Among::Installed, false));
        choices.sort_unstable();
        choices.dedup();
        let [choice] = choices[..] else {
            return true;
        };
        let other = self.universe.version(choice).name;
        if self.node(other).protected {
            return true;
        }
        self.node_mut(other).protected = true;
        self.mark_install(other, true, depth + 1, false)
    }

    /// A recommendation of an installed package that was not followed before is not followed later either.
    fn was_met(&self, entry: NameId, start: usize) -> bool {
        let target = self.universe.dependency(start).target;
        let Some(current) = self.node(entry).current else {
            return true;
        };
        let mut known = false;
        for (first, last) in self.universe.groups(current) {
            for place in first..=last {
                let relation = self.universe.dependency(place);
                if relation.kind.critical()
                    || !self.important(relation.kind)
                    || relation.target != target
                {
                    continue;
                }
                known = true;
                if self.group_has(last, NOW) {
                    return true;
                }
            }
        }
        !known
    }

    /// Every version among the candidates (or the installed ones) that fulfils one of the alternatives.
    ///
    /// Sorted, installed ones come first, then alternatives as written; providers of one name by [`order::provider`].
    pub(super) fn solutions(
        &self,
        start: usize,
        last: usize,
        among: Among,
        sorted: bool,
    ) -> Vec<VersionId> {
        let universe = self.universe;
        let mut installed = Vec::new();
        let mut new = Vec::new();
        for place in start..=last {
            let dependency = universe.dependency(place);
            let negative = dependency.kind.negative();
            // For a conflict the value is negated: it holds when no candidate offends it.
            if among == Among::Candidates && self.has(place, CANDIDATE) == negative {
                continue;
            }
            let pick = |entry: NameId| match among {
                Among::Candidates => self.node(entry).candidate,
                Among::Installed => self.node(entry).current,
            };
            let mut found = Vec::new();
            if let Some(version) = pick(dependency.target)
                && !universe.exempts_name(dependency, dependency.target)
                && universe.accepts_version(dependency, version)
            {
                found.push(version);
            }
            for provide in universe.providers(dependency.target) {
                if pick(universe.version(provide.owner).name) == Some(provide.owner)
                    && !universe.exempts_provide(dependency, provide)
                    && universe.accepts_provide(dependency, provide)
                {
                    found.push(provide.owner);
                }
            }
            if sorted {
                found
                    .sort_by(|&left, &right| order::provider(self, dependency.target, left, right));
            }
            for version in found {
                let is_installed = self.node(universe.version(version).name).current.is_some();
                if sorted && !is_installed {
                    new.push(version);
                } else {
                    installed.push(version);
                }
            }
        }
        installed.append(&mut new);
        if !sorted {
            installed.sort_unstable();
        }
        installed.dedup();
        if !universe.dependency(last).kind.negative() {
            installed.retain(|&version| {
                let node = self.node(universe.version(version).name);
                let absent = node.mode == Mode::Delete
                    || (node.mode == Mode::Keep && node.current.is_none());
                !(node.protected && absent)
            });
        }
        installed
    }

    fn last_alternative(&self, start: usize) -> usize {
        let end = self
            .universe
            .dependencies(self.universe.dependency(start).owner)
            .end;
        let mut last = start;
        while self.universe.dependency(last).more && last + 1 < end {
            last += 1;
        }
        last
    }
}
