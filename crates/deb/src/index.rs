//! Package indexes: many `Packages` files, and local packages, as one [`Universe`].
//!
//! - [`Index`]: one `Packages` file with where it came from.
//! - [`Universe`]: every version of every package in them, related to each other.
//! - [`Package`]: a view of one version.
//!
//! Reading is done in parallel; merging is sequential, because the order in which names first appear decides ties in
//! apt's choice of providers (see [`resolve`](crate::resolve)).

mod dependency;
mod fulfil;
mod merge;
mod names;
mod read;
mod view;

#[cfg(test)]
mod tests;

use crate::error::Result;
pub(crate) use dependency::{Dependency, Kind, Test};
use names::{Names, Span, Text};
pub use view::{Details, MultiArch, Package, Priority};

/// One `Packages` file, uncompressed, and the Release it belongs to.
#[derive(Debug, Clone, Default)]
pub struct Index {
    /// The name of the source in the manifest and in the lock.
    pub source: String,
    /// `Suite` of the Release: `stable`, `trixie-updates`.
    pub suite: String,
    /// `Codename` of the Release: `trixie`.
    pub codename: String,
    /// `Version` of the Release: `13.2`.
    pub release: String,
    /// `Origin` of the Release: `Debian`.
    pub origin: String,
    /// `Label` of the Release.
    pub label: String,
    /// The component: `main`.
    pub component: String,
    /// The host part of the source's address, for `Pin: origin`; empty for local files.
    pub site: String,
    /// Priority of its versions where no pin says otherwise: 500, and 100 or 1 for what is not automatic.
    pub priority: i16,
    /// The stanzas. Local packages are given as their control stanzas with `Filename`, `Size` and `SHA256` added.
    pub packages: Vec<u8>,
}

impl Index {
    /// The default priority by the Release fields `NotAutomatic` and `ButAutomaticUpgrades` (apt_preferences(5)).
    pub const fn default_priority(not_automatic: bool, but_automatic_upgrades: bool) -> i16 {
        match (not_automatic, but_automatic_upgrades) {
            (_, true) => 100,
            (true, false) => 1,
            (false, false) => 500,
        }
    }

    /// What errors call this index.
    pub fn label(&self) -> String {
        let parts = [&self.source, &self.suite, &self.component];
        let parts: Vec<&str> = parts
            .iter()
            .map(|part| part.as_str())
            .filter(|part| !part.is_empty())
            .collect();
        format!("{} Packages", parts.join(" "))
    }
}

/// A version of a package in a [`Universe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionId(u32);

/// A package name for one architecture, whether any version of it exists or others only mention it.
///
/// The order is that of first appearance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameId(u32);

impl VersionId {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl NameId {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// An entry under a name in one architecture.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    pub(crate) group: u32,
    pub(crate) architecture: Architecture,
    pub(crate) newest: Option<VersionId>,
    pub(crate) essential: bool,
    pub(crate) important: bool,
    next: Option<NameId>,
}

/// Which architecture an entry is for: an index into the universe's list, native first, or none in particular.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Architecture(u8);

impl Architecture {
    /// The universe's own architecture; also that of `Architecture: all`.
    pub(crate) const NATIVE: Self = Self(0);
    /// Names such as `python3:any` that dependencies alone use.
    pub(crate) const ANY: Self = Self(u8::MAX);

    /// The place in the order of preference.
    pub(crate) const fn rank(self) -> u8 {
        self.0
    }
}

/// One version of a package.
#[derive(Debug, Clone)]
pub(crate) struct VersionNode {
    pub(crate) name: NameId,
    pub(crate) next: Option<VersionId>,
    pub(crate) priority: Priority,
    pub(crate) multi_arch: MultiArch,
    pub(crate) all: bool,
    text: Text,
    section: Text,
    source: Text,
    source_version: Text,
    content: u32,
}

/// A virtual package that a version provides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Provide {
    pub(crate) owner: VersionId,
    pub(crate) target: NameId,
    pub(crate) implicit: bool,
    pub(crate) arch_specific: bool,
    version: Text,
}

