//! Our answer against apt's, at length: three releases, two architectures and two at once, with
//! recommends and without.
//!
//! `cargo test -p bedstone-deb --test apt_full -- --nocapture` prints the table.

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
#[path = "oracle/table.rs"]
mod table;

/// Package sets for each suite, architecture and setting of recommends.
const SETS: usize = 10;

#[test]
fn gives_apts_answer() {
    // For a longer look than the usual one: other sets, more of them, or only those of one suite and architecture.
    let number =
        |name: &str, usual: usize| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let (sets, seed) = (number("APT_SETS", SETS), number("APT_SEED", 1) as u64);
    let only = std::env::var("APT_ONLY").unwrap_or_default();
    let mut differences = Vec::new();
    println!("{}", table::HEADING);
    for suite in ["bullseye", "bookworm", "trixie"] {
        for architectures in [&["amd64"][..], &["arm64"], &["amd64", "arm64"]] {
            if format!("{suite}-{}", architectures.join("-")).contains(&only) {
                differences.extend(table::compare(suite, architectures, sets, seed));
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}
