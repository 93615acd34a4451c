//! The only crate with `unsafe`: namespaces, mounts, processes, device-mapper.

mod error;
pub mod mount;
pub mod namespace;
pub mod process;

pub use error::{Error, Result};
