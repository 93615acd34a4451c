use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::text::{HostPath, Line, ProductVersion, UnitName};

/// How the device takes updates: `bedstone-agent` and what it trusts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Update {
    /// Whether the agent is in the image.
    pub agent: bool,
    /// What the device is; a bundle says which hardware it is for. Without it the board's name, else the product's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hardware: Option<Line>,
    /// PEM files of the certificates whose bundles are taken: signers, or authorities that issue to them. Without any, the development certificate.
    pub certificates: Vec<HostPath>,
    /// What is made of the certificates' validity periods.
    pub certificate_time: CertificateTime,
    /// Starts that an update has to prove itself, so that a power cut during its first does not throw it away.
    #[schemars(range(min = 1, max = 255))]
    pub attempts: u8,
    /// The lowest version that a device may run once it has confirmed this image; older bundles and slots are refused from then on. Not above the product's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_version: Option<ProductVersion>,
    /// When an update has proved itself.
    pub health: Health,
}

impl Default for Update {
    fn default() -> Self {
        Self {
            agent: true,
            hardware: None,
            certificates: Vec::new(),
            certificate_time: CertificateTime::default(),
            attempts: 3,
            minimum_version: None,
            health: Health::default(),
        }
    }
}

/// What is made of the validity periods of certificates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateTime {
    /// They are held against the device's clock.
    #[default]
    Check,
    /// They are not looked at: for devices without a clock, and for those that outlive every certificate.
    Ignore,
}

/// When a started update counts as working: all of this, within the deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Health {
    /// Seconds after the start of the agent.
    #[schemars(range(min = 1, max = 86400))]
    pub deadline: u32,
    /// Whether systemd must have started everything, with nothing failed.
    pub system: bool,
    /// Units that must be active.
    pub units: Vec<UnitName>,
    /// Programs that must end with 0, each with its arguments.
    pub commands: Vec<Vec<Line>>,
    /// `HOST:PORT` that must accept a TCP connection.
    pub tcp: Vec<Line>,
    /// `HOST:PORT/PATH` that must answer over HTTP with a status below 400.
    pub http: Vec<Line>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            deadline: 300,
            system: true,
            units: Vec::new(),
            commands: Vec::new(),
            tcp: Vec::new(),
            http: Vec::new(),
        }
    }
}
