//! From locked packages to a configured, sealed Debian tree, and from that to a file-system image.
//!
//! Everything happens as root of a user namespace ([`bedstone_sys::namespace::enter_user`]), without network.
//!
//! 1. [`configure`] sorts the packages into stages (`stages`). Several threads unpack .debs into a [`cache`] of trees
//!    (`unpacking`, `unpacked`), while the stages that are complete are made one after the other (`chain`): the packages'
//!    preinst scripts, their files linked into a layer (`placement`, `link`, `layer`) with dpkg's `database` beside them,
//!    `dpkg --configure` in a sandbox (`configure`, `session`). What scripts change is the next layer, without what is
//!    different every time (`normalise`). Each stage is kept under a key of all that went into it and the ones below: a
//!    clean build takes the same way and gets the same bits.
//! 2. [`Configured::finish`] makes the last layer: numbers of users and groups pinned (`ids`), the manifest's
//!    [`change`]s applied (`apply`, `accounts`), and what belongs to one device or build removed (`seal`).
//!    [`Rootfs::check`] lets dpkg judge the result.
//! 3. [`tools::write`] makes the image of it with programs from locked packages.

mod accounts;
mod apply;
pub mod cache;
mod chain;
pub mod change;
mod configure;
mod control;
mod database;
mod ids;
mod layer;
mod link;
mod normalise;
mod path;
mod placement;
mod seal;
mod session;
mod stages;
pub mod tools;
mod unpacked;
mod unpacking;

use std::cmp::Reverse;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use std::{fmt, fs, io};

use bedstone_event::{Reporter, Unit};
use bedstone_store::Digest;
use bedstone_sys::mount::Mounted;

use cache::{CacheDirs, Key, Scratch};
use chain::{Chain, Links};
use change::{Change, Preseed};
use seal::Finish;
use session::Stack;
use unpacking::Unpacking;

use crate::error::{Error, Result};

pub use ids::Ids;
pub use placement::LeftOut;

/// Decides whether a package's file goes into the image: package name and path relative to the root.
pub type Keep<'a> = &'a (dyn Fn(&str, &str) -> bool + Sync);

/// A package to install, as the lock names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Architecture: Debian's name, or `all`.
    pub architecture: String,
    /// SHA-256 of the .deb.
    pub digest: Digest,
    /// Where the .deb is.
    pub path: PathBuf,
}

/// A part of the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it was.
    pub name: String,
    /// The packages it concerned.
    pub packages: Vec<String>,
    /// Whether its result was there already.
    pub cached: bool,
    /// How long it took.
    pub elapsed: Duration,
}

/// All that decides about a configured tree.
pub struct Selection<'a> {
    /// What to install; the order has no influence.
    pub packages: &'a [Package],
    /// dpkg's name of the architecture.
    pub architecture: &'a str,
    /// Which files of the packages to keep.
    pub keep: Keep<'a>,
    /// Answers for debconf.
    pub preseeds: &'a [Preseed],
}

impl fmt::Debug for Selection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Selection of {} packages", self.packages.len())
    }
}

/// The tree of one unpacked package, as its archive has it, from the cache where it is there.
pub fn unpack(package: &Package, cache: &CacheDirs, interrupt: &AtomicBool) -> Result<PathBuf> {
    Ok(unpacked::obtain(package, cache, interrupt)?.0.tree)
}

fn sorted(packages: &[Package]) -> Vec<Package> {
    let mut packages = packages.to_vec();
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    packages
}

/// The stages of the packages, and in which order to unpack them: large ones first within a stage, so that no thread is
/// left alone with one at its end.
fn plan(
    packages: &[Package],
    jobs: NonZeroUsize,
    cache: &CacheDirs,
) -> Result<(Vec<Vec<usize>>, Vec<usize>)> {
    let controls = unpacking::controls(packages, cache, jobs)?;
    let references: Vec<_> = controls.iter().map(|(control, _)| control).collect();
    let stages = stages::plan(&references, &|index| controls[index].1);
    let mut order = Vec::with_capacity(packages.len());
    for stage in &stages {
        let mut sized = Vec::with_capacity(stage.len());
        for &index in stage {
            let path = &packages[index].path;
            let metadata = fs::metadata(path).map_err(Error::io("inspect", path))?;
            sized.push((Reverse(metadata.len()), index));
        }
        sized.sort_unstable();
        order.extend(sized.into_iter().map(|(_, index)| index));
    }
    Ok((stages, order))
}

