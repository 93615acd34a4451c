//! Our answer against apt's, at length: `cargo test -p bedstone-deb --test apt_full -- --nocapture` prints the table.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test prints its table and fails by panicking"
)]

#[path = "oracle/archive.rs"]
mod archive;
#[path = "oracle/compare.rs"]
mod compare;
#[path = "oracle/generate.rs"]
mod generate;

use std::time::{Duration, Instant};

use archive::Archive;
use compare::{Apt, difference, ours};
use generate::Random;

/// Package sets for each suite, architecture and setting of recommends.
const SETS: usize = 20;

#[test]
fn gives_apts_answer() {
    // For a longer look than the usual one: other sets, more of them, or only those of one suite and architecture.
    let number =
        |name: &str, usual: usize| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let (sets, seed) = (number("APT_SETS", SETS), number("APT_SEED", 1) as u64);
    let only = std::env::var("APT_ONLY").unwrap_or_default();
    let mut failures = Vec::new();
    println!("suite     arch   recommends  sets  same  refused by both  ours, slowest");
    for suite in ["bullseye", "bookworm", "trixie"] {
        for architecture in ["amd64", "arm64"] {
            if !format!("{suite}-{architecture}").contains(&only) {
                continue;
            }
            let archive = Archive::open(suite, architecture);
            let mut apt = Apt::new(&archive);
            for recommends in [false, true] {
                let mut random = Random::new(seed);
                let (mut same, mut refused) = (0, 0);
                let mut slowest = Duration::ZERO;
                for _ in 0..sets {
                    let request = generate::request(&archive, &mut random, recommends);
                    let start = Instant::now();
                    let ours = ours(&archive, &request);
                    slowest = slowest.max(start.elapsed());
                    let apt = apt.answer(&request);
                    refused += usize::from(apt.is_none() && ours.is_err());
                    match difference(&ours, &apt) {
                        None => same += 1,
                        Some(difference) => failures.push(format!(
                            "{suite} {architecture} recommends={recommends} {:?} {:?} exclude {:?}: {difference}",
                            request.base, request.install, request.exclude
                        )),
                    }
                }
                println!(
                    "{suite:9} {architecture:6} {recommends:10}  {sets:4}  {same:4}  {refused:15}  {slowest:?}"
                );
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} differences:\n{}",
        failures.len(),
        failures.join("\n")
    );
}
