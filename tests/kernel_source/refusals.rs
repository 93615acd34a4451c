//! What ends a build before anything is compiled.

use std::fs;

use bedstone_store::{FileLock, Mode};
use bedstone_tests::program::Outcome;

use crate::site::Site;
use crate::site::directory;

/// Adds a fragment to the example; gives what the build said.
pub(crate) fn said(site: &Site, fragment: &str) -> Outcome {
    fs::write(site.path("manifest/more.config"), fragment).unwrap();
    fs::write(
        site.path("manifest/more.toml"),
        "[kernel.source]\nfragments = [\"more.config\"]\n",
    )
    .unwrap();
    let output = site.build(&["more.toml"], &["--json"]).output().unwrap();
    let outcome = Outcome::of(&output);
    assert!(
        !outcome.said.contains("compiling the kernel"),
        "{}",
        outcome.said
    );
    outcome
}

#[test]
fn configurations_that_cannot_be_had_are_refused_before_anything_is_compiled() {
    let _lock = FileLock::acquire(
        directory("test-images").join("kernel-source.lock"),
        Mode::Exclusive,
    )
    .unwrap();
    let site = Site::kept("first");
    site.lock();
    said(
        &site,
        "# Sound without sound\nCONFIG_SND_HDA_INTEL=m\nCONFIG_NO_SUCH_THING=y\n",
    )
    .refuses(
        1,
        &[
            "more.config:2: CONFIG_SND_HDA_INTEL=m becomes n: sound/pci/hda/Kconfig:",
            "(CONFIG_SND=n)",
            "more.config:3: CONFIG_NO_SUCH_THING=y becomes n: this kernel has no such option",
        ],
    );
    said(&site, "CONFIG_MODULE_SIG_ALL=y\n").refuses(
        1,
        &["more.config:1: CONFIG_MODULE_SIG_ALL=y: the build itself signs modules"],
    );
    said(
        &site,
        "# CONFIG_STRICT_DEVMEM is not set\nCONFIG_DEVMEM=y\n",
    )
    .refuses(
        1,
        &[
            "deviates from the hardening baseline",
            "CONFIG_STRICT_DEVMEM=n, wanted y",
        ],
    );
}
