//! A whole tree of bookworm's packages beside mmdebstrap's; `rootfs_full` has more.
//!
//! Packages are downloaded once, by the host's apt configuration, into the target directory.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

#[expect(dead_code, reason = "`rootfs_full` uses the rest")]
#[path = "rootfs/archive.rs"]
mod archive;
#[path = "rootfs/building.rs"]
mod building;
#[path = "rootfs/comparison.rs"]
mod comparison;
#[expect(dead_code, reason = "`rootfs_full` uses the rest")]
#[path = "rootfs/listing.rs"]
mod listing;

use archive::BOOKWORM;

#[test]
fn bookworm_is_as_mmdebstrap_makes_it() {
    building::inside(
        "bookworm_is_as_mmdebstrap_makes_it",
        || drop(comparison::peer(&BOOKWORM)),
        || comparison::compare(&BOOKWORM),
    );
}
