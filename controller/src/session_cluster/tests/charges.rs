//! What a session cluster is charged, as the world moves under it: only admission raises that.

use proptest::prelude::*;
use proptest::test_runner::Config;
use sluice_api::{DesiredClusterState, SessionCluster};

use super::*;
use crate::ledger::claim::workload;

fn charge(cluster: &SessionCluster) -> u64 {
    workload(cluster, "SessionCluster").unwrap().charge().0
}

fn no_room() -> Verdict {
    Verdict::Refused(Box::new(QuotaRefusal {
        quota: QuotaKey::Cluster { name: "q".into() },
        ask: Ask::Growth,
        reason: Reason::OverLimit,
        figures: Figures::default(),
    }))
}

/// A turn; `gate`: what the second gate says, should it be asked.
fn turn(world: &mut World, gate: &Verdict, written: &mut Vec<String>) {
    (world.gate, world.proof) = (None, Proof::Watched);
    let plan = loop {
        match world.decide() {
            Decision::Act(plan) => break plan,
            Decision::AskGate => world.gate = Some(gate.clone()),
            Decision::AskFlinkId => world.flink_id = Some(FlinkId::Free),
            Decision::ReadAll => world.proof = Proof::Read,
        }
    };
    let is_new = world
        .cluster
        .status
        .as_ref()
        .and_then(|status| status.observed_generation)
        != world.cluster.metadata.generation;
    let before = charge(&world.cluster);
    world.cluster.status = Some(plan.status.clone());
    let after = charge(&world.cluster);
    written.push(format!(
        "{:?} {:?} {}: {before} -> {after}",
        plan.status.state,
        plan.status.operation.and_then(|operation| operation.kind),
        plan.status.allocated_milli.unwrap_or_default()
    ));
    assert!(after <= before, "raised: {written:#?}");
    let is_to_run = world.cluster.spec.state == Some(DesiredClusterState::Running)
        && world.cluster.metadata.deletion_timestamp.is_none();
    assert!(
        !(is_new && is_to_run) || after >= world.demand,
        "given away unseen: {written:#?}"
    );
}

/// Something happens.
fn happens(mut world: World, what: u8, how: u8) -> World {
    let number = u32::from(how % 5);
    match what {
        0 => {
            let words = ["RUNNING", "STOPPED"];
            world.cluster.spec.state =
                serde_json::from_value(json!(words[usize::from(how % 2)])).unwrap();
            world.cluster.metadata.generation = world.cluster.metadata.generation.map(|n| n + 1);
        }
        1 => {
            world.cluster.spec.number_of_task_managers = Some(number.try_into().unwrap());
            world.cluster.metadata.generation = world.cluster.metadata.generation.map(|n| n + 1);
            world.demand = workload(&world.cluster, "SessionCluster").unwrap().demand.0;
        }
        2 | 3 => {
            // As it is wanted, or not.
            world.made.clear();
            let wanted = task_managers(&world.cluster);
            world = world.has(if how < 128 { wanted } else { number });
        }
        4 => world.made.clear(),
        5 => {
            world.heard = Heard::Silent {
                times: u32::from(how % 5),
                why: "no route".into(),
            };
        }
        6 => {
            world.target = [Target::At("n".into()), Target::Missing("none".into())]
                [usize::from(how % 2)]
            .clone();
        }
        7 => {
            world.refused = (how.is_multiple_of(2)).then(|| Refusal {
                reason: "ObjectRefused",
                message: "no".into(),
            });
        }
        8 => {
            // A pod ends, and another is made in its place.
            let role = Role::BOTH[usize::from(how % 2)];
            world.made.insert(0, ended(&format!("old-{how}"), role));
        }
        _ if how.is_multiple_of(8) => {
            world.cluster.metadata.deletion_timestamp = Some(
                k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH),
            );
        }
        _ => {}
    }
    world
}

proptest! {
    #![proptest_config(Config { cases: Config::default().cases / 4, failure_persistence: None, ..Config::default() })]

    /// Whatever happens, one after the other.
    #[test]
    fn only_admission_raises_a_charge(
        moves in proptest::collection::vec((0..10_u8, any::<u8>(), 0..3_u8), 1..40),
    ) {
        let mut world = World::asks("RUNNING", 2);
        let mut written = Vec::new();
        for (what, how, gate) in moves {
            written.push(format!("happens {what} {how}"));
            world = happens(world, what, how);
            let gate = match gate {
                0 => Verdict::NotCounted("not yet".into()),
                1 => no_room(),
                _ => Verdict::Open,
            };
            turn(&mut world, &gate, &mut written);
            turn(&mut world, &gate, &mut written);
        }
    }
}
