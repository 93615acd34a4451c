use crate::index::Package;

/// Why a package is in a solution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It belongs to the base.
    Base,
    /// The user named it.
    Requested,
    /// Another package needs or recommends it.
    Needed,
}

/// The packages to install.
#[derive(Debug, Clone)]
pub struct Solution<'u> {
    packages: Vec<(Package<'u>, Reason)>,
}

impl<'u> Solution<'u> {
    /// Puts packages together that were chosen elsewhere, such as those of a lock.
    pub fn new(packages: impl IntoIterator<Item = (Package<'u>, Reason)>) -> Self {
        let mut packages: Vec<_> = packages.into_iter().collect();
        packages.sort_by_key(|(package, _)| (package.name(), package.architecture()));
        Self { packages }
    }

    /// All packages, sorted by name and architecture.
    pub fn packages(&self) -> impl Iterator<Item = (Package<'u>, Reason)> + '_ {
        self.packages.iter().copied()
    }

    /// The chosen version of a package, whatever its architecture.
    pub fn get(&self, name: &str) -> Option<Package<'u>> {
        self.packages()
            .map(|(package, _)| package)
            .find(|package| package.name() == name)
    }

    /// How many packages there are.
    pub fn len(&self) -> usize {
        self.packages.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
    }
}
