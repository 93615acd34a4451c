//! A complete search: is there any set of candidates that fulfils the wishes, whatever apt's rules make of it?
//!
//! Conflict-driven clause learning with two watched literals (the scheme of MiniSat: Eén, Sörensson, 2003). Choices
//! are made only where a package that is in needs one, so that the search stays in the part of the universe that
//! matters, and alternatives are tried in the order of the relation.

use std::collections::HashMap;

use crate::index::{NameId, Universe, VersionId};

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

/// A variable and whether it is negated, in the lowest bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Literal(u32);

impl Literal {
    const fn new(variable: u32, positive: bool) -> Self {
        Self(variable << 1 | !positive as u32)
    }

    const fn variable(self) -> usize {
        (self.0 >> 1) as usize
    }

    const fn positive(self) -> bool {
        self.0 & 1 == 0
    }

    const fn negated(self) -> Self {
        Self(self.0 ^ 1)
    }

    const fn index(self) -> usize {
        self.0 as usize
    }
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

/// The state of a search.
struct Search<'a> {
    problem: &'a Problem,
    clauses: Vec<Vec<Literal>>,
    /// Clauses to look at when a literal becomes false, by literal.
    watches: Vec<Vec<u32>>,
    values: Vec<Option<bool>>,
    levels: Vec<u32>,
    reasons: Vec<Option<u32>>,
    trail: Vec<Literal>,
    /// Length of the trail, and place of the choice pointer, at each decision.
    marks: Vec<(usize, usize)>,
    propagated: usize,
    /// How far the trail has been searched for packages that still need something.
    chosen: usize,
}

impl<'a> Search<'a> {
    fn new(problem: &'a Problem) -> Self {
        let variables = problem.packages.len();
        let mut search = Self {
            problem,
            clauses: problem.clauses.clone(),
            watches: vec![Vec::new(); variables * 2],
            values: vec![None; variables],
            levels: vec![0; variables],
            reasons: vec![None; variables],
            trail: Vec::new(),
            marks: Vec::new(),
            propagated: 0,
            chosen: 0,
        };
        for clause in 0..search.clauses.len() {
            search.watch(clause as u32);
        }
        search
    }

    fn watch(&mut self, clause: u32) {
        for literal in self.clauses[clause as usize].iter().take(2) {
            self.watches[literal.index()].push(clause);
        }
    }

    fn value(&self, literal: Literal) -> Option<bool> {
        self.values[literal.variable()].map(|value| value == literal.positive())
    }

    fn assign(&mut self, literal: Literal, reason: Option<u32>) {
        let variable = literal.variable();
        self.values[variable] = Some(literal.positive());
        self.levels[variable] = self.marks.len() as u32;
        self.reasons[variable] = reason;
        self.trail.push(literal);
    }

    fn decide(&mut self, literal: Literal) {
        self.marks.push((self.trail.len(), self.chosen));
        self.assign(literal, None);
    }

    /// Searches; the error is the assumptions that contradict each other.
    fn run(&mut self, assumptions: &[Literal]) -> Result<(), Vec<Literal>> {
        for clause in 0..self.clauses.len() {
            if let [unit] = self.clauses[clause][..] {
                match self.value(unit) {
                    None => self.assign(unit, Some(clause as u32)),
                    Some(true) => {}
                    Some(false) => return Err(Vec::new()),
                }
            }
        }
        loop {
            if let Some(conflict) = self.propagate() {
                if self.marks.is_empty() {
                    return Err(Vec::new());
                }
                let (learned, level) = self.analyse(conflict);
                self.backtrack(level);
                let asserted = learned[0];
                let clause = self.clauses.len() as u32;
                self.clauses.push(learned);
                self.watch(clause);
                self.assign(asserted, Some(clause));
                continue;
            }
            let level = self.marks.len();
            if let Some(&assumption) = assumptions.get(level) {
                if self.value(assumption) == Some(false) {
                    return Err(self.blame(assumption));
                }
                if self.value(assumption) == Some(true) {
                    // An empty level keeps levels and assumptions in step.
                    self.marks.push((self.trail.len(), self.chosen));
                } else {
                    self.decide(assumption);
                }
                continue;
            }
            match self.open_need() {
                Some(literal) => self.decide(literal),
                None => return Ok(()),
            }
        }
    }

