//! The kernel of an image: found among the packages or built, its configuration checked, its modules chosen, the
//! initramfs made.

mod source;

use std::fs;
use std::path::{Path, PathBuf};

use bedstone_store::{Digest, Hasher, atomic};

use super::steps::{Steps, Told};
use super::{Build, Error, Result};
use crate::initramfs::{self, RootFileSystem};
use crate::kernel::{Baseline, Config, Report, Verdict, check};
use crate::manifest::{DataEncryption, FileSystem, Manifest, Modules};
use crate::modules::{KernelModules, Selection, Wanted};
use crate::rootfs::View;
use crate::rootfs::cache::CacheDirs;
use crate::rootfs::change::Change;
use crate::rootfs::tools::kernel::BuiltKernel;
use crate::rootfs::{self, Package};

/// Changes whenever an initramfs made of the same parts would differ.
const INITRAMFS_FORMAT: &str = "initramfs 1";

/// The kernel and what was found out about it.
#[derive(Debug)]
pub(super) struct Kernel {
    /// As `uname -r` says it.
    pub(super) release: String,
    /// The kernel image, a PE program.
    pub(super) image: Vec<u8>,
    /// Recommendations of the baseline that it follows, and accepted deviations.
    pub(super) followed: usize,
    pub(super) accepted: usize,
    /// Its configuration as a file.
    pub(super) config: Vec<u8>,
    /// What puts its modules into the root file system; none when a package does.
    pub(super) change: Option<Change>,
    /// The package that holds it; empty for one that was built from source.
    package: String,
    /// Stands for the kernel and its modules.
    digest: Digest,
    modules: KernelModules,
    /// Modules of the root file system; none when all are kept.
    selection: Option<Selection>,
    /// Modules that the initramfs loads.
    early: Vec<Wanted>,
    report: Report,
}

impl Kernel {
    pub(super) fn report_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(&self.report).map_err(Error::Json)
    }

    /// Whether a file of a package goes into the root file system: the kernel image does not, because the signed kernel
    /// is on the boot partition; of modules and firmware, those that were chosen.
    pub(super) fn keeps(&self, package: &str, path: &str, firmware: &[String]) -> bool {
        let path = path.strip_prefix("usr/").unwrap_or(path);
        if package == self.package {
            if path.starts_with("boot/vmlinuz-") || path.starts_with("boot/System.map-") {
                return false;
            }
            let modules = format!("lib/modules/{}/", self.release);
            if let (Some(module), Some(selection)) = (path.strip_prefix(&modules), &self.selection)
            {
                return selection.keeps(Path::new(module));
            }
        }
        match (path.strip_prefix("lib/firmware/"), &self.selection) {
            (Some(file), Some(selection)) => {
                selection.wants_firmware(Path::new(file))
                    || firmware.iter().any(|pattern| fits(pattern, file))
            }
            _ => true,
        }
    }
}

/// Whether a path is the pattern, lies below it, or fits its `*`.
fn fits(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = path.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        last = Some(part);
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    match last {
        None => rest.is_empty() || rest.starts_with('/') || first.ends_with('/'),
        Some(part) => part.is_empty() || rest.is_empty(),
    }
}

