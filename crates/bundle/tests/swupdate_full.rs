//! SWUpdate of three Debian releases and this crate on the whole matrix: what we write they install, what plain tools make
//! both read, what has to be refused we refuse, and where they do not, the table says so.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]
#![allow(clippy::panic, reason = "a test may fail anywhere")]

#[path = "../src/fixtures.rs"]
mod fixtures;
#[path = "swupdate/installation.rs"]
mod installation;
#[path = "swupdate/ours.rs"]
mod ours;
#[path = "swupdate/refusals.rs"]
mod refusals;
#[path = "swupdate/roots.rs"]
mod roots;
#[path = "swupdate/theirs.rs"]
mod theirs;

use ours::Form;

#[test]
fn bookworm_installs_every_form() {
    every_form("bookworm");
}

#[test]
fn trixie_installs_every_form() {
    every_form("trixie");
}

#[test]
fn forky_installs_every_form() {
    every_form("forky");
}

fn every_form(suite: &str) {
    for form in Form::all() {
        ours::installs(suite, &form, "rsa");
    }
    ours::installs(suite, &Form::all()[0], "ec");
    ours::installs(suite, &Form::all()[0], "plain");
    ours::installs_issued(suite);
    ours::installs_selected(suite);
}

#[test]
fn plain_tools_bundles_are_read_by_all() {
    for suite in roots::SUITES {
        theirs::read_by_all(suite);
        theirs::accepted_by_us(suite);
    }
}

#[test]
fn refusals_are_as_the_table_says() {
    refusals::table();
}
