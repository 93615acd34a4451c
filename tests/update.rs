//! Updates on a running device: real firmware with Secure Boot, real EFI Boot Guard, the agent of the image.

// Failing loudly is what tests are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "update/damaged.rs"]
mod damaged;
#[path = "update/interrupted.rs"]
mod interrupted;
#[path = "update/minimum.rs"]
mod minimum;
#[path = "update/reset.rs"]
mod reset;
#[path = "update/steps.rs"]
mod steps;
#[path = "update/trial.rs"]
mod trial;
