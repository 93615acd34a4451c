//! System calls that need `unsafe` or a kernel ABI, behind safe functions.
//!
//! - [`dm`]: device-mapper devices.
//! - [`block`]: sizes and caches of block devices.
//! - [`uevent`]: the kernel's device events.
//! - [`machine`]: kernel modules, restart, memory locking, real-time priority.

#![allow(
    unsafe_code,
    reason = "the one crate that may; each use says why it is sound"
)]

pub mod block;
pub mod dm;
pub mod machine;
pub mod uevent;
