//! The same inputs give the same bytes: whoever builds, wherever, with whatever is in the cache.
//!
//! Two clean builds differ in all that must not matter at once: user, directory, number of jobs, time zone, locale, umask,
//! host name and, naturally, time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bedstone_deb::lock::Lock;
use bedstone_tests::program::{
    Outcome, Workshop, device_programs, downloads, is_root_or_ran_as_root, program, tool,
};
use serde_json::Value;

/// Small partitions: the empty space of a disk image takes most of the time that its digest takes.
const SMALL: &str = "[partitions]\nboot = \"32M\"\nroot = \"400M\"\ndata = \"64M\"\n";

/// Where one of the builders works.
struct Builder {
    directory: PathBuf,
    /// Where its packages are.
    store: PathBuf,
    /// The user that builds; root when none.
    user: Option<String>,
}

impl Builder {
    /// The layers as this builder names them: root by file names, the user by whole paths.
    fn layers(&self, names: &[&str]) -> String {
        let names: Vec<String> = names
            .iter()
            .map(|name| match self.user {
                None => (*name).to_owned(),
                Some(_) => self.directory.join(name).display().to_string(),
            })
            .collect();
        names.join(":")
    }

    /// Resolves the layers anew where the lock does not fit them.
    fn lock(&self, layers: &[&str]) {
        self.run(&["lock", &self.layers(layers)]);
    }

    /// Builds the layers into `output`, with or without what earlier builds left in the cache. Only the first builder,
    /// who is root here, downloads.
    fn build(&self, layers: &[&str], output: &str, fresh: bool) {
        let layers = self.layers(layers);
        let mut words = vec!["build", &layers, "--output", output, "--keys", "keys"];
        if fresh {
            words.push("--no-cache");
        }
        if self.user.is_some() {
            words.push("--offline");
        }
        self.run(&words);
    }

    fn run(&self, words: &[&str]) {
        let mut command = match &self.user {
            None => {
                let mut command = Command::new("sh");
                command
                    .args(["-c", "umask 022; exec \"$@\"", "sh"])
                    .args(["bin/bedstone", "--jobs", "2"])
                    .env("TZ", "UTC")
                    .env("LC_ALL", "C.UTF-8");
                command
            }
            Some(user) => {
                let become_user = "hostname elsewhere; umask 077; \
                     exec setpriv --reuid \"$0\" --regid \"$0\" --init-groups -- \"$@\"";
                let mut command = Command::new("unshare");
                command
                    .args(["--uts", "--", "sh", "-c", become_user, user])
                    .args(["bin/bedstone", "--jobs", "1"])
                    .env("TZ", "Asia/Kathmandu")
                    .env("LC_ALL", "POSIX")
                    .env("LANGUAGE", "de");
                command
            }
        };
        let output = command
            .args(words)
            .current_dir(&self.directory)
            .env("HOME", &self.directory)
            .env("USER", self.user.as_deref().unwrap_or("root"))
            .env("BEDSTONE_STORE", &self.store)
            .env("BEDSTONE_CACHE", self.directory.join("cache"))
            .env_remove("BEDSTONE_INIT")
            .env_remove("BEDSTONE_AGENT")
            .env_remove("SOURCE_DATE_EPOCH")
            .output()
            .expect("start the program");
        Outcome::of(&output).succeeds();
    }

    /// Kind and digest of every artifact of a build. That `image.json` tells the truth is checked for all of them.
    fn artifacts(&self, output: &str) -> BTreeMap<String, String> {
        let directory = self.directory.join(output);
        let record = fs::read(directory.join("image.json")).expect("image.json");
        let record: Value = serde_json::from_slice(&record).expect("JSON");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let artifacts: BTreeMap<String, String> = record["artifacts"]
            .as_array()
            .expect("artifacts")
            .iter()
            .map(|artifact| {
                let sum = tool(
                    "coreutils",
                    Command::new("sha256sum").arg(directory.join(text(&artifact["file"]))),
                );
                let sum = String::from_utf8_lossy(&sum[..64]).into_owned();
                assert!(text(&artifact["sha256"]).ends_with(&sum), "{artifact}");
                (text(&artifact["kind"]), sum)
            })
            .collect();
        assert!(artifacts.contains_key("disk"), "{artifacts:?}");
        artifacts
    }
}

/// A user with subordinate ids, removed at the end of the test.
struct User(String);

impl User {
    fn new(name: &str) -> Self {
        let _ = Command::new("userdel").arg(name).output();
        tool(
            "passwd",
            Command::new("useradd").args(["--no-create-home", "--user-group", name]),
        );
        let ranges = fs::read_to_string("/etc/subuid").unwrap_or_default();
        assert!(
            ranges
                .lines()
                .any(|line| line.starts_with(&format!("{name}:"))),
            "useradd gave `{name}` no range in /etc/subuid; apt-get install uidmap"
        );
        Self(name.to_owned())
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = Command::new("userdel").arg(&self.0).output();
    }
}

fn copy(from: &Path, to: &Path) {
    tool(
        "coreutils",
        Command::new("cp")
            .args(["-a", "--reflink=auto"])
            .arg(from)
            .arg(to),
    );
}

