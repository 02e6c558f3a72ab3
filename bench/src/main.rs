//! What Sluice costs. One command, one table; `docs/benchmarks.md` holds the tables with the machine they came from.
//!
//! Ratios are taken between sides that alternate in short rounds of one run; absolute times are illustration only.

mod decision;
mod objects;
mod stats;
mod table;

use clap::{Parser, Subcommand};

/// What Sluice costs, measured.
#[derive(Debug, Parser)]
#[command(name = "sluice-bench")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// One decision on a 10 KiB object, in process.
    Decision(decision::Options),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().what {
        What::Decision(options) => decision::run(&options),
    }
}
