//! A kernel built from source by the locked compiler, without network, at a fixed path.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use bedstone_store::Digest;
use bedstone_sys::namespace::{Access, Sandbox};

use crate::customise::{HostInputs, Inputs};
use crate::error::{Error, Result};
use crate::kernel::{Config, Fragment, Setting, merge_fragments, unobtained};
use crate::manifest::KernelSource;
use crate::rootfs::Package;
use crate::rootfs::cache::{CacheDirs, TOOLS};
use crate::rootfs::session;

/// Changes whenever a kernel built from the same inputs would differ.
const FORMAT: &str = "kernel 1";
/// Where the compiler sees the source, and a source tree of the manifest.
const SOURCE: &str = "/run/bedstone/source";
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

/// Packages that a kernel build needs beside what they depend on. Essential packages are named because nothing depends
/// on them.
pub const PACKAGES: [&str; 24] = [
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
    /// Time of the build in seconds since 1970.
    pub epoch: i64,
    /// Processes at a time; the bytes do not depend on it.
    pub jobs: usize,
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
    /// `lib/modules/RELEASE`: the lists of what is built in.
    pub modules: PathBuf,
    /// Stands for all inputs.
    pub digest: Digest,
    /// Whether it was there already.
    pub cached: bool,
}

/// A configuration of the manifest with its name in messages.
struct Named {
    name: String,
    text: String,
    config: Config,
}

/// Builds the kernel, or takes it from the cache.
///
/// The kernel has no loadable modules: what would sign them is a key made at random, and no two builds were alike.
pub fn kernel(
    build: &KernelBuild<'_>,
    cache: &CacheDirs,
    interrupt: &AtomicBool,
) -> Result<BuiltKernel> {
    let base = build.source.config.as_ref().map(|path| read(path.path()));
    let base = base.transpose()?;
    let fragments = build
        .source
        .fragments
        .iter()
        .map(|path| read(path.path()))
        .collect::<Result<Vec<_>>>()?;
    let target = build.source.defconfig.as_deref().unwrap_or("defconfig");
    let mut key = cache.key(FORMAT);
    key.add(build.epoch.to_string()).add(target);
    for package in build.packages {
        key.add("package").add(package.digest.as_bytes());
    }
    if let Some(package) = &build.source.package {
        key.add("source").add(package.as_bytes());
    }
    if let Some(tree) = &build.source.tree {
        let digest = HostInputs
            .digest(tree.path())
            .map_err(Error::io("read", tree.path()))?;
        key.add("tree").add(digest.as_bytes());
    }
    if let Some(base) = &base {
        key.add("config").add(&base.text);
    }
    for fragment in &fragments {
        key.add("fragment").add(&fragment.text);
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
    let tools = super::tools(build.packages, cache, interrupt)?;
    let scratch = cache.scratch()?;
    let source = scratch.directory("source")?;
    let links = scratch.directory("bin")?;
    let awk = links.join("awk");
    symlink("/usr/bin/mawk", &awk).map_err(Error::io("create", awk))?;
    let mut sandbox = session::sandbox(&tools, build.epoch)
        .bind(&source, SOURCE, Access::Writable)
        .bind(&links, LINKS, Access::ReadOnly);
    if let Some(tree) = &build.source.tree {
        sandbox = sandbox.bind(tree.path(), TREE, Access::ReadOnly);
    }
    let step = |what: &str, script: &str| step(&sandbox, what, script, interrupt);
    let unpack = match &build.source.package {
        Some(package) => format!(
            "tar -x -f /usr/src/{}.tar.xz -C {SOURCE} --strip-components=1 --no-same-owner",
            &**package
        ),
        None => format!("cp -a {TREE}/. {SOURCE}"),
    };
    step("unpacking the kernel's source", &unpack)?;
    let path = source.join(".config");
    let base = if let Some(base) = base {
        base.config
    } else {
        let quoted = target.replace('\'', "'\\''");
        step(
            "making the kernel's base configuration",
            &format!("make -C {SOURCE} -- '{quoted}'"),
        )?;
        read(&path)?.config
    };
    let fragments: Vec<Fragment<'_>> = fragments
        .iter()
        .map(|named| Fragment {
            name: &named.name,
            config: &named.config,
        })
        .collect();
    let merged = merge_fragments(&base, &fragments).config.to_string();
    fs::write(&path, merged).map_err(Error::io("write", &path))?;
    step(
        "completing the kernel's configuration",
        &format!("make -C {SOURCE} olddefconfig"),
    )?;
    accept(&read(&path)?.config, &fragments)?;
    step(
        "compiling the kernel",
        &format!(
            "make -C {SOURCE} -j{} bzImage\nmake -s -C {SOURCE} kernelrelease >{SOURCE}/release",
            build.jobs
        ),
    )?;
    let begun = cache.begin(TOOLS, &key)?;
    keep(&source, &begun)?;
    built(&cache.publish(TOOLS, &key)?, digest, false)
}

fn read(path: &Path) -> Result<Named> {
    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    let name = path.display().to_string();
    let config = Config::parse(&text)
        .map_err(|error| Error::NoKernel(format!("configuration `{name}`: {error}")))?;
    Ok(Named { name, text, config })
}

fn step(sandbox: &Sandbox, what: &str, script: &str, interrupt: &AtomicBool) -> Result<()> {
    let script = format!("{PREPARE}{script}\n");
    session::run(
        sandbox,
        what,
        "/usr/bin/dash",
        &["-c", &script],
        &[],
        interrupt,
    )?;
    Ok(())
}

/// Refuses a configuration that is not what was asked for.
fn accept(config: &Config, fragments: &[Fragment<'_>]) -> Result<()> {
    let missing = unobtained(config, fragments);
    if !missing.is_empty() {
        let lines: Vec<String> = missing
            .iter()
            .map(|it| {
                format!(
                    "{}: `{}` asks for {}, the kernel's rules make it {}",
                    it.option, it.fragment, it.wanted, it.got
                )
            })
            .collect();
        return Err(Error::NoKernel(format!(
            "options of the fragments are dropped:\n  {}",
            lines.join("\n  ")
        )));
    }
    if config.get("CONFIG_MODULES") == Some(&Setting::Yes) {
        return Err(Error::NoKernel(
            "a kernel from source must have everything built in: turn `CONFIG_MODULES` off"
                .to_owned(),
        ));
    }
    Ok(())
}

/// Copies what is needed of the built source.
fn keep(source: &Path, entry: &Path) -> Result<()> {
    let copy = |from: &str, to: &Path| {
        fs::copy(source.join(from), to)
            .map(drop)
            .map_err(Error::io("copy to", to))
    };
    copy("arch/x86/boot/bzImage", &entry.join("image"))?;
    copy(".config", &entry.join("config"))?;
    copy("release", &entry.join("release"))?;
    let modules = entry.join("modules").join(release(entry)?);
    fs::create_dir_all(&modules).map_err(Error::io("create directory", &modules))?;
    for list in ["modules.builtin", "modules.builtin.modinfo"] {
        copy(list, &modules.join(list))?;
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
