//! A machine of files: the agent sees them where a device has its partitions, its records and its configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use bedstone_disk::assemble::assemble;
use bedstone_disk::content::Content;
use bedstone_disk::gpt::Table;
use bedstone_disk::layout::{Parts, Sizes, standard};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::product::{Product, Release};

/// The program under test.
#[derive(Debug)]
pub(crate) struct Agent {
    /// For programs of another architecture.
    pub(crate) emulator: Option<&'static str>,
    pub(crate) program: PathBuf,
}

pub(crate) struct Machine<'a> {
    agent: &'a Agent,
    directory: TempDir,
}

impl<'a> Machine<'a> {
    /// A disk as the factory makes it, split into its partitions; slot A runs.
    pub(crate) fn new(agent: &'a Agent, product: &Product, release: &Release) -> Self {
        let machine = Self::bare(agent);
        let path = |name: &str| machine.path(name);
        fs::write(path("root"), &release.root).expect("a root file system");
        let plan = standard(&Parts {
            product: product.digest,
            time: 0,
            boot_loader: Content::Bytes(vec![1; 1000]),
            boot_loader_name: "BOOTX64.EFI".to_owned(),
            kernel: Content::Bytes(release.kernel.clone()),
            root: path("root"),
            watchdog_seconds: 60,
            sizes: Sizes {
                esp: 1 << 20,
                boot: 1 << 20,
                root: 1 << 20,
                data: 1 << 20,
            },
        })
        .expect("a plan");
        assemble(&plan, &path("disk")).expect("a disk");
        let bytes = fs::read(path("disk")).expect("a disk");
        let table = Table::read(&bytes).expect("a table").table;
        let mut partitions = Vec::new();
        for partition in &table.partitions {
            let (start, size) = (partition.start as usize, partition.size as usize);
            let file = path(&format!("partition-{}", partition.name));
            fs::write(&file, &bytes[start..start + size]).expect("a partition");
            partitions.push(
                json!({"name": partition.name, "guid": partition.guid.to_string(), "device": file}),
            );
        }
        let boot = json!({"version": 1, "slot": "a", "slot_source": "stub", "disk": table.disk.to_string(), "partitions": partitions, "last_failure": null});
        let text = |path: &str, text: String| fs::write(machine.path(path), text).expect("a file");
        text("run/bedstone/boot.json", boot.to_string());
        text(
            "certificate",
            String::from_utf8_lossy(&product.certificate).into_owned(),
        );
        text("os-release", format!("IMAGE_VERSION={}\n", release.version));
        let config = json!({"version": 1, "hardware": "board", "certificates": path("certificate"), "certificate_time": "check", "attempts": 3, "health": {"deadline": 1, "probes": []}});
        text("update.json", config.to_string());
        machine
    }

    /// One without a disk.
    pub(crate) fn bare(agent: &'a Agent) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for name in ["run/bedstone", "lib"] {
            fs::create_dir_all(directory.path().join(name)).expect("a directory");
        }
        fs::write(directory.path().join("os-release"), "").expect("a file");
        Self { agent, directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn partition(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(&format!("partition-{name}"))).expect("a partition")
    }

    /// The agent, in a mount namespace where the machine's files are in their places.
    fn command(&self, words: &[&str]) -> Command {
        let script = "mount --bind \"$0/run\" /run && mount --bind \"$0/lib\" /var/lib \
                      && mount --bind \"$0/os-release\" /usr/lib/os-release && exec \"$@\"";
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .arg(self.directory.path())
            .args(self.agent.emulator)
            .arg(&self.agent.program)
            .arg("--config")
            .arg(self.path("update.json"))
            .args(words);
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words)
            .stdin(Stdio::null())
            .output()
            .expect("unshare runs")
    }

    pub(crate) fn run_with(&self, words: &[&str], input: &Path) -> Output {
        let input = fs::File::open(input).expect("a file");
        self.command(words)
            .stdin(input)
            .output()
            .expect("unshare runs")
    }

    pub(crate) fn start(&self, words: &[&str]) -> Child {
        self.command(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare runs")
    }
}

/// The lines of JSON that a command printed.
pub(crate) fn lines(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}
