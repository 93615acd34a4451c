use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::text::{
    FileMode, ImagePath, KernelOption, KernelParameter, Line, ModuleName, Name, PackageName,
    Reason, Requirement, SuiteName, SysctlKey, SysctlValue, UnitName, UserName,
};
use crate::manifest::Architecture;

/// A profile as written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Profile {
    /// Its name, the same as its file's.
    pub name: Name,
    /// What it is for.
    pub description: Line,
    /// Profiles that it builds upon; where they set the same thing differently, this one wins.
    #[serde(default)]
    pub extends: Vec<Name>,
    /// The kernel that it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelChoice>,
    /// Packages.
    #[serde(default)]
    pub package: Vec<PackageSet>,
    /// Files.
    #[serde(default)]
    pub file: Vec<ProfileFile>,
    /// Kernel settings at run time.
    #[serde(default)]
    pub sysctl: Vec<Settings>,
    /// Units.
    #[serde(default)]
    pub service: Vec<ServiceSet>,
    /// Kernel parameters.
    #[serde(default)]
    pub kernel_parameter: Vec<KernelParameters>,
    /// Modules that what the profile installs needs.
    #[serde(default)]
    pub module: Vec<ModuleSet>,
    /// Modules that must not load.
    #[serde(default)]
    pub blacklist: Vec<Blacklist>,
    /// Where Debian's kernels differ from the hardening baseline, and why that is accepted.
    #[serde(default)]
    pub deviation: Vec<Deviation>,
}

/// The kernel that a profile needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KernelChoice {
    /// What stands before the architecture in the package's name: `linux-image-rt` for `linux-image-rt-amd64`.
    pub package: PackageName,
    /// The requirements that it serves.
    #[serde(default)]
    pub requirement: Vec<Requirement>,
    /// Why.
    pub reason: Reason,
}

/// Packages that serve the same purpose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PackageSet {
    /// The packages.
    pub install: Vec<PackageName>,
    /// The suites that it holds for; without any, all.
    #[serde(default)]
    pub suites: Vec<SuiteName>,
    /// The requirements that they serve.
    #[serde(default)]
    pub requirement: Vec<Requirement>,
    /// Why.
    pub reason: Reason,
}

/// A file that a profile brings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProfileFile {
    /// Where.
    pub path: ImagePath,
    /// The text.
    pub content: String,
    /// Permission bits.
    #[serde(default = "plain_mode")]
    pub mode: FileMode,
    /// Group; the owner is always root.
    #[serde(default = "root_group")]
    pub group: UserName,
    /// The architectures that it holds for; without any, all.
    #[serde(default)]
    pub architectures: Vec<Architecture>,
    /// The suites that it holds for; without any, all.
    #[serde(default)]
    pub suites: Vec<SuiteName>,
    /// The requirements that it serves.
    #[serde(default)]
    pub requirement: Vec<Requirement>,
    /// Why.
    pub reason: Reason,
}

fn plain_mode() -> FileMode {
    FileMode::fixed("0644")
}

fn root_group() -> UserName {
    UserName::fixed("root")
}

/// Kernel settings at run time that serve the same purpose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// The settings.
    #[schemars(extend("propertyNames" = {"format": "sysctl-key"}))]
    pub set: BTreeMap<SysctlKey, SysctlValue>,
    /// The suites that it holds for; without any, all.
    #[serde(default)]
    pub suites: Vec<SuiteName>,
    /// The requirements that they serve.
    #[serde(default)]
    pub requirement: Vec<Requirement>,
    /// Why.
    pub reason: Reason,
}

/// What happens to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It starts at boot.
    Enable,
    /// It does not start at boot.
    Disable,
    /// It cannot be started.
    Mask,
}

impl Action {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Mask => "mask",
        }
    }
}

/// Units that serve the same purpose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ServiceSet {
    /// The units.
    pub units: Vec<UnitName>,
    /// What happens to them.
    pub action: Action,
    /// The suites that it holds for; without any, all.
    #[serde(default)]
    pub suites: Vec<SuiteName>,
    /// The requirements that it serves.
    #[serde(default)]
    pub requirement: Vec<Requirement>,
    /// Why.
    pub reason: Reason,
}

/// Kernel parameters that serve the same purpose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KernelParameters {
    /// The parameters.
    pub add: Vec<KernelParameter>,
    /// The requirements that they serve.
    #[serde(default)]
    pub requirement: Vec<Requirement>,
    /// Why.
    pub reason: Reason,
}

/// Modules that serve the same purpose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ModuleSet {
    /// The modules.
    pub ship: Vec<ModuleName>,
    /// The requirements that they serve.
    #[serde(default)]
    pub requirement: Vec<Requirement>,
    /// Why.
    pub reason: Reason,
}

/// Modules that must not load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Blacklist {
    /// The modules.
    pub modules: Vec<ModuleName>,
    /// The requirements that it serves.
    #[serde(default)]
    pub requirement: Vec<Requirement>,
    /// Why.
    pub reason: Reason,
}

/// Options in which Debian's kernels may differ from the hardening baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Deviation {
    /// The options.
    pub options: Vec<KernelOption>,
    /// The suites that it holds for; without any, all.
    #[serde(default)]
    pub suites: Vec<SuiteName>,
    /// Why it is accepted, and what stands in for it.
    pub reason: Reason,
}
