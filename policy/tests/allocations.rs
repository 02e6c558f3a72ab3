//! Allocations of one decision on a 10 KiB object, counted: `cargo test -p sluice-policy --test allocations` prints them. They are the
//! same on every machine, so a limit on them is a test.
#![allow(clippy::unwrap_used, clippy::panic)] // a test's own failures

#[allow(dead_code, unused_imports)] // only a part of it is measured here
#[path = "../../bench/src/objects.rs"]
mod objects;

use objects::Kind;
use serde_json::Value;
use sluice_policy::world::EmptyWorld;
use sluice_policy::{Operation, Part, Review, dialect_for, mutate, validate};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};
use std::alloc::System;
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What the work takes the second time: the first makes what is made once.
fn counted<T>(work: impl Fn() -> T) -> Stats {
    drop(black_box(work()));
    let region = Region::new(ALLOCATOR);
    drop(black_box(work()));
    region.change()
}

/// A decision allocates little beside the review itself.
fn main() {
    println!("| decision | parsing the object | deciding | bytes for deciding |");
    println!("|---|---|---|---|");
    for kind in [
        Kind::SessionCluster,
        Kind::Deployment,
        Kind::FlinkDeployment,
    ] {
        let dialect = dialect_for(kind.group(), kind.name()).unwrap();
        let sent = objects::of_size(kind, 10 * 1024);
        let text = sent.to_string();
        let parsing = counted(|| serde_json::from_str::<Value>(&text).unwrap());
        let review = |object| Review {
            dialect,
            operation: Operation::Create,
            part: Part::Whole,
            namespace: "bench",
            name: "clickstream-sessions",
            object,
        };
        let complete = mutate(&review(&sent), &EmptyWorld).object.into_owned();
        for (call, deciding) in [
            ("mutate", counted(|| mutate(&review(&sent), &EmptyWorld))),
            (
                "validate",
                counted(|| validate(&review(&complete), &EmptyWorld)),
            ),
        ] {
            println!(
                "| {call} create {} | {} | {} | {} |",
                kind.name(),
                parsing.allocations,
                deciding.allocations,
                deciding.bytes_allocated
            );
            let (allocations, bytes) = most(call, kind);
            assert!(
                deciding.allocations <= allocations && deciding.bytes_allocated <= bytes,
                "{call} {}: {deciding:?}, at most {allocations} of {bytes} bytes",
                kind.name()
            );
        }
    }
}

/// Allocations of a decision, and bytes: what they were in November 2026, with a tenth to spare. More is a copy that was not there before.
fn most(call: &str, kind: Kind) -> (usize, usize) {
    match (call, kind) {
        ("mutate", Kind::SessionCluster) => (590, 59_000),
        (_, Kind::SessionCluster) => (130, 13_200),
        ("mutate", Kind::Deployment) => (735, 72_500),
        (_, Kind::Deployment) => (213, 22_100),
        ("mutate", Kind::FlinkDeployment) => (42, 3_200),
        (_, Kind::FlinkDeployment) => (181, 31_000),
    }
}
