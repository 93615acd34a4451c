//! The ordered list of changes: early hooks, groups and users, files, units, late hooks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::settled::{FileText, Setting, Settled};
use super::{Inputs, network, os_release};
use crate::document::Diagnostic;
use crate::manifest::{Composition, Hook, Manifest, Stage, User as ManifestUser};
use crate::profile::{Action, Reason};
use crate::rootfs::change::{Change, Group, Input, Owner, Password, Script, UnitAction, User};

const SYSCTL_FILE: &str = "/etc/sysctl.d/60-bedstone.conf";
const BLACKLIST_FILE: &str = "/etc/modprobe.d/bedstone.conf";
const HOMES_FILE: &str = "/usr/lib/tmpfiles.d/bedstone-home.conf";

/// Where a user's public keys are: root's own directory, so that a session cannot add keys to its account.
const KEYS_DIRECTORY: &str = "/etc/ssh/authorized_keys.d";

/// Everything that is to be changed in the configured tree, in order.
pub(super) fn changes(
    composition: &Composition,
    settled: &Settled,
    inputs: &dyn Inputs,
    problems: &mut Vec<Diagnostic>,
) -> Vec<Change> {
    let manifest = &composition.manifest;
    let mut changes = Vec::new();
    hooks(
        composition,
        Stage::Configured,
        inputs,
        &mut changes,
        problems,
    );
    users(manifest, &mut changes);
    files(composition, settled, inputs, &mut changes, problems);
    // After the files, one of which may be `/etc/login.defs`.
    changes.push(Change::PasswordAges);
    units(settled, &mut changes);
    hooks(
        composition,
        Stage::Customised,
        inputs,
        &mut changes,
        problems,
    );
    changes
}

/// For the files that are made of many settings: their reasons, so that one can ask about the file itself.
pub(super) fn derived_reasons(settled: &Settled) -> Vec<Reason> {
    let mut reasons = Vec::new();
    for (subject, item) in &settled.items {
        let file = match item.setting {
            Setting::Sysctl(_) => SYSCTL_FILE,
            Setting::Blacklist => BLACKLIST_FILE,
            _ => continue,
        };
        for reason in &item.reasons {
            reasons.push(Reason {
                subject: format!("file:{file}"),
                text: format!("{subject}: {}", reason.text),
                ..reason.clone()
            });
        }
    }
    reasons
}

fn hooks(
    composition: &Composition,
    stage: Stage,
    inputs: &dyn Inputs,
    changes: &mut Vec<Change>,
    problems: &mut Vec<Diagnostic>,
) {
    for (name, hook) in &composition.manifest.hooks {
        if hook.stage != stage {
            continue;
        }
        match script(name, hook, inputs) {
            Ok(script) => changes.push(Change::Script(script)),
            Err((path, error)) => {
                let mut problem =
                    Diagnostic::error(format!("hook `{name}`: cannot read `{path}`: {error}"));
                if let Some(origin) = composition.key_origin(&["hooks", name]) {
                    problem = problem.at(origin, "");
                }
                problems.push(problem);
            }
        }
    }
}

fn script(
    name: &str,
    hook: &Hook,
    inputs: &dyn Inputs,
) -> Result<Script, (String, std::io::Error)> {
    let content = inputs
        .read(hook.script.path())
        .map_err(|error| (hook.script.to_string(), error))?;
    let mut declared = Vec::new();
    for input in &hook.inputs {
        let digest = inputs
            .digest(input.path())
            .map_err(|error| (input.to_string(), error))?;
        declared.push(Input {
            name: input
                .path()
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            source: input.path().to_owned(),
            digest,
        });
    }
    Ok(Script {
        name: name.to_owned(),
        content,
        inputs: declared,
        environment: Vec::new(),
    })
}

fn users(manifest: &Manifest, changes: &mut Vec<Change>) {
    let groups: BTreeSet<&str> = manifest
        .users
        .values()
        .flat_map(|user| user.groups.iter().map(|group| &**group))
        .collect();
    for group in groups {
        changes.push(Change::Group(Group {
            name: group.to_owned(),
            system: true,
            members: Vec::new(),
        }));
    }
    let root = manifest
        .users
        .iter()
        .find(|(name, _)| &***name == "root")
        .and_then(|(_, user)| user.password.as_ref());
    changes.push(Change::Password {
        user: "root".to_owned(),
        password: root.map_or(Password::Locked, |hash| Password::Hash(hash.to_string())),
    });
    for (name, user) in &manifest.users {
        if &**name == "root" {
            continue;
        }
        changes.push(Change::User(User {
            name: name.to_string(),
            system: user.system,
            group: None,
            groups: user.groups.iter().map(ToString::to_string).collect(),
            comment: user.description.as_deref().unwrap_or_default().to_owned(),
            home: home(name, user),
            // The root file system is read-only: homes are made on the data partition at boot.
            create_home: false,
            shell: user.shell.to_string(),
            // `*` instead of `!`: sshd refuses keys to an account that is locked.
            password: match &user.password {
                Some(hash) => Password::Hash(hash.to_string()),
                None if user.ssh_keys.is_empty() => Password::Locked,
                None => Password::None,
            },
        }));
    }
}

fn home(name: &str, user: &ManifestUser) -> String {
    user.home
        .as_deref()
        .map_or_else(|| format!("/var/home/{name}"), str::to_owned)
}

