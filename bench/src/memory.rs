//! Resident memory of the webhook while the number of FlinkDeployments that it knows grows.

use crate::objects;
use crate::stage::{Side, Stage};
use crate::table::Table;
use crate::usage;
use anyhow::Context as _;
use clap::Args;
use hyper::body::Bytes;

/// How much is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// Objects known at each step.
    #[arg(long, default_values_t = [0, 1_000, 10_000])]
    objects: Vec<usize>,
}

/// Creates the objects through the webhook and reads its memory after each step.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let stage = Stage::set().await?;
    let measured = measure(options, &stage).await;
    stage.strike().await;
    measured
}

async fn measure(options: &Options, stage: &Stage) -> anyhow::Result<()> {
    let body = Bytes::from(objects::to_create(1536).to_string());
    let path = format!(
        "/apis/flink.apache.org/v1beta1/namespaces/{}/flinkdeployments",
        Side::Sluice.namespace()
    );
    println!(
        "FlinkDeployments of {} bytes, CRD: {}.\n",
        body.len(),
        stage.crd
    );
    let mut load = stage.api_server.connect(8).await?;
    let mut table = Table::new(["objects known", "resident, MiB", "of it anonymous", "peak"]);
    let mut known = 0;
    for objects in &options.objects {
        let more = objects.saturating_sub(known);
        if more > 0 {
            let burst = load.fire(&path, &body, more).await?;
            anyhow::ensure!(
                burst.refused.is_empty(),
                "{}",
                burst.refused.first().map_or("", String::as_str)
            );
            known += more;
        }
        let webhook = *stage
            .processes()?
            .get("webhook-0")
            .context("no webhook is running")?;
        let memory = usage::memory(webhook)?;
        table.row([
            known.to_string(),
            format!("{:.1}", memory.resident),
            format!("{:.1}", memory.anonymous),
            format!("{:.1}", memory.peak),
        ]);
    }
    table.print();
    Ok(())
}
