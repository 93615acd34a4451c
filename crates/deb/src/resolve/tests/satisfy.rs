//! The complete search, and apt's rules, against trying every subset.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use proptest::prelude::*;

use super::index;
use crate::index::{Package, Universe, VersionId};
use crate::resolve::{Preferences, Request, resolve, satisfy};

/// Whether some subset fulfils everything, by trying all of them.
fn satisfiable(universe: &Universe, wanted: &[VersionId]) -> bool {
    let all: Vec<VersionId> = universe.packages().map(Package::id).collect();
    (0_u32..1 << all.len()).any(|mask| {
        let mut chosen = vec![None; universe.entry_count()];
        for (place, &version) in all.iter().enumerate() {
            if mask >> place & 1 == 1 {
                chosen[universe.version(version).name.index()] = Some(version);
            }
        }
        let holds = |version: VersionId| {
            universe.groups(version).all(|(start, last)| {
                let kind = universe.dependency(start).kind;
                !kind.critical()
                    || universe.choices(start, last, &chosen).is_empty() == kind.negative()
            })
        };
        wanted
            .iter()
            .all(|&version| chosen.contains(&Some(version)))
            && chosen.iter().flatten().all(|&version| holds(version))
    })
}

fn relations() -> impl Strategy<Value = Vec<(Vec<Vec<usize>>, Vec<usize>)>> {
    prop::collection::vec(
        (
            prop::collection::vec(prop::collection::vec(0..9_usize, 1..3), 0..3),
            prop::collection::vec(0..8_usize, 0..2),
        ),
        8,
    )
}

proptest! {
    /// The complete search finds a solution exactly when there is one; what apt's rules find always is one.
    #[test]
    fn agrees_with_trying_everything(packages in relations(), wanted in prop::collection::btree_set(0..8_usize, 1..4)) {
        let mut text = String::new();
        for (number, (needs, conflicts)) in packages.iter().enumerate() {
            let needs: Vec<String> = needs.iter().map(|group| {
                group.iter().map(|other| format!("p{other}")).collect::<Vec<_>>().join(" | ")
            }).collect();
            let conflicts: Vec<String> = conflicts.iter().map(|other| format!("p{other}")).collect();
            write!(text, "p{number} 1").unwrap();
            if !needs.is_empty() {
                write!(text, " Depends: {}", needs.join(", ")).unwrap();
            }
            if !conflicts.is_empty() {
                write!(text, "{} Conflicts: {}", if needs.is_empty() { "" } else { ";" }, conflicts.join(", ")).unwrap();
            }
            text.push('\n');
        }
        let universe = Universe::new(&["amd64"], vec![index("stable", 500, &text)]).unwrap();
        let candidates = Preferences::default().candidates(&universe);
        let wanted: Vec<VersionId> = wanted.iter().map(|number| {
            universe.versions(&format!("p{number}"), None).next().unwrap().id()
        }).collect();
        let wishes = satisfy::Wishes { wanted: wanted.clone(), excluded: Vec::new() };
        let problem = satisfy::Problem::new(&universe, &candidates, &wishes);
        let possible = satisfiable(&universe, &wanted);
        match problem.core(&wanted) {
            None => prop_assert!(possible),
            Some(core) => {
                prop_assert!(!possible);
                prop_assert!(!satisfiable(&universe, &core), "the core itself is impossible");
                for left_out in &core {
                    let fewer: Vec<_> = core.iter().copied().filter(|version| version != left_out).collect();
                    prop_assert!(satisfiable(&universe, &fewer), "the core is minimal");
                }
            }
        }
        let request = Request {
            install: wanted.iter().map(|&version| universe.package(version).name().to_owned()).collect(),
            ..Request::default()
        };
        if let Ok(solution) = resolve(&universe, &request) {
            let names: BTreeSet<_> = solution.packages().map(|(package, _)| package.id()).collect();
            let all: Vec<_> = names.iter().copied().collect();
            prop_assert!(possible);
            let mut chosen = vec![None; universe.entry_count()];
            for &version in &all {
                chosen[universe.version(version).name.index()] = Some(version);
            }
            for &version in &all {
                for (start, last) in universe.groups(version) {
                    let kind = universe.dependency(start).kind;
                    prop_assert!(!kind.critical() || universe.choices(start, last, &chosen).is_empty() == kind.negative());
                }
            }
        }
    }
}
