//! A kernel built from source by the locked compiler, without network, at a fixed path.
//!
//! Configuration, compilation and the modules of one image are entries of the cache of their own: a comment in a fragment
//! compiles nothing anew, nor does another key or choice of modules.

mod bench;
mod configuration;
mod modules;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use bedstone_disk::authenticode::certificate_pem;
use bedstone_event::Reporter;
use bedstone_store::{Digest, Hasher};

use crate::customise::{HostInputs, Inputs};
use crate::error::{Error, Result};
use crate::kernel::{Config, Setting};
use crate::manifest::KernelSource;
use crate::rootfs::Package;
use crate::rootfs::cache::{CacheDirs, TOOLS};

use bench::{Bench, INSTALLED, SOURCE};
use configuration::Request;

pub use modules::{Arrangement, ModuleTree, arrange};

/// Changes whenever a kernel built from the same inputs would differ.
const FORMAT: &str = "kernel 2";
/// Changes whenever a configuration made from the same inputs would differ.
const CONFIGURATION_FORMAT: &str = "kernel configuration 1";
/// Version control's own files in a source tree: not compiled, and changed by looking at them.
const VERSION_CONTROL: &str = ".git";

/// Packages that a kernel build needs beside what they depend on. Essential packages are named because nothing depends
/// on them.
pub const PACKAGES: [&str; 25] = [
    "bash",
    "bc",
    "binutils",
    "bison",
    "bzip2",
    "coreutils",
    "cpio",
    "dash",
    "diffutils",
    "findutils",
    "flex",
    "gcc",
    "grep",
    "gzip",
    "hostname",
    "kmod",
    "libelf-dev",
    "libssl-dev",
    "make",
    "mawk",
    "perl-base",
    "sed",
    "tar",
    "xz-utils",
    "zstd",
];

/// A kernel to build.
#[derive(Debug, Clone, Copy)]
pub struct KernelBuild<'a> {
    /// What the manifest says.
    pub source: &'a KernelSource,
    /// The lock's tools, the source's package among them.
    pub packages: &'a [Package],
    /// The certificate (DER) that the kernel trusts for its modules. One without loadable modules does not depend on it.
    pub certificate: &'a [u8],
    /// Processes at a time; the bytes do not depend on it.
    pub jobs: usize,
    /// Where events go.
    pub reporter: &'a Reporter,
}

/// A built kernel: paths in the cache.
#[derive(Debug)]
pub struct BuiltKernel {
    /// As `uname -r` says it.
    pub release: String,
    /// The kernel image.
    pub image: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
    /// `lib/modules/RELEASE`: the modules, unsigned, and the lists of what is built in.
    pub modules: PathBuf,
    /// Stands for all inputs.
    pub digest: Digest,
    /// Whether it was there already.
    pub cached: bool,
}

/// Builds the kernel, or takes it from the cache. `accept` judges the complete configuration before anything is compiled.
///
/// What signs loadable modules would be a key made at random, if the kernel's own build did it, and no two builds were
/// alike. So it only gets a certificate, and [`arrange`] signs.
pub fn kernel<'a>(
    build: &KernelBuild<'a>,
    accept: &dyn Fn(&str) -> Result<()>,
    cache: &CacheDirs,
    interrupt: &'a AtomicBool,
) -> Result<BuiltKernel> {
    let request = Request::read(build.source)?;
    let sources = Sources::of(build)?;
    let mut bench = None;
    let config = configure(build, &request, &sources, &mut bench, cache, interrupt)?;
    accept(&config)?;
    let mut key = cache.key(FORMAT);
    key.add(sources.all.as_bytes()).add(&config);
    if is_modular(&config)? {
        key.add("certificate").add(build.certificate);
    }
    let key = key.key();
    let digest = Digest::of(key.to_string().as_bytes());
    if let Some(path) = cache.find(TOOLS, &key)? {
        return built(&path, digest, true);
    }
    let _lock = cache.lock(&key)?;
    if let Some(path) = cache.find(TOOLS, &key)? {
        return built(&path, digest, true);
    }
    let bench = match bench {
        Some(bench) => bench,
        None => Bench::open(build, &sources.source, cache, interrupt)?,
    };
    bench.write(".config", config.as_bytes())?;
    bench.write(
        configuration::CERTIFICATE,
        certificate_pem(build.certificate)?.as_bytes(),
    )?;
    let modular = is_modular(&config)?;
    let targets = if modular {
        "bzImage modules"
    } else {
        "bzImage"
    };
    bench.step(
        "compiling the kernel",
        &format!(
            "make -s -C {SOURCE} -j{} {targets}\nmake -s -C {SOURCE} kernelrelease >{SOURCE}/release",
            build.jobs
        ),
    )?;
    if modular {
        // Debug information out, before there is a signature; `depmod` comes after it.
        bench.step(
            "installing the kernel's modules",
            &format!(
                "make -s -C {SOURCE} -j{} modules_install INSTALL_MOD_PATH={INSTALLED} INSTALL_MOD_STRIP=1 DEPMOD=true",
                build.jobs
            ),
        )?;
    }
    let begun = cache.begin(TOOLS, &key)?;
    keep(&bench, modular, &begun)?;
    built(&cache.publish(TOOLS, &key)?, digest, false)
}

