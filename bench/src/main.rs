//! What Sluice costs. One command, one table; `docs/benchmarks.md` holds the tables with the machine they came from.
//!
//! Ratios are taken between sides that alternate in short rounds of one run; absolute times are illustration only.

mod admission;
mod chaos;
mod decision;
mod load;
mod memory;
mod objects;
mod offline;
mod peers;
mod sessions;
mod side;
mod stage;
mod stats;
mod table;
mod usage;

use clap::{Parser, Subcommand};

/// The one that the `sluice` binary has, or the decision's figures would not be its.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    /// Creates through the API server: Sluice's two webhooks against a pair that does nothing.
    Admission(admission::Options),
    /// Creates that are charged to a quota: Sluice's against the in-tree one.
    Quota(admission::Options),
    /// Creates through what people would use instead: CEL policies and Gatekeeper, with the same rules.
    Peers(peers::Options),
    /// `sluice check` on many manifests against gator.
    Offline(offline::Options),
    /// Many session clusters on one controller: memory, and how soon it acts.
    Sessions(sessions::Options),
    /// Seeded operations and faults on a real control plane, and whether every promise held, by etcd's history.
    Chaos(chaos::Options),
    /// Resident memory of the webhook with many objects known.
    Memory(memory::Options),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().what {
        What::Decision(options) => decision::run(&options),
        What::Admission(options) => runtime()?.block_on(admission::admission(&options)),
        What::Quota(options) => runtime()?.block_on(admission::quota(&options)),
        What::Peers(options) => runtime()?.block_on(peers::run(&options)),
        What::Offline(options) => runtime()?.block_on(offline::run(&options)),
        What::Sessions(options) => runtime()?.block_on(sessions::run(&options)),
        What::Chaos(options) => runtime()?.block_on(chaos::run(&options)),
        What::Memory(options) => runtime()?.block_on(memory::run(&options)),
    }
}

/// The load comes from one thread: the machine has few cores, and they belong to those who are measured.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}