/// Configures the selected packages in a tree: the chain of stages, without customisation.
///
/// The caller is root of a user namespace ([`bedstone_sys::namespace::enter_user`]).
pub fn configure(
    selection: &Selection<'_>,
    jobs: NonZeroUsize,
    cache: &CacheDirs,
    reporter: &Reporter,
    interrupt: &AtomicBool,
) -> Result<Configured> {
    let packages = sorted(selection.packages);
    let (stages, order) = plan(&packages, jobs, cache)?;
    let total = packages.len() as u64;
    let text = format!("unpacking {total} packages");
    let span = reporter.start_counted("unpack", text, Some(total), Unit::Packages);
    let unpacking = Unpacking::new(&packages, cache, interrupt, &span);
    let links = unpacking.during(&order, jobs, |unpacking| {
        let mut chain = Chain::new(
            cache,
            selection.architecture,
            selection.keep,
            selection.preseeds,
            interrupt,
        );
        for stage in &stages {
            let packages = stage
                .iter()
                .map(|&index| unpacking.get(index))
                .collect::<Result<Vec<_>>>()?;
            chain.stage(&packages, reporter)?;
        }
        Ok(chain.finish())
    })?;
    let found = unpacking.found();
    if found == packages.len() {
        span.cached(format!("{found} packages were unpacked already"));
    } else {
        span.finish(format!("{} packages unpacked", packages.len() - found));
    }
    Ok(Configured { links })
}

/// A configured tree that is not customised yet.
#[derive(Debug)]
pub struct Configured {
    links: Links,
}

impl Configured {
    /// How long each stage took.
    pub fn steps(&self) -> &[Step] {
        &self.links.steps
    }

    /// Files that the filter left out, sorted.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.links.left_out
    }

    /// Mounts the tree read-only.
    pub fn view(&self, cache: &CacheDirs) -> Result<View> {
        View::new(&self.links.stack, cache)
    }
}

/// A tree mounted read-only as long as the value lives.
#[derive(Debug)]
pub struct View {
    mounted: Mounted,
    _scratch: Scratch,
}

impl View {
    fn new(stack: &Stack, cache: &CacheDirs) -> Result<Self> {
        let scratch = cache.scratch()?;
        let target = scratch.directory("view")?;
        Ok(Self {
            mounted: stack.mount(&target, cache.root(), None, None)?,
            _scratch: scratch,
        })
    }

    /// The tree's root directory.
    pub fn path(&self) -> &Path {
        self.mounted.path()
    }

    /// Where a file or directory is, if it is there; its links lead where they lead in the image.
    pub fn find(&self, path: &str) -> Result<Option<PathBuf>> {
        path::follow(self.path(), path)
    }

    /// The content of a file, which must be there; its links lead where they lead in the image.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        let full = self.find(path)?.ok_or_else(|| {
            Error::io("read", format!("{path} of the image"))(io::Error::from(
                io::ErrorKind::NotFound,
            ))
        })?;
        fs::read(&full).map_err(Error::io("read", full))
    }
}

/// What makes a configured tree the image's.
#[derive(Debug, Clone, Copy)]
pub struct Customisation<'a> {
    /// Numbers of users and groups from the lock, also of names that are not in this image.
    pub ids: &'a Ids,
    /// The manifest's changes, applied in this order.
    pub changes: &'a [Change],
    /// Time of what is changed, and latest time of anything, seconds since 1970.
    pub epoch: i64,
}

/// A finished tree.
#[derive(Debug)]
pub struct Rootfs {
    stack: Stack,
    key: Key,
    ids: Ids,
    cached: bool,
}

impl Configured {
    /// Pins numbers, applies the manifest's changes and seals the tree.
    pub fn finish(
        &self,
        customisation: &Customisation<'_>,
        cache: &CacheDirs,
        reporter: &Reporter,
        interrupt: &AtomicBool,
    ) -> Result<Rootfs> {
        let changes = customisation.changes.len();
        let span = reporter.start("customise", format!("applying {changes} changes"));
        let finish = Finish {
            links: &self.links,
            pinned: customisation.ids,
            changes: customisation.changes,
            epoch: customisation.epoch,
        };
        let (key, stack, cached) = finish.run(cache, interrupt)?;
        let view = View::new(&stack, cache)?;
        let ids = seal::numbers(view.path())?;
        drop(view);
        if cached {
            span.cached("customised and sealed");
        } else {
            span.finish(format!("{changes} changes applied, tree sealed"));
        }
        Ok(Rootfs {
            stack,
            key,
            ids,
            cached,
        })
    }
}

impl Rootfs {
    /// Stands for all inputs of the tree: equal keys, equal trees.
    pub fn key(&self) -> String {
        self.key.to_string()
    }

    /// Whether the last layer was in the cache.
    pub fn cached(&self) -> bool {
        self.cached
    }

    /// Numbers of users and groups in the tree, to be recorded in the lock beside those that it has.
    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Mounts the tree read-only.
    pub fn view(&self, cache: &CacheDirs) -> Result<View> {
        View::new(&self.stack, cache)
    }

    /// Lets dpkg hold the tree against its database (`--audit`, `--verify`) and returns the packages' files that the
    /// manifest changed or removed. Takes about as long as reading every file; remembered in the cache. It only reads, so
    /// it may run beside the writing of the file system.
    pub fn check(&self, cache: &CacheDirs, interrupt: &AtomicBool) -> Result<Vec<String>> {
        seal::check(&self.stack, &self.key, cache, interrupt)
    }
}
