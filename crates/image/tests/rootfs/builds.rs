//! Same packages, same tree: with other jobs, another cache, after a change, after kills.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use bedstone_image::rootfs::cache::CacheDirs;
use bedstone_image::rootfs::{Configured, Package};
use bedstone_sys::namespace::user_command;

use crate::archive::{self, BOOKWORM};
use crate::building::{EPOCH, configure, finish, inside};
use crate::listing;

fn tree(configured: &Configured, cache: &CacheDirs) -> BTreeMap<String, String> {
    let rootfs = finish(configured, cache);
    listing::list(rootfs.view(cache).unwrap().path(), true)
}

/// Packages of the set without the large ones, for tests that build more than once.
fn few() -> Vec<Package> {
    let mut packages = BOOKWORM.packages();
    packages.retain(|package| {
        !["fail2ban", "nginx-light", "tpm2-tools"].contains(&package.name.as_str())
    });
    packages
}

#[test]
fn jobs_and_cache_have_no_influence() {
    inside(
        "builds::jobs_and_cache_have_no_influence",
        || drop(BOOKWORM.directory()),
        || {
            let directory = tempfile::tempdir().unwrap();
            let packages = BOOKWORM.packages();
            let caches = [1, 2]
                .map(|number| CacheDirs::open(directory.path().join(number.to_string())).unwrap());
            let first = tree(&configure(&packages, 1, &caches[0]), &caches[0]);
            let mut reversed = packages.clone();
            reversed.reverse();
            let second = tree(&configure(&reversed, 2, &caches[1]), &caches[1]);
            listing::assert_equal(&first, &second);
            let again = configure(&packages, 2, &caches[0]);
            assert!(again.steps().iter().all(|step| step.cached));
            listing::assert_equal(&first, &tree(&again, &caches[0]));
        },
    );
}

#[test]
fn a_changed_leaf_reruns_the_last_stage_only() {
    inside(
        "builds::a_changed_leaf_reruns_the_last_stage_only",
        || drop(BOOKWORM.directory()),
        || {
            let directory = tempfile::tempdir().unwrap();
            let cache = CacheDirs::open(directory.path().join("warm")).unwrap();
            let mut packages = few();
            configure(&packages, 2, &cache);
            let chrony = packages
                .iter_mut()
                .find(|package| package.name == "chrony")
                .unwrap();
            *chrony = repacked(&chrony.path, directory.path());
            let changed = configure(&packages, 2, &cache);
            let rerun: Vec<_> = changed.steps().iter().filter(|step| !step.cached).collect();
            assert_eq!(rerun.len(), 1, "{rerun:?}");
            assert!(rerun[0].packages.contains(&"chrony".to_owned()));
            let cold = CacheDirs::open(directory.path().join("cold")).unwrap();
            listing::assert_equal(
                &tree(&changed, &cache),
                &tree(&configure(&packages, 2, &cold), &cold),
            );
        },
    );
}

/// The package with another version and another file.
fn repacked(deb: &Path, scratch: &Path) -> Package {
    let tree = scratch.join("repacked");
    let run = |program: &mut Command| assert!(program.status().unwrap().success());
    run(Command::new("dpkg-deb").arg("-R").arg(deb).arg(&tree));
    let control = tree.join("DEBIAN/control");
    let text = fs::read_to_string(&control).unwrap();
    let text: String = text
        .lines()
        .map(|line| {
            if line.starts_with("Version: ") {
                format!("{line}.1\n")
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    fs::write(&control, text).unwrap();
    fs::write(tree.join("usr/share/doc/chrony/changed"), "changed").unwrap();
    let output = scratch.join("repacked.deb");
    run(Command::new("dpkg-deb")
        .args(["--root-owner-group", "-b"])
        .arg(&tree)
        .arg(&output)
        .env("SOURCE_DATE_EPOCH", EPOCH.to_string())
        .stdout(std::process::Stdio::null()));
    archive::package(&output)
}

const KILLED: &str = "BEDSTONE_TEST_KILLED";

#[test]
fn a_killed_build_is_continued() {
    // The process that is killed again and again.
    if let Some(cache) = env::var_os(KILLED) {
        configure(&few(), 2, &CacheDirs::open(cache).unwrap());
        return;
    }
    inside(
        "builds::a_killed_build_is_continued",
        || drop(BOOKWORM.directory()),
        || {
            let directory = tempfile::tempdir().unwrap();
            let place = directory.path().join("killed");
            for pause in [300, 900, 1700, 2900, 4300, 6100] {
                let mut child = user_command(env::current_exe().unwrap().to_str().unwrap())
                    .unwrap()
                    .args(["--exact", "builds::a_killed_build_is_continued"])
                    .env(KILLED, &place)
                    .stdout(std::process::Stdio::null())
                    .spawn()
                    .unwrap();
                thread::sleep(Duration::from_millis(pause));
                child.kill().unwrap();
                child.wait().unwrap();
            }
            let cache = CacheDirs::open(&place).unwrap();
            let killed = tree(&configure(&few(), 2, &cache), &cache);
            let cold = CacheDirs::open(directory.path().join("cold")).unwrap();
            listing::assert_equal(&killed, &tree(&configure(&few(), 2, &cold), &cold));
        },
    );
}
