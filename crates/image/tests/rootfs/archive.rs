//! Sets of packages with all they need, downloaded once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bedstone_image::rootfs::Package;
use bedstone_store::{Digest, FileLock, Mode};

/// A set to install.
pub(crate) struct Set {
    pub(crate) suite: &'static str,
    /// Beside the packages of priority `required`, `apt` and all that is essential.
    pub(crate) names: &'static [&'static str],
    /// To unpack only.
    pub(crate) tools: &'static [&'static str],
}

const TOOLS: [&str; 3] = ["erofs-utils", "squashfs-tools", "e2fsprogs"];

pub(crate) const BOOKWORM: Set = Set {
    suite: "bookworm",
    names: &[
        "systemd-sysv",
        "systemd-resolved",
        "udev",
        "dbus",
        "openssh-server",
        "nftables",
        "auditd",
        "sudo",
        "chrony",
        "tpm2-tools",
        "ca-certificates",
        "iproute2",
        "kmod",
        "logrotate",
        "cron",
        "fail2ban",
        "nginx-light",
        "libpam-pwquality",
    ],
    tools: &TOOLS,
};

pub(crate) const TRIXIE: Set = Set {
    suite: "trixie",
    names: &[
        "systemd-sysv",
        "systemd-resolved",
        "udev",
        "dbus",
        "openssh-server",
        "nftables",
        "chrony",
        "sudo",
        "auditd",
        "ca-certificates",
        "iproute2",
        "kmod",
        "cron",
    ],
    tools: &TOOLS,
};

const SCRIPT: &str = r#"
set -eu
root=$PWD/apt
mkdir -p $root/etc/apt/apt.conf.d $root/etc/apt/preferences.d $root/var/lib/apt/lists/partial \
    $root/var/cache/apt/archives/partial $root/var/lib/dpkg debs tools
: > $root/var/lib/dpkg/status
# The mirrors that this host uses, whatever suite it uses them for.
main=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/$' | sort -u | head -n 1)
security=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep security | sort -u | head -n 1)
key=/usr/share/keyrings/debian-archive-keyring.gpg
printf 'deb [signed-by=%s] %s %s main\n' $key $main $suite $key ${security:-$main} $suite-security > $root/etc/apt/sources.list
cp /etc/apt/apt.conf.d/*proxy* $root/etc/apt/apt.conf.d/ 2>/dev/null || true
cat > $root/apt.conf <<E
Dir "$root"; Dir::State::status "$root/var/lib/dpkg/status"; Dir::Etc::Trusted "/etc/apt/trusted.gpg";
APT::Architecture "amd64"; APT::Architectures "amd64"; APT::Install-Recommends "false"; Acquire::Languages "none";
APT::Sandbox::User ""; Acquire::Check-Valid-Until "false";
E
export APT_CONFIG=$root/apt.conf
apt-get -q update
base=$(apt-cache dumpavail | awk '/^Package:/{p=$2} /^Essential: yes|^Priority: required/{print p}' | sort -u)
fetch() {
    into=$1; shift
    apt-get -q -y --download-only install "$@"
    for name in $(apt-get -s install "$@" | awk '/^Inst/{print $2}'); do
        cp $root/var/cache/apt/archives/${name}_*.deb $into/
    done
}
fetch tools $tools
fetch debs $base apt $names
touch complete
"#;

impl Set {
    /// Where the packages are; downloads them when they are not there.
    pub(crate) fn directory(&self) -> PathBuf {
        let directory =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("archive-{}", self.suite));
        fs::create_dir_all(&directory).unwrap();
        let _lock = FileLock::acquire(directory.join("lock"), Mode::Exclusive).unwrap();
        if !directory.join("complete").exists() {
            let output = Command::new("/bin/sh")
                .args(["-c", SCRIPT])
                .current_dir(&directory)
                .env("suite", self.suite)
                .env("names", self.names.join(" "))
                .env("tools", self.tools.join(" "))
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "cannot download packages; the host needs apt sources with Debian's archive:\n{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        directory
    }

    pub(crate) fn packages(&self) -> Vec<Package> {
        packages(&self.directory().join("debs"))
    }

    pub(crate) fn tool_packages(&self) -> Vec<Package> {
        packages(&self.directory().join("tools"))
    }
}

/// All packages in a directory.
fn packages(directory: &Path) -> Vec<Package> {
    let mut packages: Vec<Package> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| package(&entry.unwrap().path()))
        .collect();
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    packages
}

/// The package in a .deb.
pub(crate) fn package(path: &Path) -> Package {
    let format = "--showformat=${Package} ${Version} ${Architecture}";
    let output = Command::new("dpkg-deb")
        .arg("-W")
        .arg(format)
        .arg(path)
        .output()
        .unwrap();
    let fields = String::from_utf8(output.stdout).unwrap();
    let mut fields = fields.split(' ').map(str::to_owned);
    Package {
        name: fields.next().unwrap(),
        version: fields.next().unwrap(),
        architecture: fields.next().unwrap(),
        digest: Digest::of(&fs::read(path).unwrap()),
        path: path.to_path_buf(),
    }
}
