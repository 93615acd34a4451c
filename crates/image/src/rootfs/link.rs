//! The layer of a stage's files: hard links to the unpacked packages, and dpkg's database.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::database;
use super::layer::Layer;
use super::placement::Placement;
use super::unpacked::{Unpacked, set_times};
use crate::error::{Error, Result};

/// Name of the layer's directory in the stage's cache entry.
pub(super) const FILES: &str = "files";
/// Links of a merged `/usr`. Those beyond the first three are made only where a package has files there.
const MERGED: [&str; 7] = ["bin", "sbin", "lib", "lib32", "lib64", "libo32", "libx32"];

/// The links of a merged `/usr` that a set of packages needs, each with its target.
pub(super) fn merged_links(packages: &[&Unpacked]) -> Vec<(&'static str, String)> {
    MERGED
        .iter()
        .enumerate()
        .filter(|&(index, name)| {
            let below = |path: &str| {
                let path = path.strip_prefix("usr/").unwrap_or(path);
                path.split_once('/')
                    .is_some_and(|(first, _)| first == *name)
            };
            index < 3
                || packages
                    .iter()
                    .any(|package| package.entries.iter().any(|entry| below(&entry.path)))
        })
        .map(|(_, &name)| (name, format!("usr/{name}")))
        .collect()
}

/// Writes the layer into the new directory `root`. `below` is the tree that it will lie on; without one it starts a tree
/// with the links `merged`.
pub(super) fn write(
    root: &Path,
    below: Option<&Path>,
    merged: &[(&'static str, String)],
    architecture: &str,
    packages: &[&Unpacked],
    placement: &Placement,
) -> Result<()> {
    fs::create_dir(root).map_err(Error::io("create directory", root))?;
    let mut layer = Layer::new(root, below)?;
    for (target, &(package, index)) in &placement.directories {
        layer.directory(target, Some(&packages[package].entries[index]))?;
    }
    if below.is_none() {
        for (name, target) in merged {
            layer.directory(target, None)?;
            let link = root.join(name);
            symlink(target, &link).map_err(Error::io("create", &link))?;
            set_times(&link, 0)?;
        }
        database::initialise(&mut layer, architecture)?;
    }
    for (target, &(package, index)) in &placement.files {
        // base-files of trixie ships the links of a merged /usr that are here already.
        if below.is_none() && merged.iter().any(|(name, _)| name == target) {
            continue;
        }
        layer.link(packages[package], &packages[package].entries[index], target)?;
    }
    database::add(&mut layer, packages, placement)?;
    layer.finish()
}
