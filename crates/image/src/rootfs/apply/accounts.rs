//! The account files: passwd(5), group(5), shadow(5), gshadow(5).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::error::{Error, Result};
use crate::rootfs::change::{Group, Owner, Password, User};
use crate::rootfs::unpacked::write_file;

use super::problem;

/// Numbers of system accounts and of people (Debian Policy 9.2.2).
const SYSTEM: std::ops::RangeInclusive<u32> = 100..=999;
const PEOPLE: std::ops::RangeInclusive<u32> = 1000..=59_999;

/// The numbers that accounts must have: from the lock, so that data on a device keeps its owner from release to release.
#[derive(Debug, Clone, Copy)]
pub(in crate::rootfs) struct Numbers<'a> {
    pub(in crate::rootfs) users: &'a BTreeMap<String, u32>,
    pub(in crate::rootfs) groups: &'a BTreeMap<String, u32>,
}

/// One account file: its lines, split into fields.
#[derive(Debug)]
struct Table {
    path: &'static str,
    mode: u32,
    /// Group `shadow` may read the files with passwords.
    secret: bool,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn read(root: &Path, path: &'static str, fields: usize, secret: bool) -> Result<Self> {
        let full = root.join(path);
        let text = fs::read_to_string(&full).map_err(Error::io("read", &full))?;
        let mut rows = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let row: Vec<String> = line.split(':').map(str::to_owned).collect();
            if row.len() != fields {
                return Err(Error::Accounts {
                    file: path,
                    line: number + 1,
                    problem: format!("{} fields instead of {fields}", row.len()),
                });
            }
            rows.push(row);
        }
        Ok(Self {
            path,
            mode: if secret { 0o640 } else { 0o644 },
            secret,
            rows,
        })
    }

    fn row(&self, name: &str) -> Option<&Vec<String>> {
        self.rows.iter().find(|row| row[0] == name)
    }

    fn row_mut(&mut self, name: &str) -> Option<&mut Vec<String>> {
        self.rows.iter_mut().find(|row| row[0] == name)
    }

    fn number(&self, row: &[String], field: usize) -> Result<u32> {
        row[field].parse().map_err(|_| Error::Accounts {
            file: self.path,
            line: 1 + self.rows.iter().take_while(|it| it[0] != row[0]).count(),
            problem: format!("`{}` is not a number", row[field]),
        })
    }

    fn numbers(&self) -> Result<BTreeSet<u32>> {
        self.rows.iter().map(|row| self.number(row, 2)).collect()
    }

    fn push(&mut self, fields: &[&str]) {
        self.rows
            .push(fields.iter().map(|field| (*field).to_owned()).collect());
    }

    fn write(&self, root: &Path, time: i64, shadow: u32) -> Result<()> {
        let text: String = self
            .rows
            .iter()
            .map(|row| format!("{}\n", row.join(":")))
            .collect();
        let full = root.join(self.path);
        if fs::read(&full).is_ok_and(|old| old == text.as_bytes()) {
            return Ok(());
        }
        fs::remove_file(&full).map_err(Error::io("replace", &full))?;
        let group = if self.secret { shadow } else { 0 };
        write_file(&full, self.mode, (0, group), time, &mut text.as_bytes())
    }
}

/// The accounts of a tree.
#[derive(Debug)]
pub(super) struct Accounts {
    passwd: Table,
    group: Table,
    shadow: Table,
    gshadow: Table,
}

impl Accounts {
    pub(super) fn read(root: &Path) -> Result<Self> {
        Ok(Self {
            passwd: Table::read(root, "etc/passwd", 7, false)?,
            group: Table::read(root, "etc/group", 4, false)?,
            shadow: Table::read(root, "etc/shadow", 9, true)?,
            gshadow: Table::read(root, "etc/gshadow", 4, true)?,
        })
    }

    pub(super) fn write(&self, root: &Path, time: i64) -> Result<()> {
        let shadow = self.group_number("etc/shadow", "shadow")?;
        for table in [&self.passwd, &self.group, &self.shadow, &self.gshadow] {
            table.write(root, time, shadow)?;
        }
        Ok(())
    }

    /// User and group number of an account.
    pub(super) fn user(&self, name: &str) -> Result<(u32, u32)> {
        let row = self
            .passwd
            .row(name)
            .ok_or_else(|| problem(name, "there is no such user"))?;
        Ok((self.passwd.number(row, 2)?, self.passwd.number(row, 3)?))
    }

