//! Our answer against apt's for a dozen package sets; `apt_full` has many more.

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

#[test]
fn gives_apts_answer() {
    println!("{}", table::HEADING);
    let differences = table::compare("trixie", &["amd64"], 6, 1);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
