//! What comes out: the same twice, hardened, signed, bootable.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use bedstone_disk::module_signature;
use bedstone_image::record::ImageRecord;
use bedstone_store::{Digest, FileLock, Mode};
use bedstone_tests::program::{Outcome, files, tool};

use crate::site::Site;
use bedstone_tests::image::Image;

use crate::site::directory;
use bedstone_tests::machine::Guest;

/// Kind and digest of every artifact.
fn artifacts(record: &ImageRecord) -> BTreeMap<String, Digest> {
    let artifacts = record.artifacts.iter();
    artifacts
        .map(|artifact| (artifact.kind.clone(), artifact.sha256))
        .collect()
}

/// Builds the example in a site.
fn built(site: &Site, jobs: &str) -> Image {
    let output = site.build(&[], &["--jobs", jobs]).output().unwrap();
    Outcome::of(&output).succeeds();
    let directory = site.path("out");
    Image::built(directory)
}

#[test]
fn a_kernel_from_source_is_the_same_twice_and_boots_with_signed_modules() {
    let _lock = FileLock::acquire(
        directory("test-images").join("kernel-source.lock"),
        Mode::Exclusive,
    )
    .unwrap();
    let (first, second) = (Site::kept("first"), Site::kept("second"));
    first.lock();
    let image = built(&first, "2");
    let other = built(&second, "3");
    assert_eq!(artifacts(&image.record), artifacts(&other.record));

    // Nothing is compiled again for an image that is built again.
    let again = first.build(&[], &["--json"]).output().unwrap();
    let again = Outcome::of(&again);
    again.succeeds();
    assert!(
        !again.said.contains("compiling the kernel"),
        "{}",
        again.said
    );

    is_hardened(&first, &image);
    has_signed_modules(&image);
    boots(&image);
}

/// The configuration that was used follows the baseline but for what the example accepts.
fn is_hardened(site: &Site, image: &Image) {
    assert_eq!(image.record.kernel.accepted, 1);
    let config = image.file("kernel-config");
    let config = config.to_str().unwrap();
    let layers = Site::layers(&[]);
    let accepted = site
        .command(&["kernel", "check", config, "--accept", &layers])
        .output()
        .unwrap();
    Outcome::of(&accepted).succeeds();
    let bare = site.command(&["kernel", "check", config]).output().unwrap();
    Outcome::of(&bare).refuses(4, &["CONFIG_CFI_CLANG"]);
    assert!(image.record.kernel.followed > 60);
}

/// Every module in the root file system carries a signature that OpenSSL finds good, by the key of the boot chain.
fn has_signed_modules(image: &Image) {
    let scratch = tempfile::TempDir::new_in(directory("test-images")).unwrap();
    let tree = scratch.path().join("tree");
    let mut extract = std::ffi::OsString::from("--extract=");
    extract.push(&tree);
    tool(
        "erofs-utils",
        Command::new("fsck.erofs")
            .arg(extract)
            .arg(image.file("rootfs")),
    );
    let modules = tree
        .join("usr/lib/modules")
        .join(&image.record.kernel.release);
    let names = files(&modules);
    for list in ["modules.dep", "modules.alias", "modules.builtin.bin"] {
        assert!(names.iter().any(|name| name == list), "{names:?}");
    }
    let certificate = scratch.path().join("certificate.pem");
    tool(
        "openssl",
        Command::new("openssl")
            .args(["x509", "-inform", "DER", "-in"])
            .arg(image.file("db-certificate"))
            .arg("-out")
            .arg(&certificate),
    );
    let signed: Vec<&String> = names
        .iter()
        .filter(|name| Path::new(name).extension().is_some_and(|it| it == "ko"))
        .collect();
    assert!(signed.len() > 20, "{names:?}");
    for name in signed {
        let module = fs::read(modules.join(name)).unwrap();
        let (elf, signature) = module_signature::split(&module);
        let at = |name: &str| scratch.path().join(name);
        fs::write(at("elf"), elf).unwrap();
        fs::write(at("signature"), signature.expect(name)).unwrap();
        tool(
            "openssl",
            Command::new("openssl")
                .args(["cms", "-verify", "-binary", "-inform", "DER", "-noverify"])
                .args(["-in", "signature", "-content", "elf", "-out", "/dev/null"])
                .arg("-certfile")
                .arg(&certificate)
                .current_dir(scratch.path()),
        );
    }
}

/// Firmware, kernel and modules accept the signatures; a module without one is refused.
fn boots(image: &Image) {
    let mut guest = Guest::new(image);
    // The disk's driver is a module, so a login prompt says that the kernel took it.
    let booted = guest.boot();
    assert_eq!(booted.slots(), ["a"], "{}", booted.console);
    guest.log_in();
    assert_eq!(guest.run("uname -r").trim(), image.record.kernel.release);
    let enforced = guest.run(
        "od -An -tu1 -j4 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
    );
    assert_eq!(enforced.trim(), "1");
    // udev may still be at it when the prompt is there.
    let state = guest.run("systemctl is-system-running --wait || true");
    let failed = guest.run("systemctl --failed --plain --no-legend || true");
    assert_eq!((state.trim(), failed.trim()), ("running", ""));
    let loaded = guest.run("cut -d' ' -f1 /proc/modules | sort");
    // From the initramfs, and by udev from the root.
    for module in ["virtio_blk", "dm_verity", "erofs", "virtio_rng", "button"] {
        assert!(loaded.lines().any(|line| line.trim() == module), "{loaded}");
    }
    assert_eq!(guest.run("cat /proc/sys/kernel/tainted").trim(), "0");
    assert_eq!(
        guest
            .run("cat /sys/module/module/parameters/sig_enforce")
            .trim(),
        "Y"
    );
    guest.shut_down();
}