    /// The next literal to choose: the first alternative of something that a package in the set lacks.
    fn open_need(&mut self) -> Option<Literal> {
        while let Some(&literal) = self.trail.get(self.chosen) {
            if literal.positive() {
                for &clause in &self.problem.needs[literal.variable()] {
                    let clause = &self.clauses[clause as usize];
                    if clause
                        .iter()
                        .any(|&literal| self.value(literal) == Some(true))
                    {
                        continue;
                    }
                    // Watching moves literals about; variables are numbered in the order in which relations name them.
                    let open = clause
                        .iter()
                        .filter(|&&literal| self.value(literal).is_none());
                    if let Some(&choice) = open.min_by_key(|literal| literal.variable()) {
                        return Some(choice);
                    }
                }
            }
            self.chosen += 1;
        }
        None
    }

    /// Draws every conclusion; returns a clause that cannot be fulfilled any more.
    fn propagate(&mut self) -> Option<u32> {
        while let Some(&literal) = self.trail.get(self.propagated) {
            self.propagated += 1;
            let falsified = literal.negated();
            let mut watching = std::mem::take(&mut self.watches[falsified.index()]);
            let mut place = 0;
            while place < watching.len() {
                let number = watching[place];
                let clause = &mut self.clauses[number as usize];
                if clause.len() > 1 && clause[0] == falsified {
                    clause.swap(0, 1);
                }
                let first = clause[0];
                let values = &self.values;
                let is_false =
                    |literal: Literal| values[literal.variable()] == Some(!literal.positive());
                if values[first.variable()] == Some(first.positive()) {
                    place += 1;
                    continue;
                }
                if let Some(other) = (2..clause.len()).find(|&other| !is_false(clause[other])) {
                    clause.swap(1, other);
                    let moved = clause[1];
                    self.watches[moved.index()].push(number);
                    watching.swap_remove(place);
                    continue;
                }
                if is_false(first) {
                    self.watches[falsified.index()] = watching;
                    return Some(number);
                }
                self.assign(first, Some(number));
                place += 1;
            }
            self.watches[falsified.index()] = watching;
        }
        None
    }

    /// The clause learned from a conflict, asserting literal first, and the level to go back to.
    fn analyse(&self, conflict: u32) -> (Vec<Literal>, usize) {
        let level = self.marks.len() as u32;
        let mut seen = vec![false; self.values.len()];
        let mut learned = Vec::new();
        let mut open = 0;
        let mut clause = conflict;
        let mut resolved: Option<Literal> = None;
        let mut place = self.trail.len();
        loop {
            for &literal in &self.clauses[clause as usize] {
                let variable = literal.variable();
                if Some(literal) == resolved || seen[variable] || self.levels[variable] == 0 {
                    continue;
                }
                seen[variable] = true;
                if self.levels[variable] == level {
                    open += 1;
                } else {
                    learned.push(literal);
                }
            }
            let literal = loop {
                place -= 1;
                if seen[self.trail[place].variable()] {
                    break self.trail[place];
                }
            };
            open -= 1;
            match self.reasons[literal.variable()] {
                Some(reason) if open > 0 => {
                    clause = reason;
                    resolved = Some(literal);
                }
                _ => {
                    learned.insert(0, literal.negated());
                    break;
                }
            }
        }
        // The second watch must be the last one to become free again.
        if let Some(latest) =
            (1..learned.len()).max_by_key(|&place| self.levels[learned[place].variable()])
        {
            learned.swap(1, latest);
            let back = self.levels[learned[1].variable()] as usize;
            return (learned, back);
        }
        (learned, 0)
    }

    fn backtrack(&mut self, level: usize) {
        let Some(&(length, chosen)) = self.marks.get(level) else {
            return;
        };
        for literal in self.trail.drain(length..) {
            self.values[literal.variable()] = None;
        }
        self.marks.truncate(level);
        self.propagated = length;
        self.chosen = chosen;
    }

    /// The assumptions from which the opposite of one follows, with that one.
    fn blame(&self, assumption: Literal) -> Vec<Literal> {
        let mut seen = vec![false; self.values.len()];
        seen[assumption.variable()] = true;
        let mut core = vec![assumption];
        for &literal in self.trail.iter().rev() {
            if !seen[literal.variable()] || self.levels[literal.variable()] == 0 {
                continue;
            }
            match self.reasons[literal.variable()] {
                Some(reason) => {
                    for &other in &self.clauses[reason as usize] {
                        seen[other.variable()] = true;
                    }
                }
                None if literal != assumption && literal.negated() != assumption => {
                    core.push(literal);
                }
                None => {}
            }
        }
        core
    }
}
