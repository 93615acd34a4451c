use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::text::{
    Component, HostPath, Name, PackageName, PackageVersion, Reason, SuiteName, Uri,
};

/// Which Debian, and from where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Debian {
    /// Code name of the release.
    pub suite: SuiteName,
    /// Architecture of the image.
    pub architecture: Architecture,
    /// Components to take packages from; firmware often needs `non-free-firmware`.
    pub components: Vec<Component>,
    /// Whether to take security updates from `SUITE-security`.
    pub security: bool,
    /// Whether to take `SUITE-updates`.
    pub updates: bool,
    /// Whether packages of `SUITE-backports` can be chosen; they have priority 100, so that nothing is taken from there unasked.
    pub backports: bool,
    /// Archive to use; without it `BEDSTONE_MIRROR`, then the host's apt configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Uri>,
    /// Archive of the security updates; without it as for `mirror`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_mirror: Option<Uri>,
    /// Key ring for Debian's own suites; without it the host's Debian archive key ring.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<HostPath>,
    /// Accept Debian's own suites although their `Valid-Until` has passed, for this reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept_expired: Option<Reason>,
    /// Further repositories by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"format": "name"}))]
    pub sources: BTreeMap<Name, Source>,
    /// Package files on the build machine; they win over every repository.
    pub local: Vec<HostPath>,
    /// Preferences among versions, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"format": "name"}))]
    pub pins: BTreeMap<Name, Pin>,
}

impl Default for Debian {
    fn default() -> Self {
        Self {
            suite: SuiteName::fixed("bookworm"),
            architecture: Architecture::Amd64,
            components: vec![Component::fixed("main")],
            security: true,
            updates: true,
            backports: false,
            mirror: None,
            security_mirror: None,
            signed_by: None,
            accept_expired: None,
            sources: BTreeMap::new(),
            local: Vec::new(),
            pins: BTreeMap::new(),
        }
    }
}

/// A Debian architecture.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// 64-bit x86.
    Amd64,
    /// 64-bit Arm.
    Arm64,
    /// 32-bit Arm, hard float.
    Armhf,
    /// 64-bit RISC-V.
    Riscv64,
}

impl Architecture {
    /// Debian's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
            Self::Armhf => "armhf",
            Self::Riscv64 => "riscv64",
        }
    }

    /// What Debian's kernel packages end in: `armmp` on armhf, elsewhere the architecture's name.
    pub fn kernel_flavour(self) -> &'static str {
        match self {
            Self::Armhf => "armmp",
            other => other.name(),
        }
    }
}

/// A repository beside Debian's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Source {
    /// Addresses of the same repository; the first that answers is used.
    pub uris: Vec<Uri>,
    /// Suite within it.
    pub suite: SuiteName,
    /// Components; none for a flat repository.
    #[serde(default = "main_only")]
    pub components: Vec<Component>,
    /// Key ring that its Release file must be signed with.
    pub signed_by: HostPath,
    /// Priority of its versions, as in apt_preferences(5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -32768, max = 32767))]
    pub priority: Option<i16>,
    /// Accept it although its `Valid-Until` has passed, for this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_expired: Option<Reason>,
}

fn main_only() -> Vec<Component> {
    vec![Component::fixed("main")]
}

/// A preference among the versions of some packages, as in apt_preferences(5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Pin {
    /// The packages that it is about.
    pub packages: Vec<PackageName>,
    /// Only this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<PackageVersion>,
    /// Only versions of this suite, such as `bookworm-backports`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<SuiteName>,
    /// Only versions of this entry of `debian.sources`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Name>,
    /// Priority; more than 1000 also goes back to an older version.
    #[serde(default = "wanted")]
    #[schemars(range(min = -32768, max = 32767))]
    pub priority: i16,
}

fn wanted() -> i16 {
    990
}

/// Packages beside those of the profiles.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Packages {
    /// Packages to install, with what they depend on.
    pub install: Vec<PackageName>,
    /// Packages that must not be in the image; where something needs one of them, locking fails and says what.
    pub remove: Vec<PackageName>,
    /// Whether to install what packages only recommend.
    pub recommends: bool,
}
