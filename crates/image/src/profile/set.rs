use std::sync::OnceLock;

use serde::Serialize;

use super::{Catalog, Profile};
use crate::document::text::{Name, Requirement, SuiteName};
use crate::document::{Diagnostic, Origin, Problems, SourceId, Sources, decode, schema_of};
use crate::manifest::Architecture;

/// Why something is in the image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reason {
    /// What it is about, as in the manifest's `overrides`: `package:aide`, `file:/etc/issue` …
    pub subject: String,
    /// Who wants it: a profile, or the manifest's layer and line.
    pub by: String,
    /// The requirements that it serves.
    pub requirement: Vec<String>,
    /// Why, in a sentence.
    pub text: String,
}

/// The chosen profiles with all that they extend, base profiles first, entries for other suites left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Profiles {
    profiles: Vec<Profile>,
    /// For each profile, the indexes of those that it builds upon, directly or not.
    below: Vec<Vec<usize>>,
}

impl Profiles {
    /// Reads the profiles `names` of the catalogue for a suite and architecture.
    ///
    /// Fails with every problem in any of their files, and where profiles extend each other in a circle.
    pub fn load(
        catalog: &Catalog,
        names: &[Name],
        suite: &SuiteName,
        architecture: Architecture,
    ) -> Result<Self, Problems> {
        let mut loading = Loading {
            catalog,
            sources: Sources::new(),
            problems: Vec::new(),
            open: Vec::new(),
            set: Self {
                profiles: Vec::new(),
                below: Vec::new(),
            },
        };
        for name in names {
            loading.profile(name, None);
        }
        if loading.problems.is_empty() {
            let mut set = loading.set;
            for profile in &mut set.profiles {
                narrow(profile, suite, architecture);
            }
            Ok(set)
        } else {
            Err(Problems::new(loading.sources, loading.problems))
        }
    }

    /// The profiles, base profiles first.
    pub fn iter(&self) -> impl Iterator<Item = &Profile> {
        self.profiles.iter()
    }

    /// Whether profile number `later` builds upon profile number `earlier`, so that it may set things differently.
    pub(crate) fn builds_upon(&self, later: usize, earlier: usize) -> bool {
        self.below[later].contains(&earlier)
    }
}

fn narrow(profile: &mut Profile, suite: &SuiteName, architecture: Architecture) {
    let holds = |suites: &[SuiteName]| suites.is_empty() || suites.contains(suite);
    profile.package.retain(|entry| holds(&entry.suites));
    profile.file.retain(|entry| {
        holds(&entry.suites)
            && (entry.architectures.is_empty() || entry.architectures.contains(&architecture))
    });
    profile.sysctl.retain(|entry| holds(&entry.suites));
    profile.service.retain(|entry| holds(&entry.suites));
    profile.deviation.retain(|entry| holds(&entry.suites));
}

pub(crate) fn names(requirements: &[Requirement]) -> Vec<String> {
    requirements.iter().map(ToString::to_string).collect()
}

fn schema() -> &'static serde_json::Value {
    static SCHEMA: OnceLock<serde_json::Value> = OnceLock::new();
    SCHEMA.get_or_init(schema_of::<Profile>)
}

struct Loading<'c> {
    catalog: &'c Catalog,
    sources: Sources,
    problems: Vec<Diagnostic>,
    open: Vec<Name>,
    set: Profiles,
}

impl Loading<'_> {
    /// Reads a profile after those that it extends; returns its number.
    fn profile(&mut self, name: &Name, named_at: Option<&Origin>) -> Option<usize> {
        if let Some(known) = self.set.profiles.iter().position(|p| p.name == *name) {
            return Some(known);
        }
        let at = |problem: Diagnostic| match named_at {
            Some(origin) => problem.at(origin, "named here"),
            None => problem,
        };
        if self.open.contains(name) {
            self.problems.push(at(Diagnostic::error(format!(
                "profile `{name}` extends itself, by way of others"
            ))));
            return None;
        }
        let path = format!("profiles/{name}.toml");
        let text = match self.catalog.text(&path) {
            Ok(text) => text,
            Err(error) => {
                self.problems.push(at(Diagnostic::error(error.to_string())));
                return None;
            }
        };
        let source = self.sources.add(format!("@{path}"), text);
        let (profile, below) = self.decode(name, source)?;
        self.set.profiles.push(profile);
        self.set.below.push(below);
        Some(self.set.profiles.len() - 1)
    }

    fn decode(&mut self, name: &Name, source: SourceId) -> Option<(Profile, Vec<usize>)> {
        let (profile, root) = match decode::<Profile>(&self.sources, source, schema()) {
            Ok(decoded) => decoded,
            Err(problems) => {
                self.problems.extend(problems);
                return None;
            }
        };
        if profile.name != *name {
            let mut problem = Diagnostic::error(format!(
                "the file is called `{name}.toml` but the profile `{}`",
                profile.name
            ));
            if let Some(node) = root.at(&["name"]) {
                problem = problem.at(&node.origin, "");
            }
            self.problems.push(problem);
        }
        self.open.push(name.clone());
        let mut below = Vec::new();
        for (index, base) in profile.extends.iter().enumerate() {
            let origin = root
                .at(&["extends", &index.to_string()])
                .map(|node| node.origin.clone());
            if let Some(number) = self.profile(base, origin.as_ref()) {
                below.extend(self.set.below[number].iter().copied());
                below.push(number);
            }
        }
        self.open.pop();
        below.sort_unstable();
        below.dedup();
        Some((profile, below))
    }
}
