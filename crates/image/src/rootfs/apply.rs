//! Applying a manifest's changes to a writable tree.

mod tree;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use bedstone_sys::namespace::Access;

use super::accounts::{Accounts, PasswordAges};
use super::cache::{CacheDirs, remove};
use super::change::{Change, Owner, Script, UnitAction, User};
use super::ids::Ids;
use super::layer::look;
use super::path;
use super::session;
use super::unpacked::write_file;
use crate::error::{Error, Result};

/// Where hook scripts find their inputs.
const INPUTS: &str = "/run/bedstone/inputs";

/// A writable tree.
pub(super) struct Tree<'a> {
    /// Where it is mounted.
    pub(super) root: &'a Path,
    /// Numbers for new users and groups.
    pub(super) pinned: &'a Ids,
    /// Time of new files and of passwords, seconds since 1970.
    pub(super) epoch: i64,
    pub(super) cache: &'a CacheDirs,
    pub(super) interrupt: &'a AtomicBool,
}

impl Tree<'_> {
    /// Applies changes in this order.
    pub(super) fn apply(&self, changes: &[Change]) -> Result<()> {
        let mut rest = changes;
        while let Some(change) = rest.first() {
            let same = match change {
                // One call of systemctl for a run of units with the same action.
                Change::Unit { action, .. } => rest
                    .iter()
                    .take_while(
                        |it| matches!(it, Change::Unit { action: next, .. } if next == action),
                    )
                    .count(),
                _ => 1,
            };
            let (now, later) = rest.split_at(same);
            match change {
                Change::Unit { action, .. } => self.units(*action, now)?,
                other => self.change(other)?,
            }
            rest = later;
        }
        Ok(())
    }

    fn change(&self, change: &Change) -> Result<()> {
        match change {
            Change::File {
                path,
                content,
                mode,
                owner,
            } => {
                let full = self.place(path)?;
                clear(path, &full)?;
                let owner = self.owner(owner)?;
                write_file(&full, *mode, owner, self.epoch, &mut content.as_slice())
            }
            Change::Directory { path, mode, owner } => {
                let full = self.place(path)?;
                match look(&full)? {
                    Some(metadata) if metadata.is_dir() => {}
                    Some(_) => return Err(problem(path, "it exists and is not a directory")),
                    None => fs::create_dir(&full).map_err(Error::io("create directory", &full))?,
                }
                self.set_attributes(&full, Some(*mode), Some(owner))
            }
            Change::Tree { path, source, .. } => self.tree(path, source),
            Change::Symlink { path, target } => {
                let full = self.place(path)?;
                clear(path, &full)?;
                symlink(target, &full).map_err(Error::io("create", full))
            }
            Change::Attributes { path, mode, owner } => {
                let full = self.place(path)?;
                match look(&full)? {
                    None => Err(problem(path, "it does not exist")),
                    Some(metadata) if metadata.is_symlink() => {
                        Err(problem(path, "it is a symbolic link"))
                    }
                    Some(_) => self.set_attributes(&full, *mode, owner.as_ref()),
                }
            }
            Change::Remove { path } => {
                let full = self.place(path)?;
                match look(&full)? {
                    None => Err(problem(path, "it does not exist")),
                    Some(metadata) if metadata.is_dir() => remove(&full),
                    Some(_) => fs::remove_file(&full).map_err(Error::io("remove", full)),
                }
            }
            Change::Group(group) => {
                self.accounts(|accounts| accounts.add_group(group, self.pinned))
            }
            Change::User(user) => {
                self.accounts(|accounts| accounts.add_user(user, self.pinned, self.epoch))?;
                if user.create_home {
                    self.make_home(user)?;
                }
                Ok(())
            }
            Change::Password { user, password } => {
                self.accounts(|accounts| accounts.set_password(user, password, self.epoch))
            }
            Change::PasswordAges => {
                let ages = PasswordAges::read(self.root)?;
                self.accounts(|accounts| {
                    accounts.set_ages(&ages);
                    Ok(())
                })
            }
            Change::Unit { unit, action } => self.units(
                *action,
                &[Change::Unit {
                    unit: unit.clone(),
                    action: *action,
                }],
            ),
            Change::DefaultTarget { target } => self.systemctl(&["set-default", target]),
            Change::Script(script) => self.script(script),
        }
    }

    /// Where `path` leads inside the tree; its parent directories are made where they are missing.
    fn place(&self, path: &str) -> Result<PathBuf> {
        path::resolve(self.root, path)
    }

    fn owner(&self, owner: &Owner) -> Result<(u32, u32)> {
        let accounts = Accounts::read(self.root)?;
        let user = accounts
            .user_id(&owner.user)
            .ok_or_else(|| problem(&owner.user, "there is no such user"))?;
        let group = accounts
            .group_id(&owner.group)
            .ok_or_else(|| problem(&owner.group, "there is no such group"))?;
        Ok((user, group))
    }

    fn set_attributes(&self, full: &Path, mode: Option<u32>, owner: Option<&Owner>) -> Result<()> {
        let metadata = fs::metadata(full).map_err(Error::io("inspect", full))?;
        let mode = mode.unwrap_or(metadata.permissions().mode() & 0o7777);
        if let Some(owner) = owner {
            let (uid, gid) = self.owner(owner)?;
            chown(full, Some(uid), Some(gid)).map_err(Error::io("change the owner of", full))?;
        }
        fs::set_permissions(full, fs::Permissions::from_mode(mode))
            .map_err(Error::io("set attributes of", full))
    }

    fn accounts(&self, change: impl FnOnce(&mut Accounts) -> Result<()>) -> Result<()> {
        let before = Accounts::read(self.root)?;
        let mut accounts = before.clone();
        change(&mut accounts)?;
        accounts.write(self.root, &before)
    }

    /// Makes a home directory with what `/etc/skel` holds: regular files and links at its top, which is what Debian has.
    fn make_home(&self, user: &User) -> Result<()> {
        let owner = Owner {
            user: user.name.clone(),
            group: user.group.clone().unwrap_or_else(|| user.name.clone()),
        };
        self.change(&Change::Directory {
            path: user.home.clone(),
            mode: 0o700,
            owner: owner.clone(),
        })?;
        let home = self.place(&user.home)?;
        let (uid, gid) = self.owner(&owner)?;
        let Some(skeleton) = path::follow(self.root, "/etc/skel")? else {
            return Ok(());
        };
        let entries = fs::read_dir(&skeleton).map_err(Error::io("list", &skeleton))?;
        for entry in entries {
            let entry = entry.map_err(Error::io("list", &skeleton))?;
            let source = entry.path();
            let target = home.join(entry.file_name());
            let kind = entry.file_type().map_err(Error::io("inspect", &source))?;
            if kind.is_file() {
                fs::copy(&source, &target).map_err(Error::io("copy", &source))?;
            } else if kind.is_symlink() {
                let link = fs::read_link(&source).map_err(Error::io("read", &source))?;
                symlink(link, &target).map_err(Error::io("create", &target))?;
            } else {
                continue;
            }
            lchown(&target, Some(uid), Some(gid))
                .map_err(Error::io("change the owner of", &target))?;
        }
        Ok(())
    }

    fn units(&self, action: UnitAction, changes: &[Change]) -> Result<()> {
        let mut arguments = vec![match action {
            UnitAction::Enable => "enable",
            UnitAction::Disable => "disable",
            UnitAction::Mask => "mask",
        }];
        for change in changes {
            if let Change::Unit { unit, .. } = change {
                arguments.push(unit);
            }
        }
        self.systemctl(&arguments)
    }

    /// Runs the tree's own systemctl, which without a running systemd works on the unit files.
    fn systemctl(&self, arguments: &[&str]) -> Result<()> {
        if path::follow(self.root, "/usr/bin/systemctl")?.is_none() {
            return Err(problem(
                &arguments[1..].join(" "),
                "units need the package `systemd` in the image",
            ));
        }
        let mut all = vec!["--no-pager", "--quiet"];
        all.extend(arguments);
        session::run(
            &session::sandbox(self.root, self.epoch),
            &format!("`systemctl {}`", arguments.join(" ")),
            "/usr/bin/systemctl",
            &all,
            &[],
            self.interrupt,
        )
        .map(drop)
    }

    fn script(&self, script: &Script) -> Result<()> {
        let scratch = self.cache.scratch()?;
        let file = scratch.path().join("script");
        write_file(&file, 0o755, (0, 0), 0, &mut script.content.as_slice())?;
        let target = "/run/bedstone/script";
        let mut sandbox =
            session::sandbox(self.root, self.epoch).bind(&file, target, Access::ReadOnly);
        for input in &script.inputs {
            if input.name.is_empty() || input.name.contains('/') || input.name.starts_with('.') {
                return Err(problem(
                    &script.name,
                    &format!("`{}` cannot name an input", input.name),
                ));
            }
            sandbox = sandbox.bind(
                &input.source,
                format!("{INPUTS}/{}", input.name),
                Access::ReadOnly,
            );
        }
        for (name, value) in &script.environment {
            sandbox = sandbox.environment(name, value);
        }
        let what = format!("script `{}`", script.name);
        session::run(&sandbox, &what, target, &[], &[], self.interrupt).map(drop)
    }
}

/// Removes a file or link that is about to be replaced.
fn clear(path: &str, full: &Path) -> Result<()> {
    match look(full)? {
        None => Ok(()),
        Some(metadata) if metadata.is_dir() => Err(problem(path, "it is a directory")),
        Some(_) => fs::remove_file(full).map_err(Error::io("remove", full)),
    }
}

fn problem(subject: &str, problem: &str) -> Error {
    Error::Change {
        subject: subject.to_owned(),
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
mod tests;
