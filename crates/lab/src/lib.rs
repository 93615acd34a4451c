//! Devices to run images on; QEMU first.
//!
//! - [`Device`]: what every device can do; [`console`]: its serial console.
//! - [`qemu`]: a virtual machine as a device; [`qmp`]: how it is controlled; [`firmware`]: its Secure Boot keys and boot
//!   entries; [`snapshot`]: an already booted one within a second.
//! - [`run()`]: boots an image and reports; what `bedstone run` does.

pub mod console;
mod device;
mod error;
pub mod firmware;
pub mod qemu;
pub mod qmp;
pub mod run;
pub mod snapshot;

pub use device::Device;
pub use error::{Error, Result};
pub use run::run;
