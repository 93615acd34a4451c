//! The archive as the host's apt sees it: a private apt per suite and architecture.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bedstone_deb::deb822::Stanzas;
use bedstone_deb::index::{Index, Universe};

/// A private apt: own sources, own state, no packages installed.
pub(crate) struct Archive {
    pub(crate) suite: &'static str,
    pub(crate) architectures: &'static [&'static str],
    pub(crate) universe: Universe,
    root: PathBuf,
}

impl Archive {
    /// Opens the private apt of a suite, downloading indexes where they are not there yet.
    pub(crate) fn open(suite: &'static str, architectures: &'static [&'static str]) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("apt-{suite}-{}", architectures.join("-")));
        for directory in [
            "etc/apt.conf.d",
            "etc/preferences.d",
            "state/lists/partial",
            "cache/archives/partial",
        ] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::write(root.join("etc/sources.list"), sources(suite)).unwrap();
        fs::write(root.join("empty"), "").unwrap();
        fs::write(root.join("apt.conf"), configuration(&root, architectures)).unwrap();
        let mut archive = Self {
            suite,
            architectures,
            universe: Universe::new(architectures, Vec::new()).unwrap(),
            root,
        };
        let stamp = archive.root.join("updated");
        if !stamp.exists() {
            let output = archive.apt(&archive.root.join("empty"), &["update"]);
            assert!(
                output.status.success(),
                "apt-get update: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            fs::write(stamp, "").unwrap();
        }
        archive.universe = Universe::new(architectures, archive.indexes()).unwrap();
        archive
    }

    /// The indexes in apt's order.
    pub(crate) fn indexes(&self) -> Vec<Index> {
        let format = "$(FILENAME)|$(SUITE)|$(CODENAME)|$(COMPONENT)|$(ORIGIN)|$(LABEL)|$(SITE)";
        let output = self.apt(
            &self.root.join("empty"),
            &["indextargets", "--format", format, "Created-By: Packages"],
        );
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let indexes: Vec<Index> = text
            .lines()
            .map(|line| {
                let parts: Vec<&str> = line.split('|').collect();
                Index {
                    source: "debian".to_owned(),
                    suite: parts[1].to_owned(),
                    codename: parts[2].to_owned(),
                    component: parts[3].to_owned(),
                    origin: parts[4].to_owned(),
                    label: parts[5].to_owned(),
                    site: parts[6].to_owned(),
                    priority: Index::default_priority(false, false),
                    packages: fs::read(parts[0]).unwrap(),
                    ..Index::default()
                }
            })
            .collect();
        assert_eq!(indexes.len(), 3 * self.architectures.len());
        indexes
    }

    /// Runs apt-get with the given status file.
    pub(crate) fn apt(&self, status: &Path, arguments: &[&str]) -> Output {
        Command::new("apt-get")
            .env("APT_CONFIG", self.root.join("apt.conf"))
            .env("LC_ALL", "C")
            .arg("-o")
            .arg(format!("Dir::State::status={}", status.display()))
            // One cache for each status file, else apt writes it anew at every turn.
            .arg("-o")
            .arg(format!("Dir::Cache::pkgcache={}.bin", status.display()))
            .args(arguments)
            .output()
            .expect("apt-get is there")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

fn configuration(root: &Path, architectures: &[&str]) -> String {
    let root = root.display();
    let native = architectures[0];
    let all = architectures.join("\"; \"");
    format!(
        "Dir \"{root}\";\n\
         Dir::Etc \"{root}/etc\";\n\
         Dir::Etc::sourceparts \"-\";\n\
         Dir::State \"{root}/state\";\n\
         Dir::Cache \"{root}/cache\";\n\
         Dir::Log \"/dev/null\";\n\
         APT::Architecture \"{native}\";\n\
         APT::Architectures {{ \"{all}\"; }};\n\
         APT::Sandbox::User \"root\";\n\
         Acquire::Languages \"none\";\n\
         Acquire::GzipIndexes \"false\";\n\
         Acquire::Check-Valid-Until \"false\";\n\
         Acquire::Check-Date \"false\";\n\
         pkgCacheGen::ForceEssential \",\";\n"
    )
}

/// `sources.list` for a suite with its updates, from the addresses that the host uses for its own release.
fn sources(suite: &str) -> String {
    let mut release = None;
    let mut security = None;
    for path in fs::read_dir("/etc/apt/sources.list.d").unwrap() {
        let path = path.unwrap().path();
        if path
            .extension()
            .is_none_or(|extension| extension != "sources")
        {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        for stanza in Stanzas::new("sources", &bytes) {
            let get = |name| stanza.get(name).unwrap().unwrap_or("");
            let suites = get("Suites");
            let key = get("Signed-By");
            if !key.contains("debian-archive") {
                continue;
            }
            let place = if suites.contains("-security") {
                &mut security
            } else {
                &mut release
            };
            *place = Some(format!("[signed-by={key}] {}", get("URIs")));
        }
    }
    let (release, security) = release
        .zip(security)
        .expect("/etc/apt/sources.list.d/*.sources names Debian and its security archive");
    format!(
        "deb {release} {suite} main\ndeb {release} {suite}-updates main\ndeb {security} {suite}-security main\n"
    )
}
