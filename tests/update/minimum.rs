//! The minimum version, kept by the firmware; and the daemon, confined by its unit, which has to reach it too.

use bedstone_tests::machine::Guest;
use serde_json::json;

use super::steps::{json, release, status};

const VARIABLE: &str =
    "/sys/firmware/efi/efivars/BedstoneMinimumVersion-9d1c5f5b-27a6-4d0e-8a39-6e1f90c4b7d2";

/// Sends a request to the daemon's socket and prints all that it answers.
const CLIENT: &str = r#"perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new("/run/bedstone/agent.sock") or die; print $s q({"request":"confirm"}) . "\n"; shutdown($s, 1); print while <$s>'"#;

#[test]
fn no_older_version_passes_the_minimum_that_the_firmware_keeps() {
    let device = release(
        "2.1.0",
        "deadline = 120",
        "[update]\nminimum-version = \"2.0.0\"\n\n",
    );
    let old = release("1.0.0", "deadline = 120", "");
    let bundle = old.bundle();
    let mut guest = Guest::with_disks(&device, &[&bundle]);
    guest.boot();
    guest.log_in();
    // Every start of a confirmed image raises it.
    guest.wait_for(&format!("[ -e {VARIABLE} ]"));
    let minimum = json!({"version": "2.0.0", "kept_in": "firmware"});
    assert_eq!(status(&mut guest)["minimum"], minimum);
    let install = "bedstone-agent --json install --allow-downgrade /dev/vdb 2>/dev/null";
    let (code, said) = guest.try_as_root(install);
    assert_eq!(
        (code, json(&said)["code"].as_str()),
        (3, Some("downgrade")),
        "{said}"
    );

    // Gone, it is brought back by whoever confirms: here the daemon, which systemd starts for its first client.
    guest.run_as_root(&format!("chattr -i {VARIABLE}"));
    guest.run_as_root(&format!("rm {VARIABLE}"));
    assert_eq!(status(&mut guest)["minimum"], serde_json::Value::Null);
    let said = guest.run_as_root(CLIENT);
    assert_eq!(json(&said)["result"], "confirmed", "{said}");
    assert_eq!(status(&mut guest)["minimum"], minimum);
    guest.run("systemctl is-active bedstone-agentd.service");
    guest.cut_power();
}
