//! `bedstone-agent`, the program on the device.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the edge, where results are shown"
)]

mod program;

use std::process::ExitCode;

fn main() -> ExitCode {
    program::run(std::env::args_os().skip(1))
}
