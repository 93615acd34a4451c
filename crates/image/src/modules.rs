//! Which kernel modules an image needs: those that are asked for, what they depend on, and their firmware.
//!
//! Everything is read from the modules themselves and from the lists that the kernel's build leaves beside them
//! (`modules.builtin`, `modules.builtin.modinfo`), so a kernel package that was only unpacked is enough: `depmod` has
//! not run yet when the choice is made.

mod error;
mod info;
mod selection;
mod tree;

pub use error::{Error, Result};
pub use info::ModuleInfo;
pub use selection::{Selection, Wanted};
pub use tree::{KernelModules, MAX_MODULE};

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
