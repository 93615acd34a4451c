//! From manifest and profiles to what the root file system builder does: packages, kernel, ordered changes.
//!
//! - [`plan`]: the translation; the same inputs give the same plan.
//! - [`Plan`]: packages to install with the reason for each, the kernel's part, the list of [`Change`]s.
//! - [`Inputs`], [`HostInputs`]: how files of the build machine are read.
//! - [`os_release`]: the text that names the product in the image and in its kernel image.

mod changes;
mod inputs;
mod network;
mod product;
mod settled;

pub use inputs::{HostInputs, Inputs};
pub use product::os_release;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::document::text::{FirmwarePattern, ModuleName, PackageName};
use crate::document::{Diagnostic, Problems};
use crate::manifest::{Composition, KernelSource, Modules};
use crate::profile::{Profiles, Reason};
use crate::rootfs::change::Change;

use settled::{Setting, Settled};

/// What the builder is to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// Packages to install, in order of name, the kernel's package among them.
    pub install: Vec<PackageRequest>,
    /// Packages that must not be in the image.
    pub remove: Vec<PackageName>,
    /// Whether to install what packages only recommend.
    pub recommends: bool,
    /// The kernel's part.
    pub kernel: KernelPlan,
    /// Changes to the configured tree, in the order in which they are to be applied.
    pub changes: Vec<Change>,
    /// Why each package, file and setting is there; sorted by subject.
    pub reasons: Vec<Reason>,
}

/// A package to install.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PackageRequest {
    /// Its name.
    pub name: PackageName,
    /// Who wants it and why.
    pub reasons: Vec<Reason>,
}

/// The kernel's part of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct KernelPlan {
    /// Debian's kernel package; none when the kernel is built from source.
    pub package: Option<PackageName>,
    /// The source to build from.
    pub source: Option<KernelSource>,
    /// Parameters beside those that the build sets itself; the board's and the manifest's after the profiles'.
    pub command_line: Vec<String>,
    /// Modules of the image.
    pub modules: Modules,
    /// Modules that the initramfs needs.
    pub initramfs_modules: Vec<ModuleName>,
    /// Firmware of the image.
    pub firmware: Vec<FirmwarePattern>,
    /// Accepted deviations from the hardening baseline: option and reason.
    pub deviations: BTreeMap<String, String>,
    /// Those of them that the manifest itself accepts: one that is not needed deserves a warning.
    pub own_deviations: Vec<String>,
}

impl Plan {
    /// Why something is in the image.
    ///
    /// `subject` is written as in the manifest's `overrides` (`sysctl:kernel.sysrq`), or without its kind.
    pub fn why(&self, subject: &str) -> Vec<&Reason> {
        self.reasons
            .iter()
            .filter(|reason| {
                reason.subject == subject
                    || reason
                        .subject
                        .split_once(':')
                        .is_some_and(|(_, name)| name == subject)
            })
            .collect()
    }
}

/// Translates a manifest and its profiles.
///
/// Fails with every conflict at once: profiles that set the same thing differently, a manifest that departs from a profile
/// without saying why, an override that overrides nothing, an input that cannot be read.
pub fn plan(
    composition: &Composition,
    profiles: &Profiles,
    inputs: &dyn Inputs,
) -> Result<Plan, Problems> {
    let mut problems = Vec::new();
    let settled = settled::settle(composition, profiles, &mut problems);
    let kernel = kernel(composition, profiles, &settled, &mut problems);
    let changes = changes::changes(composition, &settled, inputs, &mut problems);
    if !problems.is_empty() {
        return Err(composition.problems(problems));
    }
    let manifest = &composition.manifest;
    let mut install: BTreeMap<PackageName, Vec<Reason>> = settled
        .items
        .values()
        .filter_map(|item| match &item.setting {
            Setting::Package(name) => Some((name.clone(), item.reasons.clone())),
            _ => None,
        })
        .collect();
    let mut reasons = settled.reasons();
    if let Some(package) = &kernel.package {
        let reason = kernel_reason(composition, profiles, package);
        reasons.push(reason.clone());
        install.entry(package.clone()).or_default().push(reason);
    }
    reasons.extend(changes::derived_reasons(&settled));
    reasons.sort();
    reasons.dedup();
    Ok(Plan {
        install: install
            .into_iter()
            .map(|(name, reasons)| PackageRequest { name, reasons })
            .collect(),
        remove: manifest.packages.remove.clone(),
        recommends: manifest.packages.recommends,
        kernel,
        changes,
        reasons,
    })
}

