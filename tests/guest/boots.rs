//! An image comes up as its record says.

use crate::image::Image;
use crate::machine::Guest;

/// Slot A runs, its root is verified, read-only and of the given kind, and Secure Boot is enforced.
fn assert_verified(guest: &mut Guest, image: &Image, booted: &crate::machine::Booted) {
    assert_eq!(booted.slots(), ["a"], "{}", booted.console);
    let status = guest.status();
    assert_eq!(status["slot"], "a");
    assert_eq!(status["slot_source"], "stub");
    assert_eq!(status["root"]["hash"], image.record.root.hash.to_string());
    assert_eq!(
        status["root"]["file_system"],
        image.record.root.file_system.as_str()
    );
    assert_eq!(status["data"]["state"], "created");
    assert_eq!(status["last_failure"], serde_json::Value::Null);
    assert_eq!(status["warnings"], serde_json::json!([]));

    let mount = guest.run("awk '$2 == \"/\" { print $1, $3, $4 }' /proc/mounts | tail -n 1");
    let fields: Vec<&str> = mount.split(' ').collect();
    assert!(
        fields[0].starts_with("/dev/dm-") || fields[0] == "/dev/mapper/root",
        "{mount}"
    );
    assert_eq!(fields[1], image.record.root.file_system);
    assert!(fields[2].split(',').any(|option| option == "ro"), "{mount}");
    let uuid = guest.run("cat /sys/block/dm-0/dm/uuid");
    assert!(uuid.starts_with("CRYPT-VERITY-"), "{uuid}");

    // Four bytes of attributes, then the value (Linux Documentation/filesystems/efivarfs.rst).
    let enforced = guest.run(
        "od -An -tu1 -j4 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
    );
    assert_eq!(enforced.trim(), "1");
}

/// Everything that systemd was asked to start runs.
fn assert_nothing_failed(guest: &mut Guest) {
    let state = guest.run("systemctl is-system-running --wait || true");
    let failed = guest.run("systemctl --failed --plain --no-legend || true");
    assert_eq!((state.trim(), failed.trim()), ("running", ""));
}

#[test]
fn the_security_example_boots_verified() {
    let image = Image::security();
    let mut guest = Guest::new(&image, None);
    let booted = guest.boot();
    guest.log_in();
    assert_verified(&mut guest, &image, &booted);
    assert_nothing_failed(&mut guest);
    guest.shut_down();
}

#[test]
fn ext4_as_root_boots_verified() {
    let image = Image::small("ext4", "[root]\ntype = \"ext4\"\n");
    let mut guest = Guest::new(&image, None);
    let booted = guest.boot();
    guest.log_in();
    assert_verified(&mut guest, &image, &booted);
    assert_nothing_failed(&mut guest);
    guest.shut_down();
}

#[test]
fn squashfs_as_root_boots_verified() {
    let image = Image::small("squashfs", "[root]\ntype = \"squashfs\"\n");
    let mut guest = Guest::new(&image, None);
    let booted = guest.boot();
    guest.log_in();
    assert_verified(&mut guest, &image, &booted);
    assert_nothing_failed(&mut guest);
    guest.shut_down();
}
