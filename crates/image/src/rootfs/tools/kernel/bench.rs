//! Where a kernel is compiled: its source in a scratch directory, the locked compiler in a sandbox.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bedstone_event::Reporter;
use bedstone_store::Digest;
use bedstone_sys::mount::{self, Mounted, Upper};
use bedstone_sys::namespace::{Access, Sandbox};

use super::super::{tools, writer};
use super::{KernelBuild, VERSION_CONTROL};
use crate::error::{Error, Result};
use crate::manifest::FileSystem;
use crate::rootfs::Package;
use crate::rootfs::cache::{CacheDirs, Scratch, TOOLS};
use crate::rootfs::session;
use crate::rootfs::unpacked;

/// Changes whenever the form of an unpacked source does.
const FORMAT: &str = "kernel source 1";
/// Where the compiler sees the source, where it puts modules, and a source tree of the manifest.
pub(super) const SOURCE: &str = "/run/bedstone/source";
pub(super) const INSTALLED: &str = "/run/bedstone/installed";
const TREE: &str = "/run/bedstone/tree";
/// Programs that alternatives would have linked to.
const LINKS: &str = "/run/bedstone/bin";
/// Before every step: nothing of the machine or the moment gets into the kernel.
const PREPARE: &str = "set -e
export PATH=/run/bedstone/bin:$PATH
export KBUILD_BUILD_USER=bedstone KBUILD_BUILD_HOST=bedstone KBUILD_BUILD_VERSION=1
KBUILD_BUILD_TIMESTAMP=$(date -u -d @$SOURCE_DATE_EPOCH)
export KBUILD_BUILD_TIMESTAMP
";

/// The packages that a kernel depends on: the lock's tools without those that write file systems.
pub(super) fn packages(tools: &[Package]) -> impl Iterator<Item = &Package> {
    let writers = [FileSystem::Erofs, FileSystem::Squashfs, FileSystem::Ext4].map(writer);
    tools
        .iter()
        .filter(move |package| !writers.contains(&package.name.as_str()))
}

/// A source that programs can work on: what they write lies in an overlay, so that the source is unpacked once and
/// stays as it is.
pub(super) struct Bench<'a> {
    // Unmounted before what is below it goes.
    view: Mounted,
    scratch: Option<Scratch>,
    sandbox: Sandbox,
    reporter: &'a Reporter,
    interrupt: &'a AtomicBool,
}

impl<'a> Bench<'a> {
    /// Lays an overlay over the source.
    pub(super) fn open(
        build: &KernelBuild<'a>,
        source: &Digest,
        cache: &CacheDirs,
        interrupt: &'a AtomicBool,
    ) -> Result<Self> {
        let packages: Vec<Package> = packages(build.packages).cloned().collect();
        let root = tools(&packages, cache, interrupt)?;
        let mut newest = 0;
        for package in &packages {
            let (package, _) = unpacked::obtain(package, cache, interrupt)?;
            newest = newest.max(package.newest);
        }
        // The kernel's time is that of its newest input, not the image's: a later lock with the same compiler and source
        // must not compile the same kernel again.
        let sandbox = session::sandbox(&root, newest);
        let unpacked = unpack(build, source, &sandbox, cache, interrupt)?;
        let scratch = cache.scratch()?;
        let target = scratch.directory("source")?;
        let installed = scratch.directory("installed")?;
        let links = scratch.directory("bin")?;
        let awk = links.join("awk");
        symlink("/usr/bin/mawk", &awk).map_err(Error::io("create", awk))?;
        let upper = Upper {
            changes: scratch.directory("changes")?,
            work: scratch.directory("work")?,
        };
        let view = mount::overlay(&target, cache.root(), &[unpacked], Some(&upper))?;
        let sandbox = sandbox
            .bind(&target, SOURCE, Access::Writable)
            .bind(&installed, INSTALLED, Access::Writable)
            .bind(&links, LINKS, Access::ReadOnly);
        Ok(Self {
            view,
            scratch: Some(scratch),
            sandbox,
            reporter: build.reporter,
            interrupt,
        })
    }

    /// The source on this machine.
    pub(super) fn source(&self) -> &Path {
        self.view.path()
    }

    /// What [`INSTALLED`] is on this machine.
    pub(super) fn installed(&self) -> PathBuf {
        self.view.path().with_file_name("installed")
    }

    /// Writes a file of the source.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.source().join(name);
        fs::write(&path, content).map_err(Error::io("write", path))
    }

    /// Reads a file of the source; none when it is not there or no text.
    pub(super) fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.source().join(Path::new(name))).ok()
    }

    /// Runs a script; `what` says what it does.
    pub(super) fn step(&self, what: &str, script: &str) -> Result<()> {
        run(&self.sandbox, what, script, self.reporter, self.interrupt)
    }
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        // Whoever interrupts a build does not want to wait until thousands of object files are removed.
        if self.interrupt.load(Ordering::Relaxed)
            && let Some(scratch) = self.scratch.take()
        {
            scratch.abandon();
        }
    }
}

/// The source as a tree in the cache.
fn unpack(
    build: &KernelBuild<'_>,
    source: &Digest,
    sandbox: &Sandbox,
    cache: &CacheDirs,
    interrupt: &AtomicBool,
) -> Result<PathBuf> {
    let mut key = cache.key(FORMAT);
    key.add(source.as_bytes());
    let key = key.key();
    let tree = |entry: PathBuf| entry.join("tree");
    if let Some(entry) = cache.find(TOOLS, &key)? {
        return Ok(tree(entry));
    }
    let _lock = cache.lock(&key)?;
    if let Some(entry) = cache.find(TOOLS, &key)? {
        return Ok(tree(entry));
    }
    let begun = tree(cache.begin(TOOLS, &key)?);
    fs::create_dir(&begun).map_err(Error::io("create directory", &begun))?;
    let mut sandbox = sandbox.clone().bind(&begun, SOURCE, Access::Writable);
    if let Some(tree) = &build.source.tree {
        sandbox = sandbox.bind(tree.path(), TREE, Access::ReadOnly);
    }
    let script = match &build.source.package {
        Some(package) => format!(
            "tar -x -f /usr/src/{}.tar.xz -C {SOURCE} --strip-components=1 --no-same-owner",
            &**package
        ),
        // What an earlier build left in the tree is none of its source.
        None => format!(
            "tar -c -C {TREE} --exclude=./{VERSION_CONTROL} . | tar -x -C {SOURCE} --no-same-owner\n\
             make -s -C {SOURCE} mrproper"
        ),
    };
    let what = "unpacking the kernel's source";
    run(&sandbox, what, &script, build.reporter, interrupt)?;
    Ok(tree(cache.publish(TOOLS, &key)?))
}

fn run(
    sandbox: &Sandbox,
    what: &str,
    script: &str,
    reporter: &Reporter,
    interrupt: &AtomicBool,
) -> Result<()> {
    let span = reporter.start("kernel-step", what);
    let script = format!("{PREPARE}{script}\n");
    session::run(
        sandbox,
        what,
        "/usr/bin/dash",
        &["-c", &script],
        &[],
        interrupt,
    )?;
    span.finish(what);
    Ok(())
}
