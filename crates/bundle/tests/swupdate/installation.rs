//! One run of SWUpdate, in its root and in namespaces of its own.

use std::path::Path;
use std::process::Command;

use crate::roots::root;

/// A shell of the host that leaves for the root: `$1` is that, `$2` what is seen as `/mnt` there.
const SCRIPT: &str = r#"
set -eu
root=$1 work=$2; shift 2
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/run"
mkdir "$root/run/swupdate"
mount --bind "$work" "$root/mnt"
export LUA_PATH='/mnt/?.lua'
exec chroot "$root" /usr/bin/swupdate "$@"
"#;

/// What SWUpdate made of a bundle.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Whether it says that it was successful. Its exit code does not count: 2022.12 fails sometimes after success.
    pub(crate) successful: bool,
    pub(crate) log: String,
}

/// Installs `/mnt/x.swu`, where `/mnt` is `work`, trusting `/mnt/CERTIFICATE`.
pub(crate) fn install(suite: &str, work: &Path, certificate: &str, options: &[&str]) -> Outcome {
    let certificate = format!("/mnt/{certificate}");
    let mut arguments = vec!["-v", "-l", "5", "-k", &certificate, "-H", "qemu:1.0"];
    if suite == "forky" {
        arguments.extend(["--digest-provider", "opensslCMS"]);
    }
    arguments.extend(options);
    arguments.extend(["-i", "/mnt/x.swu"]);
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "--pid", "--fork"])
        .args(["--kill-child", "/bin/sh", "-c", SCRIPT, "sh"])
        .args([root(suite).as_path(), work])
        .args(arguments)
        // In the roots there is no other locale, and 2022.12 crashes in its handler of archives without the named one.
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let log = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        log.contains("SWUPDATE") || log.contains("SWUpdate"),
        "{suite}: SWUpdate did not start:\n{log}"
    );
    Outcome {
        successful: log.contains("SWUpdate was successful !"),
        log,
    }
}
