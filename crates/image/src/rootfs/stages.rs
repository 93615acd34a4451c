//! In which order packages are unpacked and configured.
//!
//! Packages are sorted into a fixed sequence of stages; a stage's result depends on its own packages and on the stages
//! before it only, so a change reruns its stage and those behind. Stage 0 is the essential packages with what they need.
//! The others are grouped by how many packages stand on them: what nobody depends on, which is what people change, comes
//! last. Who is interested in triggers works for others, so it is not among those.
//!
//! Dependencies lead to the same or an earlier stage. A pre-dependency of a package with a preinst leads to an earlier
//! one, because preinst scripts run before anything of their own stage is unpacked.

use std::collections::{BTreeMap, BTreeSet};

use super::control::Control;

/// How many groups stand between the essential packages and those nobody depends on; deeper ones share the first.
const DEPTHS: usize = 4;

/// What of a package matters for its stage beside its relations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Scripts {
    /// It has a preinst script.
    pub(super) preinst: bool,
    /// It is interested in triggers (deb-triggers(5)).
    pub(super) interested: bool,
}

/// Sorts packages into stages. Each stage lists indexes into `packages`, dependencies first, equals by name.
///
/// `scripts` tells what a package runs. The order of `packages` has no influence.
pub(super) fn plan(packages: &[&Control], scripts: &dyn Fn(usize) -> Scripts) -> Vec<Vec<usize>> {
    let graph = Graph::new(packages);
    let essential = graph.closure((0..packages.len()).filter(|&index| packages[index].essential));
    let components = graph.components();
    let depth = graph.depths(&components, &|index| usize::from(scripts(index).interested));
    let bucket = |index: usize| {
        if essential.contains(&index) {
            0
        } else {
            DEPTHS + 1 - depth[index].min(DEPTHS)
        }
    };
    let mut level: Vec<usize> = vec![0; packages.len()];
    // Components come with dependencies first.
    for component in &components {
        let mut deepest = 0;
        for &member in component {
            for &(dependency, before) in &graph.edges[member] {
                if bucket(dependency) == bucket(member) && !component.contains(&dependency) {
                    let step = usize::from(before && bucket(member) > 0 && scripts(member).preinst);
                    deepest = deepest.max(level[dependency] + step);
                }
            }
        }
        for &member in component {
            level[member] = deepest;
        }
    }
    let mut stages: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for component in &components {
        for &member in component {
            stages
                .entry((bucket(member), level[member]))
                .or_default()
                .push(member);
        }
    }
    stages.into_values().collect()
}

/// Who needs whom.
struct Graph {
    /// For each package the packages that it needs, by name, and whether already before its preinst.
    edges: Vec<Vec<(usize, bool)>>,
    /// Indexes sorted by package name.
    by_name: Vec<usize>,
}

impl Graph {
    fn new(packages: &[&Control]) -> Self {
        let mut by_name: Vec<usize> = (0..packages.len()).collect();
        by_name.sort_by_key(|&index| &packages[index].name);
        let mut providers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for &index in &by_name {
            for name in &packages[index].provides {
                providers.entry(name).or_default().push(index);
            }
        }
        let named: BTreeMap<&str, usize> = by_name
            .iter()
            .map(|&index| (packages[index].name.as_str(), index))
            .collect();
        // Of several alternatives that are present the first counts: dpkg needs one of them configured.
        let resolve = |alternatives: &Vec<String>| {
            alternatives.iter().find_map(|name| {
                let provider = || providers.get(name.as_str())?.first().copied();
                named.get(name.as_str()).copied().or_else(provider)
            })
        };
        let edges = (0..packages.len())
            .map(|index| {
                let mut edges = BTreeMap::new();
                for (clauses, before) in [
                    (&packages[index].depends, false),
                    (&packages[index].pre_depends, true),
                ] {
                    for dependency in clauses.iter().filter_map(resolve) {
                        if dependency != index {
                            *edges.entry(dependency).or_insert(before) |= before;
                        }
                    }
                }
                let mut edges: Vec<_> = edges.into_iter().collect();
                edges.sort_by_key(|&(dependency, _)| &packages[dependency].name);
                edges
            })
            .collect();
        Self { edges, by_name }
    }

    /// `start` and all that they need.
    fn closure(&self, start: impl Iterator<Item = usize>) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open: Vec<usize> = start.collect();
        while let Some(index) = open.pop() {
            if found.insert(index) {
                open.extend(self.edges[index].iter().map(|&(dependency, _)| dependency));
            }
        }
        found
    }

    /// Groups of packages that need each other (strongly connected components, Tarjan), dependencies first; members by
    /// name.
    fn components(&self) -> Vec<Vec<usize>> {
        let count = self.edges.len();
        let mut order = vec![usize::MAX; count];
        let mut low = vec![0; count];
        let mut on_stack = vec![false; count];
        let mut stack = Vec::new();
        let mut next = 0;
        let mut components = Vec::new();
        let rank: BTreeMap<usize, usize> = self.by_name.iter().copied().zip(0..).collect();
        for &start in &self.by_name {
            if order[start] != usize::MAX {
                continue;
            }
            // Each frame: a package and the position in its edges. No recursion: input decides the depth.
            let mut frames = vec![(start, 0)];
            while let Some((node, position)) = frames.pop() {
                if position == 0 {
                    order[node] = next;
                    low[node] = next;
                    next += 1;
                    stack.push(node);
                    on_stack[node] = true;
                } else {
                    let (child, _) = self.edges[node][position - 1];
                    low[node] = low[node].min(low[child]);
                }
                let unseen = (position..self.edges[node].len()).find(|&at| {
                    let (child, _) = self.edges[node][at];
                    if on_stack[child] {
                        low[node] = low[node].min(order[child]);
                    }
                    order[child] == usize::MAX
                });
                if let Some(at) = unseen {
                    frames.push((node, at + 1));
                    frames.push((self.edges[node][at].0, 0));
                    continue;
                }
                if low[node] == order[node] {
                    let mut component = Vec::new();
                    while let Some(member) = stack.pop() {
                        on_stack[member] = false;
                        component.push(member);
                        if member == node {
                            break;
                        }
                    }
                    component.sort_by_key(|member| rank[member]);
                    components.push(component);
                }
            }
        }
        components
    }

    /// For each package the longest chain of packages above it, `least` at least: 0 where nobody outside its component
    /// needs it.
    fn depths(&self, components: &[Vec<usize>], least: &dyn Fn(usize) -> usize) -> Vec<usize> {
        let mut depth: Vec<usize> = (0..self.edges.len()).map(least).collect();
        for component in components.iter().rev() {
            let own = component.iter().map(|&member| depth[member]).max();
            for &member in component {
                depth[member] = own.unwrap_or(0);
            }
            for &member in component {
                for &(dependency, _) in &self.edges[member] {
                    if !component.contains(&dependency) {
                        depth[dependency] = depth[dependency].max(depth[member] + 1);
                    }
                }
            }
        }
        depth
    }
}

#[cfg(test)]
mod tests;
