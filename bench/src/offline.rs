//! `sluice check` on a folder of manifests against `gator test` and `kyverno apply` with the same rules: how long, how
//! much memory ([`timing`]), and what each can decide at all ([`questions`]). How each is called is in [`tools`], how
//! its verdicts are read in [`outcome`].

mod outcome;
mod questions;
mod timing;
mod tools;

use crate::stage::build_sluice;
use clap::Args;
use sluice_cluster::{Assets, AssetsCache, Binary};
use tools::{Tool, Toolbox};

/// How much is measured, in how many turns.
#[derive(Debug, Args)]
pub struct Options {
    /// Manifests in the folder; every tenth breaks a rule.
    #[arg(long, default_value_t = 1_000)]
    manifests: usize,
    /// Rounds; the tools take turns in each, and three of them come in every order within six.
    #[arg(long, default_value_t = 6)]
    rounds: usize,
}

/// Both tables.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let tools = [Tool::Sluice, Tool::Gator, Tool::Kyverno];
    let built: Vec<Binary> = tools.iter().filter_map(|tool| tool.binary()).collect();
    let assets = Assets::obtain(&AssetsCache::Default, &built).await?;
    let toolbox = Toolbox::new(build_sluice()?, assets)?;
    timing::run(&toolbox, &tools, options.manifests, options.rounds).await?;
    println!();
    questions::run(&toolbox, &tools).await
}
