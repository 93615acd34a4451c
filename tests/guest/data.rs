//! What becomes of the data partition.

use bedstone_tests::damage;
use bedstone_tests::image::Image;
use bedstone_tests::machine::Guest;
use bedstone_tests::program::kept;
use tempfile::TempDir;

/// The data partition could not be used, which is said, and nothing was written to it.
fn assert_set_aside(guest: &mut Guest, reason: &str) {
    let before = damage::content(guest.disk(), "data");
    let booted = guest.boot();
    assert_eq!(booted.slots(), ["a"]);
    let said = booted.init_lines().into_iter();
    let said: Vec<&str> = said
        .filter_map(|line| line.strip_prefix("data partition set aside, with all that is on it: "))
        .collect();
    assert_eq!(said.len(), 1, "{:?}", booted.init_lines());
    assert!(said[0].contains(reason), "{said:?}");
    booted.assert_init_says("going on without it: what is changed now is lost at the next start");
    guest.log_in();
    let data = &guest.status()["data"];
    assert_eq!(data["state"], "volatile");
    assert_eq!(data["persistent"], false);
    assert_eq!(data["reason"], said[0]);
    assert_eq!(
        guest.run("awk '$2 == \"/var\" { print $3 }' /proc/mounts"),
        "tmpfs"
    );
    assert_eq!(
        guest.run("ls -A ~/kept || true").trim(),
        "ls: cannot access '/var/home/dev/kept': No such file or directory"
    );
    guest.shut_down();
    assert!(
        before == damage::content(guest.disk(), "data"),
        "data was written to"
    );
}

#[test]
fn a_damaged_partition_is_left_alone() {
    let image = Image::small("erofs", "");
    let mut guest = Guest::new(&image);
    guest.boot();
    guest.log_in();
    assert_eq!(guest.status()["data"]["state"], "created");
    guest.run("echo kept > ~/kept");
    guest.cut_power();

    // Over the first superblock and over its first copy, in group 1.
    damage::scribble(guest.disk(), "data", 0, 1 << 20);
    damage::scribble(guest.disk(), "data", 32_768 * 4096, 1 << 20);
    assert_set_aside(&mut guest, "`/dev/vda6` holds something else");
}

#[test]
fn sealed_data_opens_with_its_own_tpm_only() {
    let image = Image::small("tpm", "[partitions]\ndata-encryption = \"tpm2\"\n");
    let tpms = TempDir::new_in(kept("test-images")).unwrap();
    let own = tpms.path().join("tpm");
    let mut guest = Guest::with_tpm(&image, &own);
    let booted = guest.boot();
    guest.log_in();
    let data = guest.status()["data"].clone();
    assert_eq!(data["state"], "created", "{data} {:?}", booted.init_lines());
    assert_eq!(data["encrypted"], true);
    guest.run("echo kept > ~/kept");
    guest.shut_down();
    let sealed = damage::content(guest.disk(), "data");
    assert!(sealed.starts_with(b"LUKS\xba\xbe"));

    let booted = guest.boot();
    guest.log_in();
    let data = guest.status()["data"].clone();
    assert_eq!(data["state"], "mounted", "{data} {:?}", booted.init_lines());
    assert_eq!(data["encrypted"], true);
    assert_eq!(guest.run("cat ~/kept"), "kept");
    guest.cut_power();

    // An empty directory in its place is another TPM.
    std::fs::rename(&own, tpms.path().join("away")).unwrap();
    std::fs::create_dir(&own).unwrap();
    assert_set_aside(&mut guest, "cryptsetup");
}
