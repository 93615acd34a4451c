//! dpkg's database as dpkg leaves it between unpacking and configuring (deb(5), dpkg's `lib/dpkg/dump.c`, deb-triggers(5)).
//!
//! Everything is written as the state "unpacked"; `dpkg --configure` then takes it over and rewrites it in its own form.

pub(super) mod triggers;

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use md5::{Digest as _, Md5};

use super::layer::Layer;
use super::path;
use super::placement::Placement;
use super::unpacked::{Kind, Unpacked, write_file};
use crate::error::{Error, Result};

/// The database's place in the tree.
pub(super) const PATH: &str = "var/lib/dpkg";
/// Diversions of files: triples of lines.
pub(super) const DIVERSIONS: &str = "var/lib/dpkg/diversions";

/// What became of a package's files when a stage placed them.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Paths for `.list`, as in the archive, in its order, without those left out.
    pub(super) listed: Vec<String>,
    /// Files left out by the plan's filter.
    pub(super) left_out: BTreeSet<String>,
    /// Conffiles that were placed.
    pub(super) conffiles: Vec<String>,
}

/// A package of the stage with its record.
type Placed<'a> = (&'a Unpacked, &'a Record);

/// Writes the empty database of a new tree.
pub(super) fn initialise(layer: &mut Layer<'_>, architecture: &str) -> Result<()> {
    let database = layer.root().join(PATH);
    for directory in ["alternatives", "info", "parts", "triggers", "updates"] {
        layer.directory(&format!("{PATH}/{directory}"), None)?;
    }
    for (name, content) in [
        ("arch", format!("{architecture}\n")),
        ("diversions", String::new()),
        ("info/format", "1\n".to_owned()),
        ("statoverride", String::new()),
        ("status", String::new()),
        ("triggers/File", String::new()),
        ("triggers/Unincorp", String::new()),
    ] {
        write(&database.join(name), &content)?;
    }
    for name in ["lock", "lock-frontend", "triggers/Lock"] {
        let mode = if name.starts_with("lock") {
            0o640
        } else {
            0o600
        };
        write_file(&database.join(name), mode, (0, 0), 0, &mut io::empty())?;
    }
    Ok(())
}

/// Adds a stage's packages to the database of the tree below, writing what changes into `layer`.
pub(super) fn add(
    layer: &mut Layer<'_>,
    packages: &[&Unpacked],
    placement: &Placement,
) -> Result<()> {
    for directory in ["info", "triggers"] {
        layer.directory(&format!("{PATH}/{directory}"), None)?;
    }
    let database = layer.root().join(PATH);
    // A new tree's database is the one that was just initialised in the layer.
    let old_root = layer.below().unwrap_or(layer.root()).to_path_buf();
    let old = |name: &str| read_if_any(&old_root, &format!("{PATH}/{name}"));
    let placed: Vec<Placed<'_>> = packages.iter().copied().zip(&placement.records).collect();
    let mut status = old("status")?;
    for (package, record) in &placed {
        let conffiles = conffile_lines(package, record)?;
        status.push_str(&unpacked_stanza(&package.stanza, &conffiles));
        write_info(&database.join("info"), package, record)?;
    }
    replace(&database.join("status"), &status)?;
    for (info_name, paths) in &placement.lost {
        let name = format!("info/{info_name}.list");
        let kept = keep_lines(&old(&name)?, |line| {
            !paths.contains(line.trim_start_matches('/'))
        });
        replace(&database.join(&name), &kept)?;
    }
    triggers::add(&database, &old, &placed)
}

fn keep_lines(text: &str, keep: impl Fn(&str) -> bool) -> String {
    text.lines()
        .filter(|line| keep(line))
        .fold(String::new(), |text, line| text + line + "\n")
}

/// The stanza as it stands in `status` after unpacking.
fn unpacked_stanza(stanza: &str, conffiles: &str) -> String {
    let mut text = String::with_capacity(stanza.len() + 64);
    for line in stanza.trim_end().lines() {
        text.push_str(line);
        text.push('\n');
        if line
            .split_once(':')
            .is_some_and(|(name, _)| name.eq_ignore_ascii_case("Package"))
        {
            text.push_str("Status: install ok unpacked\n");
        }
    }
    if !conffiles.is_empty() {
        text.push_str("Conffiles:\n");
        text.push_str(conffiles);
    }
    text.push('\n');
    text
}

/// The lines of the `Conffiles` field, in the order of the package's `conffiles`. A file to be removed on upgrades is listed
/// although the package does not have it.
fn conffile_lines(package: &Unpacked, record: &Record) -> Result<String> {
    let mut lines = String::new();
    for conffile in package.conffiles()? {
        let path = &conffile.path;
        if conffile.remove_on_upgrade {
            let _ = writeln!(lines, " /{path} newconffile remove-on-upgrade");
        } else if record.conffiles.contains(path) {
            let _ = writeln!(lines, " /{path} newconffile");
        }
    }
    Ok(lines)
}

