//! Which packages a request needs: apt's answer, found by apt's rules.
//!
//! # The rules
//!
//! A bootstrap has two steps, as mmdebstrap takes them: first the essential packages into nothing, then everything
//! else into a system where those are installed. Without a [`Base`] there is only the second step, into nothing.
//! Each step is one `apt-get install`:
//!
//! 1. Each package has a *candidate*, the version of the highest priority ([`Preferences`]).
//! 2. The named packages are marked, then one after the other what they need ([`mark`]).
//! 3. If something is broken then, packages give way by score ([`repair`]).
//! 4. New packages that nobody needs are taken back ([`sweep`]).
//!
//! Ties are decided by the order in which names appear in the indexes and by apt's hash of them ([`order`]), so that
//! the same indexes in the same order always give the same answer.
//!
//! # Where this differs from apt 2.6
//!
//! - A version or suite that the user names, and every exclusion, holds in both steps. apt would install the default
//!   version of an essential package in the first step and replace it in the second.
//! - A name is a name: it is not tried as a regular expression, glob or task when no package has it. A typing error
//!   must not install 200 packages.
//! - An excluded name that no package has, or only virtual ones, is an error; apt passes over it with a note.
//! - Packages of equal score are repaired in a fixed order; apt's depends on how its C++ library sorts.
//! - When apt finds no solution, neither do we; if there is one all the same, the explanation names it
//!   ([`Conflict`](crate::explain::Conflict)).

mod mark;
mod order;
mod preferences;
mod repair;
pub(crate) mod satisfy;
mod select;
mod solution;
mod state;
mod sweep;

#[cfg(test)]
mod tests;

pub use preferences::{PreferenceDefect, Preferences};
pub use solution::{Reason, Solution};

use crate::error::{Error, Result};
use crate::explain::{self, Conflict, Problem};
use crate::index::{NameId, Package, Priority, Universe, VersionId};
use select::Selector;
use state::State;

/// What the user wants.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Packages: `name`, `name:architecture`, `name=version`, `name/suite`, or `name-` for exclusion.
    pub install: Vec<String>,
    /// Packages that must not be installed, by name.
    pub exclude: Vec<String>,
    /// Whether `Recommends` are followed.
    pub recommends: bool,
    /// What is installed without being named.
    pub base: Base,
    /// Pins.
    pub preferences: Preferences,
    /// Versions to stay with where they still exist and fit: `(name, architecture, version)`, as a lock has them.
    pub keep: Vec<(String, String, String)>,
}

/// The packages of a base system, as mmdebstrap(1) names its variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Base {
    /// Nothing but what is named (`custom`).
    #[default]
    None,
    /// Packages with `Essential: yes`.
    Essential,
    /// Also those of priority required (`minbase`).
    Required,
    /// Also those of priority important (`debootstrap`).
    Important,
    /// Also those of priority standard.
    Standard,
}

/// Finds the packages that `request` needs.
///
/// Fails with [`Error::Unsatisfiable`], which explains itself, when apt would not find any.
pub fn resolve<'u>(universe: &'u Universe, request: &Request) -> Result<Solution<'u>> {
    Resolver::new(universe, request)?.run()
}

/// A request with everything looked up.
struct Resolver<'u, 'r> {
    universe: &'u Universe,
    request: &'r Request,
    candidates: Vec<Option<VersionId>>,
    /// Named by the user, in order, each once.
    wanted: Vec<VersionId>,
    /// How they were named.
    texts: Vec<&'r str>,
    excluded: Vec<NameId>,
}

impl<'u, 'r> Resolver<'u, 'r> {
    fn new(universe: &'u Universe, request: &'r Request) -> Result<Self> {
        let mut candidates = request.preferences.candidates(universe);
        for (name, architecture, version) in &request.keep {
            let mut known = universe.versions(name, Some(architecture));
            if let Some(package) = known.find(|package| package.version() == version) {
                candidates[universe.version(package.id()).name.index()] = Some(package.id());
            }
        }
        let mut resolver = Self {
            universe,
            request,
            candidates,
            wanted: Vec::new(),
            texts: Vec::new(),
            excluded: Vec::new(),
        };
        resolver.look_up().map_err(Error::Unsatisfiable)?;
        Ok(resolver)
    }

