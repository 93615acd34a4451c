//! The root file system: configured tree, customised, sealed, written, and protected by its hash tree.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bedstone_deb::lock::Locked;
use bedstone_disk::guid::Guid;
use bedstone_disk::sparse;
use bedstone_disk::verity::{self, Formatted};
use bedstone_store::atomic::AtomicFile;
use bedstone_store::{Digest, Hasher, atomic};

use super::kernel::Kernel;
use super::steps::{Steps, Told};
use super::{Build, Error, Result, epoch, packages, update};
use crate::manifest::{FileSystem, Manifest};
use crate::rootfs::cache::CacheDirs;
use crate::rootfs::change::Change;
use crate::rootfs::tools::{self, FileSystemImage};
use crate::rootfs::{self, Configured, Customisation, Ids, Package, Rootfs, Selection, View};

/// Changes whenever a file system written from the same tree would differ.
const FORMAT: &str = "root image 1";

/// A root file system with its hash tree, in the output directory as `root.img`.
#[derive(Debug)]
pub(super) struct RootImage {
    pub(super) file_system: &'static str,
    pub(super) verity: Formatted,
    /// Numbers of all users and groups in it.
    pub(super) users: BTreeMap<String, u32>,
    pub(super) groups: BTreeMap<String, u32>,
    /// dpkg's record of what is installed.
    pub(super) dpkg_status: Vec<u8>,
    /// The text that names the product.
    pub(super) os_release: String,
}

/// Whether the kernel decides if a file goes into the root file system.
fn is_of_kernel(path: &str) -> bool {
    let path = path.strip_prefix("usr/").unwrap_or(path);
    ["boot/", "lib/modules/", "lib/firmware/"]
        .iter()
        .any(|directory| path.starts_with(directory))
}

/// Unpacks and configures the packages. `kernel` is waited for when the first file comes up that it decides about; when it
/// could not be prepared, the outcome is of no use.
pub(super) fn configure(
    build: &Build<'_>,
    manifest: &Manifest,
    packages_of_image: &[Package],
    kernel: &OnceLock<Result<Kernel>>,
    cache: &CacheDirs,
    steps: &mut Steps<'_>,
) -> Result<Configured> {
    let firmware: Vec<String> = build
        .product
        .plan
        .kernel
        .firmware
        .iter()
        .map(ToString::to_string)
        .collect();
    let keep = |package: &str, path: &str| {
        !is_of_kernel(path)
            || kernel
                .wait()
                .as_ref()
                .map_or(true, |kernel| kernel.keeps(package, path, &firmware))
    };
    let configured = rootfs::configure(
        &Selection {
            packages: packages_of_image,
            architecture: manifest.debian.architecture.name(),
            keep: &keep,
            preseeds: &[],
        },
        build.jobs,
        cache,
        build.reporter,
        build.interrupt,
    )?;
    for step in configured.steps() {
        steps.add(&step.name, step.elapsed.as_secs_f64(), step.cached);
    }
    Ok(configured)
}

/// The finished tree.
#[derive(Debug)]
pub(super) struct Tree {
    rootfs: Rootfs,
    pub(super) view: View,
}

impl Tree {
    /// Lets dpkg hold the tree against its database.
    pub(super) fn check(
        &self,
        build: &Build<'_>,
        cache: &CacheDirs,
        steps: &mut Steps<'_>,
    ) -> Result<()> {
        steps.run("check", "Letting dpkg verify the root file system", |_| {
            let changed = self.rootfs.check(cache, build.interrupt)?;
            let told = match changed.len() {
                0 => "dpkg agrees with the root file system".to_owned(),
                count => format!(
                    "dpkg agrees with the root file system but for files that the manifest changes: {count}"
                ),
            };
            Ok(((), Told::done(told)))
        })
    }
}

/// Makes the configured tree the product's.
pub(super) fn finish(
    build: &Build<'_>,
    manifest: &Manifest,
    configured: &Configured,
    kernel: &Kernel,
    cache: &CacheDirs,
    steps: &mut Steps<'_>,
) -> Result<Tree> {
    let pinned = Ids {
        users: build.lock.users.clone(),
        groups: build.lock.groups.clone(),
    };
    let begun = std::time::Instant::now();
    // Before the manifest's own changes: its scripts find the modules.
    let changes: Vec<Change> = kernel
        .change
        .iter()
        .cloned()
        .chain(update::changes(build, manifest))
        .chain(build.product.plan.changes.iter().cloned())
        .collect();
    let rootfs = configured.finish(
        &Customisation {
            ids: &pinned,
            changes: &changes,
            epoch: epoch(build.lock),
        },
        cache,
        build.reporter,
        build.interrupt,
    )?;
    steps.add("customise", begun.elapsed().as_secs_f64(), rootfs.cached());
    let view = rootfs.view(cache)?;
    Ok(Tree { rootfs, view })
}

/// Writes the tree as a file system with its hash tree.
pub(super) fn image(
    build: &Build<'_>,
    manifest: &Manifest,
    tree: &Tree,
    cache: &CacheDirs,
    steps: &mut Steps<'_>,
) -> Result<RootImage> {
    let verity = write(build, manifest, &tree.rootfs, &tree.view, cache, steps)?;
    let os_release = tree.view.read("/etc/os-release")?;
    Ok(RootImage {
        file_system: name(manifest.root.file_system),
        verity,
        users: tree.rootfs.ids().users.clone(),
        groups: tree.rootfs.ids().groups.clone(),
        dpkg_status: tree.view.read("/var/lib/dpkg/status")?,
        os_release: String::from_utf8_lossy(&os_release).into_owned(),
    })
}

