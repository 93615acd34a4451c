//! A kernel compiled from Debian's source: the same bytes wherever it is built, with signed modules, bootable with Secure
//! Boot enforced; refused early when its configuration is not what was asked for; interrupted without a trace.
//!
//! Kernels stay in `test-images/kernel-source` below Cargo's target directory, each with a cache of its own: the first run
//! compiles the example's kernel twice, later ones only what has changed.

// Failing loudly is what tests are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "kernel_source/interruption.rs"]
mod interruption;
#[path = "kernel_source/refusals.rs"]
mod refusals;
#[path = "kernel_source/result.rs"]
mod result;
#[path = "kernel_source/site.rs"]
mod site;
