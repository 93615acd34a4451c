//! Our answer beside apt's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use bedstone_deb::resolve::{Base, Request, resolve};

use super::archive::Archive;

/// `name=version:architecture`.
pub(crate) type Answer = Option<BTreeSet<String>>;

/// What apt says: two runs of `apt-get -s install`, as mmdebstrap makes them.
pub(crate) struct Apt<'a> {
    archive: &'a Archive,
    first: BTreeMap<(bool, String), (Answer, PathBuf)>,
}

impl<'a> Apt<'a> {
    pub(crate) fn new(archive: &'a Archive) -> Self {
        Self {
            archive,
            first: BTreeMap::new(),
        }
    }

    pub(crate) fn answer(&mut self, request: &Request) -> Answer {
        let suite = self.archive.suite;
        let architecture = self.archive.architectures[0];
        let narrow = |what: &str| {
            format!(
                "?narrow(?or(?archive(^{suite}$),?codename(^{suite}$)),?architecture({architecture}),{what})"
            )
        };
        let empty = self.archive.path("empty");
        // Both runs obey the pins, which apt reads from a file.
        let pins = request.preferences.to_string();
        fs::write(self.archive.path("etc/preferences"), &pins).unwrap();
        let (mut installed, status) = if request.base == Base::None {
            (Some(BTreeSet::new()), empty)
        } else {
            let archive = self.archive;
            let count = self.first.len();
            self.first
                .entry((request.recommends, pins))
                .or_insert_with(|| {
                    let first = simulate(
                        archive,
                        &empty,
                        request.recommends,
                        &[narrow("?essential")],
                        BTreeSet::new(),
                    );
                    let status = archive.path(&format!("status-{count}"));
                    let installed = first.clone().unwrap_or_default();
                    fs::write(&status, status_file(archive, &installed)).unwrap();
                    (first, status)
                })
                .clone()
        };
        let mut names: Vec<String> = request.install.clone();
        names.extend(request.exclude.iter().map(|name| format!("{name}-")));
        let required = match request.base {
            Base::None | Base::Essential => None,
            Base::Required => Some("?and(?priority(required),?not(?essential))"),
            Base::Important => {
                Some("?and(?or(?priority(required),?priority(important)),?not(?essential))")
            }
            Base::Standard => Some("?and(?or(~prequired,~pimportant,~pstandard),?not(?essential))"),
        };
        names.extend(required.map(narrow));
        if !names.is_empty() {
            installed = simulate(
                self.archive,
                &status,
                request.recommends,
                &names,
                installed?,
            );
        }
        installed
    }
}

/// One `apt-get -s install`; what it would install is added, what it would remove is taken away.
fn simulate(
    archive: &Archive,
    status: &Path,
    recommends: bool,
    names: &[String],
    mut installed: BTreeSet<String>,
) -> Answer {
    let recommends = format!("APT::Install-Recommends={recommends}");
    let mut arguments = vec!["-o", &recommends, "-y", "-s", "install", "--"];
    arguments.extend(names.iter().map(String::as_str));
    let output = archive.apt(status, &arguments);
    if !output.status.success() {
        return None;
    }
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        if let Some(rest) = line.strip_prefix("Inst ") {
            let (name, rest) = rest.split_once(' ').unwrap();
            let rest = &rest[rest.find('(').unwrap() + 1..];
            let version = rest.split_once(' ').unwrap().0;
            let architecture = &rest[rest.find('[').unwrap() + 1..rest.find(']').unwrap()];
            let name = name.split(':').next().unwrap();
            installed.insert(format!("{name}={version}:{architecture}"));
        } else if let Some(rest) = line.strip_prefix("Remv ") {
            let (name, rest) = rest.split_once(' ').unwrap();
            let version = rest[1..].split(']').next().unwrap();
            let (name, architecture) = name
                .split_once(':')
                .unwrap_or((name, archive.architectures[0]));
            for architecture in [architecture, "all"] {
                installed.remove(&format!("{name}={version}:{architecture}"));
            }
        }
    }
    Some(installed)
}

fn status_file(archive: &Archive, installed: &BTreeSet<String>) -> String {
    let mut text = String::new();
    for entry in installed {
        let (name, rest) = entry.split_once('=').unwrap();
        let (version, architecture) = rest.rsplit_once(':').unwrap();
        let package = archive
            .universe
            .versions(name, None)
            .find(|package| package.version() == version && package.architecture() == architecture)
            .unwrap();
        let stanza = String::from_utf8(package.stanza().to_vec()).unwrap();
        let (first, rest) = stanza.split_once('\n').unwrap();
        write!(
            text,
            "{first}\nStatus: install ok installed\n{}\n\n",
            rest.trim_end()
        )
        .unwrap();
    }
    text
}

/// What we say.
pub(crate) fn ours(archive: &Archive, request: &Request) -> Result<BTreeSet<String>, String> {
    match resolve(&archive.universe, request) {
        Ok(solution) => Ok(solution
            .packages()
            .map(|(package, _)| {
                format!(
                    "{}={}:{}",
                    package.name(),
                    package.version(),
                    package.architecture()
                )
            })
            .collect()),
        Err(error) => Err(error.to_string()),
    }
}

/// Nothing when both agree, else what differs.
pub(crate) fn difference(ours: &Result<BTreeSet<String>, String>, apt: &Answer) -> Option<String> {
    match (ours, apt) {
        (Ok(ours), Some(apt)) if ours == apt => None,
        (Err(_), None) => None,
        (Ok(ours), Some(apt)) => {
            let only = |left: &BTreeSet<String>, right: &BTreeSet<String>| {
                left.difference(right)
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            Some(format!(
                "only ours: {}; only apt's: {}",
                only(ours, apt),
                only(apt, ours)
            ))
        }
        (Ok(ours), None) => Some(format!("apt refuses, ours has {} packages", ours.len())),
        (Err(error), Some(apt)) => Some(format!(
            "apt has {} packages, ours refuses: {error}",
            apt.len()
        )),
    }
}
