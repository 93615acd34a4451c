//! User and group numbers that stay the same from release to release.
//!
//! Maintainer scripts take the first free number in the order in which packages are configured, so an added package may
//! shift the numbers of others, and then data on a device belongs to the wrong user after an update. Therefore numbers
//! from the system range are given anew after configuring: a name that is pinned keeps its number, and a new one gets
//! a number that follows from its name alone (and from the pinned ones, which it avoids). Files that carry an old number
//! are changed with it. No configured stage depends on the pins, so a new pin reruns none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

use rustix::fs::XattrFlags;
use serde::{Deserialize, Serialize};

use bedstone_store::Digest;

use super::accounts::Accounts;
use super::layer::{look, walk};
use super::session::Stack;
use super::unpacked::set_times;
use crate::error::{Error, Result};

/// Numbers of users and groups by name.
///
/// In the lock, names stay for ever: a number that was once given away is not reused for another name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    /// Users.
    pub users: BTreeMap<String, u32>,
    /// Groups.
    pub groups: BTreeMap<String, u32>,
}

/// Numbers, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    first: u32,
    last: u32,
    /// Whether a name's number follows from the name, or is the lowest free one.
    by_name: bool,
}

impl Range {
    /// System accounts that packages make (Debian policy 9.2.2), without 100, which base-passwd gives the group `users`.
    pub(super) const SYSTEM: Self = Self {
        first: 101,
        last: 999,
        by_name: true,
    };
    /// People's accounts.
    pub(super) const PEOPLE: Self = Self {
        first: 1000,
        last: 59_999,
        by_name: false,
    };

    fn contains(self, number: u32) -> bool {
        (self.first..=self.last).contains(&number)
    }
}

impl Ids {
    /// A user number and a group number for `name`. Pinned ones win; new ones are free among pinned and present ones, and
    /// both the same where possible.
    pub(super) fn choose(
        &self,
        name: &str,
        range: Range,
        users: &BTreeMap<String, u32>,
        groups: &BTreeMap<String, u32>,
    ) -> Result<(u32, u32)> {
        let user = self.users.get(name).copied();
        let group = self.groups.get(name).copied();
        if let (Some(user), Some(group)) = (user, group) {
            return Ok((user, group));
        }
        let taken: BTreeSet<u32> = [&self.users, &self.groups, users, groups]
            .into_iter()
            .flat_map(|map| map.iter().filter(|(other, _)| *other != name))
            .map(|(_, &number)| number)
            .collect();
        if let Some(known) = user.or(group)
            && !taken.contains(&known)
        {
            return Ok((user.unwrap_or(known), group.unwrap_or(known)));
        }
        let count = range.last - range.first + 1;
        let start = if range.by_name {
            spread(name) % count
        } else {
            0
        };
        let new = (0..count)
            .map(|step| range.first + (start + step) % count)
            .find(|number| !taken.contains(number))
            .ok_or_else(|| Error::IdsExhausted {
                name: name.to_owned(),
                first: range.first,
                last: range.last,
            })?;
        Ok((user.unwrap_or(new), group.unwrap_or(new)))
    }
}

