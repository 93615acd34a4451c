use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::text::{HostPath, Reason, SuiteName};

/// The boot loader, EFI Boot Guard, and the watchdog that it arms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Boot {
    /// The Debian suite that EFI Boot Guard and the kernel stub come from. Before 0.20, EFI Boot Guard stops in the firmware menu when the kernel is refused.
    pub suite: SuiteName,
    /// Accept that suite although its `Valid-Until` has passed, for this reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept_expired: Option<Reason>,
    /// Seconds until a boot that hangs is reset; 0 leaves the watchdog off.
    pub watchdog: u16,
}

impl Default for Boot {
    fn default() -> Self {
        Self {
            suite: SuiteName::fixed("forky"),
            accept_expired: None,
            watchdog: 60,
        }
    }
}

/// The keys that boot loader and kernel are signed with. Without any, development keys are made on first use and marked as such.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SecureBoot {
    /// Private key, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<HostPath>,
    /// Certificate of that key, PEM, which is enrolled in the firmware's `db`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<HostPath>,
}
