//! The state of every package while a solution is sought, and of every relation between them.
//!
//! The truth values of relations are kept, not computed on demand: apt renews them at fixed moments only, and decides
//! by values that may be out of date between those.

use rayon::prelude::*;

use crate::index::{Kind, NameId, Universe, VersionId};

/// The relation holds among the packages installed before.
pub(super) const NOW: u8 = 1;
/// The relation holds among the packages that will be installed.
pub(super) const INSTALL: u8 = 2;
/// The relation holds among the candidates.
pub(super) const CANDIDATE: u8 = 4;
/// The low bits above say it of one alternative, these of it and those before it.
const GROUP: u32 = 3;

/// What is to happen to a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Delete,
    Keep,
    Install,
}

/// The state of one package.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Installed before this run.
    pub(super) current: Option<VersionId>,
    /// What would be installed if it were to be.
    pub(super) candidate: Option<VersionId>,
    /// What will be installed in the end.
    pub(super) install: Option<VersionId>,
    pub(super) mode: Mode,
    /// Only the user may change the mode.
    pub(super) protected: bool,
    /// Installed for others' sake.
    pub(super) automatic: bool,
    /// Must not be installed or removed for others' sake.
    pub(super) held: bool,
    /// Not installed before, or without a candidate.
    pub(super) new: bool,
    broken: bool,
}

/// The state of a search.
#[derive(Debug, Clone)]
pub(super) struct State<'a> {
    pub(super) universe: &'a Universe,
    pub(super) recommends: bool,
    nodes: Vec<Node>,
    bits: Vec<u8>,
    broken: usize,
}

impl<'a> State<'a> {
    /// Starts with the given candidates and nothing installed.
    pub(super) fn new(
        universe: &'a Universe,
        candidates: &[Option<VersionId>],
        recommends: bool,
    ) -> Self {
        let nodes = candidates
            .iter()
            .map(|&candidate| Node {
                current: None,
                candidate,
                install: None,
                mode: Mode::Keep,
                protected: false,
                automatic: false,
                held: false,
                new: true,
                broken: false,
            })
            .collect();
        let mut state = Self {
            universe,
            recommends,
            nodes,
            bits: Vec::new(),
            broken: 0,
        };
        state.renew_all();
        state
    }

    /// Takes what was to be installed as installed, and forgets why: the second run of a bootstrap.
    pub(super) fn settle(&mut self, candidates: &[Option<VersionId>]) {
        for (node, &candidate) in self.nodes.iter_mut().zip(candidates) {
            node.current = node.install;
            node.candidate = candidate;
            node.mode = Mode::Keep;
            node.protected = false;
            node.automatic = false;
            node.new = node.current.is_none() || node.candidate.is_none();
        }
        self.renew_all();
    }

    pub(super) fn node(&self, entry: NameId) -> &Node {
        &self.nodes[entry.index()]
    }

    pub(super) fn node_mut(&mut self, entry: NameId) -> &mut Node {
        &mut self.nodes[entry.index()]
    }

    /// How many packages to be installed lack something they need.
    pub(super) const fn broken_count(&self) -> usize {
        self.broken
    }

    /// Whether the package, as it will be installed, lacks something it needs.
    pub(super) fn is_broken(&self, entry: NameId) -> bool {
        self.node(entry).broken
    }

    /// Whether the package, as it was installed before, lacked something it needs.
    pub(super) fn was_broken(&self, entry: NameId) -> bool {
        self.node(entry)
            .current
            .is_some_and(|version| !self.holds(version, NOW, Kind::critical))
    }

    /// Whether the package lacks something it needs or should have.
    pub(super) fn is_policy_broken(&self, entry: NameId) -> bool {
        self.node(entry)
            .install
            .is_some_and(|version| !self.holds(version, INSTALL, |kind| self.important(kind)))
    }

    /// Whether relations of that kind pull packages in.
    pub(super) const fn important(&self, kind: Kind) -> bool {
        kind.critical() || (matches!(kind, Kind::Recommends) && self.recommends)
    }

    /// Whether everything a version needs is among what `check` speaks of.
    pub(super) fn holds(
        &self,
        version: VersionId,
        check: u8,
        counts: impl Fn(Kind) -> bool,
    ) -> bool {
        self.universe
            .groups(version)
            .filter(|&(start, _)| counts(self.universe.dependency(start).kind))
            .all(|(_, last)| self.group_has(last, check))
    }

    /// Whether one relation holds; a negative one holds when nobody offends it.
    pub(super) fn has(&self, dependency: usize, check: u8) -> bool {
        self.bits[dependency] & check != 0
    }

    /// Whether one of the alternatives up to this one holds.
    pub(super) fn group_has(&self, last: usize, check: u8) -> bool {
        (self.bits[last] | self.bits[last] >> GROUP) & check != 0
    }

