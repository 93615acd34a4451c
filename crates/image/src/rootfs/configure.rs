//! The chain of stages: unpack, link into a layer, let dpkg configure, keep what that changed as the next layer.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use bedstone_event::Reporter;
use bedstone_sys::mount::Upper;
use bedstone_sys::namespace::Access;

use super::cache::{CacheDirs, STAGES, Scratch};
use super::change::Preseed;
use super::database;
use super::layer::{Layer, is_whiteout, look, walk};
use super::placement::{LeftOut, Placement, Placer, parse_diversions};
use super::session::{self, Stack};
use super::unpacked::{Kind, Unpacked, set_times};
use super::{Keep, Step};
use crate::error::{Error, Result};

/// Changes whenever the way a stage is made does.
const FORMAT: &str = "stage 1";
/// Directories of a stage's cache entry: files linked in, changes by preinst scripts before, by dpkg afterwards.
const PREPARED: &str = "p";
const FILES: &str = "u";
const CONFIGURED: &str = "c";
/// Links of a merged `/usr`; those beyond the first three only where a package has files below.
const MERGED: [&str; 7] = ["bin", "sbin", "lib", "lib32", "lib64", "libo32", "libx32"];
/// Where scripts see the control files of packages whose preinst runs.
const CONTROL: &str = "/run/bedstone/control";

/// Written while packages are configured and different every time, or of no use afterwards (facts: order, time, inodes).
/// A leading or trailing `*` stands for anything but `/`.
const VOLATILE: [&str; 14] = [
    "etc/*-",
    "etc/.pwd.lock",
    "etc/ssl/certs/java/*",
    "var/cache/apt/*.bin",
    "var/cache/debconf/*-old",
    "var/cache/ldconfig/aux-cache",
    "var/lib/dpkg/*-old",
    "var/lib/dpkg/triggers/*-old",
    "var/lib/ucf/*.[0-9]",
    "var/log/alternatives.log",
    "var/log/apt/*",
    "var/log/bootstrap.log",
    "var/log/dpkg.log",
    "var/lib/systemd/random-seed",
];

/// What all stages share.
pub(super) struct Chain<'a> {
    pub(super) cache: &'a CacheDirs,
    pub(super) architecture: &'a str,
    pub(super) keep: Keep<'a>,
    pub(super) preseeds: &'a [Preseed],
    pub(super) interrupt: &'a AtomicBool,
    pub(super) reporter: &'a Reporter,
    /// The layers so far.
    pub(super) stack: Stack,
    /// Key of the last stage.
    pub(super) key: Option<super::cache::Key>,
    pub(super) placer: Placer,
    /// Newest file of all packages so far: the time that this stage's changes get.
    pub(super) epoch: i64,
    pub(super) left_out: Vec<LeftOut>,
    pub(super) steps: Vec<Step>,
}

/// The links of a merged `/usr` that a set of packages needs.
pub(super) fn merged_links(packages: &[&Unpacked]) -> Vec<(&'static str, String)> {
    MERGED
        .iter()
        .enumerate()
        .filter(|(index, name)| {
            *index < 3
                || packages.iter().any(|package| {
                    package
                        .entries
                        .iter()
                        .any(|entry| entry.path.split('/').next() == Some(name))
                })
        })
        .map(|(_, &name)| (name, format!("usr/{name}")))
        .collect()
}

