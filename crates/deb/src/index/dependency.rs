use super::names::Text;
use super::{NameId, VersionId};
use crate::relation::Operator;

/// The fields that relate packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    PreDepends,
    Depends,
    Conflicts,
    Breaks,
    Recommends,
    Suggests,
    Replaces,
    Enhances,
    Provides,
}

impl Kind {
    /// Whether the named package must not be installed.
    pub(crate) const fn negative(self) -> bool {
        matches!(self, Self::Conflicts | Self::Breaks)
    }

    /// Whether a package cannot be installed when the relation is not fulfilled.
    pub(crate) const fn critical(self) -> bool {
        matches!(
            self,
            Self::PreDepends | Self::Depends | Self::Conflicts | Self::Breaks
        )
    }

    /// The field's name.
    pub(crate) const fn field(self) -> &'static str {
        match self {
            Self::PreDepends => "Pre-Depends",
            Self::Depends => "Depends",
            Self::Conflicts => "Conflicts",
            Self::Breaks => "Breaks",
            Self::Recommends => "Recommends",
            Self::Suggests => "Suggests",
            Self::Replaces => "Replaces",
            Self::Enhances => "Enhances",
            Self::Provides => "Provides",
        }
    }
}

/// How the version of the other package is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Test {
    /// By an operator of the relation's syntax; without effect when there is no version.
    Operator(Operator),
    /// Any other version than this one: `Multi-Arch: same` packages must be in step.
    NotEqual,
}

/// One relation of a version to a name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dependency {
    pub(crate) owner: VersionId,
    pub(crate) target: NameId,
    pub(crate) kind: Kind,
    pub(crate) test: Test,
    /// The next relation of the version is an alternative to this one.
    pub(crate) more: bool,
    /// Follows from Multi-Arch, not from a field.
    pub(crate) implicit: bool,
    pub(super) wanted: Text,
}
