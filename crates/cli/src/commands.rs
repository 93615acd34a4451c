//! One module per command.

mod archive;
mod generate;

use crate::args::Command;
use crate::context::Context;
use crate::failure::Result;

/// Runs a command.
pub(crate) fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::Archive(command) => archive::run(&command, context),
        Command::Completions { shell } => generate::completions(shell),
        Command::Generate { output } => generate::all(&output),
        _ => unimplemented!(),
    }
}
