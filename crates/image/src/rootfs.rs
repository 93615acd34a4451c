//! From locked packages to a configured, sealed Debian tree.
pub mod change;
