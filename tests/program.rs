//! The program under test, run as its users run it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The program: `BEDSTONE_TEST_BINARY`, else the one that was built beside the tests.
pub fn program() -> PathBuf {
    let path = match std::env::var_os("BEDSTONE_TEST_BINARY") {
        Some(path) => PathBuf::from(path),
        None => target_directory().join("bedstone"),
    };
    for file in [path.clone()].into_iter().chain(device_programs(&path)) {
        assert!(
            file.is_file(),
            "`{}` is missing: run `make build`",
            file.display()
        );
    }
    path
}

/// The programs for the device that `program` puts into images.
pub fn device_programs(program: &Path) -> [PathBuf; 2] {
    let directory = program.parent().expect("a program is in a directory");
    ["bedstone-init", "bedstone-agent"].map(|name| directory.join("../lib/bedstone").join(name))
}

/// Where downloads are kept between runs of the tests: nothing that a test checks depends on what is there.
pub fn downloads() -> PathBuf {
    kept("test-downloads")
}

/// A directory below Cargo's target directory that stays there between runs of the tests.
pub fn kept(name: &str) -> PathBuf {
    let path = target_directory()
        .parent()
        .expect("target/PROFILE has a parent")
        .join(name);
    fs::create_dir_all(&path).expect("make a directory");
    path
}

/// `target/debug` or `target/release`: the tests themselves are in its `deps`.
fn target_directory() -> PathBuf {
    let own = std::env::current_exe().expect("this test has a path");
    own.ancestors()
        .nth(2)
        .expect("tests are in target/PROFILE/deps")
        .to_path_buf()
}

/// What a run of the program left.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it said, standard output first.
    pub said: String,
}

impl Outcome {
    /// Reads what a process left.
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            said: format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ),
        }
    }

    /// The run succeeded.
    #[track_caller]
    pub fn succeeds(&self) {
        assert_eq!(self.code, Some(0), "{}", self.said);
    }

    /// The run ended with `code` and said all of `words`.
    #[track_caller]
    pub fn refuses(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.said);
        for word in words {
            assert!(
                self.said.contains(word),
                "`{word}` is not in:\n{}",
                self.said
            );
        }
        assert!(!self.said.contains("panicked"), "{}", self.said);
    }
}

/// A directory with a store, a cache and keys of its own.
#[derive(Debug)]
pub struct Workshop {
    directory: TempDir,
}

impl Workshop {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            directory: tempfile::Builder::new()
                .prefix("bedstone-test-")
                .tempdir()
                .expect("a temporary directory"),
        }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file in it, with the directories above.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        let parent = path.parent().expect("a path below the workshop");
        fs::create_dir_all(parent).expect("make a directory");
        fs::write(&path, text).expect("write a file");
        path
    }

    /// The program, with the directories of this workshop.
    pub fn command<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(program());
        command
            .current_dir(self.directory.path())
            .env_remove("BEDSTONE_INIT")
            .env_remove("BEDSTONE_AGENT")
            .env("HOME", self.directory.path())
            .env("XDG_DATA_HOME", self.path("data"))
            .env("BEDSTONE_STORE", self.path("store"))
            .env("BEDSTONE_CACHE", self.path("cache"))
            .args(words);
        command
    }

    /// Runs the program to its end.
    pub fn run<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Outcome {
        let output = self.command(words).output().expect("start the program");
        Outcome::of(&output)
    }
}

impl Default for Workshop {
    fn default() -> Self {
        Self::new()
    }
}

/// Every file below a directory, relative to it, sorted; none when there is no such directory.
pub fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(next) = open.pop() {
        let Ok(entries) = fs::read_dir(&next) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("list a directory").path();
            if path.is_dir() && !path.is_symlink() {
                open.push(path);
            } else {
                let name = path.strip_prefix(directory).expect("below the directory");
                found.push(name.display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// Runs a program that a test needs, and gives its standard output.
#[track_caller]
pub fn tool(package: &str, command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|error| {
        panic!("cannot start {command:?}: {error}; apt-get install {package}")
    });
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Whether the test runs as root; if not, it ran `test` again through sudo, and the caller is done.
#[track_caller]
pub fn is_root_or_ran_as_root(test: &str) -> bool {
    let id = tool("coreutils", Command::new("id").arg("-u"));
    if id.starts_with(b"0\n") {
        return true;
    }
    let own = std::env::current_exe().expect("this test has a path");
    let status = Command::new("sudo")
        .arg("-n")
        .arg(format!("BEDSTONE_TEST_BINARY={}", program().display()))
        .arg(own)
        .args(["--exact", test, "--nocapture"])
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "`{test}` needs root to become other users and to mount: run the tests as root, or let this user `sudo -n`"
    );
    false
}