impl Chain<'_> {
    /// Adds stage `number`, from the cache where it is there.
    pub(super) fn stage(&mut self, number: usize, packages: &[&Unpacked]) -> Result<()> {
        let begun = Instant::now();
        let span = self.reporter.start(
            "configure",
            format!("configuring stage {number}, {} packages", packages.len()),
        );
        self.epoch = packages
            .iter()
            .map(|package| package.newest)
            .fold(self.epoch, i64::max);
        let key = self.stage_key(packages);
        let found = match self.cache.find(STAGES, &key)? {
            Some(path) => Some(path),
            None => {
                let lock = self.cache.lock(&key)?;
                let path = self.cache.find(STAGES, &key)?;
                if path.is_none() {
                    let entry = self.cache.begin(STAGES, &key)?;
                    self.make(number, packages, &entry)?;
                    self.cache.publish(STAGES, &key)?;
                }
                drop(lock);
                path
            }
        };
        let cached = found.is_some();
        if cached {
            // What the placer learns from a stage, later stages need.
            let scratch = self.cache.scratch()?;
            let before = self.with_prepared(self.cache.entry(STAGES, &key));
            let view = before.view(&scratch, self.cache)?;
            let placement = self.place(packages, view.as_ref().map(|it| it.path()))?;
            self.left_out.extend(placement.left_out);
        }
        let entry = self.cache.entry(STAGES, &key);
        for part in [PREPARED, FILES, CONFIGURED] {
            let layer = entry.join(part);
            if look(&layer)?.is_some() {
                self.stack.push(layer);
            }
        }
        self.key = Some(key);
        let elapsed = begun.elapsed();
        self.steps.push(Step {
            name: format!("stage {number}"),
            packages: packages.len(),
            cached,
            elapsed,
        });
        if cached {
            span.cached(format!("stage {number}"));
        } else {
            span.finish(format!("stage {number}, {} packages", packages.len()));
        }
        Ok(())
    }

    /// The inputs of a stage: all that came before, its packages, the files left out, the answers for debconf.
    fn stage_key(&self, packages: &[&Unpacked]) -> super::cache::Key {
        let mut key = self.cache.key(FORMAT);
        key.add(self.architecture);
        match &self.key {
            Some(below) => key.add(below.to_string()),
            None => key.add("base"),
        };
        for package in packages {
            key.add(&package.control.name)
                .add(package.digest.as_bytes());
            for entry in &package.entries {
                if entry.kind != Kind::Directory && !(self.keep)(&package.control.name, &entry.path)
                {
                    key.add("without").add(&entry.path);
                }
            }
        }
        for preseed in self.stage_preseeds(packages) {
            key.add("preseed")
                .add(&preseed.package)
                .add(&preseed.selections);
        }
        key.key()
    }

    fn stage_preseeds(&self, packages: &[&Unpacked]) -> Vec<&Preseed> {
        self.preseeds
            .iter()
            .filter(|preseed| {
                packages
                    .iter()
                    .any(|package| package.control.name == preseed.package)
            })
            .collect()
    }

    /// Makes the layers of a stage in the directory `entry`.
    fn make(&mut self, number: usize, packages: &[&Unpacked], entry: &Path) -> Result<()> {
        let scratch = self.cache.scratch()?;
        let first = number == 0;
        let with_preinst: Vec<&Unpacked> = packages
            .iter()
            .copied()
            .filter(|package| package.has_script("preinst"))
            .collect();
        // Without a tree there is nothing that could run a script: the first stage's run when its files are there.
        if !first && !with_preinst.is_empty() {
            let script = preinst_script(&with_preinst);
            self.run(&scratch, "prepare", packages, &script, &with_preinst, &entry.join(PREPARED))?;
        }
        let before = self.with_prepared(entry.to_path_buf());
        {
            let view = before.view(&scratch, self.cache)?;
            let below = view.as_ref().map(|view| view.path());
            let placement = self.place(packages, below)?;
            self.write_files(packages, &placement, below, &entry.join(FILES))?;
            self.left_out.extend(placement.left_out);
        }
        let mut script = String::new();
        if first {
            script.push_str(&preinst_script(&with_preinst));
        }
        for index in 0..self.stage_preseeds(packages).len() {
            script.push_str(&format!("debconf-set-selections /run/bedstone/preseed/{index}\n"));
        }
        script.push_str("dpkg --configure -a --force-unsafe-io\n");
        let saved = std::mem::take(&mut self.stack);
        let mut stack = before.0;
        stack.push(entry.join(FILES));
        self.stack = stack;
        let preinst: &[&Unpacked] = if first { &with_preinst } else { &[] };
        let result = self.run(&scratch, "configure", packages, &script, preinst, &entry.join(CONFIGURED));
        self.stack = saved;
        result
    }

    fn with_prepared(&self, entry: PathBuf) -> Below {
        let mut stack = self.stack.clone();
        let prepared = entry.join(PREPARED);
        if prepared.exists() {
            stack.push(prepared);
        }
        Below(stack)
    }

    fn place(&mut self, packages: &[&Unpacked], below: Option<&Path>) -> Result<Placement> {
        let diversions = match below {
            Some(below) => parse_diversions(&database::read_if_any(&below.join(database::DIVERSIONS))?),
            None => parse_diversions(""),
        };
        let read_link = |path: &str| -> Option<String> {
            let target = fs::read_link(below?.join(path)).ok()?;
            target.into_os_string().into_string().ok()
        };
        self.placer
            .place(packages, &diversions, self.keep, &read_link)
    }

    /// Writes the layer of the packages' files and the database.
    fn write_files(
        &self,
        packages: &[&Unpacked],
        placement: &Placement,
        below: Option<&Path>,
        root: &Path,
    ) -> Result<()> {
        fs::create_dir(root).map_err(Error::io("create directory", root))?;
        let mut layer = Layer::new(root, below)?;
        if below.is_none() {
            for (name, target) in merged_links(packages) {
                layer.directory(&target, None)?;
                let link = root.join(name);
                symlink(&target, &link).map_err(Error::io("create", &link))?;
                set_times(&link, 0)?;
            }
        }
        for (target, &(package, index)) in &placement.directories {
            layer.directory(target, Some(&packages[package].entries[index]))?;
        }
        for (target, &(package, index)) in &placement.files {
            let merged = below.is_none() && MERGED.contains(&target.as_str());
            if !merged {
                layer.link(packages[package], &packages[package].entries[index], target)?;
            }
        }
        for directory in ["info", "triggers"] {
            layer.directory(&format!("{}/{directory}", database::PATH), None)?;
        }
        let empty = root.with_extension("none");
        if below.is_none() {
            database::initialise(&mut layer, self.architecture)?;
        }
        database::add(
            root,
            // The new tree's database is its own predecessor.
            below.unwrap_or(root),
            packages,
            &placement.records,
            &placement.lost,
        )?;
        drop(empty);
        layer.finish()
    }

    /// Runs `script` in the tree and keeps what it changed in the directory `changes`.
    fn run(
        &self,
        scratch: &Scratch,
        name: &str,
        packages: &[&Unpacked],
        script: &str,
        controls: &[&Unpacked],
        changes: &Path,
    ) -> Result<()> {
        let scratch_work = self.cache.scratch()?;
        let _ = (scratch, name);
        let upper = Upper {
            changes: changes.to_path_buf(),
            work: changes.with_extension("work"),
        };
        for directory in [&upper.changes, &upper.work] {
            fs::create_dir(directory).map_err(Error::io("create directory", directory))?;
        }
        let target = scratch_work.directory("root")?;
        {
            let view_point = scratch_work.directory("view")?;
            let view = self.stack.mount(&view_point, self.cache.root(), None, None)?;
            let stand_ins = session::stand_ins(
                &scratch_work,
                view.path(),
                awk(view.path()),
                packages
                    .iter()
                    .any(|package| package.control.name == "openssh-server"),
            )?;
            adopt_root(view.path(), &upper.changes)?;
            drop(view);
            let view = self
                .stack
                .mount(&target, self.cache.root(), Some(&stand_ins), Some(&upper))?;
            let mut sandbox = session::sandbox(view.path(), self.epoch);
            for package in controls {
                sandbox = sandbox.bind(
                    &package.control_files,
                    format!("{CONTROL}/{}", package.control.name),
                    Access::ReadOnly,
                );
            }
            let answers = scratch_work.directory("preseed")?;
            for (index, preseed) in self.stage_preseeds(packages).iter().enumerate() {
                let path = answers.join(index.to_string());
                fs::write(&path, &preseed.selections).map_err(Error::io("write", path))?;
            }
            sandbox = sandbox.bind(&answers, "/run/bedstone/preseed", Access::ReadOnly);
            session::run(
                &sandbox,
                "configuring packages",
                "/bin/sh",
                &["-e", "-s"],
                script.as_bytes(),
                self.interrupt,
            )?;
        }
        super::cache::remove(&upper.work)?;
        normalise(changes, self.epoch)
    }
}

