//! Programs of Debian packages: this machine's, and those of trixie, unpacked and run with their own libraries.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bedstone_store::{FileLock, Mode};

/// Where programs come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suite {
    /// What this machine has installed.
    Host,
    /// Debian 13.
    Trixie,
}

impl Suite {
    pub(crate) const ALL: [Self; 2] = [Self::Host, Self::Trixie];

    /// Runs a program to its end; fails when it does.
    pub(crate) fn run<S: AsRef<OsStr>>(
        self,
        program: &str,
        arguments: impl IntoIterator<Item = S>,
    ) -> Vec<u8> {
        let output = self.outcome(program, arguments);
        assert!(
            output.status.success(),
            "{self:?} {program}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// Runs a program to its end, whatever that is.
    pub(crate) fn outcome<S: AsRef<OsStr>>(
        self,
        program: &str,
        arguments: impl IntoIterator<Item = S>,
    ) -> Output {
        let mut command = match self {
            Self::Host => Command::new(program),
            Self::Trixie => {
                let tree = trixie();
                let mut command = Command::new(tree.join("usr/lib64/ld-linux-x86-64.so.2"));
                command
                    .arg("--library-path")
                    .arg(tree.join("usr/lib/x86_64-linux-gnu"))
                    .arg(tree.join("usr/bin").join(program));
                command
            }
        };
        command.args(arguments).output().unwrap_or_else(|error| {
            panic!(
                "{program}: {error}; apt-get install rdiff zchunk swupdate nginx-light cpio openssl"
            )
        })
    }
}

/// The tree with trixie's programs, unpacked once.
fn trixie() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let tree = directory.join("trixie-programs");
    let _lock = FileLock::acquire(directory.join("trixie-programs.lock"), Mode::Exclusive).unwrap();
    let complete = directory.join("trixie-programs.complete");
    if !complete.exists() {
        let _ = std::fs::remove_dir_all(&tree);
        let targets = Command::new("apt-get")
            .args([
                "indextargets",
                "--format",
                "$(REPO_URI)",
                "Created-By: Packages",
            ])
            .output()
            .expect("apt-get runs");
        let targets = String::from_utf8_lossy(&targets.stdout).into_owned();
        let main = targets
            .lines()
            .map(|line| line.trim_end_matches('/'))
            .find(|line| line.ends_with("/debian"))
            .expect("the host's apt configuration names an archive ending in `/debian`");
        let output = Command::new("mmdebstrap")
            .args(["--variant=extract", "--include=rdiff,zchunk", "trixie"])
            .arg(&tree)
            .arg(format!("deb {main} trixie main"))
            .output()
            .expect("mmdebstrap runs: apt-get install mmdebstrap");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        std::fs::write(complete, "").unwrap();
    }
    tree
}
