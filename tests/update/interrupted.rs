//! What must not be installed is not; what was cut off goes on.

use bedstone_disk::bgenv::State;
use bedstone_disk::layout::Slot;
use bedstone_lab::console::Pattern;
use bedstone_tests::machine::Guest;
use bedstone_tests::program::kept;

use super::steps::{install, json, release, status};

/// The command is refused with this exit code and result code, and neither slot's environment changes.
fn refused(guest: &mut Guest, command: &str, exit: i32, code: &str) {
    let before = status(guest)["slots"].clone();
    let (status_code, said) = guest.try_as_root(&format!("{command} 2>/dev/null"));
    let outcome = json(&said);
    assert_eq!(
        (status_code, outcome["code"].as_str()),
        (exit, Some(code)),
        "{outcome}"
    );
    assert_eq!(status(guest)["slots"], before);
}

#[test]
fn refused_bundles_change_nothing_and_a_cut_off_installation_goes_on() {
    let one = release("1.0.0", "deadline = 120", "");
    let two = release("2.0.0", "deadline = 120", "");
    let foreign = two.bundle_signed_by(&kept("test-keys-foreign"));
    let bundles = [two.bundle(), foreign, one.bundle()];
    let disks: Vec<_> = bundles.iter().map(|path| &**path).collect();
    let mut guest = Guest::with_disks(&one, &disks);
    guest.boot();
    guest.log_in();

    let agent = "bedstone-agent --json install";
    refused(&mut guest, &format!("{agent} /dev/vdc"), 3, "wrong-key");
    // The signature is there, the root file system is not.
    let part = format!("sh -c 'head -c 1000000 /dev/vdb | {agent} - 2>/dev/null'");
    let before = status(&mut guest)["running"].clone();
    let (code, said) = guest.try_as_root(&part);
    assert_eq!(
        (code, json(&said)["code"].as_str()),
        (3, Some("truncated")),
        "{said}"
    );
    // What was begun cannot be started; what runs still can.
    let now = status(&mut guest);
    assert_eq!(now["running"], before);
    assert_eq!(now["slots"][0]["state"], "confirmed", "{now}");
    assert_eq!(now["slots"][1]["state"], "incomplete", "{now}");
    assert_eq!(now["transaction"]["state"], "failed", "{now}");

    guest.try_as_root("dd if=/dev/zero of=/var/fill bs=1M");
    refused(&mut guest, &format!("{agent} /dev/vdb"), 1, "disk-full");
    guest.run_as_root("rm /var/fill");

    // The power goes while the root file system is written.
    guest.start(&format!(
        "echo bedstone-Dev-1 | sudo -S -p '' {agent} /dev/vdb"
    ));
    guest.expect(&Pattern::glob("\"bytes\":*,"));
    guest.pull_the_plug();
    let environment = guest.environment(Slot::B);
    assert_eq!(environment.state, State::Failed);
    assert!(environment.in_progress);
    assert_eq!(guest.boot().slots(), ["a"]);
    guest.log_in();
    let now = status(&mut guest);
    assert_eq!(now["transaction"]["state"], "installing", "{now}");
    assert_eq!(now["slots"][1]["state"], "incomplete", "{now}");

    let booted = install(&mut guest, "/dev/vdb");
    assert_eq!(booted.slots(), ["b"], "{}", booted.console);
    guest.log_in();
    guest.wait_for("[ ! -e /run/bedstone/trial ]");
    let now = status(&mut guest);
    assert_eq!(now["image_version"], "2.0.0");
    refused(&mut guest, &format!("{agent} /dev/vdd"), 3, "downgrade");
    guest.cut_power();
}
