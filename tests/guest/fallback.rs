//! A slot that was changed behind its owner's back is refused or left, also when it was confirmed.

use bedstone_disk::bgenv::State;
use bedstone_disk::layout::Slot;
use bedstone_disk::pe;

use crate::damage;
use crate::image::Image;
use crate::machine::Guest;

const KERNEL: &str = "linux.efi";

/// Slot A failed for `reason` and said so, and slot B runs.
fn assert_left(guest: &mut Guest, booted: &crate::machine::Booted, reason: &str) {
    assert_eq!(booted.slots().last(), Some(&"b"), "{}", booted.console);
    assert!(
        booted.init_says("slot a fails: "),
        "{:?}",
        booted.init_lines()
    );
    assert!(
        booted.init_says("slot a is marked as failed; slot b starts next"),
        "{:?}",
        booted.init_lines()
    );
    guest.log_in();
    let status = guest.status();
    assert_eq!(status["slot"], "b");
    let failure = status["last_failure"].as_str().unwrap();
    let failure: serde_json::Value = serde_json::from_str(failure).unwrap();
    assert_eq!(failure["slot"], "a");
    let told = failure["reason"].as_str().unwrap();
    assert!(told.contains(reason), "{told}");
    guest.shut_down();
    let environment = guest.environment(Slot::A);
    assert_eq!(
        (environment.state, environment.revision),
        (State::Failed, 0)
    );
    assert_eq!(guest.environment(Slot::B).state, State::Ok);
}

#[test]
fn a_kernel_image_without_a_good_signature_never_starts() {
    let image = Image::small("erofs", "");
    let mut guest = Guest::new(&image, None);
    let booted = guest.boot();
    assert_eq!(booted.slots(), ["a"]);
    guest.log_in();
    // The init makes the boot entries by which the firmware gets from a refused kernel to the other slot.
    let entries = guest.run("for i in 1 2 3 4 5 6 7 8 9 10; do ls /sys/firmware/efi/efivars | grep -c '^Boot0' ; sleep 1; done | tail -n 1");
    assert!(entries.trim().parse::<u32>().unwrap() >= 3, "{entries}");
    guest.shut_down();
    let signed = damage::read_file(guest.disk(), "boot0", KERNEL);

    let mut altered = signed.clone();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    let mut unsigned = pe::strip_certificates(&pe::Image::parse(&signed).unwrap());
    unsigned.resize(signed.len(), 0);
    for refused in [altered, unsigned] {
        damage::replace_file(guest.disk(), "boot0", KERNEL, &refused);
        let booted = guest.boot();
        assert_eq!(booted.slots(), ["b"], "{}", booted.console);
        guest.log_in();
        assert_eq!(guest.status()["slot"], "b");
        guest.shut_down();
    }
}

#[test]
fn an_altered_byte_that_the_start_reads_makes_the_machine_leave_the_slot() {
    let image = Image::small("erofs", "");
    let mut guest = Guest::new(&image, None);
    assert_eq!(guest.environment(Slot::A).state, State::Ok);
    let program = damage::middle_in_erofs(&image.file("rootfs"), "/usr/lib/systemd/systemd");
    damage::flip(guest.disk(), "root-a", program);
    let booted = guest.boot();
    assert_eq!(booted.slots(), ["b"], "{}", booted.console);
    assert_left(&mut guest, &booted, "");
}

#[test]
fn an_altered_byte_that_a_running_system_reads_makes_the_machine_leave_the_slot() {
    let image = Image::small("erofs", "");
    let mut guest = Guest::new(&image, None);
    let file = damage::middle_in_erofs(&image.file("rootfs"), "/usr/bin/perl");
    damage::flip(guest.disk(), "root-a", file);
    assert_eq!(guest.boot().slots(), ["a"]);
    guest.log_in();
    guest.start("cat /usr/bin/perl >/dev/null");
    let booted = guest.reach_login();
    let block = format!("data block {}", file / 4096);
    assert_left(&mut guest, &booted, &block);
}
