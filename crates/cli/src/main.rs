//! The `bedstone` command: parse, call one crate, show.

#![expect(
    clippy::print_stderr,
    reason = "the edge is where errors reach the user"
)]

mod args;
mod commands;
mod context;
mod failure;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser;

use crate::args::{Cli, Global};
use crate::context::Context;
use crate::failure::{Failure, Kind};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Only a process without threads can enter a namespace, so this comes before everything else.
    if matches!(cli.command, args::Command::Build(_))
        && let Err(error) = bedstone_sys::namespace::enter_user()
    {
        let failure = Failure::caused_by(Kind::Failed, error).context("cannot build as this user");
        return show(&failure, &cli.global);
    }
    let interrupt = match watch_for_interruption() {
        Ok(flag) => flag,
        Err(error) => {
            eprintln!("error: cannot watch for signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    let context = Context::new(&cli.global, interrupt);
    match commands::run(cli.command, &context) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => show(&failure, &cli.global),
    }
}

/// Says on standard error what failed.
fn show(failure: &Failure, options: &Global) -> ExitCode {
    if options.json {
        eprintln!("{}", failure.to_json());
    } else {
        let terminal = std::io::stderr().is_terminal();
        eprintln!("{}", failure.render(options.color.is_wanted(terminal)));
    }
    failure.exit_code()
}

/// The flag that Ctrl-C and SIGTERM set. The second signal ends the process at once: what it was writing is temporary by
/// construction, so nothing is lost but work.
fn watch_for_interruption() -> std::io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGHUP,
    ] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag))?;
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(flag)
}
