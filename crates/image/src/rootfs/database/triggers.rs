//! Triggers (deb-triggers(5)): who is interested in what, and what unpacking has activated.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use super::{Placed, replace};
use crate::error::Result;

/// Adds the interests of a stage's packages, and activates file triggers of packages configured earlier.
///
/// dpkg activates a file trigger when it unpacks a file below the path. A package that is unpacked itself but not yet
/// configured gets no activation: its postinst does the work. So only interests that stand in the database already count.
pub(super) fn add(
    database: &Path,
    old: &dyn Fn(&str) -> Result<String>,
    placed: &[Placed<'_>],
) -> Result<()> {
    let files = old("triggers/File")?;
    let activated = activated(&files, placed);
    if !activated.is_empty() {
        let mut deferred = old("triggers/Unincorp")?;
        for path in activated {
            // A dash: no package waits for the trigger to be processed.
            let _ = writeln!(deferred, "{path} -");
        }
        replace(&database.join("triggers/Unincorp"), &deferred)?;
    }
    let mut by_path: BTreeSet<String> = files.lines().map(str::to_owned).collect();
    let known = by_path.len();
    let mut by_name: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (package, _) in placed {
        for (trigger, waits) in interests(&package.control_file("triggers")?.unwrap_or_default()) {
            let mut who = package.control.info_name();
            if !waits {
                who.push_str("/noawait");
            }
            if trigger.starts_with('/') {
                by_path.insert(format!("{trigger} {who}"));
            } else {
                by_name.entry(trigger).or_default().insert(who);
            }
        }
    }
    if by_path.len() > known {
        replace(&database.join("triggers/File"), &lines(&by_path))?;
    }
    for (trigger, mut who) in by_name {
        let name = format!("triggers/{trigger}");
        who.extend(old(&name)?.lines().map(str::to_owned));
        replace(&database.join(&name), &lines(&who))?;
    }
    Ok(())
}

fn lines(set: &BTreeSet<String>) -> String {
    set.iter()
        .fold(String::new(), |text, line| text + line + "\n")
}

/// The paths of file triggers that the placed files activate.
fn activated<'a>(files: &'a str, placed: &[Placed<'_>]) -> BTreeSet<&'a str> {
    let interests: Vec<&str> = files
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(path, _)| path)
        .collect();
    interests
        .into_iter()
        .filter(|interest| {
            let prefix = interest.trim_start_matches('/');
            placed.iter().any(|(_, record)| {
                record.listed.iter().any(|path| {
                    path.strip_prefix(prefix)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                })
            })
        })
        .collect()
}

/// The `interest` directives: trigger, and whether activating packages wait for it.
pub(in crate::rootfs) fn interests(control: &str) -> Vec<(String, bool)> {
    control
        .lines()
        .filter_map(|line| {
            let mut words = line.split('#').next()?.split_ascii_whitespace();
            let waits = match words.next()? {
                "interest" | "interest-await" => true,
                "interest-noawait" => false,
                _ => return None,
            };
            Some((words.next()?.to_owned(), waits))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interests_are_read() {
        let control = "# comment\ninterest-noawait /usr/share/man\ninterest ldconfig # why\nactivate-noawait x\n\n";
        assert_eq!(
            interests(control),
            [
                ("/usr/share/man".to_owned(), false),
                ("ldconfig".to_owned(), true)
            ]
        );
    }
}
