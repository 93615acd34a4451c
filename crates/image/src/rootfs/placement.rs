//! Which package's file goes where: merged `/usr`, diversions, `Replaces`, conffiles, files left out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;

use super::Keep;
use super::control::Control;
use super::database::Record;
use super::unpacked::{Entry, Kind, Unpacked};
use crate::error::{Error, Result};

/// What dpkg appends to a conffile's name until it is configured.
pub(super) const CONFFILE_SUFFIX: &str = ".dpkg-new";
/// More links than this on the way to a file are a loop.
const LINK_LIMIT: usize = 40;

/// A file that the plan's filter left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LeftOut {
    /// The package that ships it.
    pub package: String,
    /// Absolute path in the image.
    pub path: String,
}

/// What a stage puts into its layer.
#[derive(Debug, Default)]
pub(super) struct Placement {
    /// Target path, relative to the root, to the entry: package's position in the stage and entry's in the package.
    pub(super) files: BTreeMap<String, (usize, usize)>,
    /// Directories likewise; the first package that has one decides about its attributes, as with dpkg.
    pub(super) directories: BTreeMap<String, (usize, usize)>,
    /// For each package of the stage what goes into the database.
    pub(super) records: Vec<Record>,
    /// Paths lost by packages of earlier stages, by info name.
    pub(super) lost: BTreeMap<String, BTreeSet<String>>,
    /// Files left out.
    pub(super) left_out: Vec<LeftOut>,
}

/// `dpkg-divert` entries: path to new path and the package that keeps the original.
pub(super) type Diversions = HashMap<String, (String, String)>;

/// Reads `/var/lib/dpkg/diversions`.
pub(super) fn parse_diversions(text: &str) -> Diversions {
    let lines: Vec<&str> = text.lines().collect();
    let relative = |path: &str| path.trim_start_matches('/').to_owned();
    lines
        .chunks_exact(3)
        .map(|it| (relative(it[0]), (relative(it[1]), it[2].to_owned())))
        .collect()
}

/// Knows what all packages so far have put where.
#[derive(Debug, Default)]
pub(super) struct Placer {
    owners: HashMap<String, Owner>,
    links: HashMap<String, String>,
    directories: HashSet<String>,
}

#[derive(Debug, Clone)]
struct Owner {
    name: String,
    info_name: String,
    replaces: BTreeSet<String>,
    /// The path in the package, which may differ from the place.
    path: String,
    /// Position in the current stage.
    position: Option<usize>,
}

impl Owner {
    fn new(control: &Control, path: &str, position: usize) -> Self {
        Self {
            name: control.name.clone(),
            info_name: control.info_name(),
            replaces: control.replaces.clone(),
            path: path.to_owned(),
            position: Some(position),
        }
    }
}

