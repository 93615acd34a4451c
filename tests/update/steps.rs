//! What every one of these tests does.

use bedstone_tests::image::Image;
use bedstone_tests::machine::{Booted, Guest};
use serde_json::Value;

/// What every release of these tests has: `sudo` to be root, and little time to prove itself.
const COMMON: &str = "[packages]\ninstall = [\"sudo\"]\n\n[update.health]\n";

pub(crate) fn release(version: &str, health: &str, more: &str) -> Image {
    let layer = format!("{COMMON}{health}\n\n{more}\n[product]\nversion = \"{version}\"\n");
    Image::small(&format!("update-{version}"), &layer)
}

pub(crate) fn json(text: &str) -> Value {
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {text}"))
}

pub(crate) fn status(guest: &mut Guest) -> Value {
    json(&guest.run_as_root("bedstone-agent --json status"))
}

/// Installs the bundle on a further disk and restarts into it.
pub(crate) fn install(guest: &mut Guest, disk: &str) -> Booted {
    let outcome = json(&guest.run_as_root(&format!("bedstone-agent --json install {disk}")));
    assert_eq!(outcome["result"], "installed", "{outcome}");
    restart(guest)
}

/// Restarts in order.
pub(crate) fn restart(guest: &mut Guest) -> Booted {
    guest.start("echo bedstone-Dev-1 | sudo -S -p '' systemctl reboot");
    guest.reach_login()
}
