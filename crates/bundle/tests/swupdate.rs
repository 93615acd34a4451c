//! SWUpdate of three Debian releases installs what we write, quickly: one bundle with all handlers. The whole matrix is in
//! `swupdate_full.rs`.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]
#![allow(clippy::panic, reason = "a test may fail anywhere")]

#[path = "../src/fixtures.rs"]
mod fixtures;
#[path = "swupdate/installation.rs"]
mod installation;
#[path = "swupdate/ours.rs"]
mod ours;
#[path = "swupdate/roots.rs"]
mod roots;

use bedstone_bundle::description::{Compression, Syntax};
use bedstone_disk::cpio::Format;
use ours::Form;

#[test]
fn three_releases_install_an_encrypted_bundle() {
    let form = Form {
        format: Format::Crc,
        compression: Compression::Zstd,
        encrypted: true,
        syntax: Syntax::Libconfig,
    };
    for suite in roots::SUITES {
        ours::installs(suite, &form, "rsa");
    }
}

#[test]
fn three_releases_run_the_two_slot_layout() {
    for suite in roots::SUITES {
        ours::installs_two_slots(suite);
    }
}

#[test]
fn three_releases_take_a_difference_or_the_whole() {
    for suite in roots::SUITES {
        ours::installs_differences(suite);
    }
}