    fn look_up(&mut self) -> Result<(), Box<Conflict>> {
        let universe = self.universe;
        let installs = self.request.install.iter().map(|text| (text, false));
        let excludes = self.request.exclude.iter().map(|text| (text, true));
        let mut problems = Vec::new();
        let mut suites = Vec::new();
        for (text, remove) in installs.chain(excludes) {
            let selector = Selector::parse(universe, text, remove);
            if selector.remove {
                match selector
                    .entry(universe)
                    .filter(|&entry| universe.name(entry).newest.is_some())
                {
                    Some(entry) => self.excluded.push(entry),
                    None => problems.push(Problem::unknown(universe, text, selector.name)),
                }
                continue;
            }
            match selector.version(universe, &self.candidates) {
                Ok(version) => {
                    if !self.wanted.contains(&version) {
                        self.wanted.push(version);
                        self.texts.push(text);
                    }
                    if let Some(suite) = selector.suite {
                        suites.push((version, suite));
                    }
                }
                Err(conflict) => problems.extend(conflict.problems),
            }
        }
        if !problems.is_empty() {
            return Err(Box::new(Conflict::new(problems)));
        }
        for &version in &self.wanted {
            self.candidates[universe.version(version).name.index()] = Some(version);
        }
        for (version, suite) in suites {
            self.follow_suite(version, suite);
        }
        Ok(())
    }

    /// `name/suite`: what the package needs in a version that only that suite has comes from there, too.
    fn follow_suite(&mut self, version: VersionId, suite: &str) {
        let universe = self.universe;
        let in_suite = |version: VersionId| {
            universe
                .listed_in(version)
                .any(|index| index.suite == suite || index.codename == suite)
        };
        let mut open = vec![version];
        while let Some(version) = open.pop() {
            let state = State::new(universe, &self.candidates, self.request.recommends);
            for (start, last) in universe.groups(version) {
                let kind = universe.dependency(start).kind;
                if kind.negative() || !state.important(kind) {
                    continue;
                }
                if (start..=last).any(|place| state.has(place, state::CANDIDATE)) {
                    continue;
                }
                let better = (start..=last).find_map(|place| {
                    let dependency = universe.dependency(place);
                    universe.versions_of(dependency.target).find(|&version| {
                        in_suite(version) && universe.accepts_version(dependency, version)
                    })
                });
                if let Some(better) = better {
                    self.candidates[universe.version(better).name.index()] = Some(better);
                    open.push(better);
                }
            }
        }
    }

