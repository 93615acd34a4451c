//! Many package sets, answered by both, in a table.

use std::time::{Duration, Instant};

use super::archive::Archive;
use super::compare::{Apt, difference, ours};
use super::generate::{self, Random};

/// Compares `sets` package sets in both settings of recommends, prints a line for each, and returns the differences.
pub(crate) fn compare(
    suite: &'static str,
    architectures: &'static [&'static str],
    sets: usize,
    seed: u64,
) -> Vec<String> {
    let archive = Archive::open(suite, architectures);
    let architecture = architectures.join("+");
    let mut apt = Apt::new(&archive);
    let mut differences = Vec::new();
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
                Some(difference) => differences.push(format!(
                    "{suite} {architecture} recommends={recommends} {:?} {:?} exclude {:?} pins {:?}: {difference}",
                    request.base,
                    request.install,
                    request.exclude,
                    request.preferences.to_string()
                )),
            }
        }
        println!(
            "{suite:9} {architecture:12} {recommends:10}  {sets:4}  {same:4}  {refused:15}  {slowest:?}"
        );
    }
    differences
}

/// The line above the table.
pub(crate) const HEADING: &str =
    "suite     arch         recommends  sets  same  refused by both  ours, slowest";
