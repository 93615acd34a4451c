use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Baseline, Config, Rule, Setting};
use crate::manifest::Architecture;

/// What a rule of the baseline says about a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The setting is as recommended.
    Pass,
    /// It is not, and nobody has accepted that.
    Fail,
    /// The option does not exist for this kernel, or what it concerns is switched off.
    NotApplicable,
    /// It is not as recommended, and that is accepted.
    Accepted {
        /// Why.
        reason: String,
    },
}

/// One rule held against a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// The option.
    pub option: String,
    /// What it is; `n` also when the file does not speak of it.
    pub actual: String,
    /// What it may be.
    pub wanted: Vec<String>,
    /// What follows.
    pub verdict: Verdict,
    /// The requirement that the rule serves.
    pub requirement: String,
    /// What the setting protects from.
    pub reason: String,
}

/// A configuration held against a baseline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// The baseline's name.
    pub baseline: String,
    /// One finding per rule, in the baseline's order.
    pub findings: Vec<Finding>,
    /// Accepted deviations that no rule needed, in order of name: the setting has become right, or the name is wrong.
    pub unused: Vec<String>,
}

impl Report {
    /// Whether every applicable rule passes or its deviation is accepted.
    pub fn passes(&self) -> bool {
        self.count(&Verdict::Fail) == 0
    }

    /// How many findings have this verdict; accepted ones count whatever their reason.
    pub fn count(&self, verdict: &Verdict) -> usize {
        let kind = std::mem::discriminant(verdict);
        self.findings
            .iter()
            .filter(|finding| std::mem::discriminant(&finding.verdict) == kind)
            .count()
    }

    /// The findings that nobody has accepted.
    pub fn failures(&self) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(|finding| finding.verdict == Verdict::Fail)
    }
}

/// Holds a configuration of a kernel of this version and architecture against a baseline.
///
/// `accepted` maps options to the reason why they may differ; a manifest cannot hold an empty reason.
pub fn check(
    config: &Config,
    version: (u32, u32),
    architecture: Architecture,
    baseline: &Baseline,
    accepted: &BTreeMap<String, String>,
) -> Report {
    let mut unused: BTreeSet<&str> = accepted.keys().map(String::as_str).collect();
    let findings = baseline
        .rule
        .iter()
        .map(|rule| {
            let actual = config.get(&rule.option).cloned().unwrap_or(Setting::No);
            let verdict = if !applies(rule, config, version, architecture) {
                Verdict::NotApplicable
            } else if passes(rule, config, &actual) {
                Verdict::Pass
            } else if let Some(reason) = accepted.get(&*rule.option) {
                unused.remove(&*rule.option);
                Verdict::Accepted {
                    reason: reason.clone(),
                }
            } else {
                Verdict::Fail
            };
            Finding {
                option: rule.option.to_string(),
                actual: actual.to_string(),
                wanted: rule.wanted.iter().map(ToString::to_string).collect(),
                verdict,
                requirement: rule.requirement.to_string(),
                reason: rule.reason.to_string(),
            }
        })
        .collect();
    Report {
        baseline: baseline.name.to_string(),
        findings,
        unused: unused.into_iter().map(str::to_owned).collect(),
    }
}

fn is_on(config: &Config, option: &str) -> bool {
    matches!(
        config.get(option),
        Some(Setting::Yes | Setting::Module | Setting::Text(_) | Setting::Number(_))
    )
}

fn applies(rule: &Rule, config: &Config, version: (u32, u32), architecture: Architecture) -> bool {
    rule.concerns(version, architecture)
        && rule
            .when
            .as_ref()
            .is_none_or(|option| is_on(config, option))
}

fn passes(rule: &Rule, config: &Config, actual: &Setting) -> bool {
    rule.wanted.iter().any(|wanted| wanted.accepts(actual))
        || rule
            .or
            .iter()
            .any(|option| config.get(option) == Some(&Setting::Yes))
}

#[cfg(test)]
mod tests;
