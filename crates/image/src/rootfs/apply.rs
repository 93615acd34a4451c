//! Applies the manifest's changes to a configured tree.

mod accounts;
mod place;

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use bedstone_sys::namespace::{Access, Sandbox};

pub(super) use accounts::Numbers;
use accounts::Accounts;
use place::Place;

use super::change::{Change, Owner, Script, UnitAction};
use super::session;
use super::unpacked::write_file;
use crate::error::{Error, Result};

/// Where a script sees its inputs, and itself.
const INPUTS: &str = "/run/bedstone/inputs";
const SCRIPT: &str = "/run/bedstone/script";

/// What the changes are applied with.
pub(super) struct Application<'a> {
    /// The writable tree.
    pub(super) root: &'a Path,
    /// Runs programs in it.
    pub(super) sandbox: &'a Sandbox,
    /// A directory of the host for the scripts themselves.
    pub(super) scratch: &'a Path,
    /// Modification time of everything that is written, in seconds since 1970.
    pub(super) time: i64,
    /// Numbers for new accounts.
    pub(super) numbers: &'a Numbers<'a>,
    /// Ends the work early.
    pub(super) interrupt: &'a AtomicBool,
}

impl Application<'_> {
    /// Applies `changes` in their order.
    pub(super) fn apply(&self, changes: &[Change]) -> Result<()> {
        let mut rest = changes;
        while let Some(first) = rest.first() {
            // One call of systemctl does for units that follow each other.
            let units = rest
                .iter()
                .take_while(|change| same_action(first, change))
                .count();
            if units > 0 {
                self.units(&rest[..units])?;
                rest = &rest[units..];
            } else {
                self.one(first)?;
                rest = &rest[1..];
            }
        }
        Ok(())
    }

    fn one(&self, change: &Change) -> Result<()> {
        match change {
            Change::File {
                path,
                content,
                mode,
                owner,
            } => self.file(path, content, *mode, owner),
            Change::Directory { path, mode, owner } => self.directory(path, *mode, owner),
            Change::Symlink { path, target } => {
                let place = self.place(path)?;
                remove_file(&place)?;
                symlink(target, &place).map_err(Error::io("create", &place))
            }
            Change::Attributes { path, mode, owner } => {
                self.attributes(path, *mode, owner.as_ref())
            }
            Change::Remove { path } => self.remove(path),
            Change::Group(group) => self.accounts(|accounts| accounts.add_group(group, self.numbers)),
            Change::User(user) => {
                self.accounts(|accounts| accounts.add_user(user, self.numbers))?;
                if user.create_home {
                    self.home(&user.name, &user.home)?;
                }
                Ok(())
            }
            Change::Password { user, password } => {
                self.accounts(|accounts| accounts.set_password(user, password))
            }
            Change::DefaultTarget { target } => {
                self.systemctl(&format!("make {target} the default"), &["set-default", target])
            }
            Change::Script(script) => self.script(script),
            Change::Unit { .. } => Ok(()),
        }
    }

    /// The host's path of a place in the tree, its parent directory made where needed.
    fn place(&self, path: &str) -> Result<PathBuf> {
        Place::new(self.root).parent(path)
    }

    fn owner(&self, subject: &str, owner: &Owner) -> Result<(u32, u32)> {
        Accounts::read(self.root)?.owner(subject, owner)
    }

    fn file(&self, path: &str, content: &[u8], mode: u32, owner: &Owner) -> Result<()> {
        let ids = self.owner(path, owner)?;
        let place = self.place(path)?;
        remove_file(&place)?;
        write_file(&place, mode, ids, self.time, &mut &*content)
    }

    fn directory(&self, path: &str, mode: u32, owner: &Owner) -> Result<()> {
        let (user, group) = self.owner(path, owner)?;
        let place = self.place(path)?;
        match fs::create_dir(&place) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::io("create directory", place)(error));
            }
            _ => {}
        }
        if !Place::new(self.root).follow(path)?.is_dir() {
            return Err(problem(path, "it is there and is no directory"));
        }
        set(&Place::new(self.root).follow(path)?, Some(mode), Some((user, group)))
    }

    fn attributes(&self, path: &str, mode: Option<u32>, owner: Option<&Owner>) -> Result<()> {
        let ids = owner.map(|owner| self.owner(path, owner)).transpose()?;
        let place = Place::new(self.root).follow(path)?;
        if !place.exists() {
            return Err(problem(path, "it is not in the tree"));
        }
        set(&place, mode, ids)
    }

    fn remove(&self, path: &str) -> Result<()> {
        let place = self.place(path)?;
        let metadata = match fs::symlink_metadata(&place) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(problem(path, "it is not in the tree"));
            }
            Err(error) => return Err(Error::io("inspect", place)(error)),
        };
        if metadata.is_dir() {
            fs::remove_dir_all(&place).map_err(Error::io("remove", place))
        } else {
            fs::remove_file(&place).map_err(Error::io("remove", place))
        }
    }

    fn accounts(&self, edit: impl FnOnce(&mut Accounts) -> Result<()>) -> Result<()> {
        let mut accounts = Accounts::read(self.root)?;
        edit(&mut accounts)?;
        accounts.write(self.root, self.time)
    }

    /// A home directory with the content of `/etc/skel`, nobody else's to read.
    fn home(&self, user: &str, home: &str) -> Result<()> {
        let owner = Accounts::read(self.root)?.user(user)?;
        let place = self.place(home)?;
        if !place.exists() {
            fs::create_dir(&place).map_err(Error::io("create directory", &place))?;
            let skeleton = self.root.join("etc/skel");
            if skeleton.is_dir() {
                self.copy(&skeleton, &place, owner)?;
            }
        }
        set(&place, Some(0o700), Some(owner))
    }

    fn copy(&self, from: &Path, to: &Path, owner: (u32, u32)) -> Result<()> {
        let entries = fs::read_dir(from).map_err(Error::io("list", from))?;
        for entry in entries {
            let entry = entry.map_err(Error::io("list", from))?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            let kind = entry.file_type().map_err(Error::io("inspect", &source))?;
            if kind.is_dir() {
                fs::create_dir(&target).map_err(Error::io("create directory", &target))?;
                self.copy(&source, &target, owner)?;
                set(&target, Some(0o755), Some(owner))?;
            } else if kind.is_file() {
                let content = fs::read(&source).map_err(Error::io("read", &source))?;
                write_file(&target, 0o644, owner, self.time, &mut content.as_slice())?;
            }
        }
        Ok(())
    }

    fn units(&self, changes: &[Change]) -> Result<()> {
        let mut verb = "";
        let mut names = Vec::new();
        for change in changes {
            if let Change::Unit { unit, action } = change {
                verb = match action {
                    UnitAction::Enable => "enable",
                    UnitAction::Disable => "disable",
                    UnitAction::Mask => "mask",
                };
                names.push(unit.as_str());
            }
        }
        let mut arguments = vec![verb];
        arguments.extend(&names);
        self.systemctl(&format!("{verb} {}", names.join(", ")), &arguments)
    }

    /// systemd's own program knows best what `[Install]` sections mean; without a running manager it only makes links.
    fn systemctl(&self, what: &str, arguments: &[&str]) -> Result<()> {
        let mut all = vec!["--root=/", "--no-reload", "--quiet"];
        all.extend(arguments);
        session::run(
            self.sandbox,
            &format!("systemctl, to {what},"),
            "/usr/bin/systemctl",
            &all,
            &[],
            self.interrupt,
        )?;
        Ok(())
    }

    fn script(&self, script: &Script) -> Result<()> {
        let path = self.scratch.join("script");
        remove_file(&path)?;
        write_file(&path, 0o755, (0, 0), self.time, &mut script.content.as_slice())?;
        let mut sandbox = self.sandbox.clone().bind(&path, SCRIPT, Access::ReadOnly);
        for input in &script.inputs {
            sandbox = sandbox.bind(
                &input.source,
                Path::new(INPUTS).join(&input.name),
                Access::ReadOnly,
            );
        }
        for (name, value) in &script.environment {
            sandbox = sandbox.environment(name, value);
        }
        session::run(
            &sandbox,
            &format!("hook `{}`", script.name),
            SCRIPT,
            &[],
            &[],
            self.interrupt,
        )?;
        Ok(())
    }
}

fn same_action(first: &Change, change: &Change) -> bool {
    match (first, change) {
        (Change::Unit { action, .. }, Change::Unit { action: other, .. }) => action == other,
        _ => false,
    }
}

fn problem(subject: &str, problem: &str) -> Error {
    Error::Change {
        subject: subject.to_owned(),
        problem: problem.to_owned(),
    }
}

/// Removes a file or link that is there; a directory is refused.
fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("replace", path)(error))
        }
        _ => Ok(()),
    }
}

/// Owner first: changing it clears the set-id bits.
fn set(path: &Path, mode: Option<u32>, owner: Option<(u32, u32)>) -> Result<()> {
    let failed = || Error::io("set attributes of", path);
    if let Some((user, group)) = owner {
        chown(path, Some(user), Some(group)).map_err(failed())?;
    }
    if let Some(mode) = mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
