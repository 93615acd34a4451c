//! Why a package is there, and why a request cannot be met.
//!
//! - [`why`]: the shortest chain of relations from what was asked for to a package; [`Tree`]: what needs what.
//! - [`Conflict`]: the reasons for a refusal as data, and with `Display` as text.

mod chains;
mod reason;
mod similar;
mod text;

#[cfg(test)]
mod tests;

pub use chains::{Tree, why};
pub(crate) use reason::{Asker, conflict};

use crate::index::{NameId, Package, Universe};

/// Why a request cannot be met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The reasons; each is enough for the refusal.
    pub problems: Vec<Problem>,
}

/// One reason for a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// No package has that name, and no other package provides it.
    Unknown {
        /// What was asked for, as written.
        request: String,
        /// Names that are close to it, the closest first.
        similar: Vec<String>,
    },
    /// The name is known, yet no version can be taken.
    NoCandidate {
        /// What was asked for, as written.
        request: String,
        /// The versions there are.
        versions: Vec<Available>,
        /// Packages that provide the name; one of them can be named instead.
        providers: Vec<String>,
    },
    /// Some of the packages asked for exclude each other, or one cannot be installed at all.
    Clash {
        /// The fewest of them that cannot be had together.
        requests: Vec<String>,
        /// How they come to clash.
        clash: Clash,
    },
    /// apt's rules lead nowhere although a solution exists.
    NotFound {
        /// What lacks something in the end.
        requests: Vec<String>,
        /// Packages which, when asked for as well, make the request succeed.
        instead: Vec<String>,
    },
}

/// A version that some index has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Available {
    /// The version number.
    pub version: String,
    /// The suite of the index, else the name of its source.
    pub suite: String,
}

/// A step from a package to one that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The package from which the step is taken.
    pub package: String,
    /// Its version.
    pub version: String,
    /// The field: `Depends`.
    pub field: &'static str,
    /// The relation as it stands in the field, with all alternatives.
    pub relation: String,
    /// The package that the step leads to.
    pub target: String,
}

/// Where the ways from the requests end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Clash {
    /// Nothing fulfils a relation.
    Missing {
        /// From the request to the package.
        chain: Vec<Link>,
        /// The package that has the relation, and its version.
        package: (String, String),
        /// The field.
        field: &'static str,
        /// The relation.
        relation: String,
        /// Versions of the package that the relation names, none of which fits.
        available: Vec<Available>,
    },
    /// Two packages exclude each other.
    Excluding {
        /// From the request to the package that has the relation.
        chain: Vec<Link>,
        /// That package, and its version.
        package: (String, String),
        /// `Conflicts` or `Breaks`.
        field: &'static str,
        /// The relation.
        relation: String,
        /// From the request to the other package.
        other_chain: Vec<Link>,
        /// The other package, and its version.
        other: (String, String),
    },
    /// A package is needed that the request excludes.
    Excluded {
        /// From the request to the package.
        chain: Vec<Link>,
        /// The package.
        package: String,
    },
    /// Each alternative of a relation leads to a clash.
    NoAlternative {
        /// From the request to the package.
        chain: Vec<Link>,
        /// The package that has the relation, and its version.
        package: (String, String),
        /// The field.
        field: &'static str,
        /// The relation.
        relation: String,
        /// The packages that could fulfil it, and why they cannot.
        options: Vec<(String, Clash)>,
    },
    /// The reasons are too entangled to be told in a few lines.
    Entangled,
}

impl Conflict {
    pub(crate) const fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }
}

impl Problem {
    pub(crate) fn unknown(universe: &Universe, request: &str, name: &str) -> Self {
        Self::Unknown {
            request: request.to_owned(),
            similar: similar::names(universe, name),
        }
    }

    pub(crate) fn no_candidate(universe: &Universe, request: &str, entry: NameId) -> Self {
        let mut providers: Vec<String> = universe
            .providers(entry)
            .map(|provide| universe.package(provide.owner).name().to_owned())
            .collect();
        providers.sort();
        providers.dedup();
        let versions = available(universe, entry);
        if versions.is_empty() && providers.is_empty() {
            return Self::unknown(universe, request, universe.name_text(entry));
        }
        Self::NoCandidate {
            request: request.to_owned(),
            versions,
            providers,
        }
    }
}

/// The versions of an entry and the suites that have them, newest first.
fn available(universe: &Universe, entry: NameId) -> Vec<Available> {
    let mut versions = Vec::new();
    for version in universe.versions_of(entry) {
        let package = universe.package(version);
        for index in package.indexes() {
            let suite = [&index.suite, &index.codename, &index.source]
                .into_iter()
                .find(|name| !name.is_empty())
                .cloned()
                .unwrap_or_default();
            versions.push(Available {
                version: package.version().to_owned(),
                suite,
            });
        }
    }
    versions.dedup();
    versions
}

/// Name and version of a package.
fn label(package: Package<'_>) -> (String, String) {
    (package.name().to_owned(), package.version().to_owned())
}