/// Stand for the source, and for it with the programs that compile it.
struct Sources {
    source: Digest,
    all: Digest,
}

impl Sources {
    fn of(build: &KernelBuild<'_>) -> Result<Self> {
        let source = match (&build.source.package, &build.source.tree) {
            (Some(name), _) => {
                let mut packages = build.packages.iter();
                let package = packages.find(|package| package.name == **name);
                package.map(|package| package.digest).ok_or_else(|| {
                    Error::NoKernel(format!("the lock has no package `{}`", &**name))
                })?
            }
            (None, Some(tree)) => digest(tree.path())?,
            (None, None) => {
                return Err(Error::NoKernel("the manifest names no source".to_owned()));
            }
        };
        let mut hasher = Hasher::new();
        for package in bench::packages(build.packages) {
            hasher.update(package.digest.as_bytes());
        }
        // A source that is a package is one of them.
        let which = match &build.source.package {
            Some(package) => package.as_bytes(),
            None => source.as_bytes(),
        };
        hasher.update(&(which.len() as u64).to_le_bytes());
        hasher.update(which);
        Ok(Self {
            source,
            all: hasher.finish(),
        })
    }
}

/// The digest of a source tree without version control's files.
fn digest(tree: &Path) -> Result<Digest> {
    let mut entries = fs::read_dir(tree)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .map_err(Error::io("list", tree))?;
    entries.retain(|entry| entry.file_name() != VERSION_CONTROL);
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut hasher = Hasher::new();
    let mut add = |text: &[u8]| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text);
    };
    for entry in entries {
        let path = entry.path();
        add(entry.file_name().as_encoded_bytes());
        // A link that leads nowhere is content too.
        if let Ok(target) = fs::read_link(&path) {
            add(target.as_os_str().as_encoded_bytes());
        } else {
            let digest = HostInputs.digest(&path).map_err(Error::io("read", &path))?;
            add(digest.as_bytes());
        }
    }
    Ok(hasher.finish())
}

/// The complete configuration as a file. `bench` is set where the source had to be unpacked for it.
fn configure<'a>(
    build: &KernelBuild<'a>,
    request: &Request,
    sources: &Sources,
    bench: &mut Option<Bench<'a>>,
    cache: &CacheDirs,
    interrupt: &'a AtomicBool,
) -> Result<String> {
    let mut key = cache.key(CONFIGURATION_FORMAT);
    key.add(sources.all.as_bytes());
    request.add_to(&mut key);
    let key = key.key();
    let read = |entry: PathBuf| {
        let path = entry.join("config");
        fs::read_to_string(&path).map_err(Error::io("read", path))
    };
    if let Some(entry) = cache.find(TOOLS, &key)? {
        return read(entry);
    }
    let _lock = cache.lock(&key)?;
    if let Some(entry) = cache.find(TOOLS, &key)? {
        return read(entry);
    }
    let bench = bench.insert(Bench::open(build, &sources.source, cache, interrupt)?);
    let config = request.complete(bench)?;
    let begun = cache.begin(TOOLS, &key)?;
    let path = begun.join("config");
    fs::write(&path, &config).map_err(Error::io("write", path))?;
    cache.publish(TOOLS, &key)?;
    Ok(config)
}

fn is_modular(config: &str) -> Result<bool> {
    let config = Config::parse(config).map_err(|error| Error::NoKernel(error.to_string()))?;
    Ok(config.get("CONFIG_MODULES") == Some(&Setting::Yes))
}

/// Takes what is needed of the built source.
fn keep(bench: &Bench<'_>, modular: bool, entry: &Path) -> Result<()> {
    let copy = |from: &str, to: &Path| {
        fs::copy(bench.source().join(from), to)
            .map(drop)
            .map_err(Error::io("copy to", to))
    };
    copy("arch/x86/boot/bzImage", &entry.join("image"))?;
    copy(".config", &entry.join("config"))?;
    copy("release", &entry.join("release"))?;
    let modules = entry.join("modules").join(release(entry)?);
    if modular {
        fs::create_dir(entry.join("modules"))
            .map_err(Error::io("create directory", entry.join("modules")))?;
        let installed = bench.installed().join("lib/modules").join(release(entry)?);
        fs::rename(&installed, &modules).map_err(Error::io("rename", installed))?;
        for link in ["build", "source"] {
            let path = modules.join(link);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", path)(error));
                }
                _ => {}
            }
        }
    } else {
        fs::create_dir_all(&modules).map_err(Error::io("create directory", &modules))?;
        for list in ["modules.builtin", "modules.builtin.modinfo"] {
            copy(list, &modules.join(list))?;
        }
    }
    Ok(())
}

fn release(entry: &Path) -> Result<String> {
    let path = entry.join("release");
    let text = fs::read_to_string(&path).map_err(Error::io("read", path))?;
    Ok(text.trim().to_owned())
}

fn built(entry: &Path, digest: Digest, cached: bool) -> Result<BuiltKernel> {
    let release = release(entry)?;
    Ok(BuiltKernel {
        image: entry.join("image"),
        config: entry.join("config"),
        modules: entry.join("modules").join(&release),
        release,
        digest,
        cached,
    })
}