/// The name by which kernel and `/init` know it.
fn name(kind: FileSystem) -> &'static str {
    match kind {
        FileSystem::Erofs => "erofs",
        FileSystem::Squashfs => "squashfs",
        FileSystem::Ext4 => "ext4",
    }
}

/// Writes file system and hash tree into the output directory, from the cache where they are there.
fn write(
    build: &Build<'_>,
    manifest: &Manifest,
    rootfs: &Rootfs,
    view: &View,
    cache: &CacheDirs,
    steps: &mut Steps<'_>,
) -> Result<Formatted> {
    let directory = cache.root().join("images");
    fs::create_dir_all(&directory).map_err(Error::io("create directory", &directory))?;
    let kept = directory.join(key(build, manifest, rootfs).to_string());
    let target = build.output.join("root.img");
    let kind = manifest.root.file_system;
    let (made, digest) = steps.run("write-root", &format!("Writing {}", name(kind)), |_| {
        let known = remembered(&kept)?;
        let cached = known.is_some();
        let digest = if let Some(digest) = known {
            digest
        } else {
            write_file_system(build, manifest, view.path(), cache, &kept)?;
            remember(&kept)?
        };
        let mut copy = AtomicFile::create(&target)?;
        let size = fs::metadata(&kept)
            .map_err(Error::io("inspect", &kept))?
            .len();
        let resized = copy.file().set_len(size);
        resized.map_err(Error::io("resize", &target))?;
        sparse::copy(&kept, copy.file(), 0).map_err(|source| Error::Output {
            path: target.clone(),
            source,
        })?;
        let told = format!("{} of {:.0} MB", name(kind), size as f64 / 1e6);
        Ok((
            (copy, digest),
            if cached {
                Told::cached(told)
            } else {
                Told::done(told)
            },
        ))
    })?;
    steps.run("verity", "Hashing the root file system", |_| {
        // Unpredictable for whoever has not seen the image, and the same for whoever has the same one.
        let salt = Digest::of(format!("verity salt {digest}").as_bytes());
        let uuid = Guid::derive(&digest, "verity");
        let formatted = verity::append(made.path(), salt.as_bytes(), uuid)?;
        let limit = manifest.partitions.root.bytes();
        let whole = formatted.hash_offset() + formatted.bytes.len() as u64;
        if whole > limit {
            return Err(Error::RootTooLarge { size: whole, limit });
        }
        made.commit()?;
        let told = format!(
            "Verity root hash {} over {:.0} MB",
            formatted.root,
            formatted.hash_offset() as f64 / 1e6
        );
        Ok((formatted, Told::done(told)))
    })
}

/// The digest of a file system that was written before; none where there is none, or not as it was written.
fn remembered(kept: &Path) -> Result<Option<Digest>> {
    let Ok(text) = fs::read_to_string(digest_file(kept)) else {
        return Ok(None);
    };
    if !kept.is_file() {
        return Ok(None);
    }
    let (digest, _) = sparse::digest(kept)?;
    Ok((text.trim() == digest.to_string()).then_some(digest))
}

/// Puts its digest beside a written file system. It counts from then on, so that what a power cut left of it does not.
fn remember(kept: &Path) -> Result<Digest> {
    let (digest, _) = sparse::digest(kept)?;
    atomic::write(digest_file(kept), format!("{digest}\n").as_bytes())?;
    Ok(digest)
}

fn digest_file(kept: &Path) -> PathBuf {
    kept.with_extension("sha256")
}

fn write_file_system(
    build: &Build<'_>,
    manifest: &Manifest,
    tree: &Path,
    cache: &CacheDirs,
    target: &Path,
) -> Result<()> {
    let tools = tools::tools(&packages(build, &build.lock.tools), cache, build.interrupt)?;
    let image = FileSystemImage {
        kind: manifest.root.file_system,
        compression: manifest.root.effective_compression(),
        uuid: Guid::derive(&identity(build.lock.packages.iter()), "root file system"),
        epoch: epoch(build.lock),
        jobs: build.jobs.get(),
        tree,
        output: target,
    };
    tools::write(&image, &tools, cache, build.interrupt)
}

/// Stands for the packages: the file system's own identifier must not depend on where or by whom it is built.
fn identity<'l>(locked: impl Iterator<Item = &'l Locked>) -> Digest {
    let mut hasher = Hasher::new();
    for package in locked {
        hasher.update(package.sha256.as_bytes());
    }
    hasher.finish()
}

fn key(build: &Build<'_>, manifest: &Manifest, rootfs: &Rootfs) -> Digest {
    let text = format!(
        "{FORMAT}\n{}\n{:?}\n{:?}\n{}\n{}\n{}",
        rootfs.key(),
        manifest.root.file_system,
        manifest.root.effective_compression(),
        identity(build.lock.tools.iter()),
        identity(build.lock.packages.iter()),
        build.lock.epoch
    );
    Digest::of(text.as_bytes())
}