/// Finds the kernel, checks its configuration and chooses modules.
pub(super) fn prepare(
    build: &Build<'_>,
    manifest: &Manifest,
    packages: &[Package],
    cache: &CacheDirs,
    steps: &mut Steps<'_>,
) -> Result<Kernel> {
    let text = match &build.product.plan.kernel.source {
        Some(_) => "Building the kernel from source",
        None => "Looking at the kernel",
    };
    steps.run("kernel", text, |_| {
        let mut found = match &build.product.plan.kernel.source {
            Some(source) => source::compile(source, build, manifest, cache)?,
            None => find(packages, cache, build)?,
        };
        let read = |path: &Path| fs::read(path).map_err(Error::io("read", path));
        let config = read(&found.config)?;
        let report = hold(
            &String::from_utf8_lossy(&config),
            &found.release,
            build,
            manifest,
        )?;
        let mut modules = KernelModules::open(&found.modules)?;
        let early = early_modules(build, manifest);
        let selection = match &build.product.plan.kernel.modules {
            Modules::All(_) => None,
            Modules::Named(names) => {
                let mut wanted: Vec<Wanted> = names.iter().map(|name| want(name)).collect();
                wanted.extend(early.iter().cloned());
                Some(Selection::choose(&modules, &wanted)?)
            }
        };
        let mut change = None;
        if let Some(built) = &found.built {
            let tree = source::arrange(built, selection.as_ref(), build, cache)?;
            modules = KernelModules::open(&tree.path)?;
            found.digest = tree.digest;
            change = Some(Change::Tree {
                path: format!("/lib/modules/{}", found.release),
                source: tree.path,
                digest: tree.digest,
            });
        }
        let accepted = report.count(&Verdict::Accepted {
            reason: String::new(),
        });
        let kernel = Kernel {
            image: read(&found.image)?,
            followed: report.count(&Verdict::Pass),
            accepted,
            package: found.package,
            digest: found.digest,
            modules,
            selection,
            early,
            report,
            release: found.release,
            config,
            change,
        };
        let chosen = kernel
            .selection
            .as_ref()
            .map_or("all modules".to_owned(), |it| {
                format!("{} modules", it.names().count())
            });
        let told = format!(
            "Kernel {}: {} recommendations followed, {accepted} deviations accepted, {chosen}",
            kernel.release, kernel.followed
        );
        let told = if found.built.is_some_and(|built| built.cached) {
            Told::cached(told)
        } else {
            Told::done(told)
        };
        Ok((kernel, told))
    })
}

/// A kernel and where its parts are.
struct Found {
    /// The package that holds it; empty for one that was built from source.
    package: String,
    digest: Digest,
    release: String,
    image: PathBuf,
    config: PathBuf,
    modules: PathBuf,
    /// How it was built, when it was.
    built: Option<BuiltKernel>,
}

/// The kernel of the one package that has one.
fn find(packages: &[Package], cache: &CacheDirs, build: &Build<'_>) -> Result<Found> {
    let mut found = Vec::new();
    for package in packages
        .iter()
        .filter(|package| package.name.starts_with("linux-image-"))
    {
        let tree = rootfs::unpack(package, cache, build.interrupt)?;
        let boot = tree.join("boot");
        let Ok(entries) = fs::read_dir(&boot) else {
            continue;
        };
        for entry in entries {
            let entry = entry.map_err(Error::io("list", &boot))?;
            if let Some(release) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.strip_prefix("vmlinuz-"))
            {
                found.push((package, tree.clone(), release.to_owned()));
            }
        }
    }
    match found.len() {
        0 => Err(Error::NoKernel("no package has one".to_owned())),
        1 => {
            let (package, tree, release) = found.swap_remove(0);
            let modules = [tree.join("usr/lib/modules"), tree.join("lib/modules")]
                .into_iter()
                .map(|directory| directory.join(&release))
                .find(|directory| directory.is_dir())
                .ok_or_else(|| Error::NoKernel("its package has no modules".to_owned()))?;
            Ok(Found {
                package: package.name.clone(),
                digest: package.digest,
                image: tree.join(format!("boot/vmlinuz-{release}")),
                config: tree.join(format!("boot/config-{release}")),
                modules,
                release,
                built: None,
            })
        }
        _ => Err(Error::NoKernel(format!(
            "several packages have one: {}",
            found
                .iter()
                .map(|(package, ..)| package.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        ))),
    }
}

/// Holds the configuration against the baseline; what deviates and is not accepted ends the build.
fn hold(config: &str, release: &str, build: &Build<'_>, manifest: &Manifest) -> Result<Report> {
    let config = Config::parse(config).map_err(|error| Error::NoKernel(error.to_string()))?;
    let version = config
        .version()
        .or_else(|| {
            let mut parts = release.split(['.', '-']);
            Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
        })
        .ok_or_else(|| Error::NoKernel(format!("`{release}` begins with no version")))?;
    let baseline = Baseline::standard().map_err(|problems| Error::Baseline(Box::new(problems)))?;
    let plan = &build.product.plan.kernel;
    let report = check(
        &config,
        version,
        manifest.debian.architecture,
        &baseline,
        &plan.deviations,
    );
    for option in report
        .unused
        .iter()
        .filter(|option| plan.own_deviations.contains(option))
    {
        build.reporter.warn(
            format!("the manifest accepts a deviation of `{option}`, but nothing deviates"),
            Some("remove it from [kernel.deviations]".to_owned()),
        );
    }
    if report.passes() {
        return Ok(report);
    }
    Err(Error::KernelCheck(
        report
            .failures()
            .map(|finding| {
                format!(
                    "{}={}, wanted {}: {} ({})",
                    finding.option,
                    finding.actual,
                    finding.wanted.join(" or "),
                    finding.reason,
                    finding.requirement
                )
            })
            .collect(),
    ))
}

