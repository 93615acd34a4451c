//! `/etc/passwd`, `/etc/group`, `/etc/shadow` and `/etc/gshadow` of a tree: passwd(5), group(5), shadow(5), gshadow(5).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use super::change::{Group, Password, User};
use super::database::read_if_any;
use super::ids::{Ids, Range};
use super::layer::look;
use super::path;
use crate::error::{Error, Result};

/// Paths relative to the root with the number of fields per line, and the mode of a file that is made anew.
const PASSWD: (&str, usize, u32) = ("etc/passwd", 7, 0o644);
const GROUP: (&str, usize, u32) = ("etc/group", 4, 0o644);
const SHADOW: (&str, usize, u32) = ("etc/shadow", 9, 0o640);
const GSHADOW: (&str, usize, u32) = ("etc/gshadow", 4, 0o640);
const SECONDS_PER_DAY: i64 = 86_400;

/// What tools write for a password that never ends (shadow(5)).
const NEVER: &str = "99999";

type Lines = Vec<Vec<String>>;

/// How old passwords may get, each in days as it stands in shadow(5); none where `/etc/login.defs` says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PasswordAges {
    minimum: Option<String>,
    maximum: Option<String>,
    warning: Option<String>,
}

impl PasswordAges {
    /// Reads `/etc/login.defs` of the tree at `root` (login.defs(5)).
    pub(super) fn read(root: &Path) -> Result<Self> {
        let text = read_if_any(root, "etc/login.defs")?;
        let days = |name: &str| -> Result<Option<String>> {
            let value = text.lines().find_map(|line| {
                let mut words = line.split_whitespace();
                (words.next() == Some(name)).then(|| words.next().unwrap_or_default())
            });
            match value.map(str::parse::<i64>) {
                None => Ok(None),
                // A negative number switches the limit off, which shadow(5) says with an empty field.
                Some(Ok(days)) if days < 0 => Ok(Some(String::new())),
                Some(Ok(days)) => Ok(Some(days.to_string())),
                Some(Err(_)) => Err(problem(
                    "/etc/login.defs",
                    format!("`{name}` is not a number of days"),
                )),
            }
        };
        Ok(Self {
            minimum: days("PASS_MIN_DAYS")?,
            maximum: days("PASS_MAX_DAYS")?,
            warning: days("PASS_WARN_AGE")?,
        })
    }
}

/// The accounts of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Accounts {
    passwd: Lines,
    group: Lines,
    shadow: Lines,
    gshadow: Lines,
}

