use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bedstone_image::record::ImageRecord;
use bedstone_store::{Digest, FileLock, Mode};

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

/// A built image.
pub(crate) struct Image {
    pub(crate) directory: PathBuf,
    pub(crate) record: ImageRecord,
}

impl Image {
    /// The small product with more manifest text in a layer of its own.
    pub(crate) fn small(name: &str, layer: &str) -> Self {
        let sources = directory("test-images").join(format!("{name}.manifest"));
        fs::create_dir_all(&sources).unwrap();
        let write = |file: &str, text: &str| {
            let path = sources.join(file);
            if fs::read_to_string(&path).ok().as_deref() != Some(text) {
                fs::write(&path, text).unwrap();
            }
            path.to_str().unwrap().to_owned()
        };
        let layers = [write("product.toml", SMALL), write("layer.toml", layer)];
        Self::build(name, &layers.join(":"), &[SMALL, layer].concat())
    }

    /// The product of `examples/security`.
    pub(crate) fn security() -> Self {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/security");
        let manifest = fs::read_to_string(example.join("product.toml")).unwrap();
        Self::build("security", example.to_str().unwrap(), &manifest)
    }

    /// Builds unless that was done by this program with this manifest.
    fn build(name: &str, layers: &str, manifest: &str) -> Self {
        let images = directory("test-images");
        let _lock =
            FileLock::acquire(images.join(format!("{name}.lock")), Mode::Exclusive).unwrap();
        let program = program();
        let init = program.with_file_name("bedstone-init");
        let mut inputs = manifest.as_bytes().to_vec();
        for file in [&program, &init] {
            inputs.extend(fs::read(file).unwrap_or_default());
        }
        let key = Digest::of(&inputs).to_string();
        let output = images.join(name);
        let mark = images.join(format!("{name}.key"));
        if fs::read_to_string(&mark).ok().as_deref() != Some(key.as_str()) {
            let status = Command::new(&program)
                .arg("--quiet")
                .args([OsStr::new("--store"), directory("test-store").as_os_str()])
                .args([OsStr::new("--cache"), directory("test-cache").as_os_str()])
                .args(["build", &format!("{layers}:@opt/development")])
                .args([OsStr::new("--output"), output.as_os_str()])
                .arg("--lock")
                .arg(images.join(format!("{name}.bedstone.lock")))
                .arg("--keys")
                .arg(directory("test-keys"))
                .stdout(std::process::Stdio::null())
                .status()
                .unwrap();
            assert!(status.success(), "bedstone build {layers}: {status}");
            fs::write(&mark, key).unwrap();
        }
        Self {
            record: ImageRecord::read(&output).unwrap(),
            directory: output,
        }
    }

    /// The file of an artifact.
    pub(crate) fn file(&self, kind: &str) -> PathBuf {
        self.directory
            .join(&self.record.artifact(kind).expect(kind).file)
    }
}

/// A directory below Cargo's target directory.
pub(crate) fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .join(name);
    fs::create_dir_all(&path).unwrap();
    path
}

/// The program under test: `BEDSTONE_TEST_BINARY`, or the one that Cargo built beside this test.
fn program() -> PathBuf {
    let program = env::var_os("BEDSTONE_TEST_BINARY").map_or_else(
        || {
            let own = env::current_exe().unwrap();
            own.ancestors().nth(2).unwrap().join("bedstone")
        },
        PathBuf::from,
    );
    assert!(
        program.is_file(),
        "`{}` is not there: run `make build`",
        program.display()
    );
    program
}
