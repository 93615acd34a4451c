//! Three-way merge of `passwd`, `group` and their shadows (passwd(5), group(5), shadow(5), gshadow(5)), entry by entry.

use std::collections::{BTreeMap, BTreeSet};

/// A file of accounts: how its entries are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// Fields of an entry, the name being the first.
    fields: usize,
    /// The field with the number that an entry stands for.
    number: Option<usize>,
    /// Fields that are lists of names.
    lists: &'static [usize],
}

/// What came of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The new content.
    pub content: Vec<u8>,
    /// What people should look at, each a sentence's part; where both sides changed a field, the device's was kept.
    pub conflicts: Vec<String>,
}

/// Lines of a file by the names of their entries.
type Entries<'a> = BTreeMap<&'a str, Vec<&'a str>>;

impl Format {
    /// The format of a file in `/etc`, if it is one of accounts; backups that tools leave (`passwd-`) are too.
    pub fn of(path: &str) -> Option<Self> {
        const PASSWD: Format = Format {
            fields: 7,
            number: Some(2),
            lists: &[],
        };
        const GROUP: Format = Format {
            fields: 4,
            number: Some(2),
            lists: &[3],
        };
        const SHADOW: Format = Format {
            fields: 9,
            number: None,
            lists: &[],
        };
        const GSHADOW: Format = Format {
            fields: 4,
            number: None,
            lists: &[2, 3],
        };
        match path.strip_suffix('-').unwrap_or(path) {
            "passwd" => Some(PASSWD),
            "group" => Some(GROUP),
            "shadow" => Some(SHADOW),
            "gshadow" => Some(GSHADOW),
            _ => None,
        }
    }

    /// Merges what `mine` and `theirs` changed of `base`; none when one of them is not of this format. The order is that of
    /// `theirs`, then what the device added.
    pub fn merge(self, base: &[u8], mine: &[u8], theirs: &[u8]) -> Option<Merged> {
        let (base, _) = self.entries(base)?;
        let (mine, mine_order) = self.entries(mine)?;
        let (theirs, theirs_order) = self.entries(theirs)?;
        let mut conflicts = Vec::new();
        let mut merged: Vec<(&str, Vec<String>)> = Vec::new();
        let added = mine_order.iter().filter(|name| !theirs.contains_key(*name));
        for name in theirs_order.iter().chain(added) {
            let sides = (base.get(name), mine.get(name), theirs.get(name));
            let entry = match sides {
                (old, Some(mine), None) if old == Some(mine) => None,
                (old, None, Some(theirs)) if old == Some(theirs) => None,
                (Some(_), None, Some(_)) => {
                    conflicts.push(format!(
                        "`{name}` was removed here and changed by the image"
                    ));
                    None
                }
                (Some(_), Some(mine), None) => {
                    conflicts.push(format!(
                        "`{name}` was changed here and removed by the image"
                    ));
                    Some(owned(mine))
                }
                (old, Some(mine), Some(theirs)) => {
                    let old = old.map(Vec::as_slice).unwrap_or_default();
                    Some(self.fields(name, old, mine, theirs, &mut conflicts))
                }
                (None, Some(entry), None) | (None, None, Some(entry)) => Some(owned(entry)),
                (_, None, None) => None,
            };
            merged.extend(entry.map(|entry| (*name, entry)));
        }
        self.check_numbers(&merged, &mine, &theirs, &mut conflicts);
        let mut content = String::new();
        for (_, fields) in merged {
            content.push_str(&fields.join(":"));
            content.push('\n');
        }
        Some(Merged {
            content: content.into_bytes(),
            conflicts,
        })
    }

    /// The entries by name, and the names in the order of the file.
    fn entries(self, text: &[u8]) -> Option<(Entries<'_>, Vec<&str>)> {
        let text = str::from_utf8(text).ok()?;
        let mut entries = BTreeMap::new();
        let mut order = Vec::new();
        for line in text.lines() {
            let fields: Vec<&str> = line.split(':').collect();
            let name = *fields.first()?;
            if name.is_empty() || fields.len() != self.fields {
                return None;
            }
            order.push(name);
            if entries.insert(name, fields).is_some() {
                return None;
            }
        }
        Some((entries, order))
    }

