//! Repairing what marking left broken, by the rules of apt's problem resolver (apt 2.6).
//!
//! Every package has a score: its priority, what depends on it, a bonus for essential and requested ones. Broken
//! packages are looked at from the highest score down, several times over:
//! 1. A broken need is looked at provider by provider, a conflict offender by offender.
//! 2. The weaker side gives way: the broken package is kept back or removed when its score is not higher, the other
//!    one is put on the list of packages to remove when it is.
//! 3. Before a package is removed for one alternative of several, the first one is tried to be installed after all.
//! 4. Requested packages never give way. If they stay broken, there is no solution.

mod score;

use super::state::{CANDIDATE, INSTALL, Mode, NOW, State};
use super::{order, sweep};
use crate::index::{Kind, NameId};

/// How often all packages are looked at.
const ROUNDS: usize = 20;

/// Repairs the state; `named` are the packages that the user named, by entry, `removed` those of them named for removal.
/// Returns whether nothing is broken any more.
pub(super) fn repair(state: &mut State<'_>, named: &[bool], removed: &[bool]) -> bool {
    // Without a broken package the rounds below change nothing.
    if state.broken_count() == 0 {
        return true;
    }
    let mut repair = Repair {
        garbage: sweep::garbage(state),
        entries: order::all(state.universe),
        scores: Vec::new(),
        upgradable: vec![true; state.universe.entry_count()],
        state,
        named,
        removed,
    };
    repair.install_broken();
    repair.score();
    let order = order::by_score(&repair.entries, &repair.scores);
    for round in 0..ROUNDS {
        let mut changed = false;
        for &entry in &order {
            if repair.state.node(entry).install.is_some() && repair.state.is_broken(entry) {
                changed |= repair.package(entry, round);
            }
        }
        if !changed {
            break;
        }
    }
    repair.state.broken_count() == 0
}

struct Repair<'s, 'u> {
    state: &'s mut State<'u>,
    /// All entries in apt's order.
    entries: Vec<NameId>,
    scores: Vec<i32>,
    upgradable: Vec<bool>,
    garbage: Vec<bool>,
    named: &'s [bool],
    removed: &'s [bool],
}

/// What becomes of a broken package when no alternative helped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fallback {
    Remove,
    Keep,
}

impl Repair<'_, '_> {
    /// Packages that are broken as installed get their candidates.
    fn install_broken(&mut self) {
        let mut again = true;
        while std::mem::take(&mut again) {
            for &entry in &self.entries {
                if self.state.node(entry).mode != Mode::Install && self.state.is_broken(entry) {
                    self.state.mark_install(entry, false, 0, false);
                    again |= self.state.node(entry).mode == Mode::Install;
                }
            }
        }
    }

