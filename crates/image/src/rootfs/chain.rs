//! The chain of stages: each is layers over those before it, kept under a key of all that went into them.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use bedstone_event::Reporter;

use super::cache::{CacheDirs, Key, STAGES};
use super::change::Preseed;
use super::configure::Session;
use super::layer::look;
use super::link::{self, FILES};
use super::placement::{LeftOut, Placement, Placer, parse_diversions};
use super::session::Stack;
use super::unpacked::{Kind, Unpacked};
use super::{Keep, Step, database};
use crate::error::Result;

/// Changes whenever the way a stage is made does.
const FORMAT: &str = "stage 2";
/// Changes made by preinst scripts before the files are there.
const PREPARED: &str = "prepared";
/// Changes made by `dpkg --configure`.
const CONFIGURED: &str = "configured";

/// A chain under construction.
pub(super) struct Chain<'a> {
    cache: &'a CacheDirs,
    architecture: &'a str,
    keep: Keep<'a>,
    preseeds: &'a [Preseed],
    interrupt: &'a AtomicBool,
    stack: Stack,
    key: Option<Key>,
    placer: Option<Placer>,
    epoch: i64,
    left_out: Vec<LeftOut>,
    steps: Vec<Step>,
}

/// A finished chain.
#[derive(Debug)]
pub(super) struct Links {
    /// All layers.
    pub(super) stack: Stack,
    /// Key of the last stage, which stands for all of them.
    pub(super) key: Key,
    /// Files that the filter left out, sorted.
    pub(super) left_out: Vec<LeftOut>,
    /// How long each stage took.
    pub(super) steps: Vec<Step>,
}