    /// An entry that both sides have; `old` is empty where it is new on both.
    fn fields(
        self,
        name: &str,
        old: &[&str],
        mine: &[&str],
        theirs: &[&str],
        conflicts: &mut Vec<String>,
    ) -> Vec<String> {
        let mut merged = Vec::new();
        for field in 0..self.fields {
            let (base, mine, theirs) = (old.get(field).copied(), mine[field], theirs[field]);
            merged.push(if mine == theirs || base == Some(mine) {
                theirs.to_owned()
            } else if base == Some(theirs) {
                mine.to_owned()
            } else if self.lists.contains(&field) {
                members(base.unwrap_or_default(), mine, theirs)
            } else {
                // Its content stays out of the report: it may be a password.
                conflicts.push(format!("`{name}`: both changed field {}", field + 1));
                mine.to_owned()
            });
        }
        merged
    }

    /// Two names with one number would share files. Only what the merge brought together is reported.
    fn check_numbers(
        self,
        merged: &[(&str, Vec<String>)],
        mine: &Entries<'_>,
        theirs: &Entries<'_>,
        conflicts: &mut Vec<String>,
    ) {
        let Some(number) = self.number else {
            return;
        };
        let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, fields) in merged {
            names.entry(&fields[number]).or_default().push(name);
        }
        for (number, names) in names {
            let together = |side: &Entries<'_>| names.iter().all(|name| side.contains_key(name));
            if names.len() > 1 && !together(mine) && !together(theirs) {
                let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                conflicts.push(format!("{} have the number {number}", names.join(" and ")));
            }
        }
    }
}

/// A list of names with what either side added and without what either removed.
fn members(base: &str, mine: &str, theirs: &str) -> String {
    let set = |list: &'_ str| -> BTreeSet<String> { names(list).map(str::to_owned).collect() };
    let (base, in_mine, in_theirs) = (set(base), set(mine), set(theirs));
    let stays = |name: &&str| {
        let (mine, theirs) = (in_mine.contains(*name), in_theirs.contains(*name));
        if base.contains(*name) {
            mine && theirs
        } else {
            mine || theirs
        }
    };
    let added = names(mine).filter(|name| !in_theirs.contains(*name));
    let all: Vec<&str> = names(theirs).chain(added).filter(stays).collect();
    all.join(",")
}

fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').filter(|name| !name.is_empty())
}