fn files(
    composition: &Composition,
    settled: &Settled,
    inputs: &dyn Inputs,
    changes: &mut Vec<Change>,
    problems: &mut Vec<Diagnostic>,
) {
    let manifest = &composition.manifest;
    let mut all: BTreeMap<String, Change> = BTreeMap::new();
    for (path, text) in generated(manifest, settled) {
        all.insert(path.clone(), plain(path, text));
    }
    for (subject, item) in &settled.items {
        let (
            Setting::File {
                text,
                mode,
                owner,
                group,
            },
            Some(path),
        ) = (&item.setting, subject.strip_prefix("file:"))
        else {
            continue;
        };
        let content = match text {
            FileText::Given(text) => text.clone().into_bytes(),
            FileText::Host(source) => match inputs.read(source) {
                Ok(content) => content,
                Err(error) => {
                    let mut problem = Diagnostic::error(format!(
                        "file `{path}`: cannot read `{}`: {error}",
                        source.display()
                    ));
                    if let Some(origin) = composition.origin(&["files", path, "source"]) {
                        problem = problem.at(origin, "");
                    }
                    problems.push(problem);
                    continue;
                }
            },
        };
        all.insert(
            path.to_owned(),
            Change::File {
                path: path.to_owned(),
                content,
                mode: *mode,
                owner: Owner {
                    user: owner.clone(),
                    group: group.clone(),
                },
            },
        );
    }
    changes.extend(all.into_values());
    if settled.installs("systemd-resolved") {
        changes.push(Change::Symlink {
            path: "/etc/resolv.conf".to_owned(),
            target: "../run/systemd/resolve/stub-resolv.conf".to_owned(),
        });
    }
}

/// The files that sections of the manifest and collected settings come to.
fn generated(manifest: &Manifest, settled: &Settled) -> Vec<(String, String)> {
    let mut files = network::files(manifest, settled);
    // `/etc/os-release` leads there; /etc can be changed on a device.
    files.push(("/usr/lib/os-release".to_owned(), os_release(manifest)));
    let mut sysctl = String::new();
    let mut blacklist = String::new();
    for (subject, item) in &settled.items {
        match (&item.setting, subject.split_once(':')) {
            (Setting::Sysctl(value), Some((_, key))) => {
                explain(&mut sysctl, &item.reasons);
                let _ = writeln!(sysctl, "{key} = {value}");
            }
            (Setting::Blacklist, Some((_, module))) => {
                explain(&mut blacklist, &item.reasons);
                // `blacklist` alone only stops loading by alias; `install` also stops loading by name.
                let _ = writeln!(blacklist, "blacklist {module}\ninstall {module} /bin/false");
            }
            _ => {}
        }
    }
    if !sysctl.is_empty() {
        files.push((SYSCTL_FILE.to_owned(), sysctl));
    }
    if !blacklist.is_empty() {
        files.push((BLACKLIST_FILE.to_owned(), blacklist));
    }
    let homes = homes(manifest);
    if !homes.is_empty() {
        files.push((HOMES_FILE.to_owned(), homes));
    }
    for (name, user) in &manifest.users {
        if !user.ssh_keys.is_empty() {
            let keys: String = user
                .ssh_keys
                .iter()
                .fold(String::new(), |all, key| format!("{all}{key}\n"));
            files.push((format!("{KEYS_DIRECTORY}/{name}"), keys));
        }
    }
    if manifest
        .users
        .values()
        .any(|user| !user.ssh_keys.is_empty())
    {
        files.push((
            "/etc/ssh/sshd_config.d/50-bedstone-keys.conf".to_owned(),
            format!("AuthorizedKeysFile {KEYS_DIRECTORY}/%u .ssh/authorized_keys\n"),
        ));
    }
    files
}

fn explain(out: &mut String, reasons: &[Reason]) {
    for reason in reasons {
        let mut who = reason.by.clone();
        if !reason.requirement.is_empty() {
            who = format!("{who}, {}", reason.requirement.join(", "));
        }
        // A manifest's line number would change the image whenever a line is added above it.
        if reason.by.starts_with("profile ") {
            let _ = writeln!(out, "# {who}: {}", reason.text);
        } else {
            out.push_str("# manifest\n");
        }
    }
}

fn homes(manifest: &Manifest) -> String {
    let mut out = String::new();
    for (name, user) in &manifest.users {
        if user.system || &**name == "root" {
            continue;
        }
        let _ = writeln!(out, "d {} 0700 {name} {name} -", home(name, user));
    }
    out
}

fn plain(path: String, text: String) -> Change {
    Change::File {
        path,
        content: text.into_bytes(),
        mode: 0o644,
        owner: Owner::root(),
    }
}

fn units(settled: &Settled, changes: &mut Vec<Change>) {
    changes.push(Change::DefaultTarget {
        target: "multi-user.target".to_owned(),
    });
    for (subject, item) in &settled.items {
        let (Setting::Service(action), Some(unit)) =
            (&item.setting, subject.strip_prefix("service:"))
        else {
            continue;
        };
        changes.push(Change::Unit {
            unit: unit.to_owned(),
            action: match action {
                Action::Enable => UnitAction::Enable,
                Action::Disable => UnitAction::Disable,
                Action::Mask => UnitAction::Mask,
            },
        });
    }
}
