//! The `sluice` command; `kubectl-sluice` is the same binary. Everything is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    sluice_cli::main()
}
