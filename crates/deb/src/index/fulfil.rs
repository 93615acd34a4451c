use super::{Dependency, MultiArch, NameId, Provide, Test, Universe, VersionId};
use crate::version;

/// Which versions fulfil which relations (Policy 7, and Multi-Arch as apt reads it).
impl Universe {
    /// The alternatives of a version as first and last relation.
    pub(crate) fn groups(&self, version: VersionId) -> impl Iterator<Item = (usize, usize)> + '_ {
        let mut range = self.dependencies(version);
        std::iter::from_fn(move || {
            let start = range.next()?;
            let mut last = start;
            while self.dependency(last).more
                && let Some(next) = range.next()
            {
                last = next;
            }
            Some((start, last))
        })
    }

    /// Whether a version number fulfils the version part of a relation. None at all fulfils only what asks for none.
    pub(crate) fn accepts(&self, dependency: &Dependency, found: &[u8]) -> bool {
        let wanted = self.wanted(dependency);
        if wanted.is_empty() {
            return true;
        }
        if found.is_empty() {
            return false;
        }
        match dependency.test {
            Test::Operator(operator) => operator.accepts(found, wanted),
            Test::NotEqual => version::compare_bytes(found, wanted).is_ne(),
        }
    }

    pub(crate) fn accepts_version(&self, dependency: &Dependency, version: VersionId) -> bool {
        self.accepts(dependency, self.version_text(version))
    }

    pub(crate) fn accepts_provide(&self, dependency: &Dependency, provide: &Provide) -> bool {
        self.accepts(dependency, self.provided_version(provide))
    }

    /// A conflict never concerns the package itself.
    pub(crate) fn exempts_name(&self, dependency: &Dependency, entry: NameId) -> bool {
        if !dependency.kind.negative() {
            return false;
        }
        let owner = self.version(dependency.owner);
        if self.name(owner.name).group != self.name(entry).group {
            return false;
        }
        owner.name == entry || (owner.multi_arch == MultiArch::Same && !dependency.implicit)
    }

    /// A conflict never concerns what the package itself provides, nor do those that follow from Multi-Arch.
    pub(crate) fn exempts_provide(&self, dependency: &Dependency, provide: &Provide) -> bool {
        if !dependency.kind.negative() {
            return false;
        }
        let group = |version| self.name(self.version(version).name).group;
        dependency.implicit || group(provide.owner) == group(dependency.owner)
    }

    /// Every version that could fulfil (or offend) the relation: the package's own, newest first, then providers.
    pub(crate) fn targets(&self, dependency: &Dependency) -> Vec<VersionId> {
        let mut targets = Vec::new();
        if !self.exempts_name(dependency, dependency.target) {
            let own = self.versions_of(dependency.target);
            targets.extend(own.filter(|&version| self.accepts_version(dependency, version)));
        }
        let provides = self.providers(dependency.target).filter(|provide| {
            !self.exempts_provide(dependency, provide) && self.accepts_provide(dependency, provide)
        });
        targets.extend(provides.map(|provide| provide.owner));
        targets
    }

    /// The versions among `chosen` that fulfil (or offend) one of the alternatives, in the order of the relation.
    pub(crate) fn choices(
        &self,
        start: usize,
        last: usize,
        chosen: &[Option<VersionId>],
    ) -> Vec<VersionId> {
        let mut found = Vec::new();
        for place in start..=last {
            for version in self.targets(self.dependency(place)) {
                if chosen[self.version(version).name.index()] == Some(version)
                    && !found.contains(&version)
                {
                    found.push(version);
                }
            }
        }
        found
    }

    /// The relation as text: `name (>= version)`.
    pub(crate) fn relation_text(&self, place: usize) -> String {
        let dependency = self.dependency(place);
        let name = self.name_text(dependency.target);
        let wanted = String::from_utf8_lossy(self.wanted(dependency));
        match dependency.test {
            _ if wanted.is_empty() => name.to_owned(),
            Test::Operator(operator) => format!("{name} ({operator} {wanted})"),
            Test::NotEqual => format!("{name} (other than {wanted})"),
        }
    }

    /// The alternatives as text, joined by `|`.
    pub(crate) fn group_text(&self, start: usize, last: usize) -> String {
        let texts: Vec<String> = (start..=last)
            .map(|place| self.relation_text(place))
            .collect();
        texts.join(" | ")
    }
}
