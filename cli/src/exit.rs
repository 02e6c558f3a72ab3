//! Exit codes and what leads to them. The only place where a result becomes a number.

use std::io::Write;
use std::process::ExitCode;

/// What a subcommand found, if it could do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is admitted, unchanged, done: 0.
    Fine,
    /// At least one object is refused, or something would change: 1.
    Negative,
}

/// Why a subcommand could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Bad usage or unreadable input: 2. The message names the file or the argument and what to do.
    #[error("{0}")]
    Input(String),
    /// The cluster cannot be reached, or does not come up: 3.
    #[error("{0:#}")]
    Unreachable(anyhow::Error),
    /// Something that should not happen: 5.
    #[error("{0:#}")]
    Internal(#[from] anyhow::Error),
    /// Whoever read our output has stopped reading (`sluice rules | head`): silently 0. Where there is a verdict, that counts
    /// instead ([`told`]).
    #[error("the output was closed")]
    Closed,
}

impl From<std::io::Error> for Failure {
    /// For writing to stdout; errors of reading files are made into [`Failure::Input`] where the file is known.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Failure::Closed
        } else {
            Failure::Internal(anyhow::Error::new(error).context("writing the output"))
        }
    }
}

/// What a subcommand found, once it has tried to print it: a reader who stops early (`sluice check -f . | head -1`) has heard
/// enough, but makes no refusal an admission.
///
/// # Errors
/// What kept it from printing, but for that reader.
pub fn told(found: Outcome, printed: Result<(), Failure>) -> Result<Outcome, Failure> {
    match printed {
        Ok(()) | Err(Failure::Closed) => Ok(found),
        Err(failure) => Err(failure),
    }
}

/// The exit code of a finished subcommand; a failure is told on stderr.
pub fn code(result: &Result<Outcome, Failure>) -> ExitCode {
    let number = match result {
        Ok(Outcome::Fine) | Err(Failure::Closed) => 0,
        Ok(Outcome::Negative) => 1,
        Err(Failure::Input(_)) => 2,
        Err(Failure::Unreachable(_)) => 3,
        Err(Failure::Internal(_)) => 5,
    };
    if let (Err(failure), true) = (result, number != 0) {
        // Nothing is left to do if even stderr is closed.
        let _ = writeln!(std::io::stderr().lock(), "sluice: {failure}");
    }
    ExitCode::from(number)
}

/// The exit code of arguments that clap did not run: 0 for `--help` and `--version`, else 2.
pub fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}
