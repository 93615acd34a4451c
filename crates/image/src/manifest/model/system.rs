use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::text::{
    FileMode, HostPath, ImagePath, Line, PasswordHash, SshKey, UnitName, UserName,
};

/// A person or a service that can own files and, if it has an authenticator, log in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct User {
    /// Hashed password; without it the password is locked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordHash>,
    /// Public keys that open an SSH session.
    pub ssh_keys: Vec<SshKey>,
    /// Further groups; a group that no package brings is made.
    pub groups: Vec<UserName>,
    /// Login shell.
    pub shell: ImagePath,
    /// Home directory; without it `/home/NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home: Option<ImagePath>,
    /// Full name or purpose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Line>,
    /// Whether it is a service's account: number below 1000, no home directory made.
    pub system: bool,
}

impl Default for User {
    fn default() -> Self {
        Self {
            password: None,
            ssh_keys: Vec::new(),
            groups: Vec::new(),
            shell: ImagePath::fixed("/bin/bash"),
            home: None,
            description: None,
            system: false,
        }
    }
}

/// A file of the image: its text, or where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FileEntry {
    /// The text itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// A file on the build machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<HostPath>,
    /// Permission bits.
    pub mode: FileMode,
    /// Owner.
    pub owner: UserName,
    /// Group.
    pub group: UserName,
}

impl Default for FileEntry {
    fn default() -> Self {
        Self {
            content: None,
            source: None,
            mode: FileMode::fixed("0644"),
            owner: UserName::fixed("root"),
            group: UserName::fixed("root"),
        }
    }
}

/// Which systemd units start. What packages enable by themselves stays enabled unless named here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Services {
    /// Units to start at boot.
    pub enable: Vec<UnitName>,
    /// Units not to start at boot; they can still be started.
    pub disable: Vec<UnitName>,
    /// Units that cannot be started at all.
    pub mask: Vec<UnitName>,
}

/// A script that changes the image: it runs in the sandbox, sees its declared inputs only, and has no network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Hook {
    /// The script, on the build machine; its `#!` line names an interpreter of the image.
    pub script: HostPath,
    /// When it runs.
    #[serde(default)]
    pub stage: Stage,
    /// Files and directories that it may read, at `/run/bedstone/inputs/NAME`, NAME being the last part of the path.
    #[serde(default)]
    pub inputs: Vec<HostPath>,
}

/// When a hook runs.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// After the packages are configured, before users, files and services.
    Configured,
    /// After users, files and services, before the image is sealed.
    #[default]
    Customised,
}
