//! The only crate with `unsafe`.
//!
//! - [`pidfd`]: child processes that never outlive us, waited for with a deadline.
//! - [`terminal`]: a terminal in raw mode, put back when dropped.

pub mod pidfd;
pub mod terminal;
