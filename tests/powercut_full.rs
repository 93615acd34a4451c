//! A sample of the crash states of `powercut.rs`, on the disk of a real image, each booted for real: QEMU, firmware with
//! Secure Boot, EFI Boot Guard, the verified root, up to the login. The machine must do what the model says.

// Failing loudly is what tests are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// What was booted is the result.
#![allow(clippy::print_stdout)]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use bedstone_agent::plan::Policy;
use bedstone_agent::transaction::Records;
use bedstone_agent::{Installation, Outcome, install, trial};
use bedstone_bundle::signature::{Clock, Trust};
use bedstone_disk::bgenv::Loader;
use bedstone_disk::layout::Slot;
use bedstone_disk::model::{self, Disk};
use bedstone_tests::crash::disk::{Log, Machine, command_line};
use bedstone_tests::crash::enumerate::{View, Write, epochs};
use bedstone_tests::image::Image;
use bedstone_tests::machine::Guest;
use bedstone_tests::program::kept;

static CALM: AtomicBool = AtomicBool::new(false);
/// What a file is compared and written by.
const PIECE: usize = 1 << 20;
/// Sectors of a stretch of the root file system.
const LONG: usize = 16_384;

fn release(version: &str) -> Image {
    let layer = format!("[packages]\ninstall = [\"sudo\"]\n\n[product]\nversion = \"{version}\"\n");
    Image::small(&format!("powercut-{version}"), &layer)
}

fn update(machine: &Machine, from: &Image, to: &Image) {
    let directory = tempfile::tempdir().unwrap();
    let certificate = fs::read(kept("test-keys").join("development-update.cert.pem")).unwrap();
    let installation = Installation {
        trust: &Trust::new(&certificate, Clock::Unknown).unwrap(),
        key: None,
        policy: &Policy {
            hardware: from.record.hardware.clone().unwrap(),
            running_version: from.record.product.version.clone(),
            minimum_version: None,
            allow_downgrade: false,
            reinstall: false,
        },
        attempts: 3,
        records: &Records::new(directory.path()),
        interrupt: &CALM,
    };
    let bundle = fs::File::open(to.bundle()).unwrap();
    let outcome = install(&mut machine.device(), bundle, &installation, &mut |_| {}).unwrap();
    assert!(matches!(outcome, Outcome::Installed { .. }));
}

/// Boots for every kind of stretch between two flushes: cut off in the middle, with the sector there torn; half of it in any order;
/// and what there is when it is complete. Returns how many that were.
fn sample(name: &str, log: &Log, image: &Image) -> usize {
    let mut disk = log.before.clone();
    let mut booted = 0;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut long = 0;
    for (number, epoch) in epochs(&log.operations).iter().enumerate() {
        long += usize::from(epoch.len() >= LONG);
        // The root file system is written in many such stretches, of which one is as good as another.
        if epoch.is_empty() || epoch.len() >= LONG && long != 2 {
            apply(&mut disk, epoch);
            continue;
        }
        let mut look = |kind: &str, disk: &[u8]| {
            boot(image, &format!("{name}, stretch {number} {kind}"), disk);
            booted += 1;
        };
        // One at a time: a disk is large.
        let mut state = disk.clone();
        let middle = epoch.len() / 2;
        apply(&mut state, &epoch[..middle]);
        let Write { at, bytes } = &epoch[middle];
        let half = bytes.len() / 2;
        state[*at..at + half].copy_from_slice(&bytes[..half]);
        look("torn in its middle", &state);
        if epoch.len() > 1 {
            state.copy_from_slice(&disk);
            for write in epoch {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                if random & 1 == 1 {
                    apply(&mut state, std::slice::from_ref(write));
                }
            }
            look("half of it, anywhere", &state);
        }
        drop(state);
        apply(&mut disk, epoch);
        look("complete", &disk);
    }
    booted
}

fn apply(disk: &mut [u8], writes: &[Write]) {
    for Write { at, bytes } in writes {
        disk[*at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// Makes the file hold these bytes, of which it holds most.
fn materialise(bytes: &[u8], path: &Path) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut found = vec![0; PIECE];
    for (number, piece) in bytes.chunks(PIECE).enumerate() {
        let offset = (number * PIECE) as u64;
        let found = &mut found[..piece.len()];
        file.read_exact_at(found, offset).unwrap();
        if found != piece {
            file.write_all_at(piece, offset).unwrap();
        }
    }
}

/// Boots a state on a machine of its own; it must come up from the slot and with the root that the model says.
fn boot(image: &Image, name: &str, disk: &[u8]) {
    let view = Disk::new(View(disk)).unwrap();
    let verdict = model::judge(&view, Loader::Since0_20, command_line).unwrap();
    let model::Outcome::Boots(arguments) = &verdict.outcome else {
        panic!("{name}: {verdict:?}");
    };
    let mut guest = Guest::new(image);
    materialise(disk, guest.disk());
    let said = guest.boot();
    let slot = verdict.slot.unwrap();
    assert_eq!(said.slots(), [slot.name()], "{name}: {}", said.console);
    guest.log_in();
    assert!(guest.enforces_secure_boot());
    let status = guest.status();
    assert_eq!(status["root"]["hash"], arguments.hash.to_string(), "{name}");
    guest.pull_the_plug();
    println!("{name}: slot {slot}, as the model says");
}

/// What the boot loader writes when it starts the machine.
fn start(machine: &mut Machine, image: &Image, slot: Slot) {
    machine.start(&image.record.root.hash, slot);
}

#[test]
fn sampled_crash_states_boot_as_the_model_says() {
    let [one, two] = ["1.0.0", "2.0.0"].map(release);
    let mut machine = Machine::of_disk(fs::read(one.file("disk")).unwrap());

    let log = machine.record(|machine| update(machine, &one, &two));
    let mut booted = sample("install", &log, &one);
    start(&mut machine, &two, Slot::B);

    let log = machine.record(|machine| {
        trial::confirm(&mut machine.device()).unwrap();
    });
    booted += sample("confirm", &log, &one);
    start(&mut machine, &two, Slot::B);

    // Version 1 comes back as an update, and is given up.
    let again = release("3.0.0");
    update(&machine, &two, &again);
    start(&mut machine, &again, Slot::A);
    let log = machine.record(|machine| trial::give_up(&mut machine.device()).unwrap());
    booted += sample("give up", &log, &one);
    println!("{booted} crash states booted for real, all as the model says");
}
