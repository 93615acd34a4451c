//! From a product and its archives to a lock: which exact packages the image, its build tools and its boot chain are.

mod indexes;

use std::fmt::Write as _;
use std::path::Path;

use bedstone_deb::index::Universe;
use bedstone_deb::lock::{self, Lock, Locked};
use bedstone_deb::resolve::{Base, Preferences, Request, Solution, resolve};
use bedstone_store::Digest;
use serde_json::json;

pub use indexes::{Indexes, LOCAL, Repositories};

use crate::archives;
use crate::error::{Error, Result};
use crate::manifest::{DataEncryption, Manifest};
use crate::product::Product;
use crate::rootfs::tools;

/// The boot programs: EFI Boot Guard and systemd's stub for kernel images. Only their EFI binaries are used.
pub const BOOT_PACKAGES: [&str; 2] = ["efibootguard", "systemd-boot-efi"];

/// Which versions a new lock takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upgrade {
    /// Those of the lock that is there, where they still exist and fit.
    Nothing,
    /// The newest of these packages and what they need; everything else as it is.
    Packages(Vec<String>),
    /// The newest of everything.
    Everything,
}

/// A lock, and what it was chosen from.
#[derive(Debug)]
pub struct Resolution<'u> {
    /// The lock.
    pub lock: Lock,
    /// The image's packages with the reason why each is there.
    pub solution: Solution<'u>,
    /// How the packages differ from the lock that was there before; all of them when there was none.
    pub changes: Vec<lock::Change>,
}

/// Chooses the packages of a product.
///
/// User and group numbers of `previous` are kept, so that data on a device keeps its owners from release to release.
/// Fails with [`bedstone_deb::Error::Unsatisfiable`], which explains itself.
pub fn resolve_product<'u>(
    product: &Product,
    repositories: &'u Repositories,
    previous: Option<&Lock>,
    upgrade: &Upgrade,
) -> Result<Resolution<'u>> {
    let universe = &repositories.image;
    let request = request(product)?;
    let solution = match (previous, upgrade) {
        (None, _) | (_, Upgrade::Everything) => resolve(universe, &request)?,
        (Some(previous), Upgrade::Nothing) => {
            let mut keep = previous.kept();
            // Packages on the build machine win over every repository, so over what was locked from there too.
            keep.retain(|(name, architecture, version)| {
                universe
                    .versions(name, Some(architecture))
                    .all(|it| it.index().source != LOCAL || it.version() == version)
            });
            resolve(universe, &Request { keep, ..request })?
        }
        (Some(previous), Upgrade::Packages(names)) => {
            if let Some(unknown) = names
                .iter()
                .find(|name| universe.versions(name, None).next().is_none())
            {
                return Err(Error::UnknownPackage(unknown.clone()));
            }
            lock::upgrade(previous, universe, &request, names)?
        }
    };
    let mut lock = Lock {
        architecture: product
            .composition
            .manifest
            .debian
            .architecture
            .name()
            .to_owned(),
        request: Some(request_digest(product)?),
        epoch: repositories.epoch(),
        sources: repositories.sources.clone(),
        ..Lock::default()
    };
    lock.set_packages(&solution)?;
    lock.tools = closure(universe, &needed_tools(&product.composition.manifest))?;
    lock.boot = boot_packages(&repositories.boot)?;
    if let Some(previous) = previous {
        lock.users = previous.users.clone();
        lock.groups = previous.groups.clone();
        keep_epoch(&mut lock, previous);
    }
    let changes = lock::diff(
        previous.map_or(&[][..], |previous| &previous.packages),
        &lock.packages,
    );
    Ok(Resolution {
        lock,
        solution,
        changes,
    })
}

/// A lock that names the same packages keeps its time and its sources' dates: an archive that was published anew without
/// a change for us must not change the image.
fn keep_epoch(lock: &mut Lock, previous: &Lock) {
    let same = lock.packages == previous.packages
        && lock.tools == previous.tools
        && lock.boot == previous.boot;
    if same {
        lock.epoch = previous.epoch;
        lock.sources.clone_from(&previous.sources);
    }
}

/// What a product asks of the resolver.
pub fn request(product: &Product) -> Result<Request> {
    let manifest = &product.composition.manifest;
    let plan = &product.plan;
    let mut install: Vec<String> = plan
        .install
        .iter()
        .map(|package| package.name.to_string())
        .collect();
    let suite = manifest.debian.suite.to_string();
    let needed = needed_by_init(manifest.partitions.data_encryption, &suite)?;
    // Debian's kernel packages depend on it: udev and systemd ask for modules through it.
    let loader = manifest.kernel.source.as_ref().map(|_| "kmod");
    for name in needed.into_iter().chain(loader) {
        if !install.iter().any(|known| known == name) {
            install.push(name.to_owned());
        }
    }
    Ok(Request {
        install,
        exclude: plan.remove.iter().map(ToString::to_string).collect(),
        recommends: plan.recommends,
        base: Base::Required,
        preferences: preferences(manifest)?,
        keep: Vec::new(),
    })
}

