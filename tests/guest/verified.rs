//! An image comes up as its record says.

use bedstone_tests::image::Image;
use bedstone_tests::machine::Guest;

/// Boots an image for the first time: slot A from a verified, read-only root of the kind that the record names, Secure
/// Boot enforced, data made, nothing failed. Then switches it off in order.
pub(crate) fn boots(image: &Image) {
    let mut guest = Guest::new(image);
    let booted = guest.boot();
    assert_eq!(booted.slots(), ["a"], "{}", booted.console);
    guest.log_in();
    assert!(guest.enforces_secure_boot());

    let status = guest.status();
    assert_eq!(status["slot"], "a");
    assert_eq!(status["slot_source"], "stub");
    let root = &image.record.root;
    assert_eq!(status["root"]["hash"], root.hash.to_string());
    assert_eq!(status["root"]["file_system"], root.file_system.as_str());
    assert_eq!(status["data"]["state"], "created");
    assert_eq!(status["last_failure"], serde_json::Value::Null);
    assert_eq!(status["warnings"], serde_json::json!([]));

    let mount = guest.run("awk '$2 == \"/\" { print $1, $3, $4 }' /proc/mounts | tail -n 1");
    let fields: Vec<&str> = mount.split(' ').collect();
    assert!(
        ["/dev/dm-0", "/dev/mapper/root"].contains(&fields[0]),
        "{mount}"
    );
    assert_eq!(fields[1], root.file_system);
    assert!(fields[2].split(',').any(|option| option == "ro"), "{mount}");
    let uuid = guest.run("cat /sys/block/dm-0/dm/uuid");
    assert!(uuid.starts_with("CRYPT-VERITY-"), "{uuid}");

    let state = guest.run("systemctl is-system-running --wait || true");
    let failed = guest.run("systemctl --failed --plain --no-legend || true");
    assert_eq!((state.trim(), failed.trim()), ("running", ""));
    guest.shut_down();
}
