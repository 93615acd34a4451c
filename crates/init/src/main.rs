//! PID 1 of the initramfs: from the signed command line to a verified root file system, without a shell.
//!
//! In the order in which a start goes through them:
//!
//! - [`mounts`]: what has to be mounted, before and after the root.
//! - [`console`]: lines to the kernel's log, which reach every console and the journal.
//! - [`parameters`]: the `bedstone.*` arguments of the kernel command line.
//! - [`modules`]: the kernel modules that the image packed.
//! - [`disk`]: the disk with the right GUID, its partitions.
//! - [`slot`]: which of the two slots is running.
//! - [`root`]: the slot's root file system, opened through dm-verity.
//! - [`minimum`]: whether that root is not older than the device may run.
//! - [`data`]: the data partition: made once, checked, unlocked, never silently made anew.
//! - [`populate`]: what the image's `/var` and `/home` bring to it.
//! - [`etc`]: the slot's own changes over the image's `/etc`.
//! - [`switch`]: into the new root.
//!
//! When something fails, and after the start:
//!
//! - [`environment`]: how a slot is left for the other one.
//! - [`failure`]: what is said, kept and done when a slot cannot go on.
//! - [`watcher`]: the process that stays and watches for corrupt blocks.
//! - [`efi`]: EFI variables: boot entries, the last failure.
//! - [`status`]: what is told of a start, in `/run/bedstone/boot.json`.

mod boot;
mod console;
mod data;
mod disk;
mod efi;
mod environment;
mod error;
mod etc;
mod failure;
mod minimum;
mod modules;
mod mounts;
mod parameters;
mod populate;
mod root;
mod slot;
mod status;
mod switch;
mod tool;
mod watcher;

fn main() {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    match name.to_str() {
        Some(watcher::NAME) => watcher::main(arguments),
        Some(tool::NAME) => tool::main(arguments),
        _ => boot::main(arguments),
    }
}