impl<'a> Chain<'a> {
    pub(super) fn new(
        cache: &'a CacheDirs,
        architecture: &'a str,
        keep: Keep<'a>,
        preseeds: &'a [Preseed],
        interrupt: &'a AtomicBool,
    ) -> Self {
        Self {
            cache,
            architecture,
            keep,
            preseeds,
            interrupt,
            stack: Stack::default(),
            key: None,
            placer: None,
            epoch: 0,
            left_out: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// Adds a stage, from the cache where it is there.
    pub(super) fn stage(&mut self, packages: &[&Unpacked], reporter: &Reporter) -> Result<()> {
        let begun = Instant::now();
        let name = format!("stage {}", self.steps.len());
        let count = packages.len();
        let span = reporter.start("configure", format!("configuring {name}, {count} packages"));
        self.epoch = packages
            .iter()
            .map(|package| package.newest)
            .fold(self.epoch, i64::max);
        let merged = link::merged_links(packages);
        if self.placer.is_none() {
            self.placer = Some(Placer::new(&merged));
        }
        let key = self.stage_key(packages);
        let mut found = self.cache.find(STAGES, &key)?;
        if found.is_none() {
            let _lock = self.cache.lock(&key)?;
            // Somebody else may have made it while this process waited.
            found = self.cache.find(STAGES, &key)?;
            if found.is_none() {
                let entry = self.cache.begin(STAGES, &key)?;
                self.make(packages, &merged, &entry)?;
                self.cache.publish(STAGES, &key)?;
            }
        }
        let cached = found.is_some();
        if let Some(entry) = found {
            self.recall(packages, &entry)?;
        }
        let entry = self.cache.path(STAGES, &key);
        for part in [PREPARED, FILES, CONFIGURED] {
            let layer = entry.join(part);
            if look(&layer)?.is_some() {
                self.stack.push(layer);
            }
        }
        self.key = Some(key);
        self.steps.push(Step {
            name: name.clone(),
            packages: packages
                .iter()
                .map(|package| package.control.name.clone())
                .collect(),
            cached,
            elapsed: begun.elapsed(),
        });
        if cached {
            span.cached(name);
        } else {
            span.finish(format!("{name}: {count} packages configured"));
        }
        Ok(())
    }

    /// Ends the chain. A chain without stages has the key of nothing.
    pub(super) fn finish(self) -> Links {
        let mut left_out = self.left_out;
        left_out.sort_unstable();
        Links {
            key: self.key.unwrap_or_else(|| self.cache.key(FORMAT).key()),
            stack: self.stack,
            left_out,
            steps: self.steps,
        }
    }

    /// The inputs of a stage: all that came before, its packages, the files left out, the answers for debconf.
    fn stage_key(&self, packages: &[&Unpacked]) -> Key {
        let mut key = self.cache.key(FORMAT);
        key.add(self.architecture);
        key.add(self.key.map_or_else(String::new, |key| key.to_string()));
        for package in packages {
            let name = &package.control.name;
            key.add("package").add(name).add(package.digest.as_bytes());
            for entry in &package.entries {
                if entry.kind != Kind::Directory && !(self.keep)(name, &entry.path) {
                    key.add("without").add(&entry.path);
                }
            }
        }
        for preseed in self.preseeds_for(packages) {
            key.add("preseed")
                .add(&preseed.package)
                .add(&preseed.selections);
        }
        key.key()
    }

    fn preseeds_for(&self, packages: &[&Unpacked]) -> Vec<&'a Preseed> {
        let concerned = |preseed: &&Preseed| {
            packages
                .iter()
                .any(|package| package.control.name == preseed.package)
        };
        self.preseeds.iter().filter(concerned).collect()
    }

    /// Learns from a stage in the cache what later stages need to know.
    fn recall(&mut self, packages: &[&Unpacked], entry: &Path) -> Result<()> {
        let below = self.below(&entry.join(PREPARED))?;
        self.with_view(&below, |chain, view| chain.place(packages, view).map(drop))
    }

    /// Makes the layers of a stage in the directory `entry`.
    fn make(
        &mut self,
        packages: &[&Unpacked],
        merged: &[(&'static str, String)],
        entry: &Path,
    ) -> Result<()> {
        let first = self.key.is_none();
        let mut preinst: Vec<&Unpacked> = packages
            .iter()
            .copied()
            .filter(|package| package.has_control("preinst"))
            .collect();
        // The one of base-passwd makes /etc/passwd, which others may need.
        preinst.sort_by_key(|package| package.control.name != "base-passwd");
        let session = Session {
            packages,
            preinst: &preinst,
            preseeds: &[],
            configure: false,
            epoch: self.epoch,
        };
        // Before the files, because a preinst may divert those of other packages. In the first stage there is nothing
        // yet that could run a script: there they run right before dpkg.
        let prepared = entry.join(PREPARED);
        if !first && !preinst.is_empty() {
            session.run(&self.stack, &prepared, self.cache, self.interrupt)?;
        }
        let mut below = self.below(&prepared)?;
        let files = entry.join(FILES);
        self.with_view(&below, |chain, view| {
            let placement = chain.place(packages, view)?;
            link::write(
                &files,
                view,
                merged,
                chain.architecture,
                packages,
                &placement,
            )
        })?;
        below.push(files);
        Session {
            preinst: if first { &preinst } else { &[] },
            preseeds: &self.preseeds_for(packages),
            configure: true,
            ..session
        }
        .run(&below, &entry.join(CONFIGURED), self.cache, self.interrupt)
    }

    /// The layers below a stage's files.
    fn below(&self, prepared: &Path) -> Result<Stack> {
        let mut stack = self.stack.clone();
        if look(prepared)?.is_some() {
            stack.push(PathBuf::from(prepared));
        }
        Ok(stack)
    }

    /// Calls `work` with a read-only view of a stack, `None` for an empty one.
    fn with_view(
        &mut self,
        stack: &Stack,
        work: impl FnOnce(&mut Self, Option<&Path>) -> Result<()>,
    ) -> Result<()> {
        if stack.is_empty() {
            return work(self, None);
        }
        let scratch = self.cache.scratch()?;
        let target = scratch.directory("view")?;
        let view = stack.mount(&target, self.cache.root(), None, None)?;
        work(self, Some(view.path()))
    }

    fn place(&mut self, packages: &[&Unpacked], below: Option<&Path>) -> Result<Placement> {
        let diversions = match below {
            Some(below) => database::read_if_any(below, database::DIVERSIONS)?,
            None => String::new(),
        };
        let read_link = |path: &str| -> Option<String> {
            let target = std::fs::read_link(below?.join(path)).ok()?;
            target.into_os_string().into_string().ok()
        };
        let placer = self.placer.get_or_insert_default();
        let placement = placer.place(
            packages,
            &parse_diversions(&diversions),
            self.keep,
            &read_link,
        )?;
        self.left_out.extend(placement.left_out.iter().cloned());
        Ok(placement)
    }
}
