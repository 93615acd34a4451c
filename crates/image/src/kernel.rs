//! The kernel's configuration: reading it, holding it against a hardening baseline, merging fragments into it.
//!
//! - [`Config`]: a parsed `.config`.
//! - [`Baseline`]: the recommended settings, as data, with reason and requirement each.
//! - [`check`]: the one against the other, with accepted deviations.
//! - [`merge_fragments`], [`unobtained`]: what `merge_config.sh` does, and what the kernel's own rules then dropped.
//! - [`Rules`]: those rules, to say why.

mod baseline;
mod check;
mod config;
mod fragment;
mod kconfig;

pub use baseline::{Baseline, Rule, Wanted};
pub use check::{Finding, Report, Verdict, check};
pub use config::{Config, ConfigError, Setting};
pub use fragment::{Fragment, Merged, Overridden, Unobtained, merge_fragments, unobtained};
pub use kconfig::{Definition, Rules};