fn kernel(
    composition: &Composition,
    profiles: &Profiles,
    settled: &Settled,
    problems: &mut Vec<Diagnostic>,
) -> KernelPlan {
    let manifest = &composition.manifest;
    let kernel = &manifest.kernel;
    let wanted = profile_kernel(profiles, problems);
    let package = match (&kernel.package, &kernel.source, wanted) {
        (Some(package), _, _) => Some(package.clone()),
        (None, Some(_), _) => None,
        (None, None, wanted) => {
            let base = wanted.map_or("linux-image", |(_, package)| package);
            let name = format!("{base}-{}", manifest.debian.architecture.kernel_flavour());
            PackageName::try_from(name)
                .map_err(|why| problems.push(Diagnostic::error(why)))
                .ok()
        }
    };
    let mut deviations: BTreeMap<String, String> = profiles
        .iter()
        .flat_map(|profile| &profile.deviation)
        .flat_map(|entry| {
            entry
                .options
                .iter()
                .map(|option| (option.to_string(), entry.reason.to_string()))
        })
        .collect();
    if kernel.source.is_some() {
        // The profiles accept what Debian's kernels do; a kernel of one's own can do better.
        deviations.clear();
    }
    let own: Vec<String> = kernel.deviations.keys().map(ToString::to_string).collect();
    deviations.extend(
        kernel
            .deviations
            .iter()
            .map(|(option, reason)| (option.to_string(), reason.to_string())),
    );
    KernelPlan {
        package,
        source: kernel.source.clone(),
        command_line: settled.command_line(),
        modules: modules(&kernel.modules, settled),
        initramfs_modules: kernel.initramfs_modules.clone(),
        firmware: kernel.firmware.clone(),
        deviations,
        own_deviations: own,
    }
}

/// The modules of profiles and manifest, in order of name.
fn modules(own: &Modules, settled: &Settled) -> Modules {
    let Modules::Named(own) = own else {
        return own.clone();
    };
    let mut names: BTreeMap<String, ModuleName> = BTreeMap::new();
    let profiles = settled
        .items
        .values()
        .filter_map(|item| match &item.setting {
            Setting::Module(name) => Some(name),
            _ => None,
        });
    for module in profiles.chain(own) {
        names
            .entry(module.normalised())
            .or_insert_with(|| module.clone());
    }
    Modules::Named(names.into_values().collect())
}

/// The kernel that the profiles want: profile and package without architecture.
fn profile_kernel<'p>(
    profiles: &'p Profiles,
    problems: &mut Vec<Diagnostic>,
) -> Option<(&'p str, &'p str)> {
    let mut wanted: Option<(&str, &str)> = None;
    for profile in profiles.iter() {
        let Some(kernel) = &profile.kernel else {
            continue;
        };
        match wanted {
            Some((other, package)) if package != &*kernel.package => {
                problems.push(Diagnostic::error(format!(
                    "profile `{other}` wants the kernel `{package}`, profile `{}` wants `{}`",
                    profile.name, kernel.package
                )));
            }
            _ => wanted = Some((&profile.name, &kernel.package)),
        }
    }
    wanted
}

fn kernel_reason(composition: &Composition, profiles: &Profiles, package: &PackageName) -> Reason {
    let subject = format!("package:{package}");
    let chosen = profiles.iter().find_map(|profile| {
        let kernel = profile.kernel.as_ref()?;
        Some(Reason {
            subject: subject.clone(),
            by: format!("profile {}", profile.name),
            requirement: crate::profile::names(&kernel.requirement),
            text: kernel.reason.to_string(),
        })
    });
    match chosen.filter(|_| composition.manifest.kernel.package.is_none()) {
        Some(reason) => reason,
        None => Reason {
            subject,
            by: composition.origin_text(&["kernel", "package"]),
            requirement: Vec::new(),
            text: "the kernel".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests;
