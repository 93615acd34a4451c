use std::collections::{BTreeMap, HashSet};

use super::{Lock, Locked};
use crate::error::{Error, Result};
use crate::index::Universe;
use crate::resolve::{Request, Solution, resolve};
use crate::version;

/// One difference between two locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A package that was not there before.
    Added(Locked),
    /// A package that is no longer there.
    Removed(Locked),
    /// Another version, or the same version with other bytes.
    Changed {
        /// As it was.
        from: Box<Locked>,
        /// As it is.
        to: Box<Locked>,
    },
}

impl Change {
    /// The package concerned.
    pub fn name(&self) -> &str {
        match self {
            Self::Added(locked) | Self::Removed(locked) => &locked.name,
            Self::Changed { to, .. } => &to.name,
        }
    }

    /// Whether the package goes back to an earlier version.
    pub fn is_downgrade(&self) -> bool {
        match self {
            Self::Changed { from, to } => version::compare(&to.version, &from.version).is_lt(),
            Self::Added(_) | Self::Removed(_) => false,
        }
    }
}

/// What a lock is worth today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What must change for the lock to fulfil the request; empty when it does.
    pub required: Vec<Change>,
    /// What a new lock would change: [`Check::required`] and newer versions.
    pub possible: Vec<Change>,
}

/// The differences of the packages of two lists, sorted by name.
pub fn diff(from: &[Locked], to: &[Locked]) -> Vec<Change> {
    let key = |locked: &Locked| (locked.name.clone(), locked.architecture.clone());
    let mut old: BTreeMap<_, &Locked> = from.iter().map(|locked| (key(locked), locked)).collect();
    let mut changes = Vec::new();
    for new in to {
        match old.remove(&key(new)) {
            None => changes.push(Change::Added(new.clone())),
            Some(old) if old.version == new.version && old.sha256 == new.sha256 => {}
            Some(old) => changes.push(Change::Changed {
                from: Box::new(old.clone()),
                to: Box::new(new.clone()),
            }),
        }
    }
    changes.extend(
        old.into_values()
            .map(|locked| Change::Removed(locked.clone())),
    );
    changes.sort_by(|left, right| left.name().cmp(right.name()));
    changes
}

/// Whether a lock still fulfils a request, and what newer indexes would change.
pub fn check(lock: &Lock, universe: &Universe, request: &Request) -> Result<Check> {
    let with = |keep: Vec<(String, String, String)>| -> Result<Vec<Change>> {
        let request = Request {
            keep,
            ..request.clone()
        };
        let mut now = Lock::default();
        now.set_packages(&resolve(universe, &request)?)?;
        Ok(diff(&lock.packages, &now.packages))
    };
    Ok(Check {
        required: with(lock.kept())?,
        possible: with(Vec::new())?,
    })
}

/// Resolves a request anew, staying with the versions of `lock` but for the packages named.
///
/// Packages from the same source as a named one move with it. When that is not enough, what the named packages need
/// moves as well, and at last everything.
pub fn upgrade<'u>(
    lock: &Lock,
    universe: &'u Universe,
    request: &Request,
    names: &[String],
) -> Result<Solution<'u>> {
    let attempt = |moving: &HashSet<&str>| {
        let keep = lock
            .kept()
            .into_iter()
            .filter(|(name, _, _)| !moving.contains(name.as_str()))
            .collect();
        resolve(
            universe,
            &Request {
                keep,
                ..request.clone()
            },
        )
    };
    let named: HashSet<&str> = names.iter().map(String::as_str).collect();
    let sources: HashSet<&str> = lock
        .packages
        .iter()
        .filter(|locked| named.contains(locked.name.as_str()))
        .map(|locked| locked.source.as_str())
        .collect();
    let siblings = lock
        .packages
        .iter()
        .filter(|locked| sources.contains(locked.source.as_str()));
    let mut moving = named;
    moving.extend(siblings.map(|locked| locked.name.as_str()));
    match attempt(&moving) {
        Err(Error::Unsatisfiable(_)) => {}
        other => return other,
    }
    let needed = needs(lock, universe, &moving);
    moving.extend(
        lock.packages
            .iter()
            .map(|locked| locked.name.as_str())
            .filter(|name| needed.contains(*name)),
    );
    match attempt(&moving) {
        Err(Error::Unsatisfiable(_)) => {}
        other => return other,
    }
    resolve(universe, request)
}

/// The names that the newest versions of some packages relate to, directly or not, as far as the lock has them.
fn needs(lock: &Lock, universe: &Universe, roots: &HashSet<&str>) -> HashSet<String> {
    let locked: HashSet<&str> = lock
        .packages
        .iter()
        .map(|locked| locked.name.as_str())
        .collect();
    let mut found: HashSet<String> = HashSet::new();
    let mut open: Vec<String> = roots.iter().map(|&name| name.to_owned()).collect();
    while let Some(name) = open.pop() {
        let Some(newest) = universe.versions(&name, None).next() else {
            continue;
        };
        for place in universe.dependencies(newest.id()) {
            let target = universe.name_text(universe.dependency(place).target);
            if locked.contains(target) && found.insert(target.to_owned()) {
                open.push(target.to_owned());
            }
        }
    }
    found
}
