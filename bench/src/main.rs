//! What Sluice costs. One command, one table; `docs/benchmarks.md` holds the tables with the machine they came from.
//!
//! Ratios are taken between sides that alternate in short rounds of one run; absolute times are illustration only.

mod admission;
mod alone;
mod chaos;
mod decision;
mod etcd;
mod herd;
mod load;
mod memory;
mod objects;
mod offline;
mod order;
mod peers;
mod plane;
mod reviews;
mod scale;
mod sessions;
mod side;
mod spread;
mod stage;
mod startup;
mod stats;
mod table;
mod target;
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
    /// `sluice check` on many manifests against gator and kyverno.
    Offline(offline::Options),
    /// Many session clusters on one controller: memory, and how soon it acts.
    Sessions(sessions::Options),
    /// Seeded operations and faults on a real control plane, and whether every promise held, by etcd's history.
    Chaos(chaos::Options),
    /// Resident memory of the webhook with many objects known.
    Memory(memory::Options),
    /// What a request costs while more and more else exists: 100, 10,000 and 100,000 workloads and 1,000 quotas.
    Scale(scale::Options),
    /// The webhook alone over TLS, on one core, against one that does nothing.
    Alone(alone::Options),
    /// A thousand starts at once on one quota, and a hot quota with more replicas.
    Herd(herd::Options),
    /// From exec to ready.
    Startup(startup::Options),
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
        What::Scale(options) => runtime()?.block_on(scale::run(&options)),
        What::Alone(options) => runtime()?.block_on(alone::run(&options)),
        What::Herd(options) => runtime()?.block_on(herd::run(&options)),
        What::Startup(options) => runtime()?.block_on(startup::run(&options)),
    }
}

/// The load comes from one thread: the machine has few cores, and they belong to those who are measured.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}
