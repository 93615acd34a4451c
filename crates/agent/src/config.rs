//! What the image tells its agent: `/usr/lib/bedstone/update.json`, on the verified root file system.
//!
//! | key | meaning |
//! |---|---|
//! | `version` | 1 |
//! | `hardware` | what this device is, as bundles name it in `hardware-compatibility` |
//! | `certificates` | PEM file of the certificates whose bundles are taken |
//! | `certificate_time` | `check`: certificates are used within their validity only; `ignore`: for devices without a clock, and for those that outlive every certificate |
//! | `attempts` | starts that an update has to prove itself, 1 to 255 |
//! | `minimum_version` | the lowest version that the device may run once this image is confirmed; may be absent |
//! | `health` | see [`Health`] |

use std::fs;
use std::path::{Path, PathBuf};

use bedstone_state::os_release;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Where the image keeps it.
pub const FILE: &str = "/usr/lib/bedstone/update.json";
/// The version of the format.
const VERSION: u32 = 1;

/// The file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// 1.
    pub version: u32,
    /// What this device is.
    pub hardware: String,
    /// PEM file of the certificates whose bundles are taken.
    pub certificates: PathBuf,
    /// What is made of the certificates' validity periods.
    pub certificate_time: CertificateTime,
    /// Starts that an update has to prove itself.
    pub attempts: u8,
    /// The lowest version that the device may run once this image is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_version: Option<String>,
    /// When it has.
    pub health: Health,
}

/// What is made of the certificates' validity periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateTime {
    /// Held against the device's clock.
    Check,
    /// Not looked at.
    Ignore,
}

/// When a started update counts as working.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Seconds after the agent's start within which every probe must succeed.
    pub deadline: u64,
    /// What must succeed, all of it.
    pub probes: Vec<Probe>,
}

/// Something that a working system does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Probe {
    /// systemd has started everything and nothing failed.
    System,
    /// A systemd unit is active.
    Unit(String),
    /// A program ends with 0.
    Command(Vec<String>),
    /// A TCP connection to `HOST:PORT` is accepted.
    Tcp(String),
    /// An HTTP server at `HOST:PORT/PATH` answers with a status below 400.
    Http(String),
}

impl Config {
    /// Reads the image's file.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(Error::io("read", path))?;
        let malformed = |reason: String| Error::Malformed {
            path: path.to_path_buf(),
            reason,
        };
        let config: Self =
            serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        if config.version != VERSION {
            return Err(malformed(format!(
                "version {} is not {VERSION}",
                config.version
            )));
        }
        if config.attempts == 0 {
            return Err(malformed("`attempts` is 0".to_owned()));
        }
        Ok(config)
    }
}

/// The version of the running image (`IMAGE_VERSION`).
pub fn image_version() -> Result<String> {
    let text = fs::read_to_string(os_release::FILE).map_err(Error::io("read", os_release::FILE))?;
    os_release::image_version(&text).ok_or_else(|| Error::Malformed {
        path: os_release::FILE.into(),
        reason: "has no IMAGE_VERSION".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_builder_writes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("update.json");
        let text = r#"{"version": 1, "hardware": "board", "certificates": "/usr/lib/bedstone/update.pem",
            "certificate_time": "check", "attempts": 3, "health": {"deadline": 300, "probes": ["system",
            {"unit": "nginx.service"}, {"command": ["/bin/true"]}, {"tcp": "127.0.0.1:80"}, {"http": "127.0.0.1:80/"}]}}"#;
        fs::write(&path, text).unwrap();
        let config = Config::read(&path).unwrap();
        assert_eq!(config.health.probes.len(), 5);
        assert_eq!(config.health.probes[0], Probe::System);
        assert_eq!(config.minimum_version, None);
        let minimum = text.replace("\"attempts\"", "\"minimum_version\": \"1.2\", \"attempts\"");
        fs::write(&path, minimum).unwrap();
        let config = Config::read(&path).unwrap();
        assert_eq!(config.minimum_version.as_deref(), Some("1.2"));
        for (from, to, reason) in [
            ("\"version\": 1", "\"version\": 2", "version 2 is not 1"),
            ("\"attempts\": 3", "\"attempts\": 0", "`attempts` is 0"),
            ("\"hardware\"", "\"hardwear\"", "unknown field"),
            ("\"check\"", "\"chek\"", "unknown variant"),
        ] {
            fs::write(&path, text.replace(from, to)).unwrap();
            let error = Config::read(&path).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
