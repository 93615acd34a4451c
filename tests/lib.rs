//! Fixtures.

pub mod package;
pub mod program;
pub mod repository;
