//! Fixtures.

// Failing loudly is what tests are for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc
)]

pub mod crash;
pub mod damage;
pub mod image;
pub mod machine;
pub mod package;
pub mod program;
pub mod repository;