    fn run(self) -> Result<Solution<'u>> {
        let universe = self.universe;
        let mut state = State::new(universe, &self.candidates, self.request.recommends);
        let mut failure = None;
        let base = self.steps(&mut state, |state, wanted| match self.step(state, wanted) {
            Ok(()) => true,
            Err(error) => {
                failure = Some(error);
                false
            }
        });
        if let Some(error) = failure {
            return Err(error);
        }
        let base = base.unwrap_or_default();
        let chosen = universe
            .entries()
            .filter_map(|entry| state.node(entry).install);
        Ok(Solution::new(chosen.map(|version| {
            let reason = if self.wanted.contains(&version) {
                Reason::Requested
            } else if base.contains(&version) {
                Reason::Base
            } else {
                Reason::Needed
            };
            (universe.package(version), reason)
        })))
    }

    /// Takes the steps of a bootstrap; returns the packages of the base, or nothing when one did not work.
    fn steps(
        &self,
        state: &mut State<'u>,
        mut step: impl FnMut(&mut State<'u>, &[VersionId]) -> bool,
    ) -> Option<Vec<VersionId>> {
        let mut base = Vec::new();
        if self.request.base != Base::None {
            base = self.base(Package::essential);
            if !step(state, &base) {
                return None;
            }
            state.settle(&self.candidates);
        }
        let more = match self.request.base {
            Base::None | Base::Essential => Vec::new(),
            Base::Required => self.base(|package| priority_in(package, Priority::Required)),
            Base::Important => self.base(|package| priority_in(package, Priority::Important)),
            Base::Standard => self.base(|package| priority_in(package, Priority::Standard)),
        };
        let mut named = self.wanted.clone();
        named.extend(&more);
        base.extend(more);
        step(state, &named).then_some(base)
    }

    /// The candidates of the native packages that some version in the base suite singles out, in the order of
    /// appearance. The base suite is that of the first index.
    fn base(&self, belongs: impl Fn(Package<'u>) -> bool) -> Vec<VersionId> {
        let universe = self.universe;
        let Some(first) = universe.indexes().first() else {
            return Vec::new();
        };
        universe
            .entries()
            .filter(|&entry| universe.name(entry).architecture.rank() == 0)
            .filter(|&entry| {
                universe.versions_of(entry).any(|version| {
                    let package = universe.package(version);
                    let in_base = package.indexes().any(|index| {
                        index.suite == first.suite && index.codename == first.codename
                    });
                    in_base && belongs(package)
                })
            })
            .filter_map(|entry| self.candidates[entry.index()])
            .collect()
    }

    /// One `apt-get install`, with an explanation when it fails.
    fn step(&self, state: &mut State<'u>, wanted: &[VersionId]) -> Result<()> {
        if self.install(state, wanted) {
            return Ok(());
        }
        let universe = self.universe;
        let kept: Vec<VersionId> = universe
            .entries()
            .filter_map(|entry| state.node(entry).current)
            .collect();
        let conflict = explain::conflict(
            universe,
            &self.candidates,
            &self.excluded,
            wanted,
            &kept,
            self,
        );
        Err(Error::Unsatisfiable(Box::new(conflict)))
    }

    /// One `apt-get install`. Returns whether it worked.
    fn install(&self, state: &mut State<'u>, wanted: &[VersionId]) -> bool {
        let universe = self.universe;
        let mut named = vec![false; universe.entry_count()];
        let mut removed = vec![false; universe.entry_count()];
        for &entry in &self.excluded {
            named[entry.index()] = true;
            removed[entry.index()] = true;
            let node = state.node_mut(entry);
            node.protected = true;
            if node.current.is_none() {
                node.held = true;
            } else {
                state.mark_delete(entry, 0, true);
            }
        }
        let entries: Vec<NameId> = wanted
            .iter()
            .map(|&version| universe.version(version).name)
            .collect();
        for (&entry, &version) in entries.iter().zip(wanted) {
            state.set_candidate(entry, version);
            named[entry.index()] = true;
            removed[entry.index()] = false;
            state.node_mut(entry).protected = true;
            state.mark_install(entry, false, 0, true);
        }
        for &entry in &entries {
            state.mark_install(entry, true, 0, true);
        }
        if !repair::repair(state, &named, &removed) {
            return false;
        }
        sweep::sweep(state);
        state.broken_count() == 0
            && entries
                .iter()
                .all(|&entry| state.node(entry).install.is_some())
    }
}

impl explain::Asker for Resolver<'_, '_> {
    fn request(&self, version: VersionId) -> String {
        let named = self.wanted.iter().position(|&wanted| wanted == version);
        named.map_or_else(
            || self.universe.package(version).name().to_owned(),
            |place| self.texts[place].to_owned(),
        )
    }

    fn would_solve(&self, more: &[String]) -> bool {
        let mut request = self.request.clone();
        request.install.extend_from_slice(more);
        let Ok(resolver) = Resolver::new(self.universe, &request) else {
            return false;
        };
        let mut state = State::new(self.universe, &resolver.candidates, request.recommends);
        resolver
            .steps(&mut state, |state, wanted| resolver.install(state, wanted))
            .is_some()
    }
}

/// Priorities up to `limit`, for packages that the first step has not installed.
fn priority_in(package: Package<'_>, limit: Priority) -> bool {
    let priority = package.priority();
    !package.essential() && priority != Priority::None && priority <= limit
}
