//! Wall time and memory for a folder of manifests.

use super::outcome::Outcome;
use super::tools::{Case, NAMESPACE, Tool, Toolbox};
use crate::objects;
use crate::order::order;
use crate::stats::{Better, LEGEND, Ratio, Spread};
use crate::table::Table;
use anyhow::ensure;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What runs already, for the sum: Sluice has one to form besides.
const RUNNING: usize = 100;

/// Judges the same folder with each tool in turn.
pub async fn run(
    toolbox: &Toolbox,
    tools: &[Tool],
    manifests: usize,
    rounds: usize,
) -> anyhow::Result<()> {
    let judged: Vec<Value> = (0..manifests)
        .map(|position| {
            let mut object = named(&format!("app-{position:05}"));
            if position % 10 == 3 {
                set(&mut object, "/spec/flinkVersion", json!("v1_14"));
            }
            object
        })
        .collect();
    let running: Vec<Value> = (0..RUNNING)
        .map(|position| named(&format!("running-{position:05}")))
        .collect();
    let refused = (0..manifests).filter(|position| position % 10 == 3).count();
    // The sum is Sluice's alone: the others look at each object once for each other. gator takes minutes.
    let full = Case::write(&judged, &running, &[], Some(1_000_000))?;
    let rules = Case::write(&judged, &[], &[], None)?;
    let mut figures: BTreeMap<Tool, Vec<Outcome>> = BTreeMap::new();
    for round in 0..=rounds {
        for tool in order(tools.len(), round) {
            let Some(tool) = tools.get(tool) else {
                continue;
            };
            let case = if *tool == Tool::Sluice { &full } else { &rules };
            let outcome = toolbox.run(*tool, case).await?;
            let found = outcome.refused().len();
            ensure!(
                found == refused,
                "{} refused {found} of {manifests} manifests, not {refused}; it ends with: {}",
                tool.title(),
                outcome.last_line()
            );
            // The first one reads the programs from the disk.
            if round > 0 {
                figures.entry(*tool).or_default().push(outcome);
            }
        }
    }
    println!(
        "{manifests} FlinkDeployments, a file each, {refused} of them against a rule, which every tool finds. Sluice and \
         Kyverno also fill in defaults, and Sluice charges a quota, with {RUNNING} more that run. Median (min to max) \
         over {rounds} rounds. {LEGEND}\n"
    );
    let ours: Vec<f64> = walls(&figures, Tool::Sluice);
    let mut table = Table::new([
        "tool",
        "wall time, s",
        "times Sluice's",
        "CPU, s",
        "peak memory, MiB",
    ]);
    for tool in tools {
        let theirs = walls(&figures, *tool);
        let of = |figure: fn(&Outcome) -> f64| {
            Spread::of(figures.get(tool).into_iter().flatten().map(figure))
        };
        table.row([
            tool.title().to_owned(),
            Spread::of(theirs.iter().copied()).show(2),
            Ratio::of(&theirs, &ours).show(1, Better::Less),
            of(|outcome| outcome.cpu.as_secs_f64()).show(2),
            of(|outcome| outcome.peak).show(0),
        ]);
    }
    table.print();
    Ok(())
}

fn walls(figures: &BTreeMap<Tool, Vec<Outcome>>, tool: Tool) -> Vec<f64> {
    let outcomes = figures.get(&tool).into_iter().flatten();
    outcomes.map(|outcome| outcome.took.as_secs_f64()).collect()
}

/// The benchmarks' FlinkDeployment under a name.
pub fn named(name: &str) -> Value {
    let mut object = objects::to_create(1536);
    let labels = object.pointer("/metadata/labels").cloned();
    set(
        &mut object,
        "/metadata",
        json!({"name": name, "namespace": NAMESPACE, "labels": labels}),
    );
    object
}

/// Puts a value in place of another.
pub fn set(object: &mut Value, pointer: &str, value: Value) {
    if let Some(place) = object.pointer_mut(pointer) {
        *place = value;
    }
}