/// A stack whose view is wanted, `None` when it is empty.
struct Below(Stack);

impl Below {
    fn view(
        &self,
        scratch: &Scratch,
        cache: &CacheDirs,
    ) -> Result<Option<bedstone_sys::mount::Mounted>> {
        if self.0.layers().is_empty() {
            return Ok(None);
        }
        let target = scratch.directory("below")?;
        Ok(Some(self.0.mount(&target, cache.root(), None, None)?))
    }
}

/// Until mawk's or gawk's postinst has run there is no awk, but base-files' postinst may come first.
fn awk(view: &Path) -> Option<&'static str> {
    if look(&view.join("usr/bin/awk")).ok()?.is_some() {
        return None;
    }
    ["mawk", "gawk", "original-awk"]
        .into_iter()
        .find(|name| view.join("usr/bin").join(name).exists())
}

/// An upper directory's own attributes are those of the root directory in the overlay.
fn adopt_root(view: &Path, upper: &Path) -> Result<()> {
    let metadata = fs::metadata(view).map_err(Error::io("inspect", view))?;
    fs::set_permissions(upper, metadata.permissions())
        .map_err(Error::io("set attributes of", upper))
}

/// The shell commands that run the packages' preinst scripts as dpkg does: from `tmp.ci`, which debconf looks for.
fn preinst_script(packages: &[&Unpacked]) -> String {
    // base-passwd's preinst makes /etc/passwd, which all others may need.
    let mut sorted: Vec<&&Unpacked> = packages.iter().collect();
    sorted.sort_by_key(|package| package.control.name != "base-passwd");
    let mut script = String::from("cd /\nci=/var/lib/dpkg/tmp.ci\n");
    for package in sorted {
        let control = &package.control;
        script.push_str(&format!(
            "rm -rf $ci; cp -r {CONTROL}/{name} $ci\n\
             DPKG_MAINTSCRIPT_NAME=preinst DPKG_MAINTSCRIPT_PACKAGE={name} DPKG_MAINTSCRIPT_ARCH={architecture} \
             DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1 DPKG_MAINTSCRIPT_DEBUG=0 DPKG_ADMINDIR=/var/lib/dpkg DPKG_ROOT= \
             $ci/preinst install || {{ echo \"preinst of {name} failed\" >&2; exit 1; }}\n",
            name = control.name,
            architecture = control.architecture,
        ));
    }
    script.push_str("rm -rf $ci\n");
    script
}

