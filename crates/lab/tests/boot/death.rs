//! Nothing of a machine outlives the process that owns it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use bedstone_lab::Device;
use bedstone_lab::qemu::{Accelerator, Drive, Qemu, QemuConfig, Tpm};

use crate::guest::{Work, guest, processes_about, tools};

const MARK: &str = "BEDSTONE_LAB_VICTIM";

#[test]
fn a_killed_owner_takes_its_machines_along() {
    if let Some(work) = std::env::var_os(MARK) {
        own_a_machine(&PathBuf::from(work));
        return;
    }
    let work = Work::new();
    guest();
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "death::a_killed_owner_takes_its_machines_along"])
        .env(MARK, work.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait("both processes", || processes_about(work.path()).len() == 2);
    assert!(has_machine_directory(work.path()));
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait("their end", || processes_about(work.path()).is_empty());
    // What the dead owner could not remove goes with the next machine.
    assert!(has_machine_directory(work.path()));
    drop(tools(work.path()));
    assert!(!has_machine_directory(work.path()));
}

fn own_a_machine(work: &Path) {
    let disk = work.join("disk.img");
    std::fs::write(&disk, vec![0; 1 << 20]).unwrap();
    let config = QemuConfig {
        disks: vec![Drive::discarding(disk)],
        tpm: Some(Tpm {
            state: work.join("tpm"),
            keep: true,
        }),
        ..guest().machine("")
    };
    let mut machine = Qemu::new(&tools(work), config, Accelerator::Tcg, None).unwrap();
    machine.power_on().unwrap();
    thread::sleep(Duration::from_secs(300));
}

fn has_machine_directory(work: &Path) -> bool {
    std::fs::read_dir(work).unwrap().any(|entry| {
        let name = entry.unwrap().file_name();
        name.to_string_lossy().starts_with("machine-")
    })
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{what} did not come"
        );
        thread::sleep(Duration::from_millis(20));
    }
}
