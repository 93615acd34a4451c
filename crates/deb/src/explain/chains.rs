use std::collections::{HashMap, VecDeque};

use super::Link;
use crate::index::{Kind, Universe, VersionId};
use crate::resolve::{Reason, Solution};

/// The shortest chains from what was asked for to a package, the shortest first, at most `limit`.
///
/// Each chain begins at another package of the base or of the request; the chain of a package that was itself asked
/// for is empty. There is none when the solution has no package of that name.
pub fn why(
    universe: &Universe,
    solution: &Solution<'_>,
    name: &str,
    limit: usize,
) -> Vec<Vec<Link>> {
    let edges = Edges::new(universe, solution);
    let Some(goal) = solution.get(name) else {
        return Vec::new();
    };
    // From the package backwards, so that one search finds the way from every root.
    let mut next: HashMap<VersionId, Link> = HashMap::new();
    let mut order = VecDeque::from([goal.id()]);
    let mut chains = Vec::new();
    let mut seen = std::collections::HashSet::from([goal.id()]);
    while let Some(version) = order.pop_front() {
        if edges.reasons[&version] != Reason::Needed {
            let mut chain = Vec::new();
            let mut at = version;
            while let Some(link) = next.get(&at) {
                chain.push(link.clone());
                at = edges.by_name[link.target.as_str()];
                if at == goal.id() {
                    break;
                }
            }
            chains.push(chain);
            if chains.len() == limit {
                break;
            }
        }
        for (parent, link) in edges.parents.get(&version).into_iter().flatten() {
            if seen.insert(*parent) {
                next.insert(*parent, link.clone());
                order.push_back(*parent);
            }
        }
    }
    chains
}

/// A package and what it brings in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The field by which it came.
    pub field: Option<&'static str>,
    /// Whether its own needs are shown elsewhere in the tree.
    pub repeated: bool,
    /// What it needs, in the order of its fields.
    pub needs: Vec<Tree>,
}

impl Tree {
    /// The trees of all packages that were asked for. Each package is unfolded once.
    pub fn of(universe: &Universe, solution: &Solution<'_>) -> Vec<Self> {
        let edges = Edges::new(universe, solution);
        let mut unfolded = std::collections::HashSet::new();
        solution
            .packages()
            .filter(|(_, reason)| *reason == Reason::Requested)
            .map(|(package, _)| edges.unfold(universe, package.id(), None, &mut unfolded))
            .collect()
    }
}

/// Which package of a solution brings in which.
struct Edges {
    reasons: HashMap<VersionId, Reason>,
    by_name: HashMap<String, VersionId>,
    children: HashMap<VersionId, Vec<(VersionId, Kind)>>,
    parents: HashMap<VersionId, Vec<(VersionId, Link)>>,
}

impl Edges {
    fn new(universe: &Universe, solution: &Solution<'_>) -> Self {
        let mut chosen = vec![None; universe.entry_count()];
        let mut edges = Self {
            reasons: HashMap::new(),
            by_name: HashMap::new(),
            children: HashMap::new(),
            parents: HashMap::new(),
        };
        for (package, reason) in solution.packages() {
            chosen[universe.version(package.id()).name.index()] = Some(package.id());
            edges.reasons.insert(package.id(), reason);
            edges
                .by_name
                .insert(package.name().to_owned(), package.id());
        }
        for (package, _) in solution.packages() {
            for (start, last) in universe.groups(package.id()) {
                let kind = universe.dependency(start).kind;
                if !matches!(kind, Kind::PreDepends | Kind::Depends | Kind::Recommends) {
                    continue;
                }
                for target in universe.choices(start, last, &chosen) {
                    edges
                        .children
                        .entry(package.id())
                        .or_default()
                        .push((target, kind));
                    let link = Link {
                        package: package.name().to_owned(),
                        version: package.version().to_owned(),
                        field: kind.field(),
                        relation: universe.group_text(start, last),
                        target: universe.package(target).name().to_owned(),
                    };
                    edges
                        .parents
                        .entry(target)
                        .or_default()
                        .push((package.id(), link));
                }
            }
        }
        edges
    }

    fn unfold(
        &self,
        universe: &Universe,
        version: VersionId,
        field: Option<&'static str>,
        unfolded: &mut std::collections::HashSet<VersionId>,
    ) -> Tree {
        let package = universe.package(version);
        let children = self.children.get(&version).map_or(&[][..], Vec::as_slice);
        let repeated = !unfolded.insert(version) && !children.is_empty();
        let mut needs: Vec<Tree> = Vec::new();
        if !repeated {
            for &(child, kind) in children {
                let name = universe.package(child).name();
                if child != version && !needs.iter().any(|tree| tree.name == name) {
                    needs.push(self.unfold(universe, child, Some(kind.field()), unfolded));
                }
            }
        }
        Tree {
            name: package.name().to_owned(),
            version: package.version().to_owned(),
            field,
            repeated,
            needs,
        }
    }
}
