use crate::explain::{Conflict, Problem};
use crate::index::{Architecture, NameId, Universe, VersionId};

use super::preferences::glob;

/// A package as a user names it: `name[:architecture][=version]`, `name[:architecture]/suite`, `name-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selector<'a> {
    pub(super) text: &'a str,
    pub(super) name: &'a str,
    pub(super) architecture: Option<&'a str>,
    pub(super) version: Option<&'a str>,
    pub(super) suite: Option<&'a str>,
    pub(super) remove: bool,
}

impl<'a> Selector<'a> {
    /// Reads a name as given. A trailing `-` removes, a trailing `+` installs, unless the whole is a package's name.
    pub(super) fn parse(universe: &Universe, text: &'a str, remove: bool) -> Self {
        let plain = Self::split(text, text, remove);
        let known = universe.group_of(plain.name).next().is_some();
        match text.as_bytes().last() {
            Some(b'-') if !known => Self::split(text, &text[..text.len() - 1], true),
            Some(b'+') if !known => Self::split(text, &text[..text.len() - 1], false),
            _ => plain,
        }
    }

    fn split(text: &'a str, rest: &'a str, remove: bool) -> Self {
        let (rest, version, suite) = match rest.rfind(['/', '=']) {
            Some(place) if rest.as_bytes()[place] == b'=' => {
                (&rest[..place], Some(&rest[place + 1..]), None)
            }
            Some(place) => (&rest[..place], None, Some(&rest[place + 1..])),
            None => (rest, None, None),
        };
        let (name, architecture) = match rest.rsplit_once(':') {
            Some((name, architecture)) => (name, Some(architecture)),
            None => (rest, None),
        };
        Self {
            text,
            name,
            architecture,
            version,
            suite,
            remove,
        }
    }

    /// The entry that is meant: the native one if it has versions, else that of another architecture, else a virtual
    /// one.
    pub(super) fn entry(&self, universe: &Universe) -> Option<NameId> {
        let named = match self.architecture {
            Some("all" | "native") => Some(Architecture::NATIVE),
            Some(name) => Some(universe.architecture(name)?),
            None => None,
        };
        let fits =
            |entry: &NameId| named.is_none_or(|named| universe.name(*entry).architecture == named);
        let rank = |entry: &NameId| {
            let name = universe.name(*entry);
            (name.newest.is_none(), name.architecture.rank())
        };
        universe.group_of(self.name).filter(fits).min_by_key(rank)
    }

    /// The version that is meant, among those of the entry, or of the only package that provides it.
    pub(super) fn version(
        &self,
        universe: &Universe,
        candidates: &[Option<VersionId>],
    ) -> Result<VersionId, Box<Conflict>> {
        let missing = |problem| Box::new(Conflict::new(vec![problem]));
        let Some(entry) = self.entry(universe) else {
            return Err(missing(Problem::unknown(universe, self.text, self.name)));
        };
        let own = match (self.version, self.suite) {
            (None, None) => candidates[entry.index()],
            _ => universe
                .versions_of(entry)
                .find(|&version| self.matches(universe, version, None)),
        };
        own.or_else(|| self.only_provider(universe, candidates, entry))
            .ok_or_else(|| missing(Problem::no_candidate(universe, self.text, entry)))
    }

    fn only_provider(
        &self,
        universe: &Universe,
        candidates: &[Option<VersionId>],
        entry: NameId,
    ) -> Option<VersionId> {
        let plain = self.version.is_none() && self.suite.is_none();
        let mut chosen: Option<VersionId> = None;
        for provide in universe.providers(entry) {
            let owner = universe.version(provide.owner).name;
            let fits = if plain {
                candidates[owner.index()] == Some(provide.owner)
            } else {
                self.matches(
                    universe,
                    provide.owner,
                    Some(universe.provided_version(provide)),
                )
            };
            if !fits {
                continue;
            }
            let group = |version: VersionId| universe.name(universe.version(version).name).group;
            match chosen {
                Some(other) if group(other) != group(provide.owner) => return None,
                Some(_) => {}
                None => chosen = Some(provide.owner),
            }
        }
        chosen
    }

    fn matches(&self, universe: &Universe, version: VersionId, provided: Option<&[u8]>) -> bool {
        if let Some(suite) = self.suite {
            return universe
                .listed_in(version)
                .any(|index| glob(suite, &index.suite) || glob(suite, &index.codename));
        }
        let wanted = self.version.unwrap_or("*");
        match provided {
            Some(provided) => provided == wanted.as_bytes(),
            None => glob(wanted, universe.package(version).version()),
        }
    }
}