/// Takes what is different every time out of a layer of changes: volatile files, times after `epoch`.
///
/// A file is removed only where it is new: hiding one of a lower layer would need another kind of entry, and no lower
/// layer has any, because they went through the same.
fn normalise(layer: &Path, epoch: i64) -> Result<()> {
    walk(layer, &mut |path, metadata| {
        let full = layer.join(path);
        if is_whiteout(metadata) {
            return set_times(&full, epoch);
        }
        let kind = metadata.file_type();
        if VOLATILE.iter().any(|pattern| matches(pattern, path)) || kind.is_socket() || kind.is_fifo() {
            return if metadata.is_dir() {
                fs::remove_dir(&full).map_err(Error::io("remove", full))
            } else {
                fs::remove_file(&full).map_err(Error::io("remove", full))
            };
        }
        if metadata.is_dir() || metadata.mtime() >= epoch {
            set_times(&full, epoch)?;
        } else if metadata.mtime_nsec() != 0 {
            set_times(&full, metadata.mtime())?;
        }
        Ok(())
    })?;
    set_times(layer, epoch)
}

/// Whether a path fits a pattern with at most one `*` in its last component, or a `[0-9]` at its end.
fn matches(pattern: &str, path: &str) -> bool {
    let (directory, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let (path_directory, path_name) = path.rsplit_once('/').unwrap_or(("", path));
    if directory != path_directory {
        return false;
    }
    let digit = name.strip_suffix("[0-9]");
    let (name, path_name) = match digit {
        Some(rest) if path_name.ends_with(|last: char| last.is_ascii_digit()) => {
            (rest, &path_name[..path_name.len() - 1])
        }
        Some(_) => return false,
        None => (name, path_name),
    };
    match name.split_once('*') {
        Some((prefix, suffix)) => {
            path_name.len() >= prefix.len() + suffix.len()
                && path_name.starts_with(prefix)
                && path_name.ends_with(suffix)
        }
        None => name == path_name,
    }
}

/// How long something took, for the report.
pub(super) fn since(begun: Instant) -> Duration {
    begun.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("etc/*-", "etc/passwd-"));
        assert!(!matches("etc/*-", "etc/x/passwd-"));
        assert!(matches("var/lib/ucf/*.[0-9]", "var/lib/ucf/hashfile.7"));
        assert!(!matches("var/lib/ucf/*.[0-9]", "var/lib/ucf/hashfile"));
        assert!(matches("etc/.pwd.lock", "etc/.pwd.lock"));
    }
}
