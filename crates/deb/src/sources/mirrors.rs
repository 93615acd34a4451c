//! Where Debian's own archives are fetched from.

use super::apt::AptEntry;
use crate::error::{Error, Result};

/// Base addresses of the main archive and of the security archive, each in the order in which they are tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirrors {
    /// For suites such as `trixie`, `trixie-updates`, `trixie-backports`.
    pub main: Vec<String>,
    /// For suites that end with `-security`.
    pub security: Vec<String>,
}

impl Mirrors {
    /// Takes `MAIN [SECURITY]`, two addresses separated by blanks, as `BEDSTONE_MIRROR` gives them. Without the second
    /// one, the security archive is sought beside the main one, where mirrors keep it: `.../debian-security` beside
    /// `.../debian`.
    pub fn from_value(value: &str) -> Result<Self> {
        let refuse = |reason: &str| Error::Mirror {
            value: value.to_owned(),
            reason: reason.to_owned(),
        };
        let words: Vec<_> = value
            .split_whitespace()
            .map(|word| word.trim_end_matches('/'))
            .collect();
        if words.iter().any(|word| !is_supported(word)) {
            return Err(refuse(
                "expected addresses with `http:`, `https:` or `file:`",
            ));
        }
        match words.as_slice() {
            [main, security] => Ok(Self {
                main: vec![(*main).to_owned()],
                security: vec![(*security).to_owned()],
            }),
            [main] => Ok(Self {
                main: vec![(*main).to_owned()],
                security: vec![format!("{main}-security")],
            }),
            _ => Err(refuse("expected one or two addresses")),
        }
    }

    /// Finds the archives in the host's apt configuration, among its enabled entries for binary packages with the
    /// component `main` and an address that can be fetched:
    ///
    /// - the security archive is where a suite ends with `-security`;
    /// - the main archive is where a suite stands that has a sibling (`X` beside `X-security` or `X-updates`, in any
    ///   entry), so that a vendor's repository that happens to have a component `main` is not taken for it; without
    ///   siblings, the first entry left.
    ///
    /// Either list is empty when there is no such entry.
    pub fn from_apt(entries: &[AptEntry]) -> Self {
        let usable: Vec<_> = entries
            .iter()
            .filter(|it| it.enabled && it.binary && it.components.iter().any(|it| it == "main"))
            .collect();
        let suites: Vec<&str> = usable
            .iter()
            .flat_map(|it| it.suites.iter().map(String::as_str))
            .collect();
        let addresses = |wanted: &dyn Fn(&str) -> bool| {
            let mut found: Vec<String> = Vec::new();
            for entry in &usable {
                if entry.suites.iter().any(|suite| wanted(suite)) {
                    for uri in entry.uris.iter().filter(|uri| is_supported(uri)) {
                        let uri = uri.trim_end_matches('/').to_owned();
                        if !found.contains(&uri) {
                            found.push(uri);
                        }
                    }
                }
            }
            found
        };
        let security = addresses(&is_security);
        let mut main = addresses(&|suite| {
            ["-security", "-updates"]
                .iter()
                .any(|tail| suites.contains(&format!("{suite}{tail}").as_str()))
        });
        if main.is_empty() {
            main = addresses(&|suite| !is_security(suite));
            main.truncate(1);
        }
        Self { main, security }
    }

    /// The addresses for a suite.
    pub fn of(&self, suite: &str) -> &[String] {
        if is_security(suite) {
            &self.security
        } else {
            &self.main
        }
    }
}

/// Whether a suite is of the security archive.
fn is_security(suite: &str) -> bool {
    suite.ends_with("-security")
}

/// Whether the fetcher speaks the scheme of an address.
pub(crate) fn is_supported(uri: &str) -> bool {
    ["http://", "https://", "file:///"]
        .iter()
        .any(|scheme| uri.starts_with(scheme))
}
