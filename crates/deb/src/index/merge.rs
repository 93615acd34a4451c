mod implied;

use super::names::{Names, Text};
use super::read::{Chunk, RawPackage, RawRelation};
use super::{
    Architecture, Dependency, Grouped, Index, Kind, MultiArch, Name, NameId, Occurrence, Provide,
    Test, Universe, VersionId, VersionNode,
};
use crate::relation::Operator;
use crate::version;

/// Merges the chunks into a universe.
///
/// Entries come into being in apt's order: a package when its stanza is read, then whatever its fields name.
pub(super) fn merge(architectures: &[&str], indexes: Vec<Index>, chunks: &[Chunk]) -> Universe {
    let packages: usize = chunks.iter().map(|chunk| chunk.packages.len()).sum();
    let relations: usize = chunks.iter().map(|chunk| chunk.relations.len()).sum();
    let mut merger = Merger {
        links: (architectures.len() > 1).then(Links::default),
        architectures,
        indexes: &indexes,
        names: Names::with_capacity(packages * 2),
        entries: Vec::with_capacity(packages * 2),
        last: Vec::with_capacity(packages * 2),
        versions: Vec::with_capacity(packages),
        dependencies: Vec::with_capacity(relations),
        provides: Vec::with_capacity(packages),
        occurrences: Vec::with_capacity(packages),
    };
    for chunk in chunks {
        for package in &chunk.packages {
            let (first, last) = package.relations;
            merger.package(package, &chunk.relations[first as usize..last as usize]);
        }
    }
    let Merger {
        names,
        entries,
        versions,
        dependencies,
        provides,
        occurrences,
        ..
    } = merger;
    let dependencies = Grouped::new(versions.len(), &dependencies, |dependency| {
        dependency.owner.index()
    });
    let places: Vec<u32> = (0..dependencies.items.len() as u32).collect();
    let dependents = Grouped::new(entries.len(), &places, |&place| {
        dependencies.items[place as usize].target.index()
    });
    Universe {
        architectures: architectures.iter().map(|&name| name.to_owned()).collect(),
        names,
        dependents,
        dependencies,
        provides: Grouped::new(versions.len(), &provides, |provide| provide.owner.index()),
        providers: Grouped::new(entries.len(), &provides, |provide| provide.target.index()),
        occurrences: Grouped::new(versions.len(), &occurrences, |occurrence| {
            occurrence.version.index()
        }),
        entries,
        versions,
        indexes,
    }
}

struct Merger<'a> {
    architectures: &'a [&'a str],
    indexes: &'a [Index],
    names: Names,
    entries: Vec<Name>,
    /// The last entry under each group, by group.
    last: Vec<Option<NameId>>,
    versions: Vec<VersionNode>,
    dependencies: Vec<Dependency>,
    provides: Vec<Provide>,
    occurrences: Vec<Occurrence>,
    links: Option<Links>,
}

/// Who names an entry, by entry: needed while merging only where a name can have several architectures.
#[derive(Debug, Default)]
struct Links {
    dependencies: Vec<Vec<u32>>,
    provides: Vec<Vec<u32>>,
}

impl Links {
    fn add(lists: &mut Vec<Vec<u32>>, entry: NameId, place: usize) {
        if lists.len() <= entry.index() {
            lists.resize(entry.index() + 1, Vec::new());
        }
        lists[entry.index()].push(place as u32);
    }
}

