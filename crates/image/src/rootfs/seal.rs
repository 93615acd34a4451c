//! The last layer: numbers pinned, the manifest's changes applied, and what belongs to one device or one build removed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
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
use super::path;
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

/// Removes what belongs to one device or one build. What scripts left as links leads nowhere outside the tree.
fn seal(root: &Path) -> Result<()> {
    let remove = |path: PathBuf| fs::remove_file(&path).map_err(Error::io("remove", path));
    for (name, _) in UNIQUE {
        if let Some(full) = path::find(root, &format!("/{name}"))?
            && look(&full)?.is_some()
        {
            remove(full)?;
        }
    }
    for entry in entries(path::follow(root, "/etc/ssh")?)? {
        let name = entry.file_name().unwrap_or_default();
        if name.to_string_lossy().starts_with("ssh_host_") {
            remove(entry)?;
        }
    }
    for directory in TRANSIENT {
        let full = path::find(root, &format!("/{directory}"))?;
        for entry in entries(full)? {
            match look(&entry)? {
                Some(metadata) if metadata.is_dir() => cache::remove(&entry)?,
                Some(_) => remove(entry)?,
                None => {}
            }
        }
    }
    // machine-id(5): an empty file is filled at boot like a missing one, but does not make the boot a "first boot", in
    // which systemd would enable and disable units after its presets and undo the manifest's choice.
    if path::follow(root, "/etc/systemd")?.is_some() {
        let path = path::resolve(root, "/etc/machine-id")?;
        if look(&path)?.is_some() {
            remove(path.clone())?;
        }
        write_file(&path, 0o444, (0, 0), 0, &mut std::io::empty())?;
    }
    Ok(())
}

/// What is in a directory; nothing where there is none, or a link in its place.
fn entries(directory: Option<PathBuf>) -> Result<Vec<PathBuf>> {
    let Some(directory) = directory else {
        return Ok(Vec::new());
    };
    if !look(&directory)?.is_some_and(|it| it.is_dir()) {
        return Ok(Vec::new());
    }
    fs::read_dir(&directory)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(Error::io("list", &directory))
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
    let dpkg = |command: &'static str, what: &'static str| -> Result<String> {
        let limits = Limits {
            interrupt,
            time: None,
        };
        let output = sandbox.run("/usr/bin/dpkg", &[command], limits)?;
        let log = String::from_utf8_lossy(&output.log).into_owned();
        // 1 says that there are findings, which are in the text.
        match output.status.code() {
            Some(0 | 1) => Ok(log),
            _ => Err(Error::Program {
                what: what.to_owned(),
                status: output.status.to_string(),
                log,
            }),
        }
    };
    let findings = dpkg("--audit", "audit dpkg's database")?;
    if !findings.trim().is_empty() {
        return Err(Error::Inconsistent {
            command: "dpkg --audit",
            findings,
        });
    }
    let layer = entry.join(LAYER);
    let findings = dpkg("--verify", "verify the packages' files")?;
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_do_not_lead_to_the_host() {
        let directory = tempfile::tempdir().unwrap();
        let (root, host) = (directory.path().join("root"), directory.path().join("host"));
        for path in ["etc/ssh", "tmp/x", "var"] {
            fs::create_dir_all(host.join(path)).unwrap();
        }
        for path in ["etc/ssh/ssh_host_rsa_key", "tmp/file", "var/random-seed"] {
            fs::write(host.join(path), "").unwrap();
        }
        fs::create_dir_all(root.join("var/lib/systemd")).unwrap();
        fs::create_dir(root.join("etc")).unwrap();
        fs::create_dir(root.join("run")).unwrap();
        fs::write(root.join("run/pid"), "").unwrap();
        symlink(host.join("etc/ssh"), root.join("etc/ssh")).unwrap();
        symlink(host.join("tmp"), root.join("var/tmp")).unwrap();
        symlink("/", root.join("dev")).unwrap();
        symlink(host.join("var"), root.join("var/lib/urandom")).unwrap();
        seal(&root).unwrap();
        for path in [
            "etc/ssh/ssh_host_rsa_key",
            "tmp/file",
            "var/random-seed",
            "tmp/x",
        ] {
            assert!(host.join(path).exists(), "{path}");
        }
        assert!(!root.join("run/pid").exists() && root.join("etc").is_dir());
    }
}
