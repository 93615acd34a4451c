//! What profiles and manifest set, one value per subject, every disagreement found.

use std::collections::BTreeMap;

use crate::document::text::{ModuleName, PackageName};
use crate::document::{Diagnostic, nearest};
use crate::manifest::{Composition, Manifest, Modules};
use crate::profile::{Action, Profile, Profiles, Reason, names};

/// A value of a subject.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Setting {
    Package(PackageName),
    File {
        text: FileText,
        mode: u32,
        owner: String,
        group: String,
    },
    Sysctl(String),
    Service(Action),
    /// Every parameter of one name, in order.
    Parameters(Vec<String>),
    Module(ModuleName),
    Blacklist,
}

/// Where the content of a file comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum FileText {
    Given(String),
    Host(std::path::PathBuf),
}

/// A subject's value and who wants it.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) setting: Setting,
    pub(super) reasons: Vec<Reason>,
    /// Number of the profile whose value it is; none when it is the manifest's.
    profile: Option<usize>,
}

/// Every subject with its value.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) items: BTreeMap<String, Item>,
    /// Reasons of the manifest for leaving a profile.
    departures: Vec<Reason>,
    /// Subjects of kernel parameters in the order in which they go onto the command line.
    parameters: Vec<String>,
}

impl Settled {
    /// The reason for every subject.
    pub(super) fn reasons(&self) -> Vec<Reason> {
        self.items
            .values()
            .flat_map(|item| item.reasons.iter().cloned())
            .chain(self.departures.iter().cloned())
            .collect()
    }

    /// The kernel parameters in order.
    pub(super) fn command_line(&self) -> Vec<String> {
        self.parameters
            .iter()
            .filter_map(|subject| match &self.items.get(subject)?.setting {
                Setting::Parameters(parameters) => Some(parameters.clone()),
                _ => None,
            })
            .flatten()
            .collect()
    }

    /// Whether a package is asked for by name.
    pub(super) fn installs(&self, package: &str) -> bool {
        self.items.contains_key(&format!("package:{package}"))
    }
}

/// Brings profiles, overrides and manifest together.
pub(super) fn settle(
    composition: &Composition,
    profiles: &Profiles,
    problems: &mut Vec<Diagnostic>,
) -> Settled {
    let mut settling = Settling {
        composition,
        profiles,
        settled: Settled::default(),
        names: profiles.iter().map(|p| p.name.to_string()).collect(),
        problems,
    };
    for (number, profile) in profiles.iter().enumerate() {
        settling.profile(number, profile);
    }
    settling.overrides();
    settling.manifest(&composition.manifest);
    settling.settled
}

struct Settling<'a> {
    composition: &'a Composition,
    profiles: &'a Profiles,
    settled: Settled,
    names: Vec<String>,
    problems: &'a mut Vec<Diagnostic>,
}

