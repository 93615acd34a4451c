//! The last layer: numbers pinned, the manifest's changes applied, and what belongs to one device or one build removed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use bedstone_sys::mount::Upper;
use bedstone_sys::namespace::Limits;

use super::accounts::Accounts;
use super::apply::Tree;
use super::cache::{self, CacheDirs, FINAL, Key};
use super::chain::Links;
use super::change::Change;
use super::ids::{self, Ids};
use super::layer::look;
use super::normalise::normalise;
use super::session::{self, Stack};
use super::unpacked::write_file;
use crate::error::{Error, Result};

/// Changes whenever the way the last layer is made does.
const FORMAT: &str = "final 1";
/// The layer in its cache entry.
const LAYER: &str = "layer";
/// In the cache entry once dpkg has found no fault.
const CHECKED: &str = "checked";

/// What every device makes for itself, and why an image must not have it.
pub(super) const UNIQUE: [(&str, &str); 6] = [
    (
        "var/lib/dbus/machine-id",
        "a link to /etc/machine-id is made at boot",
    ),
    ("var/lib/systemd/random-seed", "saved entropy"),
    (
        "var/lib/systemd/credential.secret",
        "key of encrypted credentials",
    ),
    ("var/lib/urandom/random-seed", "saved entropy"),
    ("etc/hostid", "random"),
    ("etc/.updated", "time of the build"),
];
/// Directories whose content is gone at the next boot anyway.
const TRANSIENT: [&str; 4] = ["dev", "run", "tmp", "var/tmp"];

/// The inputs of the last layer.
pub(super) struct Finish<'a> {
    pub(super) links: &'a Links,
    pub(super) pinned: &'a Ids,
    pub(super) changes: &'a [Change],
    /// Time of the image, seconds since 1970.
    pub(super) epoch: i64,
}

impl Finish<'_> {
    /// Makes the last layer or finds it in the cache; returns its key, the whole stack and whether it was there.
    pub(super) fn run(
        &self,
        cache: &CacheDirs,
        interrupt: &AtomicBool,
    ) -> Result<(Key, Stack, bool)> {
        let key = self.key(cache)?;
        let _lock = cache.lock(&key)?;
        let cached = cache.find(FINAL, &key)?.is_some();
        if !cached {
            let entry = cache.begin(FINAL, &key)?;
            self.make(&entry.join(LAYER), cache, interrupt)?;
            cache.publish(FINAL, &key)?;
        }
        let mut stack = self.links.stack.clone();
        stack.push(cache.path(FINAL, &key).join(LAYER));
        Ok((key, stack, cached))
    }

    fn key(&self, cache: &CacheDirs) -> Result<Key> {
        let encode = |value: serde_json::Result<Vec<u8>>| {
            value.map_err(|error| Error::io("encode", "changes")(std::io::Error::from(error)))
        };
        let mut key = cache.key(FORMAT);
        key.add(self.links.key.to_string())
            .add(self.epoch.to_le_bytes())
            .add(encode(serde_json::to_vec(self.pinned))?)
            .add(encode(serde_json::to_vec(self.changes))?);
        Ok(key.key())
    }

    fn make(&self, layer: &Path, cache: &CacheDirs, interrupt: &AtomicBool) -> Result<()> {
        let scratch = cache.scratch()?;
        let upper = Upper {
            changes: layer.to_path_buf(),
            work: layer.with_extension("work"),
        };
        for directory in [&upper.changes, &upper.work] {
            fs::create_dir(directory).map_err(Error::io("create directory", directory))?;
        }
        fs::set_permissions(layer, fs::Permissions::from_mode(0o755))
            .map_err(Error::io("set attributes of", layer))?;
        let target = scratch.directory("tree")?;
        let stack = &self.links.stack;
        {
            let view = stack.mount(&target, cache.root(), None, Some(&upper))?;
            ids::pin(view.path(), stack, self.pinned)?;
            Tree {
                root: view.path(),
                pinned: self.pinned,
                epoch: self.epoch,
                cache,
                interrupt,
            }
            .apply(self.changes)?;
            seal(view.path())?;
        }
        cache::remove(&upper.work)?;
        normalise(layer, self.epoch)
    }
}

