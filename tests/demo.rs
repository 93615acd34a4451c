//! `make demo`'s second half: a device takes an update, keeps it, and leaves a bad one by itself.
//!
//! Called with the output directories of three images: the one that the device has, its update, and one that does not work.

// A demonstration ends where something does not work.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::path::PathBuf;
use std::time::Instant;

use bedstone_tests::image::Image;
use bedstone_tests::machine::{Booted, Guest};

fn main() {
    let directories: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [device, update, broken] = directories.as_slice() else {
        panic!(
            "usage: demo IMAGE UPDATE BROKEN: directories of `bedstone build`, with `bundle.swu` in the last two"
        );
    };
    let begun = Instant::now();
    let say = |text: &str| println!("{:>5} s  {text}", begun.elapsed().as_secs());

    let bundles = [update, broken].map(|directory| directory.join("bundle.swu"));
    let [device, update, broken] =
        [device, update, broken].map(|directory| Image::built(directory.clone()));
    let [version, next, bad] =
        [&device, &update, &broken].map(|image| image.record.product.version.as_str());
    let mut guest = Guest::with_disks(&device, &[&bundles[0], &bundles[1]]);
    say(&format!(
        "power on: version {version} from the factory, Secure Boot enforced"
    ));
    started(&guest.boot(), &say);
    guest.log_in();
    assert!(guest.enforces_secure_boot());

    say(&format!("$ bedstone-agent install bundle-{next}.swu"));
    show(&guest.run_as_root("bedstone-agent install /dev/vdb"));
    say("restart");
    guest.start("echo bedstone-Dev-1 | sudo -S -p '' systemctl reboot");
    started(&guest.reach_login(), &say);
    guest.log_in();
    guest.wait_for("[ ! -e /run/bedstone/trial ]");
    say("it proved itself healthy and is confirmed");
    show(&guest.run_as_root("bedstone-agent status"));

    say(&format!(
        "$ bedstone-agent install bundle-{bad}.swu: signed, complete, and its web server cannot start"
    ));
    show(&guest.run_as_root("bedstone-agent install /dev/vdc"));
    say("restart");
    guest.start("echo bedstone-Dev-1 | sudo -S -p '' systemctl reboot");
    started(&guest.reach_login(), &say);
    say("nobody does anything now; the device has a minute to become healthy");
    started(&guest.reach_login(), &say);
    guest.log_in();
    assert!(guest.enforces_secure_boot());
    say(&format!("back on version {next}, by itself. Why?"));
    let status = guest.run_as_root("bedstone-agent status");
    show(&status);
    assert!(status.contains(next) && status.contains("nginx"));
    guest.shut_down();
    say("switched off");
}

/// Says what the boot came to.
fn started(booted: &Booted, say: &impl Fn(&str)) {
    for line in booted.init_lines() {
        say(&format!("init: {line}"));
    }
}

fn show(text: &str) {
    for line in text.lines() {
        println!("         | {line}");
    }
}
