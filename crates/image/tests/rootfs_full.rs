//! Whole trees from Debian's archive: against mmdebstrap, against themselves, and through changes and kills.
//!
//! Packages are downloaded once, by the host's apt configuration, into the target directory.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

#[path = "rootfs/archive.rs"]
mod archive;
#[path = "rootfs/building.rs"]
mod building;
#[path = "rootfs/builds.rs"]
mod builds;
#[path = "rootfs/comparison.rs"]
mod comparison;
#[path = "rootfs/customising.rs"]
mod customising;
#[path = "rootfs/listing.rs"]
mod listing;
#[path = "rootfs/writing.rs"]
mod writing;

use archive::TRIXIE;

#[test]
fn trixie_is_as_mmdebstrap_makes_it() {
    building::inside(
        "trixie_is_as_mmdebstrap_makes_it",
        || drop(comparison::peer(&TRIXIE)),
        || comparison::compare(&TRIXIE),
    );
}
