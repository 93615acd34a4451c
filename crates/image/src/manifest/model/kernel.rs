use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::text::{
    FirmwarePattern, HostPath, KernelOption, KernelParameter, Line, ModuleName, PackageName, Reason,
};

/// The kernel, its modules and its command line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Kernel {
    /// Debian's kernel package; without it a profile's choice, then `linux-image-ARCHITECTURE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<PackageName>,
    /// Build the kernel from source instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<KernelSource>,
    /// Modules of the image beside the board's and the profiles', with what they depend on; or `"all"`.
    pub modules: Modules,
    /// Modules that the initramfs needs before the root file system is there.
    pub initramfs_modules: Vec<ModuleName>,
    /// Firmware files of the image, as paths or patterns below `/lib/firmware`.
    pub firmware: Vec<FirmwarePattern>,
    /// Parameters beside those that the build sets itself.
    pub command_line: Vec<KernelParameter>,
    /// Where the kernel's configuration may differ from the hardening baseline, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"format": "kernel-option"}))]
    pub deviations: BTreeMap<KernelOption, Reason>,
}

/// Which modules go into the image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Modules {
    /// Every module of the kernel package.
    All(AllModules),
    /// These, with what they depend on.
    Named(Vec<ModuleName>),
}

impl Default for Modules {
    fn default() -> Self {
        Self::Named(Vec::new())
    }
}

/// The word `all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AllModules {
    /// Every module of the kernel package.
    All,
}

/// A kernel built from source. The source is a package or a tree, and the configuration starts from a file or from `defconfig`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct KernelSource {
    /// A package that holds the source, such as `linux-source-6.1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<PackageName>,
    /// A directory with the source; what version control keeps in `.git` does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<HostPath>,
    /// The configuration to start from, complete or as `savedefconfig` leaves it; without it `defconfig`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<HostPath>,
    /// The `make` target to start from when no `config` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defconfig: Option<Line>,
    /// Configuration fragments, merged left to right, later wins. An option that the kernel's own rules then drop is an error that says why. How modules are signed is set by the build.
    pub fragments: Vec<HostPath>,
}
