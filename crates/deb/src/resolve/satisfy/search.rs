use super::Problem;

/// A variable and whether it is negated, in the lowest bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Literal(u32);

impl Literal {
    pub(super) const fn new(variable: u32, positive: bool) -> Self {
        Self(variable << 1 | !positive as u32)
    }

    pub(super) const fn variable(self) -> usize {
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

/// The state of a search.
pub(super) struct Search<'a> {
    problem: &'a Problem,
    clauses: Vec<Vec<Literal>>,
    /// Clauses to look at when a literal becomes false, by literal.
    watches: Vec<Vec<u32>>,
    pub(super) values: Vec<Option<bool>>,
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
    pub(super) fn new(problem: &'a Problem) -> Self {
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
    pub(super) fn run(&mut self, assumptions: &[Literal]) -> Result<(), Vec<Literal>> {
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
