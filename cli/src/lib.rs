//! The `sluice` command line.
//!
//! Arguments are read in two steps: clap's raw structures ([`args`]), then what each subcommand makes of them. A
//! subcommand is one module with `Args` (clap) and `run(args) -> Result<Outcome, Failure>`, one variant of
//! [`args::Command`] and one line in [`run`]. Exit codes are decided in one place, [`exit`].
//!
//! Decisions are not made here: `check` and `render` call `sluice-policy`, the very pipeline of the webhook.

pub mod args;
pub mod check;
pub mod controller;
pub mod convert;
pub mod doctor;
pub mod emergency;
pub mod exit;
pub mod export;
pub mod fetch;
pub mod image;
pub mod input;
pub mod live;
pub mod manifests;
pub mod offline;
pub mod operator;
pub mod quota;
pub mod render;
pub mod replay;
mod report;
pub mod rules;
pub mod shell;
mod table;
pub mod testing;
pub mod up;
pub mod webhook;
pub mod yaml;

use args::Command;
use exit::{Failure, Outcome};
use std::process::ExitCode;

/// Reads the arguments, runs the subcommand and maps what comes of it to an exit code.
///
/// A panic anywhere is an internal error with exit code 5, never clap's or Rust's own code.
pub fn main() -> ExitCode {
    let cli = match shell::parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error),
    };
    match std::panic::catch_unwind(|| run(cli.command)) {
        Ok(result) => exit::code(&result),
        Err(_) => exit::code(&Err(Failure::Internal(anyhow::anyhow!(
            "sluice stopped at a mistake of its own (see above); please report it with the input that led to it"
        )))),
    }
}

/// Runs one subcommand.
fn run(command: Command) -> Result<Outcome, Failure> {
    match command {
        Command::Check(args) => check::run(&args),
        Command::Controller(args) => controller::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Emergency(args) => emergency::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Fetch(args) => fetch::run(&args),
        Command::Image(args) => image::run(&args),
        Command::Manifests(args) => manifests::run(&args),
        Command::Quota(args) => quota::run(&args),
        Command::Completion(args) => shell::completion(&args),
        Command::Man(args) => shell::man(&args),
        Command::Render(args) => render::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Test(args) => testing::run(&args),
        Command::Rules(args) => rules::list(&args),
        Command::Explain(args) => rules::explain(&args),
        Command::Up(args) => up::run(&args),
        Command::Webhook(args) => webhook::run(&args),
    }
}

/// Tells something on stderr that is no failure.
pub(crate) fn note(message: std::fmt::Arguments<'_>) {
    use std::io::Write;
    // Nothing is left to do if stderr is closed.
    let _ = writeln!(std::io::stderr().lock(), "sluice: note: {message}");
}
