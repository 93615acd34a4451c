//! Already booted machines.

use std::fs;
use std::path::Path;
use std::time::Instant;

use bedstone_lab::Device;
use bedstone_lab::qemu::{Drive, Qemu, QemuConfig, Tpm};
use bedstone_lab::snapshot::{Recipe, Snapshot};
use bedstone_store::Digest;

use crate::guest::{BOOT, COMMAND, Work, guest};

fn open(work: &Work, cache: &Path, image: &str) -> Snapshot {
    let config = QemuConfig {
        disks: vec![Drive::discarding(work.path().join("disk.img"))],
        tpm: Some(Tpm {
            state: work.path().join("tpm"),
            keep: false,
        }),
        ..guest().machine("lab.shell")
    };
    let recipe = Recipe {
        tools: &work.tools,
        cache,
        label: "shell",
        image: Digest::of(image.as_bytes()),
        machine: &config,
        accelerator: work.accelerator(),
        interrupt: None,
        limit: COMMAND,
    };
    let prepare = |machine: &mut Qemu| {
        let console = machine.console()?;
        console.wait_for_shell(BOOT)?;
        console.run("echo prepared > /tmp/file", COMMAND).map(drop)
    };
    recipe.open(prepare).unwrap()
}

fn directories(cache: &Path) -> usize {
    fs::read_dir(cache)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().is_dir())
        .count()
}

#[test]
fn starts_booted_machines_beside_each_other() {
    let work = Work::new();
    fs::write(work.path().join("disk.img"), vec![0; 1 << 20]).unwrap();
    let cache = work.path().join("cache");
    let begun = Instant::now();
    let snapshot = open(&work, &cache, "one");
    eprintln!("prepared in {:?}", begun.elapsed());
    assert!(!snapshot.was_found());
    drop(snapshot);
    let snapshot = open(&work, &cache, "one");
    assert!(snapshot.was_found());

    let mut machines: Vec<_> = (0..3)
        .map(|_| {
            let begun = Instant::now();
            let mut machine = snapshot.start(None, None).unwrap();
            let console = machine.console().unwrap();
            assert_eq!(
                console.run("cat /tmp/file", COMMAND).unwrap().text(),
                "prepared"
            );
            eprintln!("start to the output of a command: {:?}", begun.elapsed());
            machine
        })
        .collect();
    for (index, machine) in machines.iter_mut().enumerate() {
        let console = machine.console().unwrap();
        assert_eq!(
            console.run("cat /tmp/file", COMMAND).unwrap().text(),
            "prepared"
        );
        console
            .run(&format!("echo {index} > /tmp/file"), COMMAND)
            .unwrap();
        let seconds = 1_800_000_000 + index as u64;
        console.set_clock(seconds, COMMAND).unwrap();
        let now: u64 = console
            .run("date +%s", COMMAND)
            .unwrap()
            .text()
            .parse()
            .unwrap();
        assert!((seconds..seconds + 60).contains(&now));
        let tpm = console
            .run("cat /sys/class/tpm/tpm0/tpm_version_major", COMMAND)
            .unwrap();
        assert_eq!(tpm.text(), "2");
    }
    // A machine that never started its firmware can be reset all the same.
    machines[0].reset().unwrap();
    let console = machines[0].console().unwrap();
    console.expect("Linux version", BOOT).unwrap();
    console.wait_for_shell(BOOT).unwrap();
    assert_eq!(console.run("cat /tmp/file", COMMAND).unwrap().status, 1);
    drop(machines);

    // Another image makes another snapshot; the old one goes once nobody uses it.
    let other = open(&work, &cache, "two");
    assert!(!other.was_found());
    assert_eq!(directories(&cache), 2);
    drop((snapshot, other));
    fs::write(work.path().join("disk.img"), vec![1; 2 << 20]).unwrap();
    let changed = open(&work, &cache, "two");
    assert!(!changed.was_found());
    assert_eq!(directories(&cache), 1);
}