/// Removes what belongs to one device or one build.
fn seal(root: &Path) -> Result<()> {
    for (path, _) in UNIQUE {
        let full = root.join(path);
        if look(&full)?.is_some() {
            fs::remove_file(&full).map_err(Error::io("remove", full))?;
        }
    }
    let keys = root.join("etc/ssh");
    if look(&keys)?.is_some() {
        for entry in fs::read_dir(&keys).map_err(Error::io("list", &keys))? {
            let entry = entry.map_err(Error::io("list", &keys))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("ssh_host_") {
                fs::remove_file(entry.path()).map_err(Error::io("remove", entry.path()))?;
            }
        }
    }
    for directory in TRANSIENT {
        let full = root.join(directory);
        if look(&full)?.is_none() {
            continue;
        }
        for entry in fs::read_dir(&full).map_err(Error::io("list", &full))? {
            let path = entry.map_err(Error::io("list", &full))?.path();
            match look(&path)? {
                Some(metadata) if metadata.is_dir() => cache::remove(&path)?,
                Some(_) => fs::remove_file(&path).map_err(Error::io("remove", path))?,
                None => {}
            }
        }
    }
    // machine-id(5): an empty file is filled at boot like a missing one, but does not make the boot a "first boot", in
    // which systemd would enable and disable units after its presets and undo the manifest's choice.
    if look(&root.join("etc/systemd"))?.is_some() {
        let path = root.join("etc/machine-id");
        if look(&path)?.is_some() {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
        write_file(&path, 0o444, (0, 0), 0, &mut std::io::empty())?;
    }
    Ok(())
}

/// The numbers in the tree at `root`.
pub(super) fn numbers(root: &Path) -> Result<Ids> {
    Ok(ids::collect(&Accounts::read(root)?))
}

/// Holds the finished tree against dpkg's database.
///
/// `dpkg --audit` must say nothing. `dpkg --verify` may name files that the manifest changed: those in the last layer.
/// What it names is returned, sorted; a file in no declared change's way is an error.
pub(super) fn check(
    stack: &Stack,
    key: &Key,
    cache: &CacheDirs,
    interrupt: &AtomicBool,
) -> Result<Vec<String>> {
    let entry = cache.path(FINAL, key);
    let record = entry.join(CHECKED);
    if look(&record)?.is_some() {
        let text = fs::read_to_string(&record).map_err(Error::io("read", &record))?;
        return Ok(text.lines().map(str::to_owned).collect());
    }
    let scratch = cache.scratch()?;
    let target = scratch.directory("tree")?;
    let view = stack.mount(&target, cache.root(), None, None)?;
    let sandbox = session::sandbox(view.path(), 0);
    // The exit status says no more than the text does.
    let dpkg = |command: &'static str| -> Result<String> {
        let limits = Limits {
            interrupt,
            time: None,
        };
        let output = sandbox.run("/usr/bin/dpkg", &[command], limits)?;
        Ok(String::from_utf8_lossy(&output.log).into_owned())
    };
    let findings = dpkg("--audit")?;
    if !findings.trim().is_empty() {
        return Err(Error::Inconsistent {
            command: "dpkg --audit",
            findings,
        });
    }
    let layer = entry.join(LAYER);
    let findings = dpkg("--verify")?;
    let mut deviations = Vec::new();
    for line in findings.lines() {
        let path = line.find('/').map_or("", |at| &line[at..]);
        if path.is_empty() || !is_changed(&layer, view.path(), path)? {
            return Err(Error::Inconsistent {
                command: "dpkg --verify",
                findings,
            });
        }
        deviations.push(path.to_owned());
    }
    deviations.sort_unstable();
    let text = deviations
        .iter()
        .fold(String::new(), |text, path| text + path + "\n");
    bedstone_store::atomic::write(&record, text.as_bytes())?;
    Ok(deviations)
}

/// Whether the last layer changed or hid the file, looking through the links of a merged `/usr`.
fn is_changed(layer: &Path, view: &Path, path: &str) -> Result<bool> {
    let relative = path.trim_start_matches('/');
    let real = match fs::canonicalize(view.join(relative)) {
        Ok(real) => real
            .strip_prefix(view)
            .map_or_else(|_| relative.into(), Path::to_path_buf),
        Err(_) => relative.into(),
    };
    if look(&layer.join(&real))?.is_some() {
        return Ok(true);
    }
    // A directory that was removed as a whole is one mark above the file.
    Ok(real
        .ancestors()
        .skip(1)
        .any(|above| look(&layer.join(above)).is_ok_and(|it| it.is_some_and(|it| !it.is_dir()))))
}