/// Stands for everything in a product that decides which packages its lock names. Where an archive is reached is not part
/// of it, nor where package files lie on the build machine; their content is.
pub fn request_digest(product: &Product) -> Result<Digest> {
    let Request {
        mut install,
        mut exclude,
        recommends,
        ..
    } = request(product)?;
    install.sort_unstable();
    exclude.sort_unstable();
    let manifest = product.composition.manifest.with_defaults();
    let mut debian = manifest.debian.clone();
    debian.mirror = None;
    debian.security_mirror = None;
    debian.signed_by = None;
    debian.accept_expired = None;
    let mut local = Vec::new();
    for path in std::mem::take(&mut debian.local) {
        let packages = indexes::local_packages(Path::new(&*path))?;
        local.extend(packages.iter().map(|it| it.digest.to_string()));
    }
    local.sort_unstable();
    let sources: Vec<_> = debian
        .sources
        .iter()
        .map(|(name, source)| (name, &source.suite, &source.components, source.priority))
        .collect();
    let sources = json!(sources);
    debian.sources.clear();
    let text = json!({
        "version": 1,
        "install": install,
        "exclude": exclude,
        "recommends": recommends,
        "tools": needed_tools(&manifest),
        "debian": debian,
        "sources": sources,
        "local": local,
        "boot": manifest.boot.suite,
    });
    Ok(Digest::of(text.to_string().as_bytes()))
}

/// The packages whose programs our /init runs from the verified root.
fn needed_by_init(encryption: DataEncryption, suite: &str) -> Result<Vec<&'static str>> {
    let mut needed = vec!["e2fsprogs"];
    if encryption == DataEncryption::Tpm2 {
        // systemd loads the three libraries of tpm2-tss at run time, so its packages only suggest them.
        needed.extend(["cryptsetup-bin", "libtss2-esys-3.0.2-0", "libtss2-rc0"]);
        needed.extend(match suite {
            // systemd 247 has no systemd-cryptenroll, cryptsetup 2.3 no token plugins.
            "bullseye" => {
                return Err(Error::NoSealing {
                    suite: suite.to_owned(),
                });
            }
            "bookworm" => ["systemd", "libtss2-mu0"],
            // From trixie on what opens encrypted volumes is a package of its own.
            _ => ["systemd-cryptsetup", "libtss2-mu-4.0.1-0"],
        });
    }
    Ok(needed)
}

/// The manifest's pins in the form that apt_preferences(5) has for them.
fn preferences(manifest: &Manifest) -> Result<Preferences> {
    let mut text = String::new();
    for (name, pin) in &manifest.debian.pins {
        let packages: Vec<String> = pin.packages.iter().map(ToString::to_string).collect();
        let target = match (&pin.version, &pin.suite, &pin.source) {
            (Some(version), None, None) => format!("version {version}"),
            (None, Some(suite), None) => format!("release n={suite}"),
            (None, None, Some(source)) => format!("release source={source}"),
            _ => {
                return Err(Error::Pin {
                    name: name.to_string(),
                });
            }
        };
        let _ = writeln!(
            text,
            "Package: {}\nPin: {target}\nPin-Priority: {}\n",
            packages.join(" "),
            pin.priority
        );
    }
    Ok(Preferences::parse("debian.pins", text.as_bytes())?)
}

/// The programs that write the image's file systems, and those that compile its kernel where it is built from source; from
/// the image's own suite, because the image's bytes must not depend on the machine that builds it.
fn needed_tools(manifest: &Manifest) -> Vec<String> {
    let mut names = vec![tools::writer(manifest.root.file_system).to_owned()];
    if let Some(source) = &manifest.kernel.source {
        names.extend(tools::kernel::PACKAGES.map(str::to_owned));
        names.extend(source.package.iter().map(ToString::to_string));
    }
    names
}

/// Packages with all that they depend on, and nothing else.
fn closure(universe: &Universe, install: &[String]) -> Result<Vec<Locked>> {
    let request = Request {
        install: install.to_vec(),
        ..Request::default()
    };
    let mut scratch = Lock::default();
    scratch.set_packages(&resolve(universe, &request)?)?;
    Ok(scratch.packages)
}

/// The newest versions of the boot programs; what they depend on is not used.
fn boot_packages(universe: &Universe) -> Result<Vec<Locked>> {
    BOOT_PACKAGES
        .iter()
        .map(|name| {
            let package = universe
                .versions(name, None)
                .next()
                .ok_or(Error::NoBootPackage {
                    package: name,
                    source_name: archives::BOOT,
                })?;
            Ok(Locked::new(package)?)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealing_needs_packages_that_each_suite_names_its_own_way() {
        let tpm2 = |suite| needed_by_init(DataEncryption::Tpm2, suite);
        assert!(tpm2("bookworm").unwrap().contains(&"libtss2-mu0"));
        assert!(tpm2("trixie").unwrap().contains(&"systemd-cryptsetup"));
        let refused = tpm2("bullseye").unwrap_err().to_string();
        assert!(refused.contains("take bookworm"), "{refused}");
        let plain = needed_by_init(DataEncryption::None, "bullseye").unwrap();
        assert_eq!(plain, ["e2fsprogs"]);
    }
}
