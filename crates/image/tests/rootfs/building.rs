//! Tests in a user namespace, and two ways to finish a tree.

use std::env;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

use bedstone_event::Reporter;
use bedstone_image::rootfs::cache::CacheDirs;
use bedstone_image::rootfs::{self, Configured, Customisation, Ids, Package, Rootfs, Selection};
use bedstone_sys::namespace::user_command;

/// Nobody interrupts a test.
pub(crate) static CALM: AtomicBool = AtomicBool::new(false);

/// Time of the tests' images, seconds since 1970.
pub(crate) const EPOCH: i64 = 1_750_000_000;

/// Runs the test `name` as root of a user namespace, which a process with threads cannot enter: the test starts itself
/// again. `prepare` runs before, outside.
pub(crate) fn inside(name: &str, prepare: impl FnOnce(), body: impl FnOnce()) {
    if env::var_os("BEDSTONE_TEST_INSIDE").is_some() {
        return body();
    }
    prepare();
    let program = env::current_exe().unwrap();
    let status = user_command(program.to_str().unwrap())
        .unwrap()
        .args(["--exact", name, "--nocapture"])
        .env("BEDSTONE_TEST_INSIDE", "1")
        .status()
        .unwrap();
    assert!(status.success());
}

/// Configures the packages with all their files.
pub(crate) fn configure(packages: &[Package], jobs: usize, cache: &CacheDirs) -> Configured {
    let selection = Selection {
        packages,
        architecture: "amd64",
        keep: &|_, _| true,
        preseeds: &[],
    };
    let jobs = NonZeroUsize::new(jobs).unwrap();
    rootfs::configure(&selection, jobs, cache, &Reporter::quiet(), &CALM).unwrap()
}

/// Seals a tree without changing it.
pub(crate) fn finish(configured: &Configured, cache: &CacheDirs) -> Rootfs {
    let customisation = Customisation {
        ids: &Ids::default(),
        changes: &[],
        epoch: EPOCH,
    };
    configured
        .finish(&customisation, cache, &Reporter::quiet(), &CALM)
        .unwrap()
}
