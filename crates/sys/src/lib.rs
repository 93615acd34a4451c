//! System calls that need `unsafe` or a kernel ABI, behind safe functions. The only crate with `unsafe`.
//!
//! - [`namespace`], [`mount`], [`process`]: unprivileged root, sandboxes and overlays for the builder.
//! - [`pidfd`]: child processes that never outlive us, waited for with a deadline; [`terminal`]: raw mode, put back when dropped.
//! - [`dm`]: device-mapper devices.
//! - [`block`]: sizes and caches of block devices.
//! - [`uevent`]: the kernel's device events.
//! - [`activation`]: a socket that systemd opened.
//! - [`machine`]: kernel modules, restart, memory locking, real-time priority.

#![allow(
    unsafe_code,
    reason = "the one crate that may; each use says why it is sound"
)]

pub mod activation;
pub mod block;
pub mod dm;
mod error;
pub mod machine;
pub mod mount;
pub mod namespace;
pub mod pidfd;
pub mod process;
pub mod terminal;
pub mod uevent;

pub use error::{Error, Result};
