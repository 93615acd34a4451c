//! Images of all kinds boot as `guest` wants it: root file systems, suites and the examples.

// Failing loudly is what tests are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "guest/verified.rs"]
mod verified;

use bedstone_tests::image::Image;

/// Boots the small product of a suite with a root of the given kind.
fn boots(suite: &str, file_system: &str) {
    let layer = format!("[debian]\nsuite = \"{suite}\"\n\n[root]\ntype = \"{file_system}\"\n");
    verified::boots(&Image::small(&format!("{suite}-{file_system}"), &layer));
}

#[test]
fn bookworm_on_erofs() {
    boots("bookworm", "erofs");
}

#[test]
fn bookworm_on_squashfs() {
    boots("bookworm", "squashfs");
}

#[test]
fn bookworm_on_ext4() {
    boots("bookworm", "ext4");
}

#[test]
fn trixie_on_erofs() {
    boots("trixie", "erofs");
}

#[test]
fn trixie_on_squashfs() {
    boots("trixie", "squashfs");
}

#[test]
fn trixie_on_ext4() {
    boots("trixie", "ext4");
}

#[test]
fn the_minimal_example() {
    verified::boots(&Image::example("minimal", "minimal", ""));
}

#[test]
fn the_security_example_of_trixie() {
    let layer = "[debian]\nsuite = \"trixie\"\n";
    verified::boots(&Image::example("security-trixie", "security", layer));
}

#[test]
fn the_real_time_example() {
    verified::boots(&Image::example("security-rt", "security-rt", ""));
}
