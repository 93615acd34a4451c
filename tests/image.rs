//! Images that several tests boot: built once, and kept as long as what they are made of stays the same.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bedstone_image::record::ImageRecord;
use bedstone_store::{Digest, FileLock, Mode};

use crate::program::{Outcome, device_programs, downloads, files, kept, program};

/// A small product: everything that a case does not ask for stays out, because each boot reads it.
const SMALL: &str = r#"
board = "qemu-amd64"
profiles = ["minimal"]

[product]
name = "guest"
version = "1.0.0"

[debian]
suite = "bookworm"

[partitions]
root = "640M"
data = "256M"
"#;

/// A machine that others keep busy takes minutes to boot in software: that is no hang.
const PATIENT: &str = "[boot]\nwatchdog = 600\n\n";

/// A built image, with an account that tests log in to.
#[derive(Debug)]
pub struct Image {
    directory: PathBuf,
    /// What `image.json` says.
    pub record: ImageRecord,
}

impl Image {
    /// The small product with more manifest text in a layer of its own.
    pub fn small(name: &str, layer: &str) -> Self {
        let base = write_layer("small", SMALL);
        Self::build(name, &base, layer)
    }

    /// A product of `examples/`, with more manifest text in a layer of its own.
    pub fn example(name: &str, example: &str, layer: &str) -> Self {
        Self::build(name, &examples().join(example), layer)
    }

    /// Builds unless that was done by this program with these manifests.
    fn build(name: &str, base: &Path, layer: &str) -> Self {
        let images = kept("test-images");
        let _lock =
            FileLock::acquire(images.join(format!("{name}.lock")), Mode::Exclusive).unwrap();
        let layer = format!("{PATIENT}{layer}");
        let layer_file = write_layer(&format!("{name}-layer"), &layer);
        let program = program();
        let mut inputs = [SMALL, &layer].concat().into_bytes();
        for file in files(&examples()) {
            inputs.extend(fs::read(examples().join(file)).unwrap());
        }
        inputs.extend(fs::read(&program).unwrap());
        for program in device_programs(&program) {
            inputs.extend(fs::read(program).unwrap());
        }
        let key = Digest::of(&inputs).to_string();
        let output = images.join(name);
        let mark = images.join(format!("{name}.key"));
        if fs::read_to_string(&mark).ok().as_deref() != Some(key.as_str()) {
            let layers = format!(
                "{}:{}:@opt/development",
                base.display(),
                layer_file.display()
            );
            let lock = images.join(format!("{name}.bedstone.lock"));
            let lock = ["--lock", lock.to_str().unwrap()].map(OsStr::new);
            let run = |words: &[&OsStr]| {
                let output = Command::new(&program)
                    .env_remove("BEDSTONE_INIT")
                    .env_remove("BEDSTONE_AGENT")
                    .env("BEDSTONE_STORE", downloads().join("store"))
                    .env("BEDSTONE_CACHE", kept("test-cache"))
                    .arg("--quiet")
                    .args(words)
                    .args(lock)
                    .output()
                    .unwrap();
                Outcome::of(&output).succeeds();
            };
            let keys = kept("test-keys");
            run(&["lock", &layers].map(OsStr::new));
            run(&[
                "build".as_ref(),
                layers.as_ref(),
                "--output".as_ref(),
                output.as_ref(),
                "--keys".as_ref(),
                keys.as_ref(),
            ]);
            fs::write(&mark, key).unwrap();
        }
        Self {
            record: ImageRecord::read(&output).unwrap(),
            directory: output,
        }
    }

    /// The bundle of this image, signed by the development key of its tests.
    pub fn bundle(&self) -> PathBuf {
        self.signed(&kept("test-keys"), "bundle.swu")
    }

    /// The bundle of this image, signed by the development key of a directory that its devices know nothing of.
    pub fn bundle_signed_by(&self, keys: &Path) -> PathBuf {
        self.signed(keys, "foreign.swu")
    }

    fn signed(&self, keys: &Path, name: &str) -> PathBuf {
        let path = self.directory.join(name);
        let output = Command::new(program())
            .args(["--quiet", "bundle", "create"])
            .arg(&self.directory)
            .arg("--keys")
            .arg(keys)
            .arg("--output")
            .arg(&path)
            .output()
            .unwrap();
        Outcome::of(&output).succeeds();
        path
    }

    /// An image that was built into `directory`.
    pub fn built(directory: PathBuf) -> Self {
        Self {
            record: ImageRecord::read(&directory).unwrap(),
            directory,
        }
    }

    /// The file of an artifact.
    pub fn file(&self, kind: &str) -> PathBuf {
        self.directory
            .join(&self.record.artifact(kind).expect(kind).file)
    }
}

/// Writes a manifest below the target directory.
fn write_layer(name: &str, text: &str) -> PathBuf {
    let path = kept("test-images").join(format!("{name}.toml"));
    if fs::read_to_string(&path).ok().as_deref() != Some(text) {
        bedstone_store::atomic::write(&path, text.as_bytes()).unwrap();
    }
    path
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}