/// Tells the target of a symbolic link in the tree as it is before the stage.
pub(super) type ReadLink<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Placer {
    /// Knows the links of a merged `/usr`: pairs of path and target.
    pub(super) fn new(links: &[(&str, String)]) -> Self {
        Self {
            links: links
                .iter()
                .map(|(path, target)| ((*path).to_owned(), target.clone()))
                .collect(),
            ..Self::default()
        }
    }

    /// Places the packages of a stage, in this order.
    pub(super) fn place(
        &mut self,
        packages: &[&Unpacked],
        diversions: &Diversions,
        keep: Keep<'_>,
        read_link: ReadLink<'_>,
    ) -> Result<Placement> {
        for owner in self.owners.values_mut() {
            owner.position = None;
        }
        let mut placement = Placement::default();
        for (position, package) in packages.iter().enumerate() {
            self.place_package(
                position,
                package,
                diversions,
                keep,
                read_link,
                &mut placement,
            )?;
        }
        placement.left_out.sort_unstable();
        Ok(placement)
    }

    fn place_package(
        &mut self,
        position: usize,
        package: &Unpacked,
        diversions: &Diversions,
        keep: Keep<'_>,
        read_link: ReadLink<'_>,
        placement: &mut Placement,
    ) -> Result<()> {
        let control = &package.control;
        let conffiles: HashSet<String> = package
            .conffiles()?
            .into_iter()
            .filter(|conffile| !conffile.remove_on_upgrade)
            .map(|conffile| conffile.path)
            .collect();
        let (left_out, empty) = left_out(package, &conffiles, keep);
        let mut record = Record::default();
        let mut resolved: HashMap<String, String> = HashMap::new();
        for (index, entry) in package.entries.iter().enumerate() {
            let path = entry.path.as_str();
            if path.is_empty() || left_out.contains(path) || empty.contains(path) {
                continue;
            }
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            if !resolved.contains_key(parent) {
                let place = self.resolve(&control.name, parent, read_link)?;
                resolved.insert(parent.to_owned(), place);
            }
            let name = &path[path.rfind('/').map_or(0, |at| at + 1)..];
            let mut target = join(&resolved[parent], name);
            if entry.kind == Kind::Directory {
                record.listed.push(path.to_owned());
                if self.link(&target, read_link).is_none() {
                    self.directories.insert(target.clone());
                    placement
                        .directories
                        .entry(target)
                        .or_insert((position, index));
                }
                continue;
            }
            if let Some((diverted, by)) = diversions.get(&target)
                && *by != control.name
            {
                target.clone_from(diverted);
            }
            if !self.take(&target, control, path, position, placement)? {
                continue;
            }
            record.listed.push(path.to_owned());
            if let Kind::Symlink(to) = &entry.kind {
                // A link in place of a directory: dpkg leaves the directory.
                if self.directories.contains(&target) {
                    continue;
                }
                self.links.insert(target.clone(), to.clone());
            }
            if conffiles.contains(path) {
                record.conffiles.push(path.to_owned());
                target.push_str(CONFFILE_SUFFIX);
            }
            placement.files.insert(target, (position, index));
        }
        placement
            .left_out
            .extend(left_out.iter().map(|path| LeftOut {
                package: control.name.clone(),
                path: format!("/{path}"),
            }));
        record.left_out = left_out;
        placement.records.push(record);
        Ok(())
    }

    /// Makes the package the owner of `target`; `false` when the present owner keeps it.
    fn take(
        &mut self,
        target: &str,
        control: &Control,
        path: &str,
        position: usize,
        placement: &mut Placement,
    ) -> Result<bool> {
        if let Some(owner) = self.owners.get(target) {
            if control.replaces.contains(&owner.name) {
                match owner.position {
                    Some(earlier) if earlier != position => {
                        placement.records[earlier]
                            .listed
                            .retain(|listed| *listed != owner.path);
                    }
                    Some(_) => {}
                    None => {
                        placement
                            .lost
                            .entry(owner.info_name.clone())
                            .or_default()
                            .insert(owner.path.clone());
                    }
                }
            } else if owner.replaces.contains(&control.name) {
                return Ok(false);
            } else if owner.path == path {
                return Err(Error::FileConflict {
                    first: owner.name.clone(),
                    second: control.name.clone(),
                    path: format!("/{path}"),
                });
            }
        }
        self.owners
            .insert(target.to_owned(), Owner::new(control, path, position));
        Ok(true)
    }

    /// The place that a directory path leads to when links on the way are followed.
    fn resolve(&self, package: &str, path: &str, read_link: ReadLink<'_>) -> Result<String> {
        let mut place = String::new();
        let mut open: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut followed = 0;
        while let Some(component) = open.pop() {
            match component.as_str() {
                "" | "." => continue,
                ".." => {
                    place.truncate(place.rfind('/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let candidate = join(&place, &component);
            let Some(target) = self.link(&candidate, read_link) else {
                place = candidate;
                continue;
            };
            followed += 1;
            if followed > LINK_LIMIT {
                return Err(Error::Control {
                    package: package.to_owned(),
                    problem: format!("the path `/{path}` leads through a loop of links"),
                });
            }
            if target.starts_with('/') {
                place.clear();
            }
            open.extend(target.split('/').rev().map(str::to_owned));
        }
        Ok(place)
    }

    fn link(&self, path: &str, read_link: ReadLink<'_>) -> Option<String> {
        if self.directories.contains(path) {
            return None;
        }
        self.links.get(path).cloned().or_else(|| read_link(path))
    }
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() {
        name.to_owned()
    } else {
        format!("{directory}/{name}")
    }
}

/// The package's files that the filter refuses, and the directories that hold nothing else.
fn left_out(
    package: &Unpacked,
    conffiles: &HashSet<String>,
    keep: Keep<'_>,
) -> (BTreeSet<String>, HashSet<String>) {
    let refused = |entry: &&Entry| {
        entry.kind != Kind::Directory
            && !conffiles.contains(&entry.path)
            && !keep(&package.control.name, &entry.path)
    };
    let left_out: BTreeSet<String> = package
        .entries
        .iter()
        .filter(refused)
        .map(|entry| entry.path.clone())
        .collect();
    let above = |path: &str, set: &mut HashSet<String>| {
        let mut path = path;
        while let Some((parent, _)) = path.rsplit_once('/') {
            if !set.insert(parent.to_owned()) {
                break;
            }
            path = parent;
        }
    };
    let mut empty = HashSet::new();
    let mut needed = HashSet::new();
    for path in &left_out {
        above(path, &mut empty);
    }
    if !empty.is_empty() {
        for entry in &package.entries {
            let stays = if entry.kind == Kind::Directory {
                !empty.contains(&entry.path)
            } else {
                !left_out.contains(&entry.path)
            };
            if stays {
                above(&entry.path, &mut needed);
            }
        }
        empty.retain(|path| !needed.contains(path));
    }
    (left_out, empty)
}

#[cfg(test)]
mod tests;
