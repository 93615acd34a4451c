use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bedstone_tests::program::{Outcome, downloads, program};

/// Less to write and to boot; an account to look around with.
const SMALL: &str = "[partitions]\nroot = \"640M\"\ndata = \"256M\"\n";

/// A directory with the example's manifest, a cache and outputs; keys and lock are the same for all.
pub(crate) struct Site {
    pub(crate) directory: PathBuf,
}

impl Site {
    /// A new one, or what an earlier run left of it.
    pub(crate) fn kept(name: &str) -> Self {
        Self::at(directory("test-images/kernel-source").join(name))
    }

    /// One with the example's manifest in `path`.
    pub(crate) fn at(path: PathBuf) -> Self {
        let manifest = path.join("manifest");
        fs::create_dir_all(&manifest).unwrap();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/kernel-from-source");
        for file in ["product.toml", "machine.config", "hardening.config"] {
            fs::copy(example.join(file), manifest.join(file)).unwrap();
        }
        fs::write(manifest.join("small.toml"), SMALL).unwrap();
        Self { directory: path }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The example with more layers of its directory, and a development account.
    pub(crate) fn layers(more: &[&str]) -> String {
        let mut layers = String::from("manifest:manifest/small.toml");
        for layer in more {
            layers += ":manifest/";
            layers += layer;
        }
        layers + ":@opt/development"
    }

    /// The program, run here.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .current_dir(&self.directory)
            .env_remove("BEDSTONE_INIT")
            .env_remove("BEDSTONE_AGENT")
            .env("BEDSTONE_STORE", downloads().join("store"))
            .env("BEDSTONE_CACHE", self.path("cache"))
            .args(words);
        command
    }

    /// A build of the layers into `out`, with the lock that all sites have.
    pub(crate) fn build(&self, more: &[&str], options: &[&str]) -> Command {
        let shared = directory("test-images/kernel-source");
        let mut command = self.command(&["build", &Self::layers(more), "--output", "out"]);
        command
            .args(options)
            .arg("--lock")
            .arg(shared.join("bedstone.lock"))
            .arg("--keys")
            .arg(shared.join("keys"));
        command
    }

    /// Makes the lock fit the example; one that fits stays as it is.
    pub(crate) fn lock(&self) {
        let lock = directory("test-images/kernel-source").join("bedstone.lock");
        let output = self
            .command(&["lock", &Self::layers(&[])])
            .arg("--lock")
            .arg(lock)
            .output()
            .unwrap();
        Outcome::of(&output).succeeds();
    }
}

/// A directory below Cargo's target directory.
pub(crate) fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("a target directory")
        .join(name);
    fs::create_dir_all(&path).expect("a directory for test images");
    path
}
