//! A new system is tried, and kept or left.

use bedstone_disk::bgenv::State;
use bedstone_disk::layout::Slot;
use bedstone_tests::machine::Guest;
use serde_json::Value;

use super::steps::{install, json, release, status};

#[test]
fn an_update_is_installed_tried_and_confirmed_and_a_bad_one_is_left() {
    let one = release("1.0.0", "deadline = 120", "");
    let two = release("2.0.0", "deadline = 120", "");
    // A unit that fails keeps the system from being healthy.
    let sick = release(
        "3.0.0",
        "deadline = 60",
        "[files.\"/etc/systemd/system/sick.service\"]\ncontent = \"\"\"\n[Service]\nType=oneshot\nExecStart=/bin/false\n\n[Install]\nWantedBy=multi-user.target\n\"\"\"\n\n[services]\nenable = [\"sick.service\"]\n\n",
    );
    let bundles = [two.bundle(), sick.bundle()];
    let mut guest = Guest::with_disks(&one, &[&bundles[0], &bundles[1]]);
    assert_eq!(guest.boot().slots(), ["a"]);
    guest.log_in();
    assert!(guest.enforces_secure_boot());
    let before = status(&mut guest);
    assert_eq!(before["image_version"], "1.0.0");
    assert_eq!(before["running"], "a");

    // Version 2 goes to slot B, is on trial, proves itself.
    let booted = install(&mut guest, "/dev/vdb");
    assert_eq!(booted.slots(), ["b"], "{}", booted.console);
    booted.assert_init_says("slot b is on trial, 2 more starts after this one");
    guest.log_in();
    guest.wait_for("[ ! -e /run/bedstone/trial ]");
    let now = status(&mut guest);
    assert_eq!(now["image_version"], "2.0.0");
    assert_eq!(now["slots"][1]["state"], "confirmed", "{now}");
    assert_eq!(now["transaction"]["state"], "confirmed", "{now}");
    let again = json(&guest.run_as_root("bedstone-agent --json install /dev/vdb"));
    assert_eq!(again["result"], "up-to-date");

    // Version 3 goes to slot A and never becomes healthy: the machine comes back by itself and tells why.
    let booted = install(&mut guest, "/dev/vdc");
    assert_eq!(booted.slots(), ["a"], "{}", booted.console);
    let booted = guest.reach_login();
    assert_eq!(booted.slots(), ["b"], "{}", booted.console);
    guest.log_in();
    let now = status(&mut guest);
    assert_eq!(now["image_version"], "2.0.0");
    assert_eq!(now["slots"][0]["state"], "failed", "{now}");
    assert_eq!(now["transaction"]["state"], "failed", "{now}");
    let reason = now["transaction"]["reason"].as_str().unwrap();
    assert!(reason.contains("sick.service"), "{reason}");
    assert!(guest.enforces_secure_boot());

    guest.cut_power();
    assert_eq!(guest.environment(Slot::A).state, State::Failed);
    assert_eq!(guest.environment(Slot::B).state, State::Ok);
}

#[test]
fn a_power_cut_on_trial_costs_one_attempt_and_no_more() {
    let one = release("1.0.0", "deadline = 120", "");
    // Nothing answers there, so it never becomes healthy within the time of this test.
    let slow = release("4.0.0", "deadline = 3600\ntcp = [\"127.0.0.1:9\"]", "");
    let bundle = slow.bundle();
    let mut guest = Guest::with_disks(&one, &[&bundle]);
    guest.boot();
    guest.log_in();
    let booted = install(&mut guest, "/dev/vdb");
    booted.assert_init_says("slot b is on trial, 2 more starts after this one");
    guest.log_in();
    // A second installation would take away what the machine falls back to.
    let (code, refused) =
        guest.try_as_root("bedstone-agent --json install --reinstall /dev/vdb 2>/dev/null");
    assert_eq!(
        (code, &json(&refused)["code"]),
        (1, &Value::from("on-trial"))
    );
    guest.cut_power();

    let booted = guest.boot();
    booted.assert_init_says("slot b is on trial, 1 more starts after this one");
    guest.log_in();
    guest.cut_power();
    let booted = guest.boot();
    booted.assert_init_says("slot b is on trial for the last time");
    guest.log_in();
    guest.cut_power();
    let booted = guest.boot();
    assert_eq!(booted.slots(), ["a"], "{}", booted.console);
    guest.log_in();
    guest.wait_for("! systemctl is-active --quiet bedstone-agent.service");
    let now = status(&mut guest);
    assert_eq!(now["transaction"]["state"], "failed", "{now}");
    assert_eq!(now["image_version"], "1.0.0");
    guest.cut_power();
}