    /// Looks at the broken relations of one package. Returns whether anything changed.
    fn package(&mut self, entry: NameId, round: usize) -> bool {
        let Some(version) = self.state.node(entry).install else {
            return false;
        };
        let mut changed = false;
        let mut kill: Vec<(NameId, usize)> = Vec::new();
        'groups: for (start, last) in self.state.universe.groups(version) {
            if !self.state.universe.dependency(start).kind.critical() {
                continue;
            }
            let in_group = start != last;
            let before = kill.len();
            let mut fallback = Fallback::Remove;
            let mut solved = false;
            for place in start..=last {
                if self.state.group_has(last, INSTALL) {
                    solved = true;
                    break;
                }
                match self.relation(
                    entry,
                    place,
                    last,
                    in_group,
                    round,
                    &mut fallback,
                    &mut kill,
                ) {
                    Step::Next => {}
                    Step::Changed => {
                        changed = true;
                        if !in_group {
                            break 'groups;
                        }
                    }
                    Step::Stop => {
                        changed = true;
                        break 'groups;
                    }
                }
            }
            if in_group && !solved && kill.len() == before {
                changed |= self.give_up(entry, fallback);
            }
        }
        if self.state.node(entry).install.is_some() {
            changed |= self.apply(entry, &kill, round);
        }
        changed
    }

    /// No alternative of a group worked out.
    fn give_up(&mut self, entry: NameId, fallback: Fallback) -> bool {
        match fallback {
            Fallback::Remove => {
                let free = !self.state.node(entry).protected;
                if free {
                    self.state.mark_delete(entry, 0, false);
                }
                free
            }
            Fallback::Keep => {
                self.state.mark_keep(entry, false, 0);
                true
            }
        }
    }

    /// Looks at one alternative of a broken relation.
    #[expect(
        clippy::too_many_arguments,
        reason = "the state of one pass over one package"
    )]
    fn relation(
        &mut self,
        entry: NameId,
        place: usize,
        last: usize,
        in_group: bool,
        round: usize,
        fallback: &mut Fallback,
        kill: &mut Vec<(NameId, usize)>,
    ) -> Step {
        let universe = self.state.universe;
        let dependency = universe.dependency(place);
        let negative = dependency.kind.negative();
        let targets = universe.targets(dependency);
        let protected = self.state.node(entry).protected;
        if targets.is_empty() && !protected && !negative && !self.state.was_broken(entry) {
            if in_group {
                return Step::Next;
            }
            self.state.mark_keep(entry, false, 0);
            return Step::Stop;
        }
        let mut done = false;
        for &version in &targets {
            let other = universe.version(version).name;
            if negative && self.state.node(other).install != Some(version) {
                continue;
            }
            let weaker = self.scores[entry.index()] <= self.scores[other.index()];
            if weaker || (!self.state.has(place, NOW) && !negative) {
                if self.state.node(entry).protected {
                    if self.upgrade(other) {
                        let limit = self.scores[entry.index()];
                        let score = &mut self.scores[other.index()];
                        *score = (*score).min(limit);
                        break;
                    }
                    continue;
                }
                self.yield_to(entry, other, place, in_group, round, fallback);
                done = true;
                break;
            }
            if dependency.kind == Kind::Breaks && self.state.group_has(last, CANDIDATE) {
                self.state.mark_install(other, false, 0, false);
                continue;
            }
            let node = self.state.node(other);
            if node.protected && node.mode != Mode::Delete {
                continue;
            }
            kill.push((other, last));
            if !negative {
                break;
            }
        }
        if targets.is_empty() && !negative && !self.state.node(entry).protected {
            self.leave(entry, in_group, fallback);
            done = true;
        }
        if done { Step::Changed } else { Step::Next }
    }

    /// The broken package gives way to the other one.
    fn yield_to(
        &mut self,
        entry: NameId,
        other: NameId,
        place: usize,
        in_group: bool,
        round: usize,
        fallback: &mut Fallback,
    ) {
        let installs = self.state.node(entry).mode == Mode::Install;
        self.state.mark_keep(entry, false, 0);
        if !self.state.is_broken(entry) {
            *fallback = Fallback::Keep;
            if in_group && installs {
                self.state.mark_install(entry, false, 0, false);
            }
            return;
        }
        if self.upgrade(entry) {
            return;
        }
        let target = self.state.universe.dependency(place).target;
        let node = self.state.node(target);
        if !in_group || self.garbage[entry.index()] {
            self.state.mark_delete(entry, 0, false);
            if round > 1 {
                let (mine, theirs) = (entry.index(), other.index());
                self.scores[mine] = self.scores[mine].max(self.scores[theirs]);
            }
        } else if node.current.is_none()
            && node.mode != Mode::Delete
            && !self.removed[target.index()]
            && node.candidate.is_some()
        {
            let before = self.state.broken_count();
            self.state.mark_install(target, true, 1, false);
            if self.state.is_broken(target) || self.state.broken_count() > before {
                self.state.mark_delete(target, 1, false);
            }
        }
    }

    /// Nothing at all can meet the need.
    fn leave(&mut self, entry: NameId, in_group: bool, fallback: &mut Fallback) {
        let installs = self.state.node(entry).mode == Mode::Install;
        self.state.mark_keep(entry, false, 0);
        if !self.state.is_broken(entry) {
            *fallback = Fallback::Keep;
            if in_group && installs {
                self.state.mark_install(entry, false, 0, false);
            }
        } else if !in_group {
            self.state.mark_delete(entry, 0, false);
        }
    }

    /// Removes, or keeps as they were, the packages on the list.
    fn apply(&mut self, entry: NameId, kill: &[(NameId, usize)], round: usize) -> bool {
        let mut changed = false;
        for &(other, last) in kill {
            let negative = self.state.universe.dependency(last).kind.negative();
            let worked = if self.state.group_has(last, NOW) {
                self.state.mark_keep(other, false, 0)
            } else {
                negative && self.state.mark_delete(other, 0, false)
            };
            if (!worked || round > 1) && self.scores[entry.index()] > self.scores[other.index()] {
                self.scores[other.index()] = self.scores[entry.index()];
                changed = true;
            }
            changed |= worked;
        }
        changed
    }

    /// Installs the candidate of a package, and of what it needs, if that mends it.
    fn upgrade(&mut self, entry: NameId) -> bool {
        let node = self.state.node(entry);
        let differs = node.new || node.candidate != node.current;
        if !self.upgradable[entry.index()]
            || node.candidate.is_none()
            || !differs
            || self.named[entry.index()]
        {
            return false;
        }
        self.upgradable[entry.index()] = false;
        let was_kept = node.mode == Mode::Keep;
        if !self.state.mark_install(entry, false, 0, false) {
            return false;
        }
        let Some(version) = self.state.node(entry).install else {
            return false;
        };
        let mended = self.state.universe.groups(version).all(|(start, last)| {
            if !self.state.universe.dependency(start).kind.critical() {
                return true;
            }
            self.mend(start, last)
        });
        if mended {
            return true;
        }
        if was_kept {
            self.state.mark_keep(entry, false, 0);
        } else {
            self.state.mark_delete(entry, 0, false);
        }
        false
    }

    fn mend(&mut self, start: usize, last: usize) -> bool {
        let universe = self.state.universe;
        let mut failed = false;
        for place in start..=last {
            if self.state.group_has(last, INSTALL) {
                break;
            }
            let target = self.smart_target(place);
            if self.state.node(target).protected {
                failed = true;
            } else if self.state.has(place, CANDIDATE) {
                if self.upgrade(target) {
                    return true;
                }
                failed = true;
            } else if universe.dependency(place).kind.negative() {
                break;
            } else {
                failed = true;
            }
        }
        !failed
    }

    /// The one package behind a name: itself, or its first provider when it is virtual.
    fn smart_target(&self, place: usize) -> NameId {
        let universe = self.state.universe;
        let dependency = universe.dependency(place);
        let target = dependency.target;
        if universe.name(target).newest.is_some() {
            return target;
        }
        let owner = universe.version(dependency.owner).name;
        universe
            .providers(target)
            .map(|provide| universe.version(provide.owner).name)
            .find(|&provider| provider != owner)
            .unwrap_or(target)
    }
}

/// How to go on after one alternative.
enum Step {
    /// Look at the next one.
    Next,
    /// Something was done about the package.
    Changed,
    /// Nothing more can be done for the package.
    Stop,
}