fn owned(fields: &[&str]) -> Vec<String> {
    fields.iter().map(|field| (*field).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn merge(file: &str, base: &str, mine: &str, theirs: &str) -> (String, Vec<String>) {
        let format = Format::of(file).unwrap();
        let merged = format
            .merge(base.as_bytes(), mine.as_bytes(), theirs.as_bytes())
            .unwrap();
        (String::from_utf8(merged.content).unwrap(), merged.conflicts)
    }

    #[test]
    fn both_may_add_remove_and_change() {
        let base = "root:x:0:0:root:/root:/bin/bash\ngames:x:5:60:g:/g:/n\nweb:x:33:33:w:/w:/n\n";
        let mine = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33:w:/w:/n\nalice:x:1000:1000::/home/alice:/bin/sh\n";
        let theirs =
            "root:x:0:0:Root:/root:/bin/bash\ngames:x:5:60:g:/g:/n\ntime:x:101:101::/t:/n\n";
        let (merged, conflicts) = merge("passwd", base, mine, theirs);
        assert_eq!(
            merged,
            "root:x:0:0:Root:/root:/bin/sh\ntime:x:101:101::/t:/n\nalice:x:1000:1000::/home/alice:/bin/sh\n"
        );
        assert_eq!(conflicts, [""; 0]);
    }

    #[test]
    fn members_are_sets() {
        let (merged, conflicts) = merge(
            "group",
            "adm:x:4:syslog,old\nempty:x:9:\n",
            "adm:x:4:syslog,old,alice\nempty:x:9:\n",
            "adm:x:4:syslog,monitor\nempty:x:9:a\n",
        );
        assert_eq!(merged, "adm:x:4:syslog,monitor,alice\nempty:x:9:a\n");
        assert_eq!(conflicts, [""; 0]);
    }

    #[test]
    fn the_devices_password_stays_and_is_not_told() {
        let (merged, conflicts) = merge(
            "shadow",
            "root:!:1:0:9:7:::\n",
            "root:SECRET:2:0:9:7:::\n",
            "root:OTHER:1:0:365:7:::\n",
        );
        assert_eq!(merged, "root:SECRET:2:0:365:7:::\n");
        assert_eq!(conflicts, ["`root`: both changed field 2"]);
    }

    #[test]
    fn shared_numbers_and_removals_are_told() {
        let root = "root:x:0:\n";
        let mine = format!("{root}alice:x:1000:\n");
        let theirs = format!("{root}bob:x:1000:\n");
        let (merged, conflicts) = merge("group", root, &mine, &theirs);
        assert_eq!(merged, "root:x:0:\nbob:x:1000:\nalice:x:1000:\n");
        assert_eq!(conflicts, ["`bob` and `alice` have the number 1000"]);
        let (merged, conflicts) = merge("group", "a:x:1:\nb:x:2:\n", "b:x:3:\n", "a:x:9:\n");
        assert_eq!(merged, "b:x:3:\n");
        assert_eq!(
            conflicts,
            [
                "`a` was removed here and changed by the image",
                "`b` was changed here and removed by the image"
            ]
        );
    }

    #[test]
    fn other_formats_are_left_to_the_line_merge() {
        let format = Format::of("passwd-").unwrap();
        for text in ["+::::\n", "a:b\n", "\n", "a:x:1:1:::\na:x:1:1:::\n"] {
            assert_eq!(format.merge(b"", text.as_bytes(), b""), None, "{text}");
        }
        assert_eq!(Format::of("hosts"), None);
        assert_eq!(Format::of("pam.d/passwd"), None);
    }

    fn group() -> impl Strategy<Value = String> {
        let name = || prop::sample::select(vec!["a", "b", "c", "d", "e"]);
        let members = prop::collection::btree_set(name(), 0..3);
        prop::collection::btree_map(name(), (0..4_u8, members), 0..5).prop_map(|entries| {
            let line = |(name, (number, members)): (&str, (u8, BTreeSet<&str>))| {
                let members: Vec<&str> = members.into_iter().collect();
                format!("{name}:x:{number}:{}\n", members.join(","))
            };
            let lines: Vec<String> = entries.into_iter().map(line).collect();
            lines.concat()
        })
    }

    proptest! {
        #[test]
        fn an_unchanged_side_gives_the_other(base in group(), changed in group()) {
            prop_assert_eq!(merge("group", &base, &base, &changed), (changed.clone(), vec![]));
            let sorted = |text: &str| { let mut lines: Vec<String> = text.lines().map(str::to_owned).collect(); lines.sort(); lines };
            let (merged, conflicts) = merge("group", &base, &changed, &base);
            prop_assert_eq!(sorted(&merged), sorted(&changed));
            prop_assert!(conflicts.is_empty());
        }

        #[test]
        fn what_the_device_added_is_there(base in group(), mine in group(), theirs in group()) {
            let (merged, _) = merge("group", &base, &mine, &theirs);
            let names = |text: &str| -> BTreeSet<String> { text.lines().map(|line| line.split(':').next().unwrap().to_owned()).collect() };
            for name in names(&mine).difference(&names(&base)) {
                prop_assert!(names(&merged).contains(name));
            }
        }

        #[test]
        fn never_panics(base: Vec<u8>, mine in "([a-c:,x\n]{0,30})", theirs in "([a-c:,x\n]{0,30})") {
            for name in ["passwd", "group", "shadow", "gshadow"] {
                let _ = Format::of(name).unwrap().merge(&base, mine.as_bytes(), theirs.as_bytes());
            }
        }
    }
}
