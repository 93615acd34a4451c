use std::fmt::Write as _;

use super::config::Line;
use super::{Config, Setting};

/// A configuration fragment with the name that reports show.
#[derive(Debug, Clone, Copy)]
pub struct Fragment<'a> {
    /// Where it came from.
    pub name: &'a str,
    /// What it asks for.
    pub config: &'a Config,
}

/// A base configuration with fragments laid over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The result as a file, input of `make olddefconfig`: every option once, what a later fragment sets further down.
    /// Of several members of a choice the kernel's reader takes the last.
    pub text: String,
    /// Options that one fragment set and a later one set differently, in order.
    pub overridden: Vec<Overridden>,
}

/// An option about which two fragments disagree; the later one has won.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overridden {
    /// The option.
    pub option: String,
    /// The earlier fragment and its value.
    pub earlier: (String, Setting),
    /// The later fragment and its value.
    pub later: (String, Setting),
}

/// An option that a fragment asked for and the finished configuration does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unobtained {
    /// The option.
    pub option: String,
    /// The fragment that asked, last of those that did.
    pub fragment: String,
    /// The line there, from 1.
    pub line: usize,
    /// What it asked for.
    pub wanted: Setting,
    /// What the kernel's rules made of it; `n` also when the option does not exist.
    pub got: Setting,
}

/// Lays fragments over `base` left to right, later wins, as the kernel's `scripts/kconfig/merge_config.sh` does.
pub fn merge_fragments(base: &Config, fragments: &[Fragment<'_>]) -> Merged {
    let mut text = String::new();
    let mut overridden = Vec::new();
    let repeated = |option: &str, from: usize| {
        fragments[from..]
            .iter()
            .any(|later| later.config.get(option).is_some())
    };
    for (option, setting) in base.iter().filter(|(option, _)| !repeated(option, 0)) {
        let _ = writeln!(text, "{}", Line(option, setting));
    }
    for (index, fragment) in fragments.iter().enumerate() {
        for (option, setting) in fragment.config.iter() {
            let earlier = fragments[..index].iter().rev().find_map(|earlier| {
                let value = earlier.config.get(option)?;
                Some((earlier.name.to_owned(), value.clone()))
            });
            if let Some(earlier) = earlier.filter(|(_, value)| value != setting) {
                overridden.push(Overridden {
                    option: option.to_owned(),
                    earlier,
                    later: (fragment.name.to_owned(), setting.clone()),
                });
            }
            if !repeated(option, index + 1) {
                let _ = writeln!(text, "{}", Line(option, setting));
            }
        }
    }
    Merged { text, overridden }
}

/// What the fragments asked for and `finished`, the configuration after `make olddefconfig`, does not have.
///
/// Asking for `n` is fulfilled when the option is absent; numbers are compared as numbers.
pub fn unobtained(finished: &Config, fragments: &[Fragment<'_>]) -> Vec<Unobtained> {
    let mut missing: Vec<Unobtained> = Vec::new();
    for (index, fragment) in fragments.iter().enumerate() {
        for (option, wanted) in fragment.config.iter() {
            let repeated = fragments[index + 1..]
                .iter()
                .any(|later| later.config.get(option).is_some());
            if repeated {
                continue;
            }
            let got = finished.get(option).cloned().unwrap_or(Setting::No);
            let same = *wanted == got
                || wanted
                    .number()
                    .is_some_and(|number| got.number() == Some(number));
            if !same {
                missing.push(Unobtained {
                    option: option.to_owned(),
                    fragment: fragment.name.to_owned(),
                    line: fragment.config.line(option).unwrap_or_default(),
                    wanted: wanted.clone(),
                    got,
                });
            }
        }
    }
    missing.sort_by(|a, b| a.option.cmp(&b.option));
    missing
}

#[cfg(test)]
mod tests;
