//! Telling why packages clash: conclusions are drawn from the request step by step, each with its reason, until one
//! contradicts another; then the reasons are followed back.

use std::collections::{HashMap, VecDeque};

use super::{Clash, Conflict, Link, Problem, available, label};
use crate::index::{NameId, Universe, VersionId};
use crate::resolve::satisfy;

/// How deep alternatives are tried within alternatives.
const DEPTH: usize = 3;

/// How many packages are looked at for one clash.
const LIMIT: usize = 4000;

/// What the explanation asks back.
pub(crate) trait Asker {
    /// How the user named a package; its name when it is of the base.
    fn request(&self, version: VersionId) -> String;

    /// Whether the request would succeed if these packages were named as well.
    fn would_solve(&self, more: &[String]) -> bool;
}

/// Explains why apt's rules found no solution for `wanted` beside `kept`.
pub(crate) fn conflict(
    universe: &Universe,
    candidates: &[Option<VersionId>],
    excluded: &[NameId],
    wanted: &[VersionId],
    kept: &[VersionId],
    ask: &impl Asker,
) -> Conflict {
    let essential = kept
        .iter()
        .filter(|version| universe.package(**version).essential());
    let mut all: Vec<VersionId> = wanted.to_vec();
    all.extend(essential);
    let wishes = satisfy::Wishes {
        wanted: all.clone(),
        excluded: excluded.to_vec(),
    };
    let problem = satisfy::Problem::new(universe, candidates, &wishes);
    if let Some(core) = problem.core(&all) {
        let reasoner = Reasoner {
            universe,
            candidates,
            excluded,
        };
        let clash = reasoner
            .clash(&Conclusions::default(), &core, DEPTH)
            .unwrap_or(Clash::Entangled);
        let requests = core.iter().map(|&version| ask.request(version)).collect();
        return Conflict::new(vec![Problem::Clash { requests, clash }]);
    }
    let solution = problem.solve(&all).unwrap_or_default();
    let requests = wanted.iter().map(|&version| ask.request(version)).collect();
    Conflict::new(vec![Problem::NotFound {
        requests,
        instead: instead(universe, candidates, &solution, wanted, ask),
    }])
}

/// Packages of a solution which, when named, lead apt's rules to one; as few as a simple search finds.
fn instead(
    universe: &Universe,
    candidates: &[Option<VersionId>],
    solution: &[VersionId],
    wanted: &[VersionId],
    ask: &impl Asker,
) -> Vec<String> {
    // Only where there was a choice can another one help.
    let mut chosen: Vec<String> = Vec::new();
    for &version in solution {
        for (start, last) in universe.groups(version) {
            let kind = universe.dependency(start).kind;
            if !kind.critical() || kind.negative() {
                continue;
            }
            let choices = universe.choices(start, last, candidates);
            let taken = choices
                .iter()
                .filter(|choice| solution.contains(choice) && !wanted.contains(choice));
            if choices.len() > 1 {
                chosen.extend(taken.map(|&choice| universe.package(choice).name().to_owned()));
            }
        }
    }
    chosen.sort();
    chosen.dedup();
    if let Some(one) = chosen
        .iter()
        .take(20)
        .find(|name| ask.would_solve(std::slice::from_ref(name)))
    {
        return vec![one.clone()];
    }
    if !ask.would_solve(&chosen) {
        return Vec::new();
    }
    let mut size = chosen.len();
    while size > 1 {
        size = size.div_ceil(2);
        let mut place = 0;
        while place < chosen.len() && chosen.len() > 1 {
            let mut fewer = chosen.clone();
            fewer.drain(place..(place + size).min(chosen.len()));
            if ask.would_solve(&fewer) {
                chosen = fewer;
            } else {
                place += size;
            }
        }
    }
    chosen
}

struct Reasoner<'u> {
    universe: &'u Universe,
    candidates: &'u [Option<VersionId>],
    excluded: &'u [NameId],
}

/// What follows so far: who must be in and why, who must not and why.
#[derive(Debug, Clone, Default)]
struct Conclusions {
    /// The package whose relation brings it in, and that relation's first and last alternative.
    needed: HashMap<VersionId, Option<(usize, usize)>>,
    /// The relation that keeps it out, or nothing when the request excludes it.
    barred: HashMap<VersionId, Option<usize>>,
}

