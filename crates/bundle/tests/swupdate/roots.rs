//! SWUpdate with the libraries it needs, unpacked once for each release from the host's archive; nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bedstone_store::{FileLock, Mode};

/// SWUpdate 2022.12, 2024.12 and 2026.05.
pub(crate) const SUITES: [&str; 3] = ["bookworm", "trixie", "forky"];

const SCRIPT: &str = include_str!("root.sh");

/// The root of a release; it is made when it is not there.
pub(crate) fn root(suite: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("swupdate-{suite}"));
    fs::create_dir_all(&directory).unwrap();
    let _lock = FileLock::acquire(directory.join("lock"), Mode::Exclusive).unwrap();
    if !directory.join("complete").exists() {
        let output = Command::new("/bin/sh")
            .args(["-c", SCRIPT])
            .current_dir(&directory)
            .env("suite", suite)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "cannot download SWUpdate; the host needs apt sources with Debian's archive:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    directory.join("root")
}