/// Where a version is listed.
#[derive(Debug, Clone, Copy)]
struct Occurrence {
    version: VersionId,
    index: u16,
    stanza: Span,
}

/// Every version of every package in a set of indexes, and how they relate.
#[derive(Debug)]
pub struct Universe {
    architectures: Vec<String>,
    indexes: Vec<Index>,
    names: Names,
    entries: Vec<Name>,
    versions: Vec<VersionNode>,
    dependencies: Grouped<Dependency>,
    dependents: Grouped<u32>,
    provides: Grouped<Provide>,
    providers: Grouped<Provide>,
    occurrences: Grouped<Occurrence>,
}

impl Universe {
    /// Reads `indexes`, the order of which is the order of sources. `architectures` begins with the native one;
    /// packages of others are left out.
    pub fn new(architectures: &[&str], indexes: Vec<Index>) -> Result<Self> {
        let chunks = read::read(&indexes)?;
        Ok(merge::merge(architectures, indexes, &chunks))
    }

    /// The architectures, native first.
    pub fn architectures(&self) -> &[String] {
        &self.architectures
    }

    /// The indexes, in the order given.
    pub fn indexes(&self) -> &[Index] {
        &self.indexes
    }

    /// Every version of every package, in the order of first appearance.
    pub fn packages(&self) -> impl Iterator<Item = Package<'_>> {
        (0..self.versions.len() as u32).map(|id| self.package(VersionId(id)))
    }

    /// The view of one version.
    pub const fn package(&self, version: VersionId) -> Package<'_> {
        Package::new(self, version)
    }

    /// The versions of a package, newest first; `architecture` defaults to the native one.
    pub fn versions<'a>(
        &'a self,
        name: &str,
        architecture: Option<&str>,
    ) -> impl Iterator<Item = Package<'a>> + use<'a> {
        let architecture = match architecture {
            None | Some("all" | "native") => Some(Architecture::NATIVE),
            Some(other) => self.architecture(other),
        };
        architecture
            .and_then(|architecture| self.entry(name, architecture))
            .into_iter()
            .flat_map(|entry| self.versions_of(entry))
            .map(|version| self.package(version))
    }

    /// All names that have a version, each once, in the order of first appearance.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries
            .iter()
            .filter(|entry| entry.newest.is_some() && entry.architecture == Architecture::NATIVE)
            .map(|entry| self.names.name(&self.indexes, entry.group))
    }

    pub(crate) fn architecture(&self, name: &str) -> Option<Architecture> {
        let place = self.architectures.iter().position(|known| known == name)?;
        Some(Architecture(place as u8))
    }

    pub(crate) fn entry(&self, name: &str, architecture: Architecture) -> Option<NameId> {
        self.group_of(name)
            .find(|&entry| self.name(entry).architecture == architecture)
    }

    /// The entries of all architectures under one name.
    pub(crate) fn group_of(&self, name: &str) -> impl Iterator<Item = NameId> + '_ {
        let first = self.names.find(&self.indexes, name.as_bytes());
        std::iter::successors(first, |&entry| self.name(entry).next)
    }

    /// The entries that share the name of `entry`, itself among them.
    pub(crate) fn siblings(&self, entry: NameId) -> impl Iterator<Item = NameId> + '_ {
        let first = self.names.first(self.name(entry).group);
        std::iter::successors(first, |&entry| self.name(entry).next)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = NameId> + use<> {
        (0..self.entries.len() as u32).map(NameId)
    }

    pub(crate) fn entry_count(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn dependency_count(&self) -> usize {
        self.dependencies.items.len()
    }

    pub(crate) fn name(&self, entry: NameId) -> &Name {
        &self.entries[entry.index()]
    }

    pub(crate) fn name_text(&self, entry: NameId) -> &str {
        self.names.name(&self.indexes, self.name(entry).group)
    }

    /// The place of the name in apt's hash table: bucket, then length, then bytes.
    pub(crate) fn hash_order(&self, entry: NameId) -> (u32, usize, &[u8]) {
        let group = self.name(entry).group;
        let name = self.names.name(&self.indexes, group).as_bytes();
        (self.names.hash(group) % 196_613, name.len(), name)
    }

    pub(crate) fn version(&self, version: VersionId) -> &VersionNode {
        &self.versions[version.index()]
    }

    /// The versions of an entry, newest first.
    pub(crate) fn versions_of(&self, entry: NameId) -> impl Iterator<Item = VersionId> + '_ {
        std::iter::successors(self.name(entry).newest, |&version| {
            self.version(version).next
        })
    }

    pub(crate) fn version_text(&self, version: VersionId) -> &[u8] {
        self.bytes(self.version(version).text)
    }

    pub(crate) fn source_version(&self, version: VersionId) -> &[u8] {
        self.bytes(self.version(version).source_version)
    }

    pub(crate) fn source_name(&self, version: VersionId) -> &[u8] {
        self.bytes(self.version(version).source)
    }

    /// The relations of a version as indexes for [`Universe::dependency`], in apt's order of fields.
    pub(crate) fn dependencies(&self, version: VersionId) -> std::ops::Range<usize> {
        self.dependencies.range(version.index())
    }

    pub(crate) fn dependency(&self, index: usize) -> &Dependency {
        &self.dependencies.items[index]
    }

    /// The relations that name `entry`.
    pub(crate) fn dependents(&self, entry: NameId) -> &[u32] {
        self.dependents.of(entry.index())
    }

    /// What a version provides, the last one first.
    pub(crate) fn provides(&self, version: VersionId) -> impl Iterator<Item = &Provide> {
        self.provides.of(version.index()).iter().rev()
    }

    /// Who provides an entry, the last one to appear first.
    pub(crate) fn providers(&self, entry: NameId) -> impl Iterator<Item = &Provide> {
        self.providers.of(entry.index()).iter().rev()
    }

    pub(crate) fn provided_version(&self, provide: &Provide) -> &[u8] {
        self.bytes(provide.version)
    }

    /// The version constraint of a relation, empty when there is none.
    pub(crate) fn wanted(&self, dependency: &Dependency) -> &[u8] {
        self.bytes(dependency.wanted)
    }

    /// The indexes that list a version.
    pub(crate) fn listed_in(&self, version: VersionId) -> impl Iterator<Item = &Index> {
        self.occurrences
            .of(version.index())
            .iter()
            .map(|occurrence| &self.indexes[occurrence.index as usize])
    }

    pub(crate) fn index_numbers(&self, version: VersionId) -> impl Iterator<Item = usize> {
        self.occurrences
            .of(version.index())
            .iter()
            .map(|occurrence| occurrence.index as usize)
    }

    fn bytes(&self, text: Text) -> &[u8] {
        self.names.bytes(&self.indexes, text)
    }
}

/// Items sorted by an owner, with the place where each owner's items begin.
#[derive(Debug)]
struct Grouped<T> {
    starts: Vec<u32>,
    items: Vec<T>,
}

impl<T: Copy> Grouped<T> {
    /// Sorts by owner and keeps the order of each owner's items.
    fn new(owners: usize, items: &[T], owner: impl Fn(&T) -> usize) -> Self {
        let mut starts = vec![0_u32; owners + 1];
        for item in items {
            starts[owner(item) + 1] += 1;
        }
        for place in 1..starts.len() {
            starts[place] += starts[place - 1];
        }
        let mut next = starts.clone();
        let mut sorted = items.to_vec();
        for item in items {
            let place = &mut next[owner(item)];
            sorted[*place as usize] = *item;
            *place += 1;
        }
        Self {
            starts,
            items: sorted,
        }
    }

    fn range(&self, owner: usize) -> std::ops::Range<usize> {
        self.starts[owner] as usize..self.starts[owner + 1] as usize
    }

    fn of(&self, owner: usize) -> &[T] {
        &self.items[self.range(owner)]
    }
}
