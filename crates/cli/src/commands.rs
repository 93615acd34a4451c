//! One module per command.

mod archive;
mod archive_access;
mod build;
mod bundle;
mod explain;
mod generate;
mod kernel;
mod lock;
mod product;
mod run;

use crate::args::Command;
use crate::context::{Context, print};
use crate::failure::{Failure, Kind, Result};

/// Runs a command.
pub(crate) fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::Archive(command) => archive::run(&command, context),
        Command::Completions { shell } => generate::completions(shell),
        Command::Generate { output } => generate::all(&output),
        Command::Lock(arguments) => lock::run(&arguments, context),
        Command::Build(arguments) => build::run(&arguments, context),
        Command::Bundle(command) => bundle::run(&command, context),
        Command::Run(arguments) => run::run(&arguments, context),
        Command::Kernel(command) => kernel::run(&command, context),
        Command::Schema => {
            let mut schema = serde_json::to_string_pretty(bedstone_image::manifest::schema())
                .map_err(|error| Failure::caused_by(Kind::Failed, error))?;
            schema.push('\n');
            print(&schema)
        }
        Command::Show(layers) => print(&product::load(&layers)?.effective()),
        Command::Why(arguments) => explain::why_command(&arguments, context),
        Command::Tree(arguments) => explain::tree_command(&arguments, context),
    }
}
