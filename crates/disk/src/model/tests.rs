use bedstone_store::Digest;

use super::*;
use crate::assemble::{Assembled, assemble};
use crate::bgenv::{Environment, LoadFailure, State};
use crate::content::Content;
use crate::layout::{Parts, Sizes, standard};
use crate::storage::WriteAt;

/// A disk whose kernel images are nothing but their command lines.
struct Bench {
    bytes: Vec<u8>,
    made: Assembled,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::write(&root, vec![3; 600_000]).unwrap();
        let formatted =
            verity::append(&root, &[1; 32], Guid::derive(&Digest::of(b"x"), "root")).unwrap();
        let line = format!("quiet {}", RootArguments::new(&formatted, "erofs"));
        let mebibytes = |count: u64| count << 20;
        let plan = standard(&Parts {
            product: Digest::of(b"product"),
            time: 0,
            boot_loader: Content::Bytes(vec![1; 1000]),
            boot_loader_name: "BOOTX64.EFI".to_owned(),
            kernel: Content::Bytes(line.into_bytes()),
            root,
            watchdog_seconds: 60,
            sizes: Sizes {
                esp: mebibytes(1),
                boot: mebibytes(1),
                root: mebibytes(1),
                data: mebibytes(1),
            },
        })
        .unwrap();
        let image = directory.path().join("disk");
        let made = assemble(&plan, &image).unwrap();
        let bytes = std::fs::read(&image).unwrap();
        Self { bytes, made }
    }

    fn start(&self, name: &str) -> u64 {
        self.made
            .partitions
            .iter()
            .find(|row| row.label == name)
            .unwrap()
            .start
    }

    /// Replaces a file of a FAT partition by one of the same length.
    fn put(&mut self, partition: &str, path: &str, bytes: &[u8]) {
        let disk = Disk::new(self.bytes.clone()).unwrap();
        let window = disk.partition(partition).unwrap();
        let writes = Volume::open(&window).unwrap().replace(path, bytes).unwrap();
        let start = self.start(partition);
        for write in writes {
            self.bytes
                .write_all_at(&write.bytes, start + write.offset)
                .unwrap();
        }
    }

    fn environment(&mut self, slot: Slot, revision: u32, state: State) {
        let disk = Disk::new(self.bytes.clone()).unwrap();
        let mut bytes = disk.environment(slot).unwrap();
        bgenv::set_state(&mut bytes, state, revision).unwrap();
        self.put(slot.boot_partition(), bgenv::FILE_NAME, &bytes);
    }

    fn judge(&self) -> Verdict {
        let disk = Disk::new(self.bytes.clone()).unwrap();
        judge(&disk, Loader::Since0_20, |kernel| {
            String::from_utf8(kernel.to_vec()).map_err(|error| error.to_string())
        })
        .unwrap()
    }

    /// Judges, and then does to the disk what the boot loader would have done.
    fn boot(&mut self) -> Verdict {
        let verdict = self.judge();
        for (volume, bytes) in verdict.decision.writes.clone() {
            self.put(&verdict.volumes[volume].clone(), bgenv::FILE_NAME, &bytes);
        }
        verdict
    }
}

#[test]
fn a_new_disk_boots_slot_a() {
    let verdict = Bench::new().boot();
    assert!(verdict.is_good(), "{verdict:?}");
    assert_eq!(verdict.slot, Some(Slot::A));
    assert_eq!(verdict.volumes, ["esp", "boot0", "boot1"]);
    assert!(verdict.decision.writes.is_empty());
}

#[test]
fn an_update_is_tried_once() {
    let mut bench = Bench::new();
    bench.environment(Slot::B, 3, State::Installed);
    let verdict = bench.boot();
    assert_eq!((verdict.slot, verdict.is_good()), (Some(Slot::B), true));
    let unconfirmed = bench.boot();
    assert_eq!(
        (unconfirmed.slot, unconfirmed.is_good()),
        (Some(Slot::A), true)
    );
    let again = bench.boot();
    assert_eq!(again.slot, Some(Slot::A));
    let disk = Disk::new(bench.bytes.clone()).unwrap();
    let environment = Environment::from_bytes(&disk.environment(Slot::B).unwrap()).unwrap();
    assert_eq!(
        (environment.state, environment.revision),
        (State::Failed, 0)
    );
}

