//! What the daemon is asked on its socket: lines of JSON (`docs/reference/agent-protocol.md`).

#[cfg(test)]
mod tests;

use std::io::{self, BufRead, Read};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The version of the protocol, which the daemon's first line tells.
pub const VERSION: u32 = 1;
/// Where the daemon listens.
pub const SOCKET: &str = "/run/bedstone/agent.sock";
/// Longest line of a client in bytes, its line feed included.
pub const LINE: usize = 4096;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Install a bundle.
    Install(Install),
    /// Tell the state of both slots.
    Status {},
    /// Keep the running slot.
    Confirm {},
    /// Leave the running slot.
    Rollback {
        /// Why.
        reason: String,
    },
    /// Write the other slot again if it is damaged.
    Repair {},
    /// Send what all operations come to.
    Subscribe {},
}

/// A bundle, and how it is installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Install {
    /// Where it comes from.
    pub bundle: Source,
    /// Restart into it at once.
    #[serde(default)]
    pub reboot: bool,
    /// Take an older version than the running one.
    #[serde(default)]
    pub allow_downgrade: bool,
    /// Install the running version once more.
    #[serde(default)]
    pub reinstall: bool,
    /// File with the key for encrypted members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

/// Where a bundle comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Source {
    /// `-`: whoever asks sends it.
    Stream,
    /// `http://…`.
    Url(String),
    /// A file or block device.
    File(PathBuf),
}

/// Why no request could be read.
#[derive(Debug, thiserror::Error)]
pub enum Wrong {
    /// The connection failed.
    #[error("cannot read a request")]
    Io(#[from] io::Error),
    /// A line is longer than [`LINE`].
    #[error("a request has more than {LINE} bytes")]
    TooLong,
    /// A line ends with the connection.
    #[error("a request without a line feed at its end")]
    Unfinished,
    /// A line is no request.
    #[error("no request of version {VERSION}: {0}")]
    Malformed(#[from] serde_json::Error),
}

impl Install {
    /// Installs a bundle in the ordinary way.
    pub fn new(bundle: Source) -> Self {
        Self {
            bundle,
            reboot: false,
            allow_downgrade: false,
            reinstall: false,
            key: None,
        }
    }
}

impl Source {
    /// Understands `-`, an address or a path.
    pub fn parse(text: &str) -> Result<Self, String> {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        let is_scheme = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_alphabetic())
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        };
        match scheme {
            _ if text == "-" => Ok(Self::Stream),
            _ if text.is_empty() => Err("the bundle's name is empty".to_owned()),
            Some(scheme) if scheme.eq_ignore_ascii_case("http") => Ok(Self::Url(text.to_owned())),
            Some(scheme) if is_scheme(scheme) => Err(format!(
                "`{text}`: only http:// is downloaded, which is enough for a signed bundle; pipe anything else into `install -`"
            )),
            _ => Ok(Self::File(text.into())),
        }
    }
}

impl TryFrom<String> for Source {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        match source {
            Source::Stream => "-".to_owned(),
            Source::Url(url) => url,
            // A path that came as text is text.
            Source::File(path) => path.to_string_lossy().into_owned(),
        }
    }
}

impl Request {
    /// The next request of a client; `None` once it has said everything. Lines without content are passed over.
    pub fn read(reader: &mut impl BufRead) -> Result<Option<Self>, Wrong> {
        let mut line = Vec::new();
        loop {
            line.clear();
            reader
                .by_ref()
                .take(LINE as u64)
                .read_until(b'\n', &mut line)?;
            if line.last() != Some(&b'\n') {
                return match line.len() {
                    0 => Ok(None),
                    LINE => Err(Wrong::TooLong),
                    _ => Err(Wrong::Unfinished),
                };
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some(serde_json::from_slice(&line)?));
            }
        }
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Install(_) => "install",
            Self::Status {} => "status",
            Self::Confirm {} => "confirm",
            Self::Rollback { .. } => "rollback",
            Self::Repair {} => "repair",
            Self::Subscribe {} => "subscribe",
        }
    }
}
