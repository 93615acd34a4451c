//! Each part of a confirmed slot rots; the device comes up from the other slot, tells what is damaged, and repairs it.

use bedstone_disk::bgenv;
use bedstone_disk::layout::Slot;
use bedstone_tests::damage;
use bedstone_tests::image::Image;
use bedstone_tests::machine::Guest;

use super::steps::{json, release, status};

const KERNEL: &str = "linux.efi";

/// The slot that the boot loader starts next.
fn next(guest: &Guest) -> Slot {
    let [a, b] = Slot::ALL.map(|slot| guest.environment(slot).revision);
    if b > a { Slot::B } else { Slot::A }
}

fn alter_file(guest: &Guest, slot: Slot, name: &str) {
    let partition = slot.boot_partition();
    let mut bytes = damage::read_file(guest.disk(), partition, name);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    damage::replace_file(guest.disk(), partition, name, &bytes);
}

/// Damages the slot that would be started; the other one must come up, and repair it.
fn recovers(guest: &mut Guest, tell: &str, damage: impl FnOnce(&Guest, Slot)) {
    let damaged = next(guest);
    damage(guest, damaged);
    let other = damaged.other();
    let booted = guest.boot();
    assert_eq!(
        booted.slots().last(),
        Some(&other.name()),
        "{}",
        booted.console
    );
    guest.log_in();
    assert!(guest.enforces_secure_boot());
    let before = status(guest);
    assert_eq!(before["running"], other.name());
    let repaired = json(&guest.run_as_root("bedstone-agent --json repair"));
    assert_eq!(repaired["result"], "repaired", "{repaired}");
    assert_eq!(repaired["slot"], damaged.name());
    // A root that fails marks its slot, and the start after it tells why.
    let told = format!("{} {}", repaired["reason"], before["last_failure"]);
    assert!(told.contains(tell), "{told}");
    let now = status(guest);
    for slot in now["slots"].as_array().unwrap() {
        assert_eq!(slot["state"], "confirmed", "{now}");
    }
    let again = json(&guest.run_as_root("bedstone-agent --json repair"));
    assert_eq!(again["result"], "not-damaged", "{again}");
    guest.wait_for_boot_entries();
    guest.cut_power();
}

#[test]
fn every_part_of_a_confirmed_slot_may_rot() {
    let image: Image = release("1.0.0", "deadline = 120", "");
    let mut guest = Guest::new(&image);
    guest.boot();
    guest.log_in();
    guest.wait_for_boot_entries();
    guest.cut_power();

    recovers(&mut guest, "its signature is over", |guest, slot| {
        alter_file(guest, slot, KERNEL);
    });
    recovers(&mut guest, "BGENV", |guest, slot| {
        alter_file(guest, slot, bgenv::FILE_NAME);
    });
    recovers(&mut guest, "FAT", |guest, slot| {
        damage::scribble(guest.disk(), slot.boot_partition(), 0, 64 << 10);
    });
    let program = damage::middle_in_erofs(&image.file("rootfs"), "/usr/lib/systemd/systemd");
    recovers(
        &mut guest,
        "a block differs from what is signed",
        |guest, slot| {
            damage::flip(guest.disk(), slot.root_partition(), program);
        },
    );
    // All of it is as new.
    let slot = next(&guest);
    let booted = guest.boot();
    assert_eq!(booted.slots(), [slot.name()], "{}", booted.console);
    guest.log_in();
    guest.cut_power();
}
