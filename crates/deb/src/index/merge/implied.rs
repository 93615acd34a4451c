//! What holds without being said: Multi-Arch makes packages of one name provide, or exclude, each other.

use super::Merger;
use crate::index::names::Text;
use crate::index::{
    Architecture, Dependency, Kind, MultiArch, Name, NameId, Provide, Test, VersionId,
};
use crate::relation::Operator;

impl Merger<'_> {
    /// What each version provides without saying so: `name:any`, itself for other architectures, `name:arch`.
    pub(super) fn provide_self(&mut self, owner: VersionId) {
        let node = &self.versions[owner.index()];
        let (multi_arch, version, own) = (node.multi_arch, node.text, node.name);
        let Name {
            group,
            architecture,
            ..
        } = self.entries[own.index()];
        match multi_arch {
            MultiArch::Allowed => {
                let name = format!("{}:any", self.names.name(self.indexes, group));
                let group = self.names.composed_group(self.indexes, name.as_bytes());
                let target = self.entry(group, Architecture::ANY);
                self.add_provide(owner, target, version, true, false);
            }
            MultiArch::Foreign => self.provide_everywhere(owner, group, version, true),
            MultiArch::No | MultiArch::Same => {}
        }
        let name = format!(
            "{}:{}",
            self.names.name(self.indexes, group),
            self.architectures[architecture.rank() as usize]
        );
        if let Some(target) = self.names.find(self.indexes, name.as_bytes()) {
            let known = self
                .provides
                .iter()
                .rev()
                .take_while(|provide| provide.owner == owner)
                .any(|provide| {
                    provide.target == target && provide.implicit && provide.arch_specific
                });
            if !known {
                self.add_provide(owner, target, version, true, true);
            }
        }
    }

    /// `Multi-Arch: foreign`: the name is provided for every architecture that asks for it.
    pub(super) fn provide_everywhere(
        &mut self,
        owner: VersionId,
        group: u32,
        version: Text,
        implicit: bool,
    ) {
        let own = self.versions[owner.index()].name;
        let Some(first) = self.names.first(group) else {
            let target = self.entry(group, Architecture::NATIVE);
            self.add_provide(owner, target, version, implicit, false);
            return;
        };
        let mut next = Some(first);
        while let Some(target) = next {
            next = self.entries[target.index()].next;
            if !(implicit && target == own) {
                self.add_provide(owner, target, version, implicit, false);
            }
        }
    }

    /// Packages of one name for several architectures exclude each other, or must be in step (`Multi-Arch: same`).
    pub(super) fn relate_siblings(&mut self, version: VersionId) {
        let own = self.versions[version.index()].name;
        let group = self.entries[own.index()].group;
        let first_version = self.entries[own.index()].newest == Some(version)
            && self.versions[version.index()].next.is_none();
        let mut next = self.names.first(group);
        while let Some(sibling) = next {
            next = self.entries[sibling.index()].next;
            if sibling == own || self.entries[sibling.index()].newest.is_none() {
                continue;
            }
            self.exclude(version, sibling);
            if first_version {
                let mut other = self.entries[sibling.index()].newest;
                while let Some(node) = other {
                    self.exclude(node, own);
                    other = self.versions[node.index()].next;
                }
            }
        }
    }

    fn exclude(&mut self, owner: VersionId, target: NameId) {
        let node = &self.versions[owner.index()];
        let same = node.multi_arch == MultiArch::Same;
        self.add_dependency(Dependency {
            owner,
            target,
            kind: if same { Kind::Breaks } else { Kind::Conflicts },
            test: if same {
                Test::NotEqual
            } else {
                Test::Operator(Operator::Equal)
            },
            more: false,
            implicit: true,
            wanted: if same { node.text } else { Text::default() },
        });
    }

    /// A further architecture of a name inherits what holds for the name: foreign providers, and conflicts with it.
    pub(super) fn adopt(&mut self, group: u32, entry: NameId) {
        let Some(first) = self.names.first(group) else {
            return;
        };
        for provide in self.providers_of(first) {
            let foreign = self.versions[provide.owner.index()].multi_arch == MultiArch::Foreign;
            if !provide.arch_specific && !provide.implicit && foreign {
                self.add_provide(provide.owner, entry, provide.version, false, false);
            }
        }
        let mut next = Some(first);
        while let Some(sibling) = next {
            next = self.entries[sibling.index()].next;
            let mut version = self.entries[sibling.index()].newest;
            while let Some(owner) = version {
                let node = &self.versions[owner.index()];
                version = node.next;
                if node.multi_arch == MultiArch::Foreign {
                    let text = node.text;
                    self.add_provide(owner, entry, text, true, false);
                }
            }
        }
        let places = self
            .links
            .as_ref()
            .and_then(|links| links.dependencies.get(first.index()))
            .cloned()
            .unwrap_or_default();
        for place in places {
            let dependency = self.dependencies[place as usize];
            if dependency.kind.negative() && !dependency.implicit {
                self.add_dependency(Dependency {
                    target: entry,
                    ..dependency
                });
            }
        }
    }

    fn providers_of(&self, entry: NameId) -> Vec<Provide> {
        match &self.links {
            Some(links) => {
                let places = links
                    .provides
                    .get(entry.index())
                    .map_or(&[][..], Vec::as_slice);
                places
                    .iter()
                    .map(|&place| self.provides[place as usize])
                    .collect()
            }
            None => self
                .provides
                .iter()
                .filter(|provide| provide.target == entry)
                .copied()
                .collect(),
        }
    }

    /// `name:arch`, at its first mention, is provided by the versions of `name` for that architecture known so far.
    pub(super) fn provide_qualified(&mut self, group: u32, entry: NameId) {
        let name = self.names.name(self.indexes, group);
        let Some((plain, architecture)) = name.rsplit_once(':') else {
            return;
        };
        let Some(architecture) = self.architecture(architecture.as_bytes()) else {
            return;
        };
        let plain = plain.as_bytes().to_vec();
        let plain = self.names.composed_group(self.indexes, &plain);
        let real = self.entry(plain, architecture);
        for provide in self.providers_of(real) {
            let owner = self.versions[provide.owner.index()].name;
            if !provide.implicit && self.entries[owner.index()].architecture == architecture {
                let text = self.versions[provide.owner.index()].text;
                self.add_provide(provide.owner, entry, text, true, true);
            }
        }
        let mut version = self.entries[real.index()].newest;
        while let Some(owner) = version {
            let node = &self.versions[owner.index()];
            version = node.next;
            let text = node.text;
            self.add_provide(owner, entry, text, true, true);
        }
    }
}
