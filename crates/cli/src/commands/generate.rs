use std::fmt::Write as _;
use std::path::Path;

use bedstone_store::atomic;
use clap::{Command, CommandFactory, ValueEnum};
use clap_complete::Shell;

use crate::args::Cli;
use crate::context::print;
use crate::failure::{Failure, Kind, Result};

/// Prints the completions of one shell.
pub(crate) fn completions(shell: Shell) -> Result<()> {
    print(&String::from_utf8_lossy(&completion(shell)))
}

/// Writes the man pages, the completions of every shell and the command reference below `output`.
pub(crate) fn all(output: &Path) -> Result<()> {
    for shell in Shell::value_variants() {
        let path = output.join("completions").join(format!("bedstone.{shell}"));
        atomic::write(path, &completion(*shell))?;
    }
    let mut root = Cli::command();
    root.build();
    let mut reference =
        String::from("# Commands\n\nWritten by `make docs` from the command's own help.\n");
    document(&root, &output.join("man"), &mut reference)?;
    atomic::write(output.join("commands.md"), reference.as_bytes())?;
    Ok(())
}

fn completion(shell: Shell) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bedstone", &mut text);
    text
}

fn document(command: &Command, directory: &Path, reference: &mut String) -> Result<()> {
    if command.is_hide_set() || command.get_name() == "help" {
        return Ok(());
    }
    let name = command.get_display_name().unwrap_or("bedstone").to_owned();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .date("")
        .render(&mut page)
        .map_err(|error| Failure::caused_by(Kind::Failed, error))?;
    atomic::write(directory.join(format!("{name}.1")), &page)?;
    let help = command.clone().term_width(100).render_long_help();
    let _ = writeln!(reference, "\n## {}\n\n```text", name.replace('-', " "));
    for line in help.to_string().lines() {
        let _ = writeln!(reference, "{}", line.trim_end());
    }
    reference.push_str("```\n");
    command
        .get_subcommands()
        .try_for_each(|child| document(child, directory, reference))
}
