mod boot;
mod debian;
mod kernel;
mod network;
mod storage;
mod system;
mod update;

pub use boot::{Boot, SecureBoot};
pub use debian::{Architecture, Debian, Packages, Pin, Source};
pub use kernel::{Kernel, KernelSource, Modules};
pub use network::{Interface, Network};
pub use storage::{Compression, DataEncryption, FileSystem, Partitions, Root};
pub use system::{FileEntry, Hook, Services, Stage, User};
pub use update::{CertificateTime, Health, Update};

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::text::{
    HostPath, ImagePath, Line, Name, ProductName, ProductVersion, Reason, Subject, SysctlKey,
    SysctlValue, UserName,
};

/// A product's manifest: everything that decides what its image holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(title = "Bedstone manifest")]
pub struct Manifest {
    /// Layers to read before this file, relative to it; `@NAME` is one of the catalogue's. What this file says wins over them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<HostPath>,
    /// What the product is called.
    pub product: Product,
    /// The board that the image is for: a layer `boards/NAME.toml` of the catalogue, read before all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub board: Option<Name>,
    /// Hardening profiles, from the catalogue. Without any, `minimal`.
    #[serde(default)]
    pub profiles: Vec<Name>,
    /// Where a profile is not followed: `kind:name` of what it sets, and why. What takes its place stands in the usual section; without that, it is left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"format": "subject"}))]
    pub overrides: BTreeMap<Subject, Reason>,
    /// Which Debian, and from where.
    #[serde(default)]
    pub debian: Debian,
    /// Packages beside those of the profiles.
    #[serde(default)]
    pub packages: Packages,
    /// The kernel, its modules and its command line.
    #[serde(default)]
    pub kernel: Kernel,
    /// Users by name. `root` exists and is locked unless named here with a password.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"format": "user-name"}))]
    pub users: BTreeMap<UserName, User>,
    /// Files by their path in the image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"format": "image-path"}))]
    pub files: BTreeMap<ImagePath, FileEntry>,
    /// Which systemd units start.
    #[serde(default)]
    pub services: Services,
    /// Kernel settings at run time, in dotted form.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"format": "sysctl-key"}))]
    pub sysctl: BTreeMap<SysctlKey, SysctlValue>,
    /// Host name, interfaces, name and time servers.
    #[serde(default)]
    pub network: Network,
    /// Sizes of the partitions. The layout is fixed: ESP, two boot slots, two root slots, data.
    #[serde(default)]
    pub partitions: Partitions,
    /// The file system of the root slots.
    #[serde(default)]
    pub root: Root,
    /// The boot loader and its watchdog.
    #[serde(default)]
    pub boot: Boot,
    /// The keys that boot loader and kernel are signed with.
    #[serde(default)]
    pub secure_boot: SecureBoot,
    /// How the device takes updates.
    #[serde(default)]
    pub update: Update,
    /// Scripts that run in the image's sandbox, without network.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"format": "name"}))]
    pub hooks: BTreeMap<Name, Hook>,
}

/// What the product is called; `/etc/os-release` and the file names of the artifacts say it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Product {
    /// Short name: file names, the host name and the disk's identifiers are made from it.
    pub name: ProductName,
    /// Version of this image.
    pub version: ProductVersion,
    /// Who makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<Line>,
    /// The product in a few words, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Line>,
    /// Where users find the product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home_url: Option<Line>,
    /// Where users find help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support_url: Option<Line>,
}