impl Reasoner<'_> {
    /// The first contradiction among what follows from `roots`.
    fn clash(&self, known: &Conclusions, roots: &[VersionId], depth: usize) -> Option<Clash> {
        let mut now = known.clone();
        let mut order = VecDeque::new();
        for &root in roots {
            if now.needed.insert(root, None).is_none() {
                order.push_back(root);
            }
        }
        let mut seen = Vec::new();
        let mut undecided = Vec::new();
        loop {
            while let Some(version) = order.pop_front() {
                seen.push(version);
                if seen.len() > LIMIT {
                    return None;
                }
                if let Some(clash) = self.admit(&mut now, version) {
                    return Some(clash);
                }
                undecided.extend(self.universe.groups(version).filter(|&(start, _)| {
                    let kind = self.universe.dependency(start).kind;
                    kind.critical() && !kind.negative()
                }));
            }
            let mut open = Vec::new();
            for (start, last) in std::mem::take(&mut undecided) {
                match self.decide(&mut now, start, last) {
                    Decision::Impossible(clash) => return Some(clash),
                    Decision::Needs(version) => order.push_back(version),
                    Decision::Settled => {}
                    Decision::Open => open.push((start, last)),
                }
            }
            undecided = open;
            if order.is_empty() {
                break;
            }
        }
        if depth == 0 {
            return None;
        }
        undecided
            .into_iter()
            .find_map(|(start, last)| self.no_alternative(&now, start, last, depth))
    }

    /// Each alternative is tried by itself.
    fn no_alternative(
        &self,
        now: &Conclusions,
        start: usize,
        last: usize,
        depth: usize,
    ) -> Option<Clash> {
        let mut options = Vec::new();
        for choice in self.universe.choices(start, last, self.candidates) {
            let name = self.universe.package(choice).name().to_owned();
            let clash = match now.barred.get(&choice) {
                Some(_) => self.barred(now, choice),
                None => self.clash(now, &[choice], depth - 1)?,
            };
            options.push((name, clash));
        }
        let dependency = self.universe.dependency(start);
        Some(Clash::NoAlternative {
            chain: self.chain(now, dependency.owner),
            package: label(self.universe.package(dependency.owner)),
            field: dependency.kind.field(),
            relation: self.universe.group_text(start, last),
            options,
        })
    }

    /// A package comes in: whom it excludes is barred, and nobody who is in may exclude it.
    fn admit(&self, now: &mut Conclusions, version: VersionId) -> Option<Clash> {
        let universe = self.universe;
        let entry = universe.version(version).name;
        if self.excluded.contains(&entry) {
            return Some(Clash::Excluded {
                chain: self.chain(now, version),
                package: universe.package(version).name().to_owned(),
            });
        }
        if let Some(Some(by)) = now.barred.get(&version) {
            return Some(self.excluding(now, *by, version));
        }
        for (start, last) in universe.groups(version) {
            if !universe.dependency(start).kind.negative() {
                continue;
            }
            for other in universe.choices(start, last, self.candidates) {
                if other == version {
                    continue;
                }
                if now.needed.contains_key(&other) {
                    return Some(self.excluding(now, start, other));
                }
                now.barred.entry(other).or_insert(Some(start));
            }
        }
        None
    }

    fn decide(&self, now: &mut Conclusions, start: usize, last: usize) -> Decision {
        let choices = self.universe.choices(start, last, self.candidates);
        if choices.iter().any(|choice| now.needed.contains_key(choice)) {
            return Decision::Settled;
        }
        let dependency = self.universe.dependency(start);
        if choices.is_empty() {
            return Decision::Impossible(Clash::Missing {
                chain: self.chain(now, dependency.owner),
                package: label(self.universe.package(dependency.owner)),
                field: dependency.kind.field(),
                relation: self.universe.group_text(start, last),
                available: (start..=last)
                    .flat_map(|place| {
                        available(self.universe, self.universe.dependency(place).target)
                    })
                    .collect(),
            });
        }
        let free: Vec<VersionId> = choices
            .iter()
            .copied()
            .filter(|choice| !now.barred.contains_key(choice) && !self.is_excluded(*choice))
            .collect();
        match free[..] {
            [] if choices.len() == 1 => {
                let mut with = now.clone();
                with.needed.insert(choices[0], Some((start, last)));
                Decision::Impossible(self.barred(&with, choices[0]))
            }
            [] => {
                let reason = |&choice: &VersionId| {
                    let name = self.universe.package(choice).name().to_owned();
                    (name, self.barred(now, choice))
                };
                Decision::Impossible(Clash::NoAlternative {
                    chain: self.chain(now, dependency.owner),
                    package: label(self.universe.package(dependency.owner)),
                    field: dependency.kind.field(),
                    relation: self.universe.group_text(start, last),
                    options: choices.iter().map(reason).collect(),
                })
            }
            [only] => {
                now.needed.insert(only, Some((start, last)));
                Decision::Needs(only)
            }
            _ => Decision::Open,
        }
    }

    fn is_excluded(&self, version: VersionId) -> bool {
        self.excluded.contains(&self.universe.version(version).name)
    }

    /// Why a package cannot be taken.
    fn barred(&self, now: &Conclusions, version: VersionId) -> Clash {
        match now.barred.get(&version) {
            Some(Some(by)) => self.excluding(now, *by, version),
            _ => Clash::Excluded {
                chain: self.chain(now, version),
                package: self.universe.package(version).name().to_owned(),
            },
        }
    }

    fn excluding(&self, now: &Conclusions, relation: usize, other: VersionId) -> Clash {
        let dependency = self.universe.dependency(relation);
        Clash::Excluding {
            chain: self.chain(now, dependency.owner),
            package: label(self.universe.package(dependency.owner)),
            field: dependency.kind.field(),
            relation: self.universe.relation_text(relation),
            other_chain: self.chain(now, other),
            other: label(self.universe.package(other)),
        }
    }

    /// From a request to a package that follows from it.
    fn chain(&self, now: &Conclusions, version: VersionId) -> Vec<Link> {
        let mut chain = Vec::new();
        let mut at = version;
        while let Some(Some((start, last))) = now.needed.get(&at) {
            let dependency = self.universe.dependency(*start);
            let owner = self.universe.package(dependency.owner);
            chain.push(Link {
                package: owner.name().to_owned(),
                version: owner.version().to_owned(),
                field: dependency.kind.field(),
                relation: self.universe.group_text(*start, *last),
                target: self.universe.package(at).name().to_owned(),
            });
            at = dependency.owner;
            if chain.len() > LIMIT {
                break;
            }
        }
        chain.reverse();
        chain
    }
}

/// What a relation means for the conclusions.
enum Decision {
    /// It is fulfilled already.
    Settled,
    /// Only that package can fulfil it.
    Needs(VersionId),
    /// Nothing can.
    Impossible(Clash),
    /// There is a choice.
    Open,
}
