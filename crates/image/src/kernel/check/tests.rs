use std::collections::BTreeMap;

use super::*;
use crate::document::text::{Name, SuiteName};
use crate::profile::{Catalog, Profiles};

/// Excerpts of the configurations that Debian ships; each file says which package it is from.
const DEBIAN: &[(&str, &str, &str)] = &[
    (
        "bookworm",
        "generic",
        include_str!("debian-bookworm-generic.config"),
    ),
    (
        "bookworm",
        "cloud",
        include_str!("debian-bookworm-cloud.config"),
    ),
    ("bookworm", "rt", include_str!("debian-bookworm-rt.config")),
    (
        "trixie",
        "generic",
        include_str!("debian-trixie-generic.config"),
    ),
    (
        "trixie",
        "cloud",
        include_str!("debian-trixie-cloud.config"),
    ),
    ("trixie", "rt", include_str!("debian-trixie-rt.config")),
];

fn baseline() -> Baseline {
    let text = Catalog::embedded().text("kernel/kspp.toml").unwrap();
    Baseline::parse("kspp.toml", &text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn accepted(profile: &str, suite: &str) -> BTreeMap<String, String> {
    Profiles::load(
        &Catalog::embedded(),
        &[Name::try_from(profile).unwrap()],
        &SuiteName::try_from(suite).unwrap(),
        Architecture::Amd64,
    )
    .unwrap()
    .iter()
    .flat_map(|profile| &profile.deviation)
    .flat_map(|entry| {
        entry
            .options
            .iter()
            .map(|o| (o.to_string(), entry.reason.to_string()))
    })
    .collect()
}

#[test]
fn debians_kernels_pass_with_the_deviations_that_the_profiles_accept() {
    for (suite, flavour, text) in DEBIAN {
        let config = Config::parse(text).unwrap();
        let version = config.version().unwrap();
        assert_eq!(
            version,
            if *suite == "bookworm" {
                (6, 1)
            } else {
                (6, 12)
            }
        );
        for profile in ["minimal", "security"] {
            let mut accepted = accepted(profile, suite);
            if *flavour == "cloud" {
                // AMD's IOMMU driver is not built for virtual machines; a product on that kernel accepts it itself.
                accepted.insert(
                    "CONFIG_AMD_IOMMU".to_owned(),
                    "virtual machines only".to_owned(),
                );
            }
            let report = check(
                &config,
                version,
                Architecture::Amd64,
                &baseline(),
                &accepted,
            );
            let failures: Vec<_> = report.failures().collect();
            assert!(
                failures.is_empty(),
                "{suite} {flavour} {profile}: {failures:#?}"
            );
            let unused: Vec<_> = report
                .unused
                .iter()
                .filter(|option| *flavour != "cloud" || *option != "CONFIG_X86_X32_ABI")
                .collect();
            assert!(unused.is_empty(), "{suite} {flavour} {profile}: {unused:?}");
        }
    }
}

#[test]
fn without_acceptance_every_deviation_fails_and_says_why_it_matters() {
    let config = Config::parse(DEBIAN[0].2).unwrap();
    let report = check(
        &config,
        (6, 1),
        Architecture::Amd64,
        &baseline(),
        &BTreeMap::new(),
    );
    assert!(!report.passes());
    let failure = report
        .failures()
        .find(|finding| finding.option == "CONFIG_PANIC_TIMEOUT")
        .unwrap();
    assert_eq!(failure.actual, "0");
    assert_eq!(failure.wanted, [">=1", "-1"]);
    assert_eq!(failure.requirement, "CR 7.4");
    assert_eq!(report.count(&Verdict::Fail), 30);
}

#[test]
fn an_acceptance_that_nothing_needs_is_reported() {
    let config = Config::parse("CONFIG_SLAB_MERGE_DEFAULT=y\n").unwrap();
    let rule = "name = \"t\"\ndescription = \"t\"\n[[rule]]\noption = \"CONFIG_SLAB_MERGE_DEFAULT\"\nwanted = [\"n\"]\nrequirement = \"KSPP\"\nreason = \"because it is so\"\n";
    let baseline = Baseline::parse("t", rule).unwrap();
    let accepted = [("CONFIG_SLAB_MERGE_DEFAULT", "r"), ("CONFIG_NOTHING", "r")]
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .into();
    let report = check(&config, (6, 1), Architecture::Amd64, &baseline, &accepted);
    assert!(report.passes());
    assert_eq!(
        report.count(&Verdict::Accepted {
            reason: String::new()
        }),
        1
    );
    assert_eq!(report.unused, ["CONFIG_NOTHING"]);
}

#[test]
fn versions_architectures_conditions_and_alternatives_decide_whether_a_rule_holds() {
    let rules = "name = \"t\"\ndescription = \"t\"\n[[rule]]\noption = \"CONFIG_A\"\nwanted = [\"y\"]\nor = [\"CONFIG_B\"]\n\
        when = \"CONFIG_MODULES\"\narchitectures = [\"amd64\"]\nfrom = \"5.4\"\nbefore = \"6.6\"\nrequirement = \"KSPP\"\nreason = \"because it is so\"\n";
    let baseline = Baseline::parse("t", rules).unwrap();
    let verdict = |text: &str, version, architecture| {
        check(
            &Config::parse(text).unwrap(),
            version,
            architecture,
            &baseline,
            &BTreeMap::new(),
        )
        .findings[0]
            .verdict
            .clone()
    };
    let on = "CONFIG_MODULES=y\n";
    assert_eq!(verdict(on, (6, 1), Architecture::Amd64), Verdict::Fail);
    assert_eq!(
        verdict(on, (6, 6), Architecture::Amd64),
        Verdict::NotApplicable
    );
    assert_eq!(
        verdict(on, (5, 3), Architecture::Amd64),
        Verdict::NotApplicable
    );
    assert_eq!(
        verdict(on, (6, 1), Architecture::Arm64),
        Verdict::NotApplicable
    );
    assert_eq!(
        verdict("", (6, 1), Architecture::Amd64),
        Verdict::NotApplicable
    );
    assert_eq!(
        verdict(
            "CONFIG_MODULES=y\nCONFIG_B=y\n",
            (6, 1),
            Architecture::Amd64
        ),
        Verdict::Pass
    );
    assert_eq!(
        verdict(
            "CONFIG_MODULES=y\nCONFIG_A=y\n",
            (6, 1),
            Architecture::Amd64
        ),
        Verdict::Pass
    );
}

#[test]
fn a_baseline_with_a_wrong_value_or_key_is_refused_with_its_line() {
    let problems = Baseline::parse(
        "b.toml",
        "name = \"t\"\ndescription = \"t\"\n[[rule]]\noption = \"STRICT\"\nwants = [\"y\"]\nrequirement = \"KSPP\"\nreason = \"because it is so\"\n",
    )
    .unwrap_err();
    let text = problems.to_string();
    assert!(
        text.contains("b.toml:4:10: `rule.option`: `STRICT` is not a kernel option"),
        "{text}"
    );
    assert!(
        text.contains("b.toml:5:1: unknown key `wants` in `rule`"),
        "{text}"
    );
    let problems = Baseline::parse(
        "b.toml",
        "name = \"t\"\ndescription = \"t\"\n[[rule]]\noption = \"CONFIG_A\"\nwanted = [\"yes\"]\nrequirement = \"KSPP\"\nreason = \"because it is so\"\n",
    )
    .unwrap_err();
    assert!(
        problems.to_string().contains("`yes` is not a wanted value"),
        "{problems}"
    );
}
