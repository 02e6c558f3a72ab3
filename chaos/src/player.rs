//! Plays those who run the workloads: Sluice's own reconcilers and Apache's operator, as far as the ledger sees them, by the status that
//! they write. No pod exists here; the rules of the statuses are decision 8 and the operator's own.

use crate::charge::charge;
use crate::dice::Dice;
use crate::etcd::Reader;
use crate::objects::{FINALIZER, set};
use crate::place::{Kind, Place};
use kube::Client;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{sleep, timeout};

const TICK: Duration = Duration::from_millis(150);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How many of a hundred objects that wait for it are seen to in a tick.
const PERCENT: u64 = 40;

/// A write that is due.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Of the status.
    Status(Value),
    /// Of the object, without our finalizer.
    Release(Value),
}

/// Plays until it is dropped.
pub async fn play(client: Client, reader: Reader, seed: u64) {
    let mut dice = Dice::new(seed, u64::MAX - 1);
    loop {
        sleep(TICK).await;
        let due: Vec<(Place, u64, Write)> = {
            let tape = reader.tape();
            let objects = tape.objects.iter();
            objects
                .filter_map(|(place, (object, revision))| {
                    let write = next(place.kind, object, &mut dice)?;
                    Some((place.clone(), *revision, write))
                })
                .collect()
        };
        for (place, revision, write) in due {
            if dice.percent(PERCENT) {
                // What fails is due again.
                let _ = timeout(ANSWER_WITHIN, put(&client, &place, revision, write)).await;
            }
        }
    }
}

async fn put(client: &Client, place: &Place, revision: u64, write: Write) -> anyhow::Result<()> {
    let (path, mut object) = match write {
        Write::Status(object) => (format!("{}/status", place.path()), object),
        Write::Release(object) => (place.path(), object),
    };
    // etcd's revision of the key, which nobody stores in the value: a write that comes late conflicts.
    set(
        &mut object,
        &["metadata", "resourceVersion"],
        json!(revision.to_string()),
    );
    let request = hyper::Request::put(path)
        .header(hyper::header::CONTENT_TYPE, "application/json")
        .body(object.to_string().into_bytes())?;
    client.request::<Value>(request).await?;
    Ok(())
}

/// What is to be written next about an object, if anything. The object is as etcd has it: its revision is that of the write.
fn next(kind: Kind, object: &Value, dice: &mut Dice) -> Option<Write> {
    match kind {
        Kind::SessionCluster => own(object, dice, &["STARTING", "RUNNING", "STOPPED"], kind),
        Kind::Deployment => own(
            object,
            dice,
            &["TRANSITIONING", "RUNNING", "SUSPENDED"],
            kind,
        ),
        Kind::FlinkDeployment => flink(object).map(Write::Status),
    }
}

fn number(object: &Value, pointer: &str) -> Option<u64> {
    object.pointer(pointer).and_then(Value::as_u64)
}

/// TaskManagers that the spec asks for.
fn figure(object: &Value, kind: Kind) -> Option<u64> {
    let cluster = match kind {
        Kind::Deployment => "/spec/template/spec",
        _ => "/spec",
    };
    number(object, &format!("{cluster}/numberOfTaskManagers"))
}

