use super::*;
use crate::document::text::{Name, SuiteName};
use crate::manifest::Architecture;

fn load(names: &[&str], suite: &str) -> Profiles {
    let names: Vec<Name> = names.iter().map(|n| Name::try_from(*n).unwrap()).collect();
    Profiles::load(
        &Catalog::embedded(),
        &names,
        &SuiteName::try_from(suite).unwrap(),
        Architecture::Amd64,
    )
    .unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn every_profile_of_the_catalogue_reads() {
    let catalog = Catalog::embedded();
    let names = catalog.names("profiles");
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        for suite in ["bookworm", "trixie"] {
            assert!(load(&[&name], suite).iter().any(|p| *p.name == *name));
        }
    }
}

/// The thread from an image to its requirements begins here: what hardens must say what for.
#[test]
fn every_entry_of_a_security_profile_names_a_requirement_of_the_catalogue() {
    let known: Vec<&str> = include_str!("requirements.txt").lines().collect();
    for profile in load(&["security", "security-mfa"], "trixie").iter() {
        if !profile.name.starts_with("security") {
            continue;
        }
        let all = profile
            .package
            .iter()
            .map(|e| (&e.requirement, &e.reason))
            .chain(profile.file.iter().map(|e| (&e.requirement, &e.reason)))
            .chain(profile.sysctl.iter().map(|e| (&e.requirement, &e.reason)))
            .chain(profile.service.iter().map(|e| (&e.requirement, &e.reason)))
            .chain(profile.module.iter().map(|e| (&e.requirement, &e.reason)))
            .chain(
                profile
                    .blacklist
                    .iter()
                    .map(|e| (&e.requirement, &e.reason)),
            )
            .chain(
                profile
                    .kernel_parameter
                    .iter()
                    .map(|e| (&e.requirement, &e.reason)),
            );
        for (requirements, reason) in all {
            assert!(!requirements.is_empty(), "{}: {reason}", profile.name);
            for requirement in requirements {
                assert!(known.contains(&&**requirement), "{requirement}");
            }
        }
    }
}

#[test]
fn base_profiles_come_first_and_entries_of_other_suites_are_left_out() {
    let names = |suite| -> Vec<String> {
        load(&["security"], suite)
            .iter()
            .map(|p| p.name.to_string())
            .collect()
    };
    let order = names("bookworm");
    assert_eq!(order.first().map(String::as_str), Some("base"));
    assert_eq!(order.last().map(String::as_str), Some("security"));
    let keys = |suite| -> Vec<String> {
        load(&["security"], suite)
            .iter()
            .flat_map(|p| &p.sysctl)
            .flat_map(|s| s.set.keys().map(ToString::to_string))
            .collect()
    };
    let late = "kernel.io_uring_disabled".to_owned();
    assert!(!keys("bookworm").contains(&late));
    assert!(keys("trixie").contains(&late));
}

#[test]
fn a_directory_takes_precedence_and_circles_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let profiles = directory.path().join("profiles");
    std::fs::create_dir(&profiles).unwrap();
    std::fs::write(
        profiles.join("base.toml"),
        "name = \"base\"\ndescription = \"x\"\nextends = [\"minimal\"]\n",
    )
    .unwrap();
    let catalog = Catalog::with_directory(directory.path());
    let problems = Profiles::load(
        &catalog,
        &[Name::fixed("minimal")],
        &SuiteName::fixed("bookworm"),
        Architecture::Amd64,
    )
    .unwrap_err();
    assert_eq!(
        problems.to_string(),
        "@profiles/base.toml:3:12: profile `minimal` extends itself, by way of others"
    );
}

#[test]
fn an_unknown_profile_is_named_with_those_that_exist() {
    let problems = Profiles::load(
        &Catalog::embedded(),
        &[Name::fixed("secure")],
        &SuiteName::fixed("bookworm"),
        Architecture::Amd64,
    )
    .unwrap_err();
    let text = problems.to_string();
    assert!(text.contains("has no `profiles/secure.toml`"), "{text}");
    assert!(text.contains("`profiles/security`"), "{text}");
}
