//! What makes the command at home on a machine: completion scripts, man pages, and the name by which it was called.

use crate::args::Cli;
use crate::exit::{Failure, Outcome};
use clap::{Args, CommandFactory, FromArgMatches};
use clap_complete::Shell;
use std::io::Write;
use std::path::{Path, PathBuf};

/// By which kubectl finds it: `kubectl sluice`.
const PLUGIN: &str = "kubectl-sluice";

/// Arguments of `sluice completion`.
#[derive(Debug, Args)]
#[command(after_help = "Example: sluice completion bash > /etc/bash_completion.d/sluice")]
pub struct CompletionArgs {
    /// Which shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Arguments of `sluice man`.
#[derive(Debug, Args)]
#[command(after_help = "Example: sluice man --to /usr/local/share/man/man1")]
pub struct ManArgs {
    /// Folder for the pages, one a command; made if it is missing.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

/// Prints the script.
///
/// # Errors
/// [`Failure::Closed`] if nobody reads it.
pub fn completion(args: &CompletionArgs) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sluice", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(Outcome::Fine)
}

/// Writes the pages.
///
/// # Errors
/// [`Failure::Input`] if the folder cannot be written.
pub fn man(args: &ManArgs) -> Result<Outcome, Failure> {
    std::fs::create_dir_all(&args.to)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &args.to))
        .map_err(|error| Failure::Input(format!("--to {}: {error}", args.to.display())))?;
    Ok(Outcome::Fine)
}

/// Reads the arguments; help speaks of `kubectl sluice` where that was typed.
pub(crate) fn parse() -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    let called = std::env::args_os().next().unwrap_or_default();
    if Path::new(&called)
        .file_name()
        .is_some_and(|name| name == PLUGIN)
    {
        command = command.bin_name("kubectl sluice");
    }
    let matches = command.try_get_matches()?;
    Cli::from_arg_matches(&matches)
}