fn own(object: &Value, dice: &mut Dice, words: &[&str; 3], kind: Kind) -> Option<Write> {
    let [starting, running, stopped] = words;
    let generation = number(object, "/metadata/generation")?;
    let allocated = number(object, "/status/allocatedMilli").unwrap_or(0);
    let status = |state: &str, allocated: u64, observed: Option<u64>| {
        let mut next = object.clone();
        set(&mut next, &["status", "state"], json!(state));
        set(&mut next, &["status", "allocatedMilli"], json!(allocated));
        let has_pods = allocated > 0;
        let count = figure(object, kind).filter(|_| has_pods).unwrap_or(0);
        set(&mut next, &["status", "numberOfTaskManagers"], json!(count));
        if let Some(observed) = observed {
            set(
                &mut next,
                &["status", "observedGeneration"],
                json!(observed),
            );
        }
        Some(Write::Status(next))
    };
    if object.pointer("/metadata/deletionTimestamp").is_some() {
        if allocated > 0 {
            return status(stopped, 0, None);
        }
        let finalizers = object.pointer("/metadata/finalizers")?.as_array()?;
        let left: Vec<&Value> = finalizers.iter().filter(|one| *one != FINALIZER).collect();
        let mut next = object.clone();
        set(&mut next, &["metadata", "finalizers"], json!(left));
        return (left.len() < finalizers.len()).then_some(Write::Release(next));
    }
    if number(object, "/status/observedGeneration") == Some(generation) {
        // Many jobs come to their end by themselves: an update of what has ended is a start, which is where a hole was found.
        let ends = kind == Kind::Deployment
            && object.pointer("/status/state") == Some(&json!("RUNNING"))
            && dice.percent(25);
        return if ends {
            status("FINISHED", 0, None)
        } else {
            None
        };
    }
    if object.pointer("/spec/state").and_then(Value::as_str) != Some("RUNNING") {
        return status(stopped, 0, Some(generation));
    }
    let mut bare = object.clone();
    set(&mut bare, &["status"], Value::Null);
    let demand = charge(kind, &bare);
    let is_starting = object.pointer("/status/state").and_then(Value::as_str) == Some(starting);
    if is_starting && allocated >= demand {
        status(running, demand, Some(generation))
    } else {
        status(starting, allocated.max(demand), None)
    }
}

fn flink(object: &Value) -> Option<Value> {
    let generation = number(object, "/metadata/generation")?;
    if number(object, "/status/observedGeneration") == Some(generation) {
        return None;
    }
    let suspended = object.pointer("/spec/job/state").and_then(Value::as_str) == Some("suspended");
    let (lifecycle, job_manager) = if suspended {
        ("SUSPENDED", "MISSING")
    } else {
        ("STABLE", "READY")
    };
    let record = json!({"spec": object.get("spec"), "resource_metadata": {"apiVersion": "flink.apache.org/v1beta1", "firstDeployment": false}})
        .to_string();
    let mut next = object.clone();
    set(
        &mut next,
        &["status", "observedGeneration"],
        json!(generation),
    );
    set(&mut next, &["status", "lifecycleState"], json!(lifecycle));
    set(
        &mut next,
        &["status", "jobManagerDeploymentStatus"],
        json!(job_manager),
    );
    let reconciliation =
        json!({"state": "DEPLOYED", "lastReconciledSpec": record, "lastStableSpec": record});
    set(
        &mut next,
        &["status", "reconciliationStatus"],
        reconciliation,
    );
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::{Told, make, tell};

    /// Lets an object come to rest, and its job not to its end; no write may raise its charge.
    fn settle(kind: Kind, mut object: Value) -> Value {
        let mut dice = Dice::new(1, 1);
        for _ in 0..10 {
            let Some(Write::Status(written)) = next(kind, &object, &mut dice) else {
                return object;
            };
            assert!(charge(kind, &written) <= charge(kind, &object), "{written}");
            if written.pointer("/status/state") == Some(&json!("FINISHED")) {
                return object;
            }
            object = written;
        }
        panic!("no rest: {object}");
    }

    #[test]
    fn no_status_raises_a_charge_and_all_come_to_rest() {
        for kind in Kind::ALL {
            let place = Place {
                kind,
                namespace: "n".into(),
                name: "x".into(),
            };
            let mut object = make(&place, 1, 7, Told::Run);
            set(&mut object, &["metadata", "generation"], json!(1));
            let object = settle(kind, object);
            let full = charge(kind, &object);
            assert!(full > 0);

            let mut stopping = object;
            tell(kind, &mut stopping, Told::Stop);
            set(&mut stopping, &["metadata", "generation"], json!(2));
            assert_eq!(
                charge(kind, &stopping),
                full,
                "{kind:?} has its pods until its controller says otherwise"
            );
            let mut stopped = settle(kind, stopping);
            assert_eq!(charge(kind, &stopped), 0);

            tell(kind, &mut stopped, Told::Run);
            set(&mut stopped, &["metadata", "generation"], json!(3));
            assert_eq!(charge(kind, &settle(kind, stopped)), full);
        }
    }
}