impl Accounts {
    /// Reads the four files of the tree at `root`; missing ones are empty.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let read = |(file, fields, _)| parse(file, fields, &read_if_any(root, file)?);
        Ok(Self {
            passwd: read(PASSWD)?,
            group: read(GROUP)?,
            shadow: read(SHADOW)?,
            gshadow: read(GSHADOW)?,
        })
    }

    /// Writes those files back whose content is not that of `before`, keeping mode and owner.
    pub(super) fn write(&self, root: &Path, before: &Self) -> Result<()> {
        for ((file, _, mode), new, old) in [
            (PASSWD, &self.passwd, &before.passwd),
            (GROUP, &self.group, &before.group),
            (SHADOW, &self.shadow, &before.shadow),
            (GSHADOW, &self.gshadow, &before.gshadow),
        ] {
            if new != old {
                let place = format!("/{file}");
                // A link at its end leads inside, or to what is not there yet.
                let full = match path::follow(root, &place)? {
                    Some(full) => full,
                    None => path::resolve(root, &place)?,
                };
                write(&full, mode, &text(new), self.group_id("shadow"))?;
            }
        }
        Ok(())
    }

    /// All users by name.
    pub(super) fn users(&self) -> BTreeMap<String, u32> {
        numbers(&self.passwd)
    }

    /// All groups by name.
    pub(super) fn groups(&self) -> BTreeMap<String, u32> {
        numbers(&self.group)
    }

    /// A user's number.
    pub(super) fn user_id(&self, name: &str) -> Option<u32> {
        id(find(&self.passwd, name)?)
    }

    /// A group's number.
    pub(super) fn group_id(&self, name: &str) -> Option<u32> {
        id(find(&self.group, name)?)
    }

    /// Gives users and groups other numbers: old to new.
    pub(super) fn renumber(&mut self, users: &BTreeMap<u32, u32>, groups: &BTreeMap<u32, u32>) {
        let change = |field: &mut String, map: &BTreeMap<u32, u32>| {
            if let Some(new) = field.parse().ok().and_then(|old| map.get(&old)) {
                *field = new.to_string();
            }
        };
        for line in &mut self.passwd {
            change(&mut line[2], users);
            change(&mut line[3], groups);
        }
        for line in &mut self.group {
            change(&mut line[2], groups);
        }
    }

    /// Adds a group, or members to an existing one.
    pub(super) fn add_group(&mut self, group: &Group, pinned: &Ids) -> Result<()> {
        check_name(&group.name)?;
        if find(&self.group, &group.name).is_none() {
            let number = self.free(&group.name, group.system, pinned)?.1;
            self.insert_group(&group.name, number);
        }
        for member in &group.members {
            if find(&self.passwd, member).is_none() {
                return Err(problem(&group.name, format!("there is no user `{member}`")));
            }
            self.add_member(&group.name, member);
        }
        Ok(())
    }

    /// Adds a user. `epoch` is the day of its password, seconds since 1970.
    pub(super) fn add_user(&mut self, user: &User, pinned: &Ids, epoch: i64) -> Result<()> {
        check_name(&user.name)?;
        for (field, value) in [
            ("comment", &user.comment),
            ("home", &user.home),
            ("shell", &user.shell),
        ] {
            if value.contains([':', '\n']) {
                return Err(problem(
                    &user.name,
                    format!("`{field}` holds a colon or a line end"),
                ));
            }
        }
        if find(&self.passwd, &user.name).is_some() {
            return Err(problem(&user.name, "the user exists already".to_owned()));
        }
        let (uid, gid) = self.free(&user.name, user.system, pinned)?;
        let gid = match &user.group {
            Some(group) => self
                .group_id(group)
                .ok_or_else(|| problem(&user.name, format!("there is no group `{group}`")))?,
            None => self.group_id(&user.name).unwrap_or_else(|| {
                self.insert_group(&user.name, gid);
                gid
            }),
        };
        self.passwd.push(fields(&[
            &user.name,
            "x",
            &uid.to_string(),
            &gid.to_string(),
            &user.comment,
            &user.home,
            &user.shell,
        ]));
        let day = (epoch / SECONDS_PER_DAY).to_string();
        self.shadow.push(fields(&[
            &user.name, "!", &day, "0", "99999", "7", "", "", "",
        ]));
        self.set_password(&user.name, &user.password, epoch)?;
        for group in &user.groups {
            if find(&self.group, group).is_none() {
                return Err(problem(&user.name, format!("there is no group `{group}`")));
            }
            self.add_member(group, &user.name);
        }
        Ok(())
    }

    /// Sets the password of an existing user.
    pub(super) fn set_password(
        &mut self,
        user: &str,
        password: &Password,
        epoch: i64,
    ) -> Result<()> {
        let field = match password {
            Password::None => "*",
            Password::Locked => "!",
            // crypt(5): what starts otherwise is a clear text, or DES, which nobody should use.
            Password::Hash(hash) if hash.starts_with('$') && !hash.contains([':', '\n']) => hash,
            Password::Hash(_) => {
                return Err(problem(
                    user,
                    "the password is not a crypt(5) hash".to_owned(),
                ));
            }
        };
        let line = self
            .shadow
            .iter_mut()
            .find(|line| line[0] == user)
            .ok_or_else(|| problem(user, "there is no such user".to_owned()))?;
        field.clone_into(&mut line[1]);
        line[2] = (epoch / SECONDS_PER_DAY).to_string();
        Ok(())
    }

    /// Gives accounts with a password hash these ages, and the others no maximum.
    pub(super) fn set_ages(&mut self, ages: &PasswordAges) {
        for line in &mut self.shadow {
            if line[1].starts_with('$') {
                for (field, days) in [(3, &ages.minimum), (4, &ages.maximum), (5, &ages.warning)] {
                    if let Some(days) = days {
                        days.clone_into(&mut line[field]);
                    }
                }
            } else if !line[4].is_empty() {
                NEVER.clone_into(&mut line[4]);
            }
        }
    }

    /// Numbers for a new user and a new group of this name.
    fn free(&self, name: &str, system: bool, pinned: &Ids) -> Result<(u32, u32)> {
        let range = if system { Range::SYSTEM } else { Range::PEOPLE };
        pinned.choose(name, range, &self.users(), &self.groups())
    }

    fn insert_group(&mut self, name: &str, number: u32) {
        self.group
            .push(fields(&[name, "x", &number.to_string(), ""]));
        self.gshadow.push(fields(&[name, "!", "", ""]));
    }

    fn add_member(&mut self, group: &str, user: &str) {
        for lines in [&mut self.group, &mut self.gshadow] {
            if let Some(line) = lines.iter_mut().find(|line| line[0] == group) {
                let members = &mut line[3];
                if !members.split(',').any(|member| member == user) {
                    if !members.is_empty() {
                        members.push(',');
                    }
                    members.push_str(user);
                }
            }
        }
    }
}

