//! A new system that stops or hangs while it starts is left, without anybody's help.

use bedstone_tests::image::Image;
use bedstone_tests::machine::Guest;

use super::steps::{install, release, status};

/// A release with a service that does this while the system starts.
fn harmful(version: &str, command: &str) -> Image {
    let service = format!(
        "[files.\"/etc/systemd/system/harm.service\"]\ncontent = \"\"\"\n[Service]\nType=oneshot\nExecStart=/bin/sh -c '{command}'\n\n[Install]\nWantedBy=multi-user.target\n\"\"\"\n\n[services]\nenable = [\"harm.service\"]\n\n"
    );
    release(version, "deadline = 600", &service)
}

#[test]
fn a_panic_and_a_hang_end_in_the_confirmed_slot() {
    // One start has to do, else each is tried three times.
    let device = release("1.1.0", "deadline = 120", "[update]\nattempts = 1\n\n");
    let panics = harmful("5.0.0", "echo c > /proc/sysrq-trigger");
    // systemd stops doing anything after a crash of its own; it no longer feeds the watchdog then.
    let hangs = harmful("6.0.0", "kill -SEGV 1; sleep infinity");
    let bundles = [panics.bundle(), hangs.bundle()];
    let mut guest = Guest::with_disks(&device, &[&bundles[0], &bundles[1]]);
    guest.boot();
    guest.log_in();
    for (disk, version, sign) in [
        ("/dev/vdb", "5.0.0", "sysrq triggered crash"),
        ("/dev/vdc", "6.0.0", "Starting harm.service"),
    ] {
        let booted = install(&mut guest, disk);
        let mut console = booted.console.clone();
        let mut slots: Vec<String> = booted.slots().into_iter().map(str::to_owned).collect();
        // The prompt may or may not have appeared before the end.
        if slots.last().map(String::as_str) != Some("a") {
            let booted = guest.reach_login();
            slots.extend(booted.slots().into_iter().map(str::to_owned));
            console.push_str(&booted.console);
        }
        assert_eq!(slots, ["b", "a"], "{console}");
        let (_, after) = console.split_once(sign).unwrap();
        // Nobody in the guest restarted it.
        assert!(!after.contains("Reached target reboot.target"), "{console}");
        guest.log_in();
        guest.wait_for("! systemctl is-active --quiet bedstone-agent.service");
        let now = status(&mut guest);
        assert_eq!(now["image_version"], "1.1.0");
        assert_eq!(now["slots"][1]["state"], "failed", "{now}");
        assert_eq!(now["transaction"]["state"], "failed", "{now}");
        assert_eq!(now["transaction"]["to"], version, "{now}");
        let reason = now["transaction"]["reason"].as_str().unwrap();
        assert!(
            reason.contains("reset before it could tell why"),
            "{reason}"
        );
    }
    assert!(guest.enforces_secure_boot());
    guest.cut_power();
}