impl Merger<'_> {
    fn package(&mut self, raw: &RawPackage, relations: &[RawRelation]) {
        let word = self.names.bytes(self.indexes, raw.architecture);
        let all = word == b"all";
        let Some(architecture) = self.architecture(word) else {
            return;
        };
        let group = self.names.group(self.indexes, raw.name, raw.name_hash);
        let entry = self.entry(group, architecture);
        let occurrence = |version| Occurrence {
            version,
            index: raw.index,
            stanza: raw.stanza,
        };
        let name = &mut self.entries[entry.index()];
        name.essential |= raw.essential;
        name.important |= raw.important;
        let previous = match self.place(entry, raw) {
            Place::Known(version) => {
                self.occurrences.push(occurrence(version));
                return;
            }
            Place::After(previous) => previous,
        };
        let version = VersionId(self.versions.len() as u32);
        let slot = match previous {
            Some(previous) => &mut self.versions[previous.index()].next,
            None => &mut self.entries[entry.index()].newest,
        };
        let next = slot.replace(version);
        self.versions.push(VersionNode {
            name: entry,
            next,
            priority: raw.priority,
            // Packages for all architectures exist once, so there is nothing to keep in step.
            multi_arch: if all && raw.multi_arch == MultiArch::Same {
                MultiArch::No
            } else {
                raw.multi_arch
            },
            all,
            text: raw.version,
            section: raw.section,
            source: raw.source,
            source_version: raw.source_version,
            content: raw.content,
        });
        for relation in relations {
            match relation.kind {
                Kind::Provides => self.provide(version, relation),
                _ => self.relate(version, relation),
            }
        }
        self.provide_self(version);
        self.occurrences.push(occurrence(version));
        if self.architectures.len() > 1 {
            self.relate_siblings(version);
        }
    }

    /// Where a version belongs among those of its entry, which are sorted from new to old.
    fn place(&self, entry: NameId, raw: &RawPackage) -> Place {
        let text = self.names.bytes(self.indexes, raw.version);
        let mut previous = None;
        let mut next = self.entries[entry.index()].newest;
        while let Some(known) = next {
            let node = &self.versions[known.index()];
            let order = version::compare_bytes(text, self.names.bytes(self.indexes, node.text));
            if order.is_gt() {
                break;
            }
            if order.is_eq() && node.content == raw.content {
                return Place::Known(known);
            }
            previous = Some(known);
            next = node.next;
        }
        Place::After(previous)
    }

    fn relate(&mut self, owner: VersionId, raw: &RawRelation) {
        let exclusive = raw.kind.negative() || raw.kind == Kind::Replaces;
        let group = self.names.group(self.indexes, raw.name, raw.name_hash);
        let dependency = |target| Dependency {
            owner,
            target,
            kind: raw.kind,
            test: raw
                .operator
                .map_or(Test::Operator(Operator::Equal), Test::Operator),
            more: raw.more,
            implicit: false,
            wanted: raw.version,
        };
        let stored = !matches!(raw.kind, Kind::Replaces | Kind::Enhances);
        let qualifier = self.names.bytes(self.indexes, raw.qualifier);
        if qualifier == b"native" {
            let name = self.names.bytes(self.indexes, raw.name);
            let name = [&name[..name.len() - 6], self.architectures[0].as_bytes()].concat();
            let group = self.names.composed_group(self.indexes, &name);
            let target = self.entry(group, Architecture::ANY);
            if stored {
                self.add_dependency(dependency(target));
            }
            return;
        }
        if !raw.qualifier.is_empty() {
            let target = self.entry(group, Architecture::ANY);
            if stored {
                self.add_dependency(dependency(target));
            }
            return;
        }
        let first = self.names.first(group);
        if exclusive && first.is_some() {
            // A conflict is with every architecture's package of that name.
            let mut next = first;
            while let Some(target) = next.filter(|_| stored) {
                self.add_dependency(dependency(target));
                next = self.entries[target.index()].next;
            }
            return;
        }
        let architecture = self.entries[self.versions[owner.index()].name.index()].architecture;
        let target = self.entry(group, architecture);
        if stored {
            self.add_dependency(dependency(target));
        }
    }

    fn provide(&mut self, owner: VersionId, raw: &RawRelation) {
        // Policy 7.5: only `=` makes sense; apt leaves out the others.
        if !matches!(raw.operator, None | Some(Operator::Equal)) {
            return;
        }
        let node = &self.versions[owner.index()];
        let (multi_arch, version_text) = (node.multi_arch, node.text);
        let own = node.name;
        let architecture = self.entries[own.index()].architecture;
        let name = self.names.bytes(self.indexes, raw.name);
        if !raw.qualifier.is_empty() {
            let qualifier = self.names.bytes(self.indexes, raw.qualifier);
            if let Some(named) = self.architecture(qualifier) {
                let plain = name[..name.len() - raw.qualifier.length as usize - 1].to_vec();
                let group = self.names.composed_group(self.indexes, &plain);
                let target = self.entry(group, named);
                self.add_provide(owner, target, raw.version, true, true);
            }
            let group = self.names.group(self.indexes, raw.name, raw.name_hash);
            let target = self.entry(group, Architecture::ANY);
            self.add_provide(owner, target, raw.version, false, true);
            return;
        }
        let composed = |suffix: &[u8]| [name, b":", suffix].concat();
        let any = (multi_arch == MultiArch::Allowed).then(|| composed(b"any"));
        let qualified = composed(self.architectures[architecture.rank() as usize].as_bytes());
        let group = self.names.group(self.indexes, raw.name, raw.name_hash);
        if multi_arch == MultiArch::Foreign {
            self.provide_everywhere(owner, group, raw.version, false);
        } else {
            if let Some(name) = any {
                let group = self.names.composed_group(self.indexes, &name);
                let target = self.entry(group, Architecture::ANY);
                self.add_provide(owner, target, raw.version, true, false);
            }
            // A package need not say that it is itself.
            let same_text = raw.version.is_empty()
                || self.names.bytes(self.indexes, raw.version)
                    == self.names.bytes(self.indexes, version_text);
            if self.entries[own.index()].group != group || !same_text {
                let target = self.entry(group, architecture);
                self.add_provide(owner, target, raw.version, false, false);
            }
        }
        if let Some(target) = self.names.find(self.indexes, &qualified) {
            self.add_provide(owner, target, raw.version, true, true);
        }
    }

    fn add_provide(
        &mut self,
        owner: VersionId,
        target: NameId,
        version: Text,
        implicit: bool,
        arch_specific: bool,
    ) {
        if let Some(links) = &mut self.links {
            Links::add(&mut links.provides, target, self.provides.len());
        }
        self.provides.push(Provide {
            owner,
            target,
            implicit,
            arch_specific,
            version,
        });
    }

    fn architecture(&self, word: &[u8]) -> Option<Architecture> {
        if word == b"all" {
            return Some(Architecture::NATIVE);
        }
        let place = self
            .architectures
            .iter()
            .position(|known| known.as_bytes() == word)?;
        Some(Architecture(place as u8))
    }

    /// The entry of a group for an architecture, made where it is new.
    fn entry(&mut self, group: u32, architecture: Architecture) -> NameId {
        let mut next = self.names.first(group);
        while let Some(entry) = next {
            let name = &self.entries[entry.index()];
            // `name:any` is one entry, whoever made it.
            if name.architecture == architecture || architecture == Architecture::ANY {
                return entry;
            }
            next = name.next;
        }
        let entry = NameId(self.entries.len() as u32);
        self.entries.push(Name {
            group,
            architecture,
            newest: None,
            essential: false,
            important: false,
            next: None,
        });
        if self.last.len() <= group as usize {
            self.last.resize(group as usize + 1, None);
        }
        match self.last[group as usize].replace(entry) {
            None => self.names.set_first(group, entry),
            Some(last) => {
                self.adopt(group, entry);
                self.entries[last.index()].next = Some(entry);
            }
        }
        if architecture == Architecture::ANY {
            self.provide_qualified(group, entry);
        }
        entry
    }

    fn add_dependency(&mut self, dependency: Dependency) {
        if let Some(links) = &mut self.links {
            Links::add(
                &mut links.dependencies,
                dependency.target,
                self.dependencies.len(),
            );
        }
        self.dependencies.push(dependency);
    }
}

enum Place {
    /// The very version is known.
    Known(VersionId),
    /// It comes after that one, or first.
    After(Option<VersionId>),
}
