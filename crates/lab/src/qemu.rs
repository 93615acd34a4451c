//! A virtual machine as a [`Device`].
//!
//! - [`QemuConfig`]: what the machine is made of.
//! - [`Tools`]: the programs and firmware files on the host.
//! - [`Accelerator`]: hardware acceleration, if it really works.
//! - [`Qemu`]: the machine itself.

mod accelerate;
mod arguments;
mod config;
mod directory;
mod discover;
mod drives;
mod machine;
mod state;
mod tpm;

pub use accelerate::{Acceleration, Accelerator};
pub use config::{Access, Drive, Firmware, Format, Network, QemuConfig, Tpm};
pub use discover::Tools;
pub use machine::{Ending, Qemu};

pub(crate) use arguments::key_arguments;
pub(crate) use tpm::copy_state as copy_tpm_state;
