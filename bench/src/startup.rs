//! From exec to ready: how long a webhook takes until `/readyz` answers 200, on a cluster whose API server is warm.

use crate::plane::Plane;
use crate::stats::Spread;
use crate::table::Table;
use crate::usage;
use clap::Args;
use std::time::Duration;

/// How much is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// Starts.
    #[arg(long, default_value_t = 30)]
    starts: usize,
}

/// Starts webhooks one after the other and prints the table.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let plane = Plane::set(1).await?;
    let measured = measure(options, &plane).await;
    plane.strike().await;
    measured
}

async fn measure(options: &Options, plane: &Plane) -> anyhow::Result<()> {
    let (mut ready, mut cpu) = (Vec::new(), Vec::new());
    for start in 0..=options.starts {
        let webhook = plane.webhook(None).await?;
        if start > 0 {
            ready.push(webhook.ready_after.as_secs_f64() * 1e3);
            cpu.push(usage::cpu(webhook.process.pid())?.as_secs_f64() * 1e3);
        }
        webhook.process.stop(Duration::from_secs(5)).await;
    }
    let mut table = Table::new(["starts", "exec to ready, ms", "CPU until then, ms"]);
    table.row([
        options.starts.to_string(),
        Spread::of(ready).show(0),
        Spread::of(cpu).show(0),
    ]);
    table.print();
    Ok(())
}
