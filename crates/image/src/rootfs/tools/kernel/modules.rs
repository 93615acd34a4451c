//! The modules of one image out of a kernel that was built: chosen, signed, with the lists that `depmod` makes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bedstone_disk::authenticode::Signer;
use bedstone_disk::module_signature;
use bedstone_store::Digest;
use bedstone_sys::namespace::Access;
use rayon::prelude::*;

use super::super::tools;
use super::BuiltKernel;
use super::bench;
use crate::error::{Error, Result};
use crate::modules::{KernelModules, Selection};
use crate::rootfs::Package;
use crate::rootfs::cache::{CacheDirs, TOOLS};
use crate::rootfs::session;

/// Changes whenever a tree made from the same inputs would differ.
const FORMAT: &str = "kernel modules 1";
/// Where `depmod` sees the tree.
const BASE: &str = "/run/bedstone/base";
/// What the kernel's build says of its modules; `depmod` wants all three.
const LISTS: [&str; 3] = [
    "modules.order",
    "modules.builtin",
    "modules.builtin.modinfo",
];

/// What goes into a tree of modules.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "a signer has none")]
pub struct Arrangement<'a> {
    /// The kernel.
    pub kernel: &'a BuiltKernel,
    /// The modules to take; all when none.
    pub selection: Option<&'a Selection>,
    /// Signs each; its certificate is the one that the kernel was built with.
    pub signer: &'a (dyn Signer + Sync),
    /// The lock's tools.
    pub packages: &'a [Package],
}

/// A tree of modules in the cache.
#[derive(Debug)]
pub struct ModuleTree {
    /// The directory `lib/modules/RELEASE`.
    pub path: PathBuf,
    /// Stands for all inputs.
    pub digest: Digest,
}

/// Makes the tree, or takes it from the cache.
pub fn arrange(
    arrangement: &Arrangement<'_>,
    cache: &CacheDirs,
    interrupt: &AtomicBool,
) -> Result<ModuleTree> {
    let kernel = arrangement.kernel;
    let modules = KernelModules::open(&kernel.modules)?;
    let files: Vec<&Path> = modules
        .iter()
        .map(|(_, path)| path)
        .filter(|path| arrangement.selection.is_none_or(|it| it.keeps(path)))
        .collect();
    let mut key = cache.key(FORMAT);
    key.add(kernel.digest.as_bytes())
        .add(arrangement.signer.certificate_der());
    for file in &files {
        key.add(file.as_os_str().as_encoded_bytes());
    }
    let key = key.key();
    let below = Path::new("lib/modules").join(&kernel.release);
    let made = |entry: PathBuf| ModuleTree {
        path: entry.join(&below),
        digest: Digest::of(key.to_string().as_bytes()),
    };
    if let Some(entry) = cache.find(TOOLS, &key)? {
        return Ok(made(entry));
    }
    let _lock = cache.lock(&key)?;
    if let Some(entry) = cache.find(TOOLS, &key)? {
        return Ok(made(entry));
    }
    let begun = cache.begin(TOOLS, &key)?;
    let target = begun.join(&below);
    fs::create_dir_all(&target).map_err(Error::io("create directory", &target))?;
    // depmod looks below `lib` or `usr/lib`, depending on its version.
    let usr = begun.join("usr");
    fs::create_dir(&usr)
        .and_then(|()| symlink("../lib", usr.join("lib")))
        .map_err(Error::io("create below", usr))?;
    for list in LISTS {
        let from = kernel.modules.join(list);
        // A kernel without modules has no order of them.
        let text = match fs::read(&from) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            other => other.map_err(Error::io("read", from))?,
        };
        write(&target.join(list), &text)?;
    }
    files.par_iter().try_for_each(|file| {
        if interrupt.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let signed = module_signature::sign(&modules.read(file)?, arrangement.signer)?;
        let path = target.join(file);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Error::io("create directory", parent))?;
        }
        write(&path, &signed)
    })?;
    let packages: Vec<Package> = bench::packages(arrangement.packages).cloned().collect();
    let root = tools(&packages, cache, interrupt)?;
    let sandbox = session::sandbox(&root, 0).bind(&begun, BASE, Access::Writable);
    session::run(
        &sandbox,
        "listing the kernel's modules",
        "/usr/sbin/depmod",
        &["-b", BASE, &kernel.release],
        &[],
        interrupt,
    )?;
    Ok(made(cache.publish(TOOLS, &key)?))
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content).map_err(Error::io("write", path))
}
