//! The programs for arm64 and armhf, compiled as devices get them, in emulators: what `program` does natively.

#[path = "program/machine.rs"]
mod machine;
#[allow(unreachable_pub, reason = "it is public in the library of the tests")]
#[path = "../../../tests/crash/product.rs"]
mod product;
#[path = "program/scenes.rs"]
mod scenes;

use std::path::{Path, PathBuf};
use std::process::Command;

use machine::Agent;

/// Compiles the agent for an architecture and does everything with it.
fn try_out(arch: &str, emulator: &'static str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root.canonicalize().expect("the sources");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let built = Command::new("scripts/build-device")
        .args(["--arch", arch])
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(&root)
        .status()
        .expect("scripts/build-device runs");
    assert!(built.success(), "scripts/install-missing test");
    let agent = Agent {
        emulator: Some(emulator),
        program: target
            .join("lib/bedstone")
            .join(arch)
            .join("bedstone-agent"),
    };
    scenes::tells_what_it_is_and_what_is_missing(&agent);
    scenes::installs_a_file(&agent);
    scenes::installs_what_a_server_sends_in_pieces(&agent);
    scenes::refuses_with_a_code(&agent);
    scenes::serves_a_socket(&agent);
}

#[test]
fn arm64() {
    try_out("arm64", "qemu-aarch64-static");
}

#[test]
fn armhf() {
    try_out("armhf", "qemu-arm-static");
}