/// Writes `info/PACKAGE.*`.
fn write_info(info: &Path, package: &Unpacked, record: &Record) -> Result<()> {
    let base = package.control.info_name();
    let mut list = String::from("/.\n");
    for path in &record.listed {
        list.push('/');
        list.push_str(path);
        list.push('\n');
    }
    let time = package.newest;
    let target = |suffix: &str| info.join(format!("{base}.{suffix}"));
    write_file(&target("list"), 0o644, (0, 0), time, &mut list.as_bytes())?;
    if !package.has_control("md5sums") {
        let sums = checksums(package, record)?;
        write_file(
            &target("md5sums"),
            0o644,
            (0, 0),
            time,
            &mut sums.as_bytes(),
        )?;
    }
    for name in &package.control_names {
        if name == "control" {
            continue;
        }
        let target = target(name);
        if name == "md5sums" && !record.left_out.is_empty() {
            let sums = package.control_file(name)?.unwrap_or_default();
            let kept = keep_lines(&sums, |line| {
                let path = line.split_once("  ").map_or("", |(_, path)| path);
                !record.left_out.contains(path.trim_start_matches("./"))
            });
            write_file(&target, 0o644, (0, 0), time, &mut kept.as_bytes())?;
        } else {
            fs::hard_link(package.control_files.join(name), &target)
                .map_err(Error::io("create", &target))?;
        }
    }
    Ok(())
}

/// The `md5sums` that dpkg makes when it unpacks a package without one: every regular file, in archive order.
fn checksums(package: &Unpacked, record: &Record) -> Result<String> {
    let listed: HashSet<&str> = record.listed.iter().map(String::as_str).collect();
    let mut text = String::new();
    for entry in &package.entries {
        if !matches!(entry.kind, Kind::File(_) | Kind::Hardlink(_))
            || !listed.contains(entry.path.as_str())
        {
            continue;
        }
        let path = package.tree.join(&entry.path);
        let mut hasher = Md5::new();
        File::open(&path)
            .and_then(|mut file| io::copy(&mut file, &mut hasher))
            .map_err(Error::io("read", &path))?;
        let _ = writeln!(text, "{:x}  {}", hasher.finalize(), entry.path);
    }
    Ok(text)
}

fn write(path: &Path, content: &str) -> Result<()> {
    write_file(path, 0o644, (0, 0), 0, &mut content.as_bytes())
}

/// Writes a file that the layer may have already.
fn replace(path: &Path, content: &str) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("remove", path)(error));
        }
        _ => {}
    }
    write(path, content)
}

/// The text of a file of the tree at `root`, by its path without the first slash; empty when there is none.
pub(super) fn read_if_any(root: &Path, path: &str) -> Result<String> {
    match path::follow(root, &format!("/{path}"))? {
        Some(full) => fs::read_to_string(&full).map_err(Error::io("read", full)),
        None => Ok(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::control::Control;
    use crate::rootfs::unpacked::Entry;

    #[test]
    fn a_stanza_gets_status_and_conffiles() {
        let text = unpacked_stanza(
            "Package: a\nVersion: 1\nDescription: x\n y\n\n",
            " /etc/a newconffile\n",
        );
        assert_eq!(
            text,
            "Package: a\nStatus: install ok unpacked\nVersion: 1\nDescription: x\n y\nConffiles:\n /etc/a newconffile\n\n"
        );
    }

    #[test]
    fn checksums_are_made_as_dpkg_makes_them() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("etc")).unwrap();
        fs::write(directory.path().join("etc/b"), "b\n").unwrap();
        let entry = |path: &str, kind| Entry {
            path: path.to_owned(),
            kind,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 0,
        };
        let stanza = "Package: x\nVersion: 1\nArchitecture: all\n";
        let package = Unpacked {
            digest: bedstone_store::Digest::of(b""),
            control: Control::parse("x", stanza).unwrap(),
            stanza: stanza.to_owned(),
            tree: directory.path().to_path_buf(),
            control_files: directory.path().join("control"),
            control_names: Vec::new(),
            entries: vec![
                entry("etc", Kind::Directory),
                entry("etc/b", Kind::File(2)),
                entry("etc/left-out", Kind::File(2)),
                entry("etc/link", Kind::Symlink("b".to_owned())),
            ],
            newest: 0,
        };
        let listed = ["etc", "etc/b", "etc/link"].map(str::to_owned).to_vec();
        let record = Record {
            listed,
            ..Record::default()
        };
        assert_eq!(
            checksums(&package, &record).unwrap(),
            "3b5d5c3712955042212316173ccf37be  etc/b\n"
        );
    }

    #[test]
    fn the_empty_database_has_dpkgs_files() {
        const INSIDE: &str = "BEDSTONE_TEST_INSIDE";
        if std::env::var_os(INSIDE).is_none() {
            // Only the root of a namespace may give files to root.
            let own = std::env::current_exe().unwrap();
            let status = bedstone_sys::namespace::user_command(own.to_str().unwrap())
                .unwrap()
                .args([
                    "--exact",
                    "rootfs::database::tests::the_empty_database_has_dpkgs_files",
                ])
                .env(INSIDE, "1")
                .status()
                .unwrap();
            assert!(status.success());
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let mut layer = Layer::new(directory.path(), None).unwrap();
        initialise(&mut layer, "amd64").unwrap();
        let database = directory.path().join(PATH);
        assert_eq!(
            fs::read_to_string(database.join("arch")).unwrap(),
            "amd64\n"
        );
        assert_eq!(
            fs::read_to_string(database.join("info/format")).unwrap(),
            "1\n"
        );
        assert!(database.join("updates").is_dir());
    }
}