/// A number that follows from the name.
fn spread(name: &str) -> u32 {
    let digest = Digest::of(name.as_bytes());
    let bytes = digest.as_bytes();
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Old to new numbers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Renumbering {
    users: BTreeMap<u32, u32>,
    groups: BTreeMap<u32, u32>,
}

impl Renumbering {
    /// What the system accounts' numbers become. Names in alphabetical order, so that it does not matter who came first.
    fn plan(accounts: &Accounts, pinned: &Ids) -> Result<Self> {
        let users = accounts.users();
        let groups = accounts.groups();
        let dynamic = |map: &BTreeMap<String, u32>| -> BTreeMap<String, u32> {
            let of_range = |&(_, number): &(&String, &u32)| Range::SYSTEM.contains(*number);
            map.iter()
                .filter(of_range)
                .map(|(name, number)| (name.clone(), *number))
                .collect()
        };
        let (old_users, old_groups) = (dynamic(&users), dynamic(&groups));
        let mut new = Ids::default();
        let names: BTreeSet<&String> = old_users.keys().chain(old_groups.keys()).collect();
        for name in names {
            let (user, group) = pinned.choose(name, Range::SYSTEM, &new.users, &new.groups)?;
            new.users.insert(name.clone(), user);
            new.groups.insert(name.clone(), group);
        }
        let pair = |old: &BTreeMap<String, u32>, new: &BTreeMap<String, u32>| {
            old.iter()
                .map(|(name, &number)| (number, new[name]))
                .collect()
        };
        Ok(Self {
            users: pair(&old_users, &new.users),
            groups: pair(&old_groups, &new.groups),
        })
    }
}

/// Gives the system accounts of the tree at `root` their numbers. `root` is a writable view of `stack`.
pub(super) fn pin(root: &Path, stack: &Stack, pinned: &Ids) -> Result<()> {
    let before = Accounts::read(root)?;
    let renumbering = Renumbering::plan(&before, pinned)?;
    let mut accounts = before.clone();
    accounts.renumber(&renumbering.users, &renumbering.groups);
    accounts.write(root, &before)?;
    // Only what scripts changed can have such an owner: packages' own files have static ones.
    let mut concerned = BTreeSet::new();
    for layer in stack.changes() {
        walk(layer, &mut |path, metadata| {
            let dynamic =
                Range::SYSTEM.contains(metadata.uid()) || Range::SYSTEM.contains(metadata.gid());
            let full = layer.join(path);
            let listed = || {
                !metadata.is_symlink() && ACLS.iter().any(|name| attribute(&full, name).is_some())
            };
            if dynamic || listed() {
                concerned.insert(path.to_owned());
            }
            Ok(())
        })?;
    }
    for path in concerned {
        change_owner(&root.join(path), &renumbering)?;
    }
    Ok(())
}

/// POSIX access control lists: a version, then entries of tag, permissions and number (Linux `posix_acl_xattr.h`).
const ACLS: [&str; 2] = ["system.posix_acl_access", "system.posix_acl_default"];
const ACL_VERSION: usize = 4;
const ACL_ENTRY: usize = 8;
const ACL_USER: u16 = 2;
const ACL_GROUP: u16 = 8;
/// File capabilities, which a change of owner removes.
const CAPABILITIES: &str = "security.capability";

fn change_owner(path: &Path, renumbering: &Renumbering) -> Result<()> {
    let Some(metadata) = look(path)? else {
        return Ok(());
    };
    let uid = renumbering.users.get(&metadata.uid());
    let gid = renumbering.groups.get(&metadata.gid());
    if uid.is_some() || gid.is_some() {
        let capabilities = attribute(path, CAPABILITIES);
        lchown(path, uid.copied(), gid.copied()).map_err(Error::io("change the owner of", path))?;
        if !metadata.is_symlink() {
            // The change took set-id bits and capabilities away.
            fs::set_permissions(path, fs::Permissions::from_mode(metadata.mode() & 0o7777))
                .map_err(Error::io("set attributes of", path))?;
        }
        if let Some(capabilities) = capabilities {
            set_attribute(path, CAPABILITIES, &capabilities)?;
        }
    }
    if metadata.is_symlink() {
        return Ok(());
    }
    for name in ACLS {
        if let Some(old) = attribute(path, name) {
            let new = renumber_acl(&old, renumbering);
            if new != old {
                set_attribute(path, name, &new)?;
            }
        }
    }
    set_times(path, metadata.mtime())
}

fn renumber_acl(acl: &[u8], renumbering: &Renumbering) -> Vec<u8> {
    let mut new = acl.to_vec();
    for entry in new
        .get_mut(ACL_VERSION..)
        .unwrap_or_default()
        .chunks_exact_mut(ACL_ENTRY)
    {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        let number = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        let map = match tag {
            ACL_USER => &renumbering.users,
            ACL_GROUP => &renumbering.groups,
            _ => continue,
        };
        if let Some(number) = map.get(&number) {
            entry[4..8].copy_from_slice(&number.to_le_bytes());
        }
    }
    new
}

/// An extended attribute's value, `None` where there is none or the file system knows none.
fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 1 << 16];
    let length = rustix::fs::lgetxattr(path, name, &mut value).ok()?;
    value.truncate(length);
    Some(value)
}