#[test]
fn rot_in_the_root_is_found() {
    let mut bench = Bench::new();
    let at = bench.start("root-a") as usize + 300_000;
    bench.bytes[at] ^= 1;
    let verdict = bench.judge();
    assert_eq!(verdict.slot, Some(Slot::A));
    let Outcome::RootCorrupt(reason) = verdict.outcome else {
        panic!("{:?}", verdict.outcome);
    };
    assert_eq!(reason, "dm-verity: data block 73 is corrupt");
    // Marked as init does it, the other slot is selected, and that one is intact.
    bench.environment(Slot::A, 0, State::Failed);
    let verdict = bench.judge();
    assert_eq!((verdict.slot, verdict.is_good()), (Some(Slot::B), true));
}

#[test]
fn a_kernel_that_is_refused() {
    let mut bench = Bench::new();
    bench.environment(Slot::B, 3, State::Installed);
    let disk = Disk::new(bench.bytes.clone()).unwrap();
    let mut kernel = disk.read_file("boot1", "linux.efi", 1 << 20).unwrap();
    kernel[0] = 0xff;
    bench.put("boot1", "linux.efi", &kernel);
    let verdict = bench.boot();
    assert!(
        matches!(verdict.outcome, Outcome::KernelRefused(_)),
        "{verdict:?}"
    );
    assert_eq!(verdict.decision.on_load_failure, LoadFailure::Reset);
    assert_eq!(bench.boot().slot, Some(Slot::A));
}

#[test]
fn a_kernel_elsewhere_or_nowhere() {
    let mut bench = Bench::new();
    let mut with_kernel = |kernel_file: &str| {
        let environment = Environment {
            kernel_file: kernel_file.to_owned(),
            revision: 9,
            ..Environment::default()
        };
        bench.put("boot0", bgenv::FILE_NAME, &environment.to_bytes().unwrap());
        bench.judge()
    };
    let verdict = with_kernel("L:BOOT1:linux.efi");
    assert_eq!((verdict.slot, verdict.is_good()), (Some(Slot::B), true));
    // A label is a prefix, and the first volume wins.
    assert_eq!(with_kernel("C:BOOT:linux.efi").slot, Some(Slot::A));
    assert_eq!(with_kernel("C:BOOT1:\\LINUX.EFI").slot, Some(Slot::B));
    for nowhere in [
        "",
        "linux.efi",
        "C:BOOT7:linux.efi",
        "C::linux.efi",
        "X:BOOT0:linux.efi",
        "é",
    ] {
        let verdict = with_kernel(nowhere);
        assert!(
            matches!(verdict.outcome, Outcome::KernelRefused(_)),
            "{nowhere}: {verdict:?}"
        );
    }
    let verdict = with_kernel("EFI/BOOT/BOOTX64.EFI");
    assert!(
        matches!(verdict.outcome, Outcome::RootCorrupt(_)),
        "{verdict:?}"
    );
}

#[test]
fn no_disk_no_verdict() {
    assert!(Disk::new(vec![0; 1 << 20]).is_err());
    assert!(Disk::open(Path::new("/nonexistent/disk")).is_err());
    let mut bench = Bench::new();
    let (boot0, boot1) = (bench.start("boot0") as usize, bench.start("boot1") as usize);
    bench.bytes[boot0..boot0 + 512].fill(0);
    bench.bytes[boot1..boot1 + 512].fill(0);
    let verdict = bench.judge();
    assert_eq!(verdict.volumes, ["esp"]);
    assert!(
        matches!(verdict.outcome, Outcome::NothingToBoot(_)),
        "{verdict:?}"
    );
    let esp = bench.start("esp") as usize;
    bench.bytes[esp..esp + 512].fill(0);
    assert!(matches!(bench.judge().outcome, Outcome::NothingToBoot(_)));
}

/// Every prefix of the sector writes with which init marks slot A as failed leaves a disk that boots something intact.
#[test]
fn marking_survives_a_power_cut_at_any_sector() {
    let bench = Bench::new();
    let disk = Disk::new(bench.bytes.clone()).unwrap();
    let mut environment = disk.environment(Slot::A).unwrap();
    bgenv::set_state(&mut environment, State::Failed, 0).unwrap();
    let window = disk.partition("boot0").unwrap();
    let writes = Volume::open(&window)
        .unwrap()
        .replace(bgenv::FILE_NAME, &environment)
        .unwrap();
    assert_eq!(writes.len(), 3);
    for done in 0..=writes.len() {
        let mut bytes = bench.bytes.clone();
        for write in &writes[..done] {
            bytes
                .write_all_at(&write.bytes, bench.start("boot0") + write.offset)
                .unwrap();
        }
        let cut = Bench {
            bytes,
            made: bench.made.clone(),
        };
        let verdict = cut.judge();
        assert!(verdict.is_good(), "after {done} sectors: {verdict:?}");
        let expected = if done == 0 { Slot::A } else { Slot::B };
        assert_eq!(verdict.slot, Some(expected));
    }
}
