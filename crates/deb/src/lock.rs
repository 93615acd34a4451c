//! The lock file `bedstone.lock`: exactly which packages an image is made of.
//!
//! ```toml
//! version = 1
//! architecture = "amd64"
//! request = "…"                 # stands for what the product asked for; another request needs another lock
//! epoch = 1763683200            # SOURCE_DATE_EPOCH: the newest date among the sources
//!
//! [[source]]                    # where packages come from; no addresses, so that mirrors may differ
//! name = "debian"
//! suite = "trixie"
//! components = ["main"]
//! release-sha256 = "…"          # of the Release that was verified
//! release-date = 1763683200
//!
//! [[package]]                   # installed in the image; [[tool]] and [[boot]] have the same keys
//! name = "bash"
//! version = "5.2.37-2"
//! architecture = "amd64"
//! sha256 = "…"
//! size = 1498160
//! source = "bash"
//! source-version = "5.2.37-2"
//! origin = "debian"             # the [[source]]
//! filename = "pool/main/b/bash/bash_5.2.37-2_amd64.deb"
//!
//! [ids.users]
//! messagebus = 100
//! ```

mod change;
mod read;
mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bedstone_store::Digest;

use crate::error::Result;
use crate::index::{Package, Priority, Universe};
use crate::resolve::{Base, Reason, Request, Solution};
pub use change::{Change, Check, check, diff, upgrade};

/// Why a lock file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// Not TOML, an unknown key, a missing key, or a value of another type; the text is the parser's.
    #[error("{0}")]
    Syntax(String),
    /// The file was written in another format.
    #[error("version {0} of the lock format is not supported: expected 1")]
    Version(u64),
    /// A value is not what the key may hold.
    #[error("`{key}`: `{value}` is not {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value found.
        value: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// Something is listed twice.
    #[error("{0} is listed twice")]
    Duplicate(String),
    /// A package names a source that the file does not list.
    #[error("`{package}` has the origin `{origin}`, which no [[source]] is")]
    Origin {
        /// The package.
        package: String,
        /// The name of the missing source.
        origin: String,
    },
}

/// A lock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    /// The architecture of the image.
    pub architecture: String,
    /// Stands for what was asked for, where whoever resolved it says so.
    pub request: Option<Digest>,
    /// `SOURCE_DATE_EPOCH` of the image, in seconds since 1970.
    pub epoch: u64,
    /// Where packages come from.
    pub sources: Vec<Source>,
    /// Installed in the image.
    pub packages: Vec<Locked>,
    /// Unpacked beside it, for programs that the build runs.
    pub tools: Vec<Locked>,
    /// Unpacked for the boot programs in them.
    pub boot: Vec<Locked>,
    /// Numbers of users that the image's packages make, by name.
    pub users: BTreeMap<String, u32>,
    /// Numbers of groups, by name.
    pub groups: BTreeMap<String, u32>,
}

/// One suite of one archive at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name in the manifest.
    pub name: String,
    /// The suite.
    pub suite: String,
    /// The components.
    pub components: Vec<String>,
    /// Digest of the Release file that was verified.
    pub release_sha256: Digest,
    /// `Date` of that file, in seconds since 1970.
    pub release_date: u64,
}

/// One package, down to the bytes of its .deb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture: that of the image, or `all`.
    pub architecture: String,
    /// Digest of the .deb.
    pub sha256: Digest,
    /// Length of the .deb in bytes.
    pub size: u64,
    /// Its source package.
    pub source: String,
    /// The version of the source package.
    pub source_version: String,
    /// The name of the [[source]] that has it.
    pub origin: String,
    /// Its path below the root of that source.
    pub filename: String,
}

impl Locked {
    /// Takes down what is to be known of a package.
    pub fn new(package: Package<'_>) -> Result<Self> {
        let details = package.details()?;
        Ok(Self {
            name: package.name().to_owned(),
            version: package.version().to_owned(),
            architecture: package.architecture().to_owned(),
            sha256: details.sha256,
            size: details.size,
            source: package.source().to_owned(),
            source_version: package.source_version().to_owned(),
            origin: package.index().source.clone(),
            filename: details.filename,
        })
    }

    /// What the order of a lock goes by.
    fn key(&self) -> (&str, &str, &str) {
        (&self.name, &self.architecture, &self.version)
    }
}

impl Lock {
    /// Reads a lock; `file` is what errors call it. Nothing unknown, double or shortened is let through.
    pub fn parse(file: &str, text: &str) -> Result<Self> {
        read::read(file, text)
    }

    /// The text of the lock: sorted, so that the same lock always is the same text.
    pub fn to_text(&self) -> String {
        write::write(self)
    }

    /// Takes down the packages of a solution, sorted.
    pub fn set_packages(&mut self, solution: &Solution<'_>) -> Result<()> {
        self.packages = solution
            .packages()
            .map(|(package, _)| Locked::new(package))
            .collect::<Result<_>>()?;
        self.packages
            .sort_by(|left, right| left.key().cmp(&right.key()));
        Ok(())
    }

    /// The packages as a solution of `request`, without those that the universe no longer has.
    pub fn solution<'u>(&self, universe: &'u Universe, request: &Request) -> Solution<'u> {
        Solution::new(self.packages.iter().filter_map(|locked| {
            let package = universe
                .versions(&locked.name, Some(&locked.architecture))
                .find(|package| package.version() == locked.version)?;
            let limit = match request.base {
                Base::None => None,
                Base::Essential => Some(Priority::None),
                Base::Required => Some(Priority::Required),
                Base::Important => Some(Priority::Important),
                Base::Standard => Some(Priority::Standard),
            };
            let named = request.install.iter().any(|text| {
                let name = text.split(['=', '/', ':']).next().unwrap_or(text);
                name == locked.name || name.strip_suffix('+') == Some(&locked.name)
            });
            let in_base = limit.is_some_and(|limit| {
                package.essential()
                    || (package.priority() != Priority::None && package.priority() <= limit)
            });
            let reason = match (named, in_base) {
                (true, _) => Reason::Requested,
                (false, true) => Reason::Base,
                (false, false) => Reason::Needed,
            };
            Some((package, reason))
        }))
    }

    /// The packages as [`Request::keep`] wants them.
    pub fn kept(&self) -> Vec<(String, String, String)> {
        self.packages
            .iter()
            .map(|locked| {
                (
                    locked.name.clone(),
                    locked.architecture.clone(),
                    locked.version.clone(),
                )
            })
            .collect()
    }
}
