//! A confirmed slot whose root file system was changed behind its owner's back is left, and the other one runs.

use bedstone_disk::bgenv::State;
use bedstone_disk::layout::Slot;
use bedstone_tests::damage;
use bedstone_tests::image::Image;
use bedstone_tests::machine::{Booted, Guest};

/// Slot A failed for `reason` and said so, was marked, and slot B runs and knows.
fn assert_left(guest: &mut Guest, booted: &Booted, block: u64, reason: &str) {
    assert_eq!(booted.slots().last(), Some(&"b"), "{}", booted.console);
    booted.assert_says(&[&format!("data block {block} is corrupted")]);
    booted.assert_init_says(&format!("slot a fails: {reason}"));
    booted.assert_init_says("slot a is marked as failed; slot b starts next");
    guest.log_in();
    assert!(guest.enforces_secure_boot());
    let status = guest.status();
    assert_eq!(status["slot"], "b");
    assert_eq!(status["data"]["persistent"], true);
    let failure = status["last_failure"].as_str().unwrap();
    let failure: serde_json::Value = serde_json::from_str(failure).unwrap();
    assert_eq!(failure["slot"], "a");
    assert_eq!(failure["reason"], reason);
    guest.cut_power();
    let environment = guest.environment(Slot::A);
    assert_eq!(
        (environment.state, environment.revision),
        (State::Failed, 0)
    );
    assert_eq!(guest.environment(Slot::B).state, State::Ok);
}

#[test]
fn an_altered_byte_that_the_start_reads_makes_the_machine_leave_the_slot() {
    let image = Image::small("erofs", "");
    let mut guest = Guest::new(&image);
    assert_eq!(guest.environment(Slot::A).state, State::Ok);
    let program = damage::middle_in_erofs(&image.file("rootfs"), "/usr/lib/systemd/systemd");
    damage::flip(guest.disk(), "root-a", program);
    let booted = guest.boot();
    assert_eq!(booted.slots(), ["b"], "{}", booted.console);
    let reason = "root file system of slot a on `/dev/vda4`: a block differs from what is signed";
    assert_left(&mut guest, &booted, program / 4096, reason);
}

#[test]
fn an_altered_byte_that_a_running_system_reads_makes_the_machine_leave_the_slot() {
    let image = Image::small("erofs", "");
    let mut guest = Guest::new(&image);
    assert_eq!(guest.environment(Slot::A).state, State::Ok);
    let file = damage::middle_in_erofs(&image.file("rootfs"), "/usr/bin/perl");
    damage::flip(guest.disk(), "root-a", file);
    assert_eq!(guest.boot().slots(), ["a"]);
    guest.log_in();
    guest.start("cat /usr/bin/perl >/dev/null");
    let booted = guest.reach_login();
    let block = file / 4096;
    let reason = format!("the root file system's data block {block} is corrupt");
    assert_left(&mut guest, &booted, block, &reason);
}