fn set_attribute(path: &Path, name: &str, value: &[u8]) -> Result<()> {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty())
        .map_err(Error::io("set attributes of", path))
}

/// The numbers of a finished tree that the lock should keep: all but Debian's static ones.
pub(super) fn collect(accounts: &Accounts) -> Ids {
    let kept = |map: BTreeMap<String, u32>| {
        map.into_iter()
            .filter(|&(_, number)| Range::SYSTEM.contains(number) || Range::PEOPLE.contains(number))
            .collect()
    };
    Ids {
        users: kept(accounts.users()),
        groups: kept(accounts.groups()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> BTreeMap<String, u32> {
        BTreeMap::new()
    }

    #[test]
    fn a_number_follows_from_the_name_and_avoids_others() {
        let (user, group) = Ids::default()
            .choose("sshd", Range::SYSTEM, &none(), &none())
            .unwrap();
        assert_eq!(user, group);
        assert!(Range::SYSTEM.contains(user));
        let mut pinned = Ids::default();
        pinned.users.insert("retired".to_owned(), user);
        let (other, _) = pinned
            .choose("sshd", Range::SYSTEM, &none(), &none())
            .unwrap();
        assert_eq!(other, user + 1);
    }

    #[test]
    fn pins_win_and_lend_their_number() {
        let mut pinned = Ids::default();
        pinned.groups.insert("sshd".to_owned(), 200);
        assert_eq!(
            pinned
                .choose("sshd", Range::SYSTEM, &none(), &none())
                .unwrap(),
            (200, 200)
        );
        pinned.users.insert("other".to_owned(), 200);
        let (user, group) = pinned
            .choose("sshd", Range::SYSTEM, &none(), &none())
            .unwrap();
        assert!(user != 200 && group == 200);
    }

    #[test]
    fn people_get_the_lowest_free_number() {
        let taken = BTreeMap::from([("a".to_owned(), 1000)]);
        assert_eq!(
            Ids::default()
                .choose("b", Range::PEOPLE, &taken, &none())
                .unwrap(),
            (1001, 1001)
        );
    }

    #[test]
    fn access_control_lists_follow() {
        let renumbering = Renumbering {
            users: BTreeMap::from([(107, 300)]),
            groups: BTreeMap::from([(107, 400)]),
        };
        let entry = |tag: u16, number: u32| -> Vec<u8> {
            [&tag.to_le_bytes()[..], &[7, 0], &number.to_le_bytes()].concat()
        };
        let acl = |user, group| {
            [
                vec![2, 0, 0, 0],
                entry(1, u32::MAX),
                entry(2, user),
                entry(8, group),
            ]
            .concat()
        };
        assert_eq!(renumber_acl(&acl(107, 107), &renumbering), acl(300, 400));
        assert_eq!(renumber_acl(&[1, 2], &renumbering), [1, 2]);
    }

    proptest::proptest! {
        #[test]
        fn numbers_are_unique_and_repeatable(names in proptest::collection::btree_set("[a-z]{1,6}", 0..300)) {
            let assign = || {
                let mut ids = Ids::default();
                for name in &names {
                    let (user, group) = ids.choose(name, Range::SYSTEM, &none(), &none()).unwrap();
                    ids.users.insert(name.clone(), user);
                    ids.groups.insert(name.clone(), group);
                }
                ids
            };
            let ids = assign();
            proptest::prop_assert_eq!(&ids, &assign());
            let numbers: BTreeSet<_> = ids.users.values().collect();
            proptest::prop_assert_eq!(numbers.len(), names.len());
        }
    }
}