fn want(name: &str) -> Wanted {
    if name.contains('/') {
        Wanted::Directory(name.trim_end_matches('/').to_owned())
    } else {
        Wanted::Module(name.to_owned())
    }
}

fn early_modules(build: &Build<'_>, manifest: &Manifest) -> Vec<Wanted> {
    let drivers: Vec<Wanted> = build
        .product
        .plan
        .kernel
        .initramfs_modules
        .iter()
        .map(|name| want(name))
        .collect();
    let root = match manifest.root.file_system {
        FileSystem::Erofs => RootFileSystem::Erofs,
        FileSystem::Squashfs => RootFileSystem::Squashfs,
        FileSystem::Ext4 => RootFileSystem::Ext4,
    };
    let encrypted = manifest.partitions.data_encryption == DataEncryption::Tpm2;
    initramfs::modules(&drivers, root, encrypted)
}

/// Makes the initramfs, or takes it from the cache: packing it well takes seconds.
pub(super) fn initramfs(
    build: &Build<'_>,
    kernel: &Kernel,
    root: &View,
    cache: &CacheDirs,
    steps: &mut Steps<'_>,
) -> Result<Vec<u8>> {
    let modules = Selection::choose(&kernel.modules, &kernel.early)?;
    let mut inputs = vec![
        INITRAMFS_FORMAT.to_owned(),
        format!("{:?}", kernel.early),
        Digest::of(build.init).to_string(),
        kernel.digest.to_string(),
    ];
    let mut firmware = Vec::new();
    for name in modules.firmware() {
        if let Some(path) = root.find(&format!("/lib/firmware/{name}"))? {
            let bytes = fs::read(&path).map_err(Error::io("read", path))?;
            inputs.push(format!("{name} {}", Digest::of(&bytes)));
            firmware.push((name.to_owned(), bytes));
        }
    }
    let mut key = Hasher::new();
    for text in &inputs {
        key.update(&(text.len() as u64).to_le_bytes());
        key.update(text.as_bytes());
    }
    let path = cache
        .root()
        .join("initramfs")
        .join(key.finish().to_string());
    steps.run("initramfs", "Packing the initramfs", |_| {
        if let Ok(bytes) = fs::read(&path)
            && let Some((digest, bytes)) = bytes.split_first_chunk::<32>()
            && Digest::of(bytes).as_bytes() == digest
        {
            return Ok((bytes.to_vec(), Told::cached("Initramfs")));
        }
        let made = initramfs::build(&initramfs::Parts {
            init: build.init,
            kernel: &kernel.modules,
            modules: &modules,
            firmware: &firmware,
        })?;
        let mut kept = Digest::of(&made.bytes).as_bytes().to_vec();
        kept.extend_from_slice(&made.bytes);
        atomic::write(&path, &kept)?;
        let told = format!(
            "Initramfs of {:.1} MB with {} modules",
            made.bytes.len() as f64 / 1e6,
            modules.names().count()
        );
        Ok((made.bytes, Told::done(told)))
    })
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn firmware_patterns() {
        assert!(fits("rtl_nic/rtl8168h-2.fw", "rtl_nic/rtl8168h-2.fw"));
        assert!(fits("rtl_nic", "rtl_nic/rtl8168h-2.fw"));
        assert!(fits("rtl_nic/*", "rtl_nic/rtl8168h-2.fw"));
        assert!(fits("*/rtl8168*.fw", "rtl_nic/rtl8168h-2.fw"));
        assert!(!fits("rtl", "rtl_nic/rtl8168h-2.fw"));
        assert!(!fits("rtl_nic/*.bin", "rtl_nic/rtl8168h-2.fw"));
    }
}
