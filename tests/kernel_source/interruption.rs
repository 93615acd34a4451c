//! Ctrl-C while the compiler runs.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use bedstone_tests::program::files;
use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::refusals::said;
use crate::site::Site;
use crate::site::directory;

/// For what takes seconds, or a minute on a busy machine.
const LIMIT: Duration = Duration::from_secs(600);

/// Starts a build, interrupts it once the compiler has written something, and gives the steps that it began.
fn interrupt_compilation(site: &Site) -> Vec<String> {
    let mut child = site
        .build(&[], &["--json"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(child.stderr.take().unwrap());
    let mut steps = Vec::new();
    loop {
        let mut line = String::new();
        assert!(
            reader.read_line(&mut line).unwrap() > 0,
            "it ended: {steps:?}"
        );
        let event: Value = serde_json::from_str(&line).unwrap();
        if event["event"] == "started" && event["task"] == "kernel-step" {
            let text = event["text"].as_str().unwrap().to_owned();
            steps.push(text.clone());
            if text == "compiling the kernel" {
                break;
            }
        }
    }
    let deadline = Instant::now() + LIMIT;
    while !files(&site.path("cache/work"))
        .iter()
        .any(|name| Path::new(name).extension().is_some_and(|it| it == "o"))
    {
        assert!(Instant::now() < deadline, "nothing is compiled");
        thread::sleep(Duration::from_millis(200));
    }
    rustix::process::kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert_eq!(left(&site.directory), Vec::<String>::new());
    assert!(!site.path("out/image.json").exists());
    assert!(!site.path("out/vmlinuz").exists());
    steps
}

/// The processes that still see something mounted from below `directory`.
fn left(directory: &Path) -> Vec<String> {
    let directory = directory.to_str().unwrap();
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|process| {
            fs::read_to_string(process.path().join("mountinfo"))
                .is_ok_and(|mounts| mounts.contains(directory))
        })
        .map(|process| fs::read_to_string(process.path().join("comm")).unwrap_or_default())
        .collect()
}

/// Directories for work that are in the cache.
fn scratch(site: &Site) -> usize {
    let entries = fs::read_dir(site.path("cache/work")).unwrap();
    entries.count()
}

#[test]
fn an_interrupted_compilation_leaves_nothing_running_and_starts_again() {
    let scratch_files = tempfile::TempDir::new_in(directory("test-images")).unwrap();
    let site = Site::at(scratch_files.path().join("site"));
    site.lock();
    let steps = interrupt_compilation(&site);
    assert_eq!(steps[0], "unpacking the kernel's source");
    // The source and the configuration are there already.
    assert_eq!(interrupt_compilation(&site), ["compiling the kernel"]);
    // What was interrupted is removed beside the next run's own work.
    assert!(scratch(&site) <= 2);
    let deadline = Instant::now() + LIMIT;
    while scratch(&site) > 0 {
        assert!(Instant::now() < deadline, "scratch directories are left");
        said(&site, "CONFIG_NO_SUCH_THING=y\n").refuses(1, &["no such option"]);
    }
}