    pub(super) fn owner(&self, subject: &str, owner: &Owner) -> Result<(u32, u32)> {
        let row = self
            .passwd
            .row(&owner.user)
            .ok_or_else(|| problem(subject, &format!("there is no user `{}`", owner.user)))?;
        Ok((
            self.passwd.number(row, 2)?,
            self.group_number(subject, &owner.group)?,
        ))
    }

    fn group_number(&self, subject: &str, name: &str) -> Result<u32> {
        let row = self
            .group
            .row(name)
            .ok_or_else(|| problem(subject, &format!("there is no group `{name}`")))?;
        self.group.number(row, 2)
    }

    /// Adds a group where it is missing, and members where they are.
    pub(super) fn add_group(&mut self, group: &Group, numbers: &Numbers<'_>) -> Result<()> {
        if self.group.row(&group.name).is_none() {
            let taken = self.group.numbers()?;
            let number = choose(&group.name, group.system, numbers.groups, &taken)?;
            self.group.push(&[&group.name, "x", &number.to_string(), ""]);
            self.gshadow.push(&[&group.name, "!", "", ""]);
        }
        for member in &group.members {
            self.join(&group.name, member)?;
        }
        Ok(())
    }

    /// Adds a user with its primary group.
    pub(super) fn add_user(&mut self, user: &User, numbers: &Numbers<'_>) -> Result<()> {
        if self.passwd.row(&user.name).is_some() {
            return Err(problem(&user.name, "there is such a user already"));
        }
        let primary = user.group.as_deref().unwrap_or(&user.name);
        if self.group.row(primary).is_none() {
            self.add_group(
                &Group {
                    name: primary.to_owned(),
                    system: user.system,
                    members: Vec::new(),
                },
                numbers,
            )?;
        }
        let group = self.group_number(&user.name, primary)?;
        let taken = self.passwd.numbers()?;
        let number = choose(&user.name, user.system, numbers.users, &taken)?;
        let comment = user.comment.replace([':', '\n'], " ");
        self.passwd.push(&[
            &user.name,
            "x",
            &number.to_string(),
            &group.to_string(),
            &comment,
            &user.home,
            &user.shell,
        ]);
        // Without a date of last change a password never expires, and the file does not depend on the day of the build.
        self.shadow
            .push(&[&user.name, "", "", "0", "99999", "7", "", "", ""]);
        self.set_password(&user.name, &user.password)?;
        user.groups
            .iter()
            .try_for_each(|group| self.join(group, &user.name))
    }

    pub(super) fn set_password(&mut self, user: &str, password: &Password) -> Result<()> {
        let row = self
            .shadow
            .row_mut(user)
            .ok_or_else(|| problem(user, "there is no such user"))?;
        match password {
            Password::None => "*",
            Password::Locked => "!",
            Password::Hash(hash) => hash,
        }
        .clone_into(&mut row[1]);
        Ok(())
    }

    fn join(&mut self, group: &str, member: &str) -> Result<()> {
        for table in [&mut self.group, &mut self.gshadow] {
            let row = table
                .row_mut(group)
                .ok_or_else(|| problem(member, &format!("there is no group `{group}`")))?;
            if !row[3].split(',').any(|name| name == member) {
                if !row[3].is_empty() {
                    row[3].push(',');
                }
                row[3].push_str(member);
            }
        }
        Ok(())
    }
}

/// The number that the lock has, else the lowest of the range that neither the tree nor the lock has given to another.
fn choose(
    name: &str,
    system: bool,
    pinned: &BTreeMap<String, u32>,
    taken: &BTreeSet<u32>,
) -> Result<u32> {
    if let Some(number) = pinned.get(name) {
        if taken.contains(number) {
            return Err(problem(
                name,
                &format!("number {number}, which the lock gives to it, is taken in the tree"),
            ));
        }
        return Ok(*number);
    }
    let range = if system { SYSTEM } else { PEOPLE };
    let reserved: BTreeSet<u32> = pinned.values().copied().collect();
    range
        .clone()
        .find(|number| !taken.contains(number) && !reserved.contains(number))
        .ok_or_else(|| Error::IdsExhausted {
            name: name.to_owned(),
            first: *range.start(),
            last: *range.end(),
        })
}