/// Copies the files that the program made to the second builder: the manifest, its lock, and their packages.
fn hand_over(first: &Builder, second: &Builder, names: &[&str]) {
    for name in names {
        copy(&first.directory.join(name), &second.directory.join(name));
    }
    let text = fs::read_to_string(first.directory.join("bedstone.lock")).expect("a lock");
    let lock = Lock::parse("bedstone.lock", &text).expect("a valid lock");
    for locked in lock.packages.iter().chain(&lock.tools).chain(&lock.boot) {
        let hex = locked.sha256.to_string();
        let object = Path::new("objects").join(&hex[..2]).join(&hex[2..]);
        let target = second.store.join(&object);
        if !target.exists() {
            fs::create_dir_all(target.parent().expect("a parent")).expect("make a directory");
            copy(&first.store.join(&object), &target);
        }
    }
    let user = second.user.as_deref().expect("an unprivileged user");
    tool(
        "coreutils",
        Command::new("chown")
            .args(["-R", user])
            .arg(&second.directory),
    );
}

/// Builds a product as two users from nothing, then with one package changed from what is cached and from nothing.
fn is_reproducible(test: &str, layer: &str) {
    if !is_root_or_ran_as_root(test) {
        return;
    }
    let workshop = Workshop::new();
    tool(
        "coreutils",
        Command::new("chmod").arg("755").arg(workshop.path("")),
    );
    let user = User::new(&format!(
        "bedstone-{}",
        test.split('_').next().unwrap_or(test)
    ));
    let first = Builder {
        directory: workshop.path("first"),
        store: downloads().join("store"),
        user: None,
    };
    let second = Builder {
        directory: workshop.path("some/other/place"),
        store: workshop.path("some/other/place/store"),
        user: Some(user.0.clone()),
    };
    workshop.write("first/product.toml", layer);
    workshop.write("first/small.toml", SMALL);
    workshop.write(
        "first/changed.toml",
        "[debian]\nlocal = [\"netbase.deb\"]\n",
    );
    fs::create_dir(first.directory.join("bin")).expect("make a directory");
    fs::create_dir_all(&second.directory).expect("make a directory");
    let program = program();
    copy(&program, &first.directory.join("bin/bedstone"));
    for file in device_programs(&program) {
        let name = file.file_name().expect("it has a name");
        copy(&file, &first.directory.join("bin").join(name));
    }

    let layers = &["product.toml", "small.toml"];
    first.lock(layers);
    let lock = fs::read(first.directory.join("bedstone.lock")).expect("a lock");
    first.build(layers, "clean", false);
    hand_over(
        &first,
        &second,
        &[
            "bin",
            "keys",
            "product.toml",
            "small.toml",
            "changed.toml",
            "bedstone.lock",
        ],
    );
    fs::write(second.directory.join("bedstone.lock"), lock).expect("write the lock");
    second.build(layers, "clean", true);
    let clean = first.artifacts("clean");
    assert_eq!(clean, second.artifacts("clean"));

    // A leaf changes. What is cached of everything else must not show.
    let text = fs::read_to_string(first.directory.join("bedstone.lock")).expect("a lock");
    let locked = Lock::parse("bedstone.lock", &text).expect("a valid lock");
    let leaf = locked
        .packages
        .iter()
        .find(|package| package.name == "netbase")
        .expect("netbase is in every image");
    let hex = leaf.sha256.to_string();
    let original = first.store.join("objects").join(&hex[..2]).join(&hex[2..]);
    repack(
        &original,
        &workshop.path("repack"),
        &first.directory.join("netbase.deb"),
    );
    let layers = &["product.toml", "small.toml", "changed.toml"];
    first.lock(layers);
    let lock = fs::read(first.directory.join("bedstone.lock")).expect("a lock");
    first.build(layers, "changed", false);
    hand_over(&first, &second, &["netbase.deb"]);
    fs::write(second.directory.join("bedstone.lock"), lock).expect("write the lock");
    second.build(layers, "changed", true);
    let changed = first.artifacts("changed");
    assert_eq!(changed, second.artifacts("changed"));
    assert_ne!(clean["rootfs"], changed["rootfs"]);
    assert_eq!(clean["kernel"], changed["kernel"]);
}

/// Makes a newer version of a package that has one more file.
fn repack(deb: &Path, scratch: &Path, target: &Path) {
    tool(
        "dpkg",
        Command::new("dpkg-deb").arg("-R").arg(deb).arg(scratch),
    );
    let control = scratch.join("DEBIAN/control");
    let text = fs::read_to_string(&control).expect("a control file");
    let text: String = text
        .lines()
        .map(|line| {
            if line.starts_with("Version: ") {
                format!("{line}+local1\n")
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    fs::write(control, text).expect("write the control file");
    fs::write(scratch.join("usr/share/doc/netbase/changed"), "changed\n").expect("write a file");
    tool(
        "dpkg",
        Command::new("dpkg-deb")
            .args(["--root-owner-group", "-Zgzip", "-b"])
            .arg(scratch)
            .arg(target),
    );
}

#[test]
fn bookworm_is_reproducible() {
    let layer = fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/security/product.toml"
    ))
    .expect("the example");
    let layer = layer.split("[partitions]").next().expect("its begin");
    is_reproducible("bookworm_is_reproducible", layer);
}

#[test]
fn trixie_is_reproducible() {
    is_reproducible(
        "trixie_is_reproducible",
        "board = \"qemu-amd64\"\nprofiles = [\"minimal\"]\n\n[product]\nname = \"trixie\"\nversion = \"1\"\n\n\
         [debian]\nsuite = \"trixie\"\n\n[packages]\ninstall = [\"openssh-server\"]\n",
    );
}
