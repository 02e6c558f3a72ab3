//! What is kept of very many workloads, counted to the byte: `cargo test -p sluice-webhook --test memory -- --nocapture` prints it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_precision_loss)] // a test's own failures

use serde_json::{Value, json};
use sluice_policy::dialect_for;
use sluice_webhook::world::kinds::Keep;
use sluice_webhook::world::store::Objects;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MANY: usize = 100_000;

fn workload(kind: &str, group: &str, number: usize) -> Value {
    json!({
        "apiVersion": format!("{group}/v1"), "kind": kind,
        "metadata": {
            "name": format!("clickstream-{number}"), "namespace": format!("team-{:04}", number % 1000),
            "uid": format!("00000000-0000-4000-8000-{number:012x}"), "resourceVersion": number.to_string(),
        },
        "spec": {
            "flinkVersion": "v1_20", "job": {"parallelism": 8, "state": "running"},
            "jobManager": {"resource": {"cpu": 1}}, "taskManager": {"resource": {"cpu": 2}},
            "numberOfTaskManagers": 2, "state": "RUNNING",
        },
    })
}

#[test]
fn a_hundred_thousand_workloads_take_less_than_one_and_a_half_mebibytes_once_listed() {
    for (group, kind, facts) in [
        ("flink.apache.org", "FlinkDeployment", true),
        ("sluice.dev", "SessionCluster", true),
        ("sluice.dev", "Deployment", false),
    ] {
        let dialect = dialect_for(group, kind).unwrap();
        let keep = if facts {
            Keep::Facts(dialect)
        } else {
            Keep::Charge(dialect)
        };
        let region = Region::new(ALLOCATOR);
        let mut objects = Objects::default();
        for number in 0..MANY {
            objects.put(keep, &workload(kind, group, number));
        }
        let kept = || {
            let held = region.change();
            held.bytes_allocated.saturating_sub(held.bytes_deallocated)
        };
        let one_by_one = kept();
        objects.pack();
        let packed = kept();
        for (when, kept, limit) in [
            ("put one by one", one_by_one, 3 << 20),
            ("listed", packed, 3 << 19),
        ] {
            println!(
                "{kind}: {MANY} {when} in {:.2} MiB, {:.1} bytes each",
                kept as f64 / f64::from(1 << 20),
                kept as f64 / MANY as f64
            );
            assert!(kept < limit, "{kind} {when}: {kept} bytes");
        }
        drop(objects);
    }
}
