//! The on-device side of updates: what writes a slot, tries it, and keeps or leaves it.
//!
//! An update is one transaction over two slots. The running slot is never written; the other one is made unbootable before
//! its first byte changes and bootable by the last write of all, so that a power cut at any moment leaves the machine with
//! the slot it runs from. What was written is on trial until [`trial::confirm`].
//!
//! - [`device`]: the slots of the machine, however they are reached.
//! - [`plan`]: from a bundle's description to what is installed, or why not; [`hardware`]: whether it is for this device.
//! - [`install()`]: from a bundle to a slot that is started next.
//! - [`trial`]: confirmed, or given up with a reason.
//! - [`repair()`]: a damaged slot written again from the running one.
//! - [`health`]: the probes that decide.
//! - [`transaction`]: what is remembered across restarts.
//! - [`daemon`], [`protocol`]: the same on a socket, for others on the device.
//! - [`config`]: what the image says.
//!
//! Versions compare as [`bedstone_state::version`] says.

pub mod config;
pub mod daemon;
pub mod device;
mod error;
pub mod hardware;
pub mod health;
mod install;
pub mod plan;
pub mod protocol;
mod repair;
pub mod status;
pub mod transaction;
pub mod trial;

pub use error::{Error, Result};
pub use install::{Installation, Outcome, Progress, install};
pub use repair::{Repaired, repair};
