//! Secure Boot holds to the kernel: what is not signed as it is never runs, also in a confirmed slot.

use bedstone_disk::bgenv::State;
use bedstone_disk::layout::Slot;
use bedstone_disk::pe;
use bedstone_tests::damage;
use bedstone_tests::image::Image;
use bedstone_tests::machine::{Booted, Guest};

const KERNEL: &str = "linux.efi";
/// EFI Boot Guard's words when the firmware does not let it start a kernel, or when it does not find one.
const REFUSAL: &str = "ERROR: Cannot load specified kernel image";

/// EFI Boot Guard chose slot A, was not allowed to start its kernel, and the firmware went on to slot B's.
fn assert_refused(booted: &Booted) {
    booted.assert_says(&[
        "kernel: C:BOOT0:linux.efi",
        "ERROR: Cannot load specified kernel image (Access Denied).",
        "BdsDxe: failed to start Boot",
        "\"EFI Boot Guard\"",
        ": Access Denied",
        "BdsDxe: starting Boot",
        "\"Bedstone slot B\"",
        "EFI stub: UEFI Secure Boot is enabled.",
        "Linux version",
        "bedstone-init: the boot loader prefers slot a, which did not start",
        "bedstone-init: slot b, root ",
    ]);
    // One kernel ran, and it was not slot A's.
    assert_eq!(booted.console.matches("Linux version").count(), 1);
    assert_eq!(booted.slots(), ["b"]);
}

#[test]
fn only_what_is_signed_starts() {
    let image = Image::small("erofs", "");
    let mut guest = Guest::new(&image);
    // The kernel as it was signed; this start makes the boot entries, too.
    let booted = guest.boot();
    assert_eq!(booted.slots(), ["a"]);
    assert!(!booted.console.contains(REFUSAL));
    guest.log_in();
    assert!(guest.enforces_secure_boot());
    assert_eq!(guest.status()["data"]["state"], "created");
    guest.wait_for_boot_entries();
    guest.run("echo kept > ~/kept");
    guest.shut_down();
    let confirmed = guest.environment(Slot::A);
    assert_eq!(confirmed.state, State::Ok);

    let signed = damage::read_file(guest.disk(), "boot0", KERNEL);
    let mut altered = signed.clone();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    let mut unsigned = pe::strip_certificates(&pe::Image::parse(&signed).unwrap());
    unsigned.resize(signed.len(), 0);
    for refused in [&altered, &unsigned] {
        damage::replace_file(guest.disk(), "boot0", KERNEL, refused);
        let booted = guest.boot();
        assert_refused(&booted);
        guest.log_in();
        assert!(guest.enforces_secure_boot());
        let status = guest.status();
        assert_eq!(status["slot"], "b");
        assert_eq!(status["slot_source"], "stub");
        // Both slots have the same data.
        assert_eq!(status["data"]["state"], "mounted");
        assert_eq!(guest.run("cat ~/kept"), "kept");
        guest.cut_power();
        assert_eq!(guest.environment(Slot::A), confirmed);
    }

    // The same unsigned kernel starts where nobody asks for signatures: nothing else was wrong with it.
    guest.disable_secure_boot();
    let booted = guest.boot();
    assert_eq!(booted.slots(), ["a"]);
    assert!(!booted.console.contains(REFUSAL));
    guest.log_in();
    assert!(!guest.enforces_secure_boot());
    assert_eq!(guest.run("cat ~/kept"), "kept");
}
