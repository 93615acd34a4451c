//! Boots real guests in QEMU: Debian's cloud kernel with a busybox initramfs, alone and behind OVMF with Secure Boot.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

#[path = "boot/death.rs"]
mod death;
#[path = "boot/guest.rs"]
mod guest;
#[path = "boot/machine.rs"]
mod machine;
#[path = "boot/run.rs"]
mod run;
#[path = "boot/secure_boot.rs"]
mod secure_boot;
#[path = "boot/snapshot.rs"]
mod snapshot;
