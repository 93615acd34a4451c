//! A complete search: is there any set of candidates that fulfils the wishes, whatever apt's rules make of it?
//!
//! Conflict-driven clause learning with two watched literals (the scheme of MiniSat: Eén, Sörensson, 2003). Choices
//! are made only where a package that is in needs one, so that the search stays in the part of the universe that
//! matters, and alternatives are tried in the order of the relation.

mod search;

use std::collections::HashMap;

use crate::index::{NameId, Universe, VersionId};
use search::{Literal, Search};

/// What must hold: packages that must be in, and some that must not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wishes {
    pub(crate) wanted: Vec<VersionId>,
    pub(crate) excluded: Vec<NameId>,
}

/// A universe reduced to its candidates, and everything that can be reached from some of them.
#[derive(Debug)]
pub(crate) struct Problem {
    packages: Vec<VersionId>,
    variables: HashMap<VersionId, u32>,
    clauses: Vec<Vec<Literal>>,
    /// The clauses that say what a package needs, by package.
    needs: Vec<Vec<u32>>,
    excluded: Vec<NameId>,
    names: Vec<NameId>,
}

impl Problem {
    /// Collects what the wanted packages can reach.
    pub(crate) fn new(
        universe: &Universe,
        candidates: &[Option<VersionId>],
        wishes: &Wishes,
    ) -> Self {
        let mut problem = Self {
            packages: Vec::new(),
            variables: HashMap::new(),
            clauses: Vec::new(),
            needs: Vec::new(),
            excluded: wishes.excluded.clone(),
            names: Vec::new(),
        };
        for &version in &wishes.wanted {
            problem.variable(universe, version);
        }
        let mut next = 0;
        while let Some(&version) = problem.packages.get(next) {
            problem.add_needs(universe, candidates, next as u32, version);
            next += 1;
        }
        for package in 0..problem.packages.len() as u32 {
            problem.add_conflicts(universe, candidates, package);
        }
        problem
    }

    /// A set of packages that fulfils everything, or the wanted packages that together cannot be had.
    pub(crate) fn solve(&self, wanted: &[VersionId]) -> Result<Vec<VersionId>, Vec<VersionId>> {
        let mut search = Search::new(self);
        let assumptions: Vec<Literal> = wanted
            .iter()
            .filter_map(|version| self.variables.get(version))
            .map(|&variable| Literal::new(variable, true))
            .collect();
        match search.run(&assumptions) {
            Ok(()) => Ok(self
                .packages
                .iter()
                .zip(&search.values)
                .filter(|(_, value)| **value == Some(true))
                .map(|(&version, _)| version)
                .collect()),
            Err(core) => Err(core
                .iter()
                .map(|literal| self.packages[literal.variable()])
                .collect()),
        }
    }

    /// The fewest of the wanted packages that cannot be had together; nothing when all can.
    pub(crate) fn core(&self, wanted: &[VersionId]) -> Option<Vec<VersionId>> {
        let mut core = self.solve(wanted).err()?;
        let mut place = 0;
        while place < core.len() {
            let mut fewer = core.clone();
            fewer.remove(place);
            match self.solve(&fewer) {
                Err(smaller) => core.retain(|version| smaller.contains(version)),
                Ok(_) => place += 1,
            }
        }
        Some(
            wanted
                .iter()
                .copied()
                .filter(|version| core.contains(version))
                .collect(),
        )
    }

    fn variable(&mut self, universe: &Universe, version: VersionId) -> u32 {
        *self.variables.entry(version).or_insert_with(|| {
            self.packages.push(version);
            self.names.push(universe.version(version).name);
            self.needs.push(Vec::new());
            (self.packages.len() - 1) as u32
        })
    }

    fn add_needs(
        &mut self,
        universe: &Universe,
        candidates: &[Option<VersionId>],
        variable: u32,
        version: VersionId,
    ) {
        if self.excluded.contains(&self.names[variable as usize]) {
            self.clauses.push(vec![Literal::new(variable, false)]);
            return;
        }
        for (start, last) in universe.groups(version) {
            let kind = universe.dependency(start).kind;
            if !kind.critical() || kind.negative() {
                continue;
            }
            let mut clause = vec![Literal::new(variable, false)];
            for target in universe.choices(start, last, candidates) {
                let literal = Literal::new(self.variable(universe, target), true);
                if !clause.contains(&literal) {
                    clause.push(literal);
                }
            }
            if clause.contains(&Literal::new(variable, true)) {
                continue;
            }
            self.needs[variable as usize].push(self.clauses.len() as u32);
            self.clauses.push(clause);
        }
    }

    fn add_conflicts(
        &mut self,
        universe: &Universe,
        candidates: &[Option<VersionId>],
        variable: u32,
    ) {
        let version = self.packages[variable as usize];
        for (start, last) in universe.groups(version) {
            if !universe.dependency(start).kind.negative() {
                continue;
            }
            for target in universe.choices(start, last, candidates) {
                if let Some(&other) = self.variables.get(&target)
                    && other != variable
                {
                    self.clauses.push(vec![
                        Literal::new(variable, false),
                        Literal::new(other, false),
                    ]);
                }
            }
        }
    }
}
