//! What becomes of the data partition.

use tempfile::TempDir;

use crate::damage;
use crate::image::{Image, directory};
use crate::machine::Guest;

/// Leaves a file where the user may, brings it to the disk, and switches off.
fn keep_a_file(guest: &mut Guest) {
    guest.run("echo kept > ~/kept; sync");
    guest.shut_down();
}

#[test]
fn data_is_kept_and_a_damaged_partition_is_left_alone() {
    let image = Image::small("erofs", "");
    let mut guest = Guest::new(&image, None);
    guest.boot();
    guest.log_in();
    assert_eq!(guest.status()["data"]["state"], "created");
    keep_a_file(&mut guest);

    guest.boot();
    guest.log_in();
    assert_eq!(guest.status()["data"]["state"], "mounted");
    assert_eq!(guest.run("cat ~/kept"), "kept");
    guest.shut_down();

    // Over the first superblock and over its first copy, in group 1.
    damage::scribble(guest.disk(), "data", 0, 1 << 20);
    damage::scribble(guest.disk(), "data", 32_768 * 4096, 1 << 20);
    let before = damage::content(guest.disk(), "data");
    let booted = guest.boot();
    assert_eq!(booted.slots(), ["a"]);
    assert!(booted.init_says("data partition left untouched: "));
    guest.log_in();
    let data = &guest.status()["data"];
    assert_eq!(data["state"], "volatile");
    assert_eq!(data["persistent"], false);
    assert!(data["reason"].is_string());
    guest.shut_down();
    assert!(
        before == damage::content(guest.disk(), "data"),
        "data was written to"
    );
}

#[test]
fn sealed_data_opens_with_its_own_tpm_only() {
    let image = Image::small("tpm", "[partitions]\ndata-encryption = \"tpm2\"\n");
    let tpms = TempDir::new_in(directory("test-images")).unwrap();
    let [own, stranger] = ["own", "stranger"].map(|name| tpms.path().join(name));
    let mut guest = Guest::new(&image, Some(&own));
    let booted = guest.boot();
    guest.log_in();
    let data = guest.status()["data"].clone();
    assert_eq!(data["state"], "created", "{data} {:?}", booted.init_lines());
    assert_eq!(data["encrypted"], true);
    keep_a_file(&mut guest);

    let booted = guest.boot();
    guest.log_in();
    let data = guest.status()["data"].clone();
    assert_eq!(data["state"], "mounted", "{data} {:?}", booted.init_lines());
    assert_eq!(guest.run("cat ~/kept"), "kept");
    guest.shut_down();

    let before = damage::content(guest.disk(), "data");
    std::fs::rename(&own, tpms.path().join("away")).unwrap();
    std::fs::create_dir(&stranger).unwrap();
    std::fs::rename(&stranger, &own).unwrap();
    let booted = guest.boot();
    guest.log_in();
    let data = guest.status()["data"].clone();
    assert_eq!(
        data["state"],
        "volatile",
        "{data} {:?}",
        booted.init_lines()
    );
    assert!(data["reason"].is_string());
    guest.shut_down();
    assert!(
        before == damage::content(guest.disk(), "data"),
        "data was written to"
    );
}