    /// Sets what will be installed, and renews what follows from it.
    pub(super) fn set_install(&mut self, entry: NameId, mode: Mode, install: Option<VersionId>) {
        let node = self.node_mut(entry);
        node.mode = mode;
        node.install = install;
        self.renew(entry);
    }

    /// Makes another version the candidate.
    pub(super) fn set_candidate(&mut self, entry: NameId, version: VersionId) {
        let node = self.node_mut(entry);
        if node.candidate == Some(version) {
            return;
        }
        if node.candidate == node.install && node.mode == Mode::Install {
            node.install = Some(version);
        }
        node.candidate = Some(version);
        node.new = node.current.is_none();
        self.renew(entry);
    }

    /// Renews everything that depends on the state of a package.
    fn renew(&mut self, entry: NameId) {
        self.renew_broken(entry);
        self.renew_dependents(entry);
        let node = self.node(entry);
        let (current, candidate) = (node.current, node.candidate);
        let universe = self.universe;
        if let Some(current) = current {
            for provide in universe.provides(current) {
                self.renew_dependents(provide.target);
            }
        }
        if let Some(candidate) = candidate.filter(|_| candidate != current) {
            for provide in universe.provides(candidate) {
                self.renew_dependents(provide.target);
            }
        }
    }

    fn renew_dependents(&mut self, entry: NameId) {
        let universe = self.universe;
        for &place in universe.dependents(entry) {
            let place = place as usize;
            let fresh = self.evaluate(place);
            if fresh == self.bits[place] & 7 {
                continue;
            }
            self.bits[place] = fresh | self.bits[place] & !7;
            let owner = universe.dependency(place).owner;
            regroup(universe, owner, &mut self.bits);
            let parent = universe.version(owner).name;
            if self.node(parent).install == Some(owner) {
                self.renew_broken(parent);
            }
        }
    }

    fn renew_broken(&mut self, entry: NameId) {
        let install = self.node(entry).install;
        let broken = install.is_some_and(|version| !self.holds(version, INSTALL, Kind::critical));
        let before = std::mem::replace(&mut self.node_mut(entry).broken, broken);
        self.broken = self.broken + usize::from(broken) - usize::from(before);
    }

    fn renew_all(&mut self) {
        let universe = self.universe;
        let mut bits = Vec::new();
        (0..universe.dependency_count())
            .into_par_iter()
            .with_min_len(1 << 14)
            .map(|place| self.evaluate(place))
            .collect_into_vec(&mut bits);
        let mut place = 0;
        while place < bits.len() {
            let owner = universe.dependency(place).owner;
            regroup(universe, owner, &mut bits);
            place = universe.dependencies(owner).end;
        }
        self.bits = bits;
        for entry in universe.entries() {
            if self.node(entry).install.is_some() {
                self.renew_broken(entry);
            }
        }
    }

    /// The three truth values of one relation.
    fn evaluate(&self, place: usize) -> u8 {
        let dependency = self.universe.dependency(place);
        let mut found = 0;
        let node = self.node(dependency.target);
        if !self.universe.exempts_name(dependency, dependency.target) {
            let accepts = |version: Option<VersionId>| {
                version.is_some_and(|version| self.universe.accepts_version(dependency, version))
            };
            let candidate = accepts(node.candidate);
            if candidate {
                found |= CANDIDATE;
            }
            for (version, bit) in [(node.install, INSTALL), (node.current, NOW)] {
                let accepted = if version == node.candidate {
                    candidate
                } else {
                    accepts(version)
                };
                if accepted {
                    found |= bit;
                }
            }
        }
        for provide in self.universe.providers(dependency.target) {
            let owner = self.node(self.universe.version(provide.owner).name);
            let mut bits = 0;
            for (version, bit) in [
                (owner.current, NOW),
                (owner.install, INSTALL),
                (owner.candidate, CANDIDATE),
            ] {
                if version == Some(provide.owner) {
                    bits |= bit;
                }
            }
            if bits & !found != 0
                && !self.universe.exempts_provide(dependency, provide)
                && self.universe.accepts_provide(dependency, provide)
            {
                found |= bits;
            }
        }
        if dependency.kind.negative() {
            !found & 7
        } else {
            found
        }
    }
}

/// Carries the values of the alternatives along to the last one of each group.
fn regroup(universe: &Universe, owner: VersionId, bits: &mut [u8]) {
    let mut group = 0;
    for place in universe.dependencies(owner) {
        let own = bits[place] & 7;
        // Conflicts have no alternatives: each stands for itself.
        group |= own;
        bits[place] = own | group << GROUP;
        if !universe.dependency(place).more {
            group = 0;
        }
    }
}
