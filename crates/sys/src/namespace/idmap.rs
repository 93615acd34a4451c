use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{geteuid, getuid};

use crate::error::{Error, Result};

/// How many ids a user needs beside its own: Debian's go up to 65534 (`nobody`).
const NEEDED: u64 = 65_535;

/// `count` consecutive ids that are `inside` and up in a namespace, and `outside` and up in the one around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// First id as seen inside.
    pub inside: u64,
    /// First id as seen outside.
    pub outside: u64,
    /// How many.
    pub count: u64,
}

/// The user and group maps of a process.
///
/// What is on the disk has the outer ids: a tree that one map made is wrong under another, so caches of trees carry the
/// [`identity`](IdMap::identity) in their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMap {
    users: Vec<Extent>,
    groups: Vec<Extent>,
}

impl IdMap {
    /// The maps of the calling process.
    pub fn current() -> Result<Self> {
        Ok(Self {
            users: read_map("/proc/self/uid_map")?,
            groups: read_map("/proc/self/gid_map")?,
        })
    }

    /// A text that is equal for equal maps.
    pub fn identity(&self) -> String {
        format!("users {}groups {}", text(&self.users), text(&self.groups))
    }
}

/// How the ids of a new user namespace will be mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    map: IdMap,
    /// Whether this process may write the maps itself, or needs newuidmap and newgidmap.
    direct: bool,
}

impl Plan {
    pub(super) fn for_this_process() -> Result<Self> {
        if geteuid().is_root() {
            let current = IdMap::current()?;
            return Ok(Self {
                map: IdMap {
                    users: to_itself(&current.users),
                    groups: to_itself(&current.groups),
                },
                direct: true,
            });
        }
        for tool in ["newuidmap", "newgidmap"] {
            if !["/usr/bin", "/bin", "/usr/local/bin"]
                .iter()
                .any(|directory| Path::new(directory).join(tool).exists())
            {
                return Err(Error::MapIds(format!(
                    "`{tool}` is not installed; `apt-get install uidmap`"
                )));
            }
        }
        let uid = u64::from(getuid().as_raw());
        let gid = u64::from(rustix::process::getgid().as_raw());
        let accounts = read("/etc/passwd")?;
        let user = user_name(&accounts, uid).unwrap_or_else(|| uid.to_string());
        let range = |file: &'static str| -> Result<Extent> {
            subordinate(&read(file)?, &user, uid).ok_or_else(|| Error::NoSubordinateIds {
                user: user.clone(),
                file,
            })
        };
        let own = |outside| Extent {
            inside: 0,
            outside,
            count: 1,
        };
        Ok(Self {
            map: IdMap {
                users: vec![own(uid), range("/etc/subuid")?],
                groups: vec![own(gid), range("/etc/subgid")?],
            },
            direct: false,
        })
    }

    /// Writes the maps of process `pid`; called from outside its new namespace.
    pub(super) fn apply(&self, pid: u32) -> io::Result<()> {
        if self.direct {
            fs::write(format!("/proc/{pid}/uid_map"), text(&self.map.users))?;
            return fs::write(format!("/proc/{pid}/gid_map"), text(&self.map.groups));
        }
        for (tool, extents) in [
            ("newuidmap", &self.map.users),
            ("newgidmap", &self.map.groups),
        ] {
            let output = Command::new(tool)
                .env("PATH", "/usr/bin:/bin:/usr/local/bin")
                .arg(pid.to_string())
                .args(text(extents).split_ascii_whitespace())
                .stdin(Stdio::null())
                .output()?;
            if !output.status.success() {
                return Err(io::Error::other(
                    String::from_utf8_lossy(&output.stderr).trim().to_owned(),
                ));
            }
        }
        Ok(())
    }
}

fn read(path: &'static str) -> Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Error::path("read", path)(error)),
    }
}

fn read_map(path: &'static str) -> Result<Vec<Extent>> {
    let parse = |line: &str| -> Option<Extent> {
        let mut fields = line.split_ascii_whitespace().map(str::parse);
        Some(Extent {
            inside: fields.next()?.ok()?,
            outside: fields.next()?.ok()?,
            count: fields.next()?.ok()?,
        })
    };
    Ok(read(path)?.lines().filter_map(parse).collect())
}

fn to_itself(extents: &[Extent]) -> Vec<Extent> {
    extents
        .iter()
        .map(|extent| Extent {
            outside: extent.inside,
            ..*extent
        })
        .collect()
}

/// The form of `/proc/PID/uid_map`, which is also the order of newuidmap's arguments.
fn text(extents: &[Extent]) -> String {
    extents.iter().fold(String::new(), |mut text, extent| {
        let _ = writeln!(
            text,
            "{} {} {}",
            extent.inside, extent.outside, extent.count
        );
        text
    })
}

fn user_name(passwd: &str, uid: u64) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// The first range of sufficient size in the form of `subuid(5)`: `name-or-uid:first:count`.
fn subordinate(file: &str, user: &str, uid: u64) -> Option<Extent> {
    file.lines().find_map(|line| {
        let mut fields = line.split(':');
        let owner = fields.next()?;
        let outside = fields.next()?.trim().parse().ok()?;
        let count: u64 = fields.next()?.trim().parse().ok()?;
        let ours = owner == user || owner.parse() == Ok(uid);
        (ours && count >= NEEDED).then_some(Extent {
            inside: 1,
            outside,
            count: NEEDED,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subordinate_ranges_are_found_by_name_and_number() {
        let file = "other:100000:65536\nme:1:10\nme:165536:65536\n1000:400000:70000\n";
        let found = subordinate(file, "me", 7).unwrap();
        assert_eq!(
            (found.inside, found.outside, found.count),
            (1, 165_536, 65_535)
        );
        assert_eq!(subordinate(file, "you", 1000).unwrap().outside, 400_000);
        assert_eq!(subordinate(file, "nobody", 65_534), None);
        assert_eq!(subordinate("::\nme\nme:x:y\n", "me", 1), None);
    }

    #[test]
    fn names_come_from_passwd() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\n";
        assert_eq!(user_name(passwd, 1000).as_deref(), Some("me"));
        assert_eq!(user_name(passwd, 1), None);
    }

    #[test]
    fn maps_have_the_form_of_proc() {
        let extents = [
            Extent {
                inside: 0,
                outside: 1000,
                count: 1,
            },
            Extent {
                inside: 1,
                outside: 100_000,
                count: 65_535,
            },
        ];
        assert_eq!(text(&extents), "0 1000 1\n1 100000 65535\n");
        assert!(
            to_itself(&extents)
                .iter()
                .all(|extent| extent.inside == extent.outside)
        );
    }
}
