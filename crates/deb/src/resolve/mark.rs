//! Marking packages, by the rules of apt's `MarkInstall`, `MarkKeep` and `MarkDelete` (apt 2.6).
//!
//! Installing a package follows its relations depth first:
//! 1. A package of which some need cannot be met by any candidate is never marked; it loses its candidate.
//! 2. Whoever it conflicts with must leave first. If one of them must stay, the package cannot be marked.
//! 3. Its needs are met in the order Pre-Depends, Depends, Recommends: by what is marked already, else by the first
//!    alternative that can be marked. Providers of one name are tried in the order of [`State::solutions`].
//! 4. A need of a *protected* package that leaves one choice only protects that choice, too. What offends a protected
//!    package loses its candidate.
//! 5. If something fails, the package itself is taken back; what it pulled in so far stays, and is swept later.

mod needs;

use super::state::{CANDIDATE, INSTALL, Mode, State};
use crate::index::{NameId, VersionId};
use needs::Among;

/// apt gives up beyond.
const DEPTH: usize = 3000;

impl State<'_> {
    /// Marks a package for installation; with `follow` also what it needs. Returns whether that worked.
    pub(super) fn mark_install(
        &mut self,
        entry: NameId,
        follow: bool,
        depth: usize,
        by_user: bool,
    ) -> bool {
        let node = self.node(entry);
        let kept = node.protected && node.mode == Mode::Keep && node.candidate.is_some();
        let settled = kept && node.candidate == node.current;
        if !settled && !self.may_change(Mode::Install, entry, depth, by_user) {
            return false;
        }
        let node = self.node(entry);
        let Some(candidate) = node.candidate else {
            return false;
        };
        if !node.protected && !self.is_policy_broken(entry) && !self.is_broken(entry) {
            if node.current == Some(candidate) {
                return node.install.is_some() || self.mark_keep(entry, by_user, depth + 1);
            }
            if node.mode == Mode::Install {
                return true;
            }
        }
        if !self.in_step(entry, candidate, by_user) || (follow && !self.possible(entry, candidate))
        {
            return false;
        }
        if by_user {
            self.enter(entry, true);
        }
        if !follow {
            if !by_user {
                self.enter(entry, false);
            }
            return true;
        }
        let was_protected = self.node(entry).protected;
        let fail_early = !was_protected && !by_user;
        let mut failed = false;
        let (needs, offenders) = self.open_relations(entry, candidate);
        let mut delayed = Vec::new();
        if !self.expel(&offenders, depth, was_protected, by_user, &mut delayed) {
            if fail_early {
                return false;
            }
            failed = true;
        }
        if !by_user {
            self.enter(entry, false);
        }
        // While its needs are being met nobody may take the package back.
        self.node_mut(entry).protected = true;
        let met = self.meet(entry, &needs, depth, was_protected, by_user);
        let mut gone = true;
        if met || !fail_early {
            for &other in &delayed {
                gone &= self.mark_delete(other, depth, false);
                if !gone && fail_early {
                    break;
                }
            }
        }
        if !(met && gone) {
            failed = true;
            if fail_early {
                self.take_back(entry);
            }
        }
        self.node_mut(entry).protected = was_protected;
        !failed
    }

    /// Leaves a package as it was before.
    pub(super) fn mark_keep(&mut self, entry: NameId, by_user: bool, depth: usize) -> bool {
        if !self.may_change(Mode::Keep, entry, depth, by_user) {
            return false;
        }
        let node = self.node(entry);
        if node.mode != Mode::Keep {
            let current = node.current;
            self.set_install(entry, Mode::Keep, current);
        }
        true
    }

    /// Marks a package for removal, or forgets that it should be installed.
    pub(super) fn mark_delete(&mut self, entry: NameId, depth: usize, by_user: bool) -> bool {
        if !self.may_change(Mode::Delete, entry, depth, by_user) {
            return false;
        }
        let node = self.node(entry);
        if node.mode == Mode::Delete || node.install.is_none() {
            return true;
        }
        if !self.may_delete(entry, by_user) {
            return false;
        }
        let mode = if self.node(entry).current.is_none() {
            Mode::Keep
        } else {
            Mode::Delete
        };
        self.set_install(entry, mode, None);
        true
    }

    /// Whether the mode may change at all.
    fn may_change(&self, mode: Mode, entry: NameId, depth: usize, by_user: bool) -> bool {
        let name = self.universe.name(entry);
        if depth > DEPTH || name.newest.is_none() {
            return false;
        }
        let node = self.node(entry);
        if by_user || node.mode == mode {
            return true;
        }
        let stays = mode == Mode::Delete && (name.essential || name.important);
        let held = node.held && mode != Mode::Keep;
        !(node.protected || held || stays)
    }

    /// What the user asked for is not removed for others' sake.
    fn may_delete(&self, entry: NameId, by_user: bool) -> bool {
        let node = self.node(entry);
        by_user
            || node.current.is_some()
            || !(node.install.is_some() && node.new && !node.automatic)
    }

    /// `Multi-Arch: same` packages installed before must have the same version as this one.
    fn in_step(&self, entry: NameId, candidate: VersionId, by_user: bool) -> bool {
        let same = |version: VersionId| {
            self.universe.version(version).multi_arch == crate::index::MultiArch::Same
        };
        let node = self.node(entry);
        if by_user
            || (node.mode == Mode::Install && node.install == node.candidate)
            || node.current == Some(candidate)
            || !same(candidate)
        {
            return true;
        }
        self.universe
            .siblings(entry)
            .filter(|&sibling| sibling != entry)
            .all(|sibling| {
                let other = self.node(sibling);
                other.current.is_none()
                    || other.candidate.is_none_or(|version| {
                        !same(version)
                            || self.universe.version_text(version)
                                == self.universe.version_text(candidate)
                    })
            })
    }

    /// Whether each need can be met by some candidate. If not, the package loses its own candidate.
    fn possible(&mut self, entry: NameId, candidate: VersionId) -> bool {
        if self.node(entry).current == Some(candidate) {
            return true;
        }
        let universe = self.universe;
        let hopeless = universe.groups(candidate).any(|(start, last)| {
            let kind = universe.dependency(start).kind;
            kind.critical()
                && !kind.negative()
                && !(start..=last).any(|place| self.has(place, INSTALL | CANDIDATE))
        });
        if hopeless && !self.node(entry).protected {
            let current = self.node(entry).current;
            if let Some(current) = current {
                self.set_candidate(entry, current);
            } else {
                // apt does not renew the relations here, and later decisions rest on that.
                let node = self.node_mut(entry);
                node.candidate = None;
                node.new = true;
                if node.mode != Mode::Delete {
                    node.mode = Mode::Keep;
                }
            }
        }
        !hopeless
    }

    /// Takes the candidate as what will be installed.
    fn enter(&mut self, entry: NameId, by_user: bool) {
        let node = self.node_mut(entry);
        if node.protected && node.install == node.candidate {
            return;
        }
        if by_user {
            node.automatic = false;
        } else if node.new {
            node.automatic = true;
        }
        let mode = if node.candidate == node.current {
            Mode::Keep
        } else {
            Mode::Install
        };
        let candidate = node.candidate;
        self.set_install(entry, mode, candidate);
    }

    /// The relations that still want something done: needs, and conflicts. By first alternative.
    fn open_relations(&self, entry: NameId, version: VersionId) -> (Vec<usize>, Vec<usize>) {
        let protected = self.node(entry).protected;
        let mut needs = Vec::new();
        let mut conflicts = Vec::new();
        for (start, last) in self.universe.groups(version) {
            let kind = self.universe.dependency(start).kind;
            let holds = (start..=last).any(|place| self.has(place, INSTALL));
            if (holds && !protected) || !self.important(kind) {
                continue;
            }
            if kind.negative() {
                conflicts.push(start);
            } else {
                needs.push(start);
            }
        }
        (needs, conflicts)
    }

    /// Makes everybody leave whom the conflicts name.
    fn expel(
        &mut self,
        conflicts: &[usize],
        depth: usize,
        protected: bool,
        by_user: bool,
        delayed: &mut Vec<NameId>,
    ) -> bool {
        let mut worked = true;
        for &conflict in conflicts {
            for version in self.solutions(conflict, conflict, Among::Candidates, true) {
                let entry = self.universe.version(version).name;
                let node = self.node(entry);
                if node.candidate != Some(version) {
                    continue;
                }
                if node.current == Some(version) {
                    worked &= self.expel_installed(entry, depth, protected, delayed);
                } else if node.mode == Mode::Install && !self.mark_keep(entry, false, depth) {
                    worked = false;
                } else if protected {
                    self.drop_candidate(entry);
                    if self.node(entry).current.is_none() {
                        self.node_mut(entry).protected = true;
                    }
                }
                if !worked && !protected && !by_user {
                    return false;
                }
            }
            for version in self.solutions(conflict, conflict, Among::Installed, true) {
                let entry = self.universe.version(version).name;
                let node = self.node(entry);
                if node.candidate != node.current {
                    worked &= self.expel_installed(entry, depth, protected, delayed);
                }
                if !worked && !protected && !by_user {
                    return false;
                }
            }
        }
        worked
    }

    /// Removes an installed package that is in the way; at once for a protected one, else when all else went well.
    fn expel_installed(
        &mut self,
        entry: NameId,
        depth: usize,
        protected: bool,
        delayed: &mut Vec<NameId>,
    ) -> bool {
        let deleted = self.node(entry).mode == Mode::Delete;
        if protected {
            if !deleted && !self.mark_delete(entry, depth + 1, false) {
                return false;
            }
            self.drop_candidate(entry);
            self.node_mut(entry).protected = true;
        } else if !deleted {
            if !self.may_change(Mode::Delete, entry, depth, false) || !self.may_delete(entry, false)
            {
                return false;
            }
            delayed.push(entry);
        }
        true
    }

    /// What is installed, or nothing, becomes the candidate. As in apt the relations keep their old values.
    fn drop_candidate(&mut self, entry: NameId) {
        let node = self.node_mut(entry);
        node.candidate = node.install;
    }

    /// Takes back a package of which something failed.
    fn take_back(&mut self, entry: NameId) {
        let node = self.node(entry);
        if node.mode == Mode::Keep
            && node.install == node.candidate
            && node.candidate == node.current
        {
            return;
        }
        let current = node.current;
        self.set_install(entry, Mode::Keep, current);
        self.drop_candidate(entry);
    }
}