fn parse(file: &'static str, count: usize, content: &str) -> Result<Lines> {
    content
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| {
            let fields: Vec<String> = line.split(':').map(str::to_owned).collect();
            if fields.len() == count {
                Ok(fields)
            } else {
                Err(Error::Accounts {
                    file,
                    line: index + 1,
                    problem: format!("{} fields instead of {count}", fields.len()),
                })
            }
        })
        .collect()
}

fn text(lines: &Lines) -> String {
    lines
        .iter()
        .fold(String::new(), |text, line| text + &line.join(":") + "\n")
}

fn fields(values: &[&str]) -> Vec<String> {
    values.iter().map(|&value| value.to_owned()).collect()
}

fn find<'a>(lines: &'a Lines, name: &str) -> Option<&'a Vec<String>> {
    lines.iter().find(|line| line[0] == name)
}

fn id(line: &[String]) -> Option<u32> {
    line[2].parse().ok()
}

fn numbers(lines: &Lines) -> BTreeMap<String, u32> {
    lines
        .iter()
        .filter_map(|line| Some((line[0].clone(), id(line)?)))
        .collect()
}

fn problem(subject: &str, problem: String) -> Error {
    Error::Change {
        subject: subject.to_owned(),
        problem,
    }
}

/// The names that Debian's adduser and useradd take, a closing `$` aside.
fn check_name(name: &str) -> Result<()> {
    let mut bytes = name.bytes();
    let first = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let rest = bytes.all(|byte| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-')
    });
    if first && rest && name.len() <= 32 {
        Ok(())
    } else {
        Err(problem(
            name,
            "a name is up to 32 characters of `a-z 0-9 _ -`, a letter or `_` first".to_owned(),
        ))
    }
}

fn write(path: &Path, mode: u32, content: &str, shadow: Option<u32>) -> Result<()> {
    let found = look(path)?;
    if found.as_ref().is_some_and(std::fs::Metadata::is_symlink) {
        return Err(problem(
            &path.display().to_string(),
            "it is a link that leads to nothing".to_owned(),
        ));
    }
    let attributes = found.map(|it| (it.mode() & 0o7777, it.uid(), it.gid()));
    let readers = if mode & 0o004 == 0 {
        shadow.unwrap_or(0)
    } else {
        0
    };
    let (mode, uid, gid) = attributes.unwrap_or((mode, 0, readers));
    fs::write(path, content)
        .and_then(|()| chown(path, Some(uid), Some(gid)))
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(Error::io("write", path))
}

#[cfg(test)]
mod tests;