impl Settling<'_> {
    fn profile(&mut self, number: usize, profile: &Profile) {
        let by = format!("profile {}", profile.name);
        let reason = |subject: &str, requirement: &[_], text: &str| Reason {
            subject: subject.to_owned(),
            by: by.clone(),
            requirement: names(requirement),
            text: text.to_owned(),
        };
        for entry in &profile.package {
            for package in &entry.install {
                let subject = format!("package:{package}");
                let why = reason(&subject, &entry.requirement, &entry.reason);
                self.wanted(number, subject, Setting::Package(package.clone()), why);
            }
        }
        for entry in &profile.file {
            let subject = format!("file:{}", entry.path);
            let why = reason(&subject, &entry.requirement, &entry.reason);
            let setting = Setting::File {
                text: FileText::Given(entry.content.clone()),
                mode: entry.mode.bits(),
                owner: "root".to_owned(),
                group: entry.group.to_string(),
            };
            self.wanted(number, subject, setting, why);
        }
        for entry in &profile.sysctl {
            for (key, value) in &entry.set {
                let subject = format!("sysctl:{key}");
                let why = reason(&subject, &entry.requirement, &entry.reason);
                self.wanted(number, subject, Setting::Sysctl(value.to_string()), why);
            }
        }
        for entry in &profile.service {
            for unit in &entry.units {
                let subject = format!("service:{unit}");
                let why = reason(&subject, &entry.requirement, &entry.reason);
                self.wanted(number, subject, Setting::Service(entry.action), why);
            }
        }
        for entry in &profile.kernel_parameter {
            for parameter in &entry.add {
                let subject = format!("kernel-parameter:{}", parameter.name());
                let why = reason(&subject, &entry.requirement, &entry.reason);
                let setting = Setting::Parameters(vec![parameter.to_string()]);
                self.wanted(number, subject, setting, why);
            }
        }
        for entry in &profile.module {
            for module in &entry.ship {
                let subject = format!("module:{}", module.normalised());
                let why = reason(&subject, &entry.requirement, &entry.reason);
                self.wanted(number, subject, Setting::Module(module.clone()), why);
            }
        }
        for entry in &profile.blacklist {
            for module in &entry.modules {
                let subject = format!("blacklist:{}", module.normalised());
                let why = reason(&subject, &entry.requirement, &entry.reason);
                self.wanted(number, subject, Setting::Blacklist, why);
            }
        }
    }

    /// Notes what a profile wants; a profile that builds upon another wins over it.
    fn wanted(&mut self, number: usize, subject: String, setting: Setting, why: Reason) {
        let Some(item) = self.settled.items.get_mut(&subject) else {
            if matches!(setting, Setting::Parameters(_)) {
                self.settled.parameters.push(subject.clone());
            }
            self.settled.items.insert(
                subject,
                Item {
                    setting,
                    reasons: vec![why],
                    profile: Some(number),
                },
            );
            return;
        };
        let other = item.profile.unwrap_or(number);
        if item.setting == setting {
            item.reasons.push(why);
        } else if self.profiles.builds_upon(number, other) {
            item.setting = setting;
            item.reasons = vec![why];
            item.profile = Some(number);
        } else {
            self.problems.push(
                Diagnostic::error(format!(
                    "profiles `{}` and `{}` set `{subject}` differently",
                    self.names[other], self.names[number]
                ))
                .help("choose one of them, or let one extend the other"),
            );
        }
    }

    fn overrides(&mut self) {
        for (subject, reason) in &self.composition.manifest.overrides {
            // Modules are one and the same with `-` and `_`.
            let key = match subject.split_once(':') {
                Some((kind @ ("blacklist" | "module"), module)) => {
                    format!("{kind}:{}", module.replace('-', "_"))
                }
                _ => subject.to_string(),
            };
            if self.settled.items.remove(&key).is_some() {
                self.settled
                    .parameters
                    .retain(|parameter| *parameter != key);
                self.settled.departures.push(Reason {
                    subject: key,
                    by: self.composition.origin_text(&["overrides", subject]),
                    requirement: Vec::new(),
                    text: format!("the manifest departs from the profile: {reason}"),
                });
                continue;
            }
            let mut problem = Diagnostic::error(format!(
                "`{subject}` overrides nothing: no chosen profile sets it"
            ));
            if let Some(origin) = self.composition.key_origin(&["overrides", subject]) {
                problem = problem.at(origin, "");
            }
            if let Some(meant) = nearest(subject, self.settled.items.keys().map(String::as_str)) {
                problem = problem.help(format!("did you mean `{meant}`?"));
            }
            self.problems.push(problem);
        }
    }

    fn manifest(&mut self, manifest: &Manifest) {
        for (index, package) in manifest.packages.install.iter().enumerate() {
            let path = ["packages", "install", &index.to_string()];
            self.own(
                format!("package:{package}"),
                Setting::Package(package.clone()),
                &path,
            );
        }
        for (index, package) in manifest.packages.remove.iter().enumerate() {
            let path = ["packages", "remove", &index.to_string()];
            self.refused(&format!("package:{package}"), "removes", &path);
        }
        for (file, entry) in &manifest.files {
            let text = match (&entry.content, &entry.source) {
                (Some(content), _) => FileText::Given(content.clone()),
                (None, Some(source)) => FileText::Host(source.path().to_owned()),
                (None, None) => continue,
            };
            let setting = Setting::File {
                text,
                mode: entry.mode.bits(),
                owner: entry.owner.to_string(),
                group: entry.group.to_string(),
            };
            self.own(format!("file:{file}"), setting, &["files", file]);
        }
        for (key, value) in &manifest.sysctl {
            self.own(
                format!("sysctl:{key}"),
                Setting::Sysctl(value.to_string()),
                &["sysctl", key],
            );
        }
        let services = &manifest.services;
        for (name, units, action) in [
            ("enable", &services.enable, Action::Enable),
            ("disable", &services.disable, Action::Disable),
            ("mask", &services.mask, Action::Mask),
        ] {
            for (index, unit) in units.iter().enumerate() {
                self.own(
                    format!("service:{unit}"),
                    Setting::Service(action),
                    &["services", name, &index.to_string()],
                );
            }
        }
        self.kernel(manifest);
    }

    fn kernel(&mut self, manifest: &Manifest) {
        let mut by_name: BTreeMap<String, (Vec<String>, usize)> = BTreeMap::new();
        let mut order = Vec::new();
        for (index, parameter) in manifest.kernel.command_line.iter().enumerate() {
            let subject = format!("kernel-parameter:{}", parameter.name());
            let entry = by_name.entry(subject.clone()).or_insert_with(|| {
                order.push(subject);
                (Vec::new(), index)
            });
            entry.0.push(parameter.to_string());
        }
        for subject in order {
            if let Some((parameters, index)) = by_name.remove(&subject) {
                let path = ["kernel", "command-line", &index.to_string()];
                self.own(subject, Setting::Parameters(parameters), &path);
            }
        }
        if let Modules::Named(modules) = &manifest.kernel.modules {
            for (index, module) in modules.iter().enumerate() {
                let path = ["kernel", "modules", &index.to_string()];
                self.own(
                    format!("module:{}", module.normalised()),
                    Setting::Module(module.clone()),
                    &path,
                );
                self.refused(
                    &format!("blacklist:{}", module.normalised()),
                    "needs a module that is blacklisted, contrary to",
                    &path,
                );
            }
        }
    }

    /// Notes what the manifest sets itself; where a profile sets it otherwise, the manifest must say why.
    fn own(&mut self, subject: String, setting: Setting, path: &[&str]) {
        let why = Reason {
            subject: subject.clone(),
            by: self.composition.origin_text(path),
            requirement: Vec::new(),
            text: "the manifest sets it".to_owned(),
        };
        match self.settled.items.get_mut(&subject) {
            Some(item) if item.setting == setting => item.reasons.push(why),
            Some(item) => {
                let profile = item.profile;
                self.departs(&subject, "sets differently", profile, path);
            }
            None => {
                if matches!(setting, Setting::Parameters(_)) {
                    self.settled.parameters.push(subject.clone());
                }
                self.settled.items.insert(
                    subject,
                    Item {
                        setting,
                        reasons: vec![why],
                        profile: None,
                    },
                );
            }
        }
    }

    /// Reports that the manifest undoes what a profile wants, if one does.
    fn refused(&mut self, subject: &str, does: &str, path: &[&str]) {
        if let Some(item) = self.settled.items.get(subject)
            && let Some(number) = item.profile
        {
            self.departs(subject, does, Some(number), path);
        }
    }

    fn departs(&mut self, subject: &str, does: &str, profile: Option<usize>, path: &[&str]) {
        let profile = profile
            .and_then(|number| self.names.get(number))
            .map_or("?", String::as_str);
        let mut problem = Diagnostic::error(format!(
            "the manifest {does} what profile `{profile}` sets: `{subject}`"
        ))
        .help(format!(
            "say why in the manifest: `overrides.\"{subject}\" = \"…\"`"
        ));
        if let Some(origin) = self
            .composition
            .key_origin(path)
            .or_else(|| self.composition.origin(path))
        {
            problem = problem.at(origin, "");
        }
        self.problems.push(problem);
    }
}
