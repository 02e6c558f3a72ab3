//! The decision as a table: what is observed, and what follows from it. No cluster, no clock.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use rstest::rstest;
use serde_json::{Value, json};
use sluice_api::SessionClusterState::{
    self, Failed, Running, Starting, Stopped, Stopping, Updating,
};
use sluice_api::{SessionCluster, SessionClusterStatus};
use sluice_policy::MilliCpu;
use sluice_policy::ledger::{Ask, Figures, QuotaKey, Reason, Refusal as QuotaRefusal};

use super::decide::{
    Decision, Finalizer, FlinkId, Observed, Plan, Proof, Step, decide, task_managers,
};
use super::health::{Flink, Heard, Listen};
use super::state::Refusal;
use super::target::Target;
use crate::ledger::gate::Verdict;
use crate::objects::{BuildSettings, Built, FOSTER, FlinkCluster, MadeKind, Role, build};
use crate::runtime::going::Going;
use crate::runtime::made::{Detail, Made, Pod, Trouble, TroubleKind, Workload};

mod charges;
mod own_records;

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

/// A cluster in its surroundings.
struct World {
    cluster: SessionCluster,
    demand: u64,
    target: Target,
    gate: Option<Verdict>,
    flink_id: Option<FlinkId>,
    made: Vec<Made>,
    proof: Proof,
    settled: HashMap<String, u64>,
    heard: Heard,
    refused: Option<Refusal>,
    hindered: Option<Refusal>,
    uncounted: Duration,
    now: Timestamp,
}

impl World {
    /// Asks for `state` with so many TaskManagers of 1 CPU each, and one for the JobManager.
    fn asks(state: &str, number: u32) -> Self {
        let cluster = serde_json::from_value(json!({
            "apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster",
            "metadata": {"name": "a", "namespace": "n", "uid": "u", "generation": 3, "finalizers": ["sluice.dev/teardown"]},
            "spec": {"state": state, "flinkVersion": "1.20", "numberOfTaskManagers": number},
        }))
        .unwrap();
        Self {
            cluster,
            demand: u64::from(number) * 1000 + 1000,
            target: Target::At("n".into()),
            gate: None,
            flink_id: None,
            made: Vec::new(),
            proof: Proof::Watched,
            settled: HashMap::new(),
            heard: Heard::Nothing,
            refused: None,
            hindered: None,
            uncounted: Duration::ZERO,
            now: now(),
        }
    }

    /// Was last told to be in this state, with so much CPU set aside.
    fn was(mut self, state: SessionClusterState, milli: i64, operation: Option<&str>) -> Self {
        let mut status = json!({"state": state, "allocatedMilli": milli, "observedGeneration": 3});
        if let Some(kind) = operation {
            status["operation"] = json!({"kind": kind, "generation": 3});
        }
        self.cluster.status = serde_json::from_value(status).unwrap();
        self
    }

    fn wanted(&self) -> Vec<Built> {
        let settings = BuildSettings {
            sluice_image: "sluice:1".into(),
        };
        let number = task_managers(&self.cluster);
        let mut flink = FlinkCluster::of_session_cluster(&self.cluster, "n", number).unwrap();
        flink.start_id = super::start::id(&self.cluster, self.now);
        build(&flink, &settings).unwrap()
    }

    /// Everything stands there, with so many TaskManagers that are ready and have registered.
    fn has(mut self, number: u32) -> Self {
        for built in self.wanted() {
            let word = built
                .object
                .pointer("/metadata/labels/sluice.dev~1component");
            let role = word.and_then(Value::as_str).and_then(Role::of_word);
            let detail = match (built.kind, role) {
                (MadeKind::Deployment, Some(role)) => {
                    let pods = if role == Role::JobManager { 1 } else { number };
                    Detail::Workload(Workload {
                        replicas: pods,
                        existing: pods,
                        updated: pods,
                        observed: true,
                        paused: false,
                        failure: None,
                    })
                }
                (MadeKind::Service, _) => Detail::Service {
                    cluster_ip: Some("10.0.0.1".into()),
                },
                _ => Detail::Plain,
            };
            self.settled.insert(format!("uid-{}", built.name), 7);
            self.made.push(Made {
                kind: built.kind,
                namespace: "n".into(),
                uid: format!("uid-{}", built.name),
                name: built.name,
                role: role.filter(|_| built.kind == MadeKind::Deployment),
                job: None,
                input: Some(built.input.text().into()),
                built: Some(built.built.into()),
                digest: 7,
                going: None,
                detail,
            });
        }
        self.made.push(pod("jm", Role::JobManager));
        let names: Vec<String> = (0..number).map(|index| format!("tm-{index}")).collect();
        for name in &names {
            self.made.push(pod(name, Role::TaskManager));
        }
        self.heard = Heard::Answer(Flink {
            counted: number,
            slots_total: number,
            task_managers: names,
            ..Flink::default()
        });
        self
    }

    fn change(mut self, name: &str, change: impl Fn(&mut Made)) -> Self {
        let mut found = false;
        for made in &mut self.made {
            if made.name == name {
                change(made);
                found = true;
            }
        }
        assert!(found, "{name}");
        self
    }

    fn without(mut self, names: &[&str]) -> Self {
        self.made
            .retain(|made| !names.contains(&made.name.as_str()));
        self
    }

    fn decide(&self) -> Decision {
        decide(&Observed {
            cluster: &self.cluster,
            now: self.now,
            demand: Ok(MilliCpu(self.demand)),
            target: self.target.clone(),
            wanted: Ok(self.wanted()),
            gate: self.gate.clone(),
            flink_id: self.flink_id.clone(),
            uncounted: self.uncounted,
            made: &self.made,
            proof: self.proof,
            settled: &self.settled,
            heard: self.heard.clone(),
            refused: self.refused.clone(),
            hindered: self.hindered.clone(),
        })
    }

    fn plan(&self) -> Plan {
        match self.decide() {
            Decision::Act(plan) => *plan,
            other => panic!("{other:?}"),
        }
    }
}

/// On its way out, in its grace still.
fn on_its_way() -> Going {
    Going::from_node("node-1", now() + Duration::from_secs(20))
}

/// On its way out, and should have gone long ago.
fn lost() -> Going {
    Going::from_node("node-1", now() - Duration::from_secs(30))
}

/// Reason and message of a condition.
fn condition<'p>(plan: &'p Plan, kind: &str) -> (&'p str, &'p str) {
    let mut all = plan.status.conditions.iter();
    let found = all.find(|one| one.type_ == kind).unwrap();
    (&found.reason, &found.message)
}

fn pod(name: &str, role: Role) -> Made {
    Made {
        kind: MadeKind::Pod,
        namespace: "n".into(),
        name: name.into(),
        uid: format!("uid-{name}"),
        role: Some(role),
        job: None,
        input: None,
        built: None,
        digest: 0,
        going: None,
        detail: Detail::Pod(Pod {
            ready: true,
            ..Pod::default()
        }),
    }
}

/// Steps in short: `+name`, `name=replicas`, `-name`.
fn steps(plan: &Plan) -> Vec<String> {
    plan.steps
        .iter()
        .map(|step| match step {
            Step::Ensure(built) => format!("+{}", built.name),
            Step::Scale(made, replicas) => format!("{}={replicas}", made.name),
            Step::Delete(made) => format!("-{}", made.name),
        })
        .collect()
}

fn told(plan: &Plan) -> Vec<&'static str> {
    plan.notes.iter().map(|note| note.reason.as_str()).collect()
}

fn ready(status: &SessionClusterStatus) -> (&str, &str) {
    let condition = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Ready");
    condition.map_or(("", ""), |condition| {
        (condition.status.as_str(), condition.reason.as_str())
    })
}

fn unready(made: &mut Made) {
    made.detail = Detail::Pod(Pod::default());
}

#[test]
fn a_new_cluster_that_asks_for_nothing_is_stopped_and_nothing_is_made() {
    let plan = World::asks("STOPPED", 2).plan();
    assert_eq!(
        (plan.status.state, plan.status.allocated_milli),
        (Some(Stopped), Some(0))
    );
    assert_eq!((steps(&plan), told(&plan)), (vec![], vec![]));
    assert_eq!(
        plan.finalizer,
        Finalizer::Remove,
        "nothing is left to keep it for"
    );
}

#[test]
fn a_start_asks_the_gate_and_sets_cpu_aside_before_anything_is_made() {
    let mut world = World::asks("RUNNING", 2);
    world.cluster.metadata.finalizers = None;
    assert_eq!(world.decide(), Decision::AskGate);
    world.gate = Some(Verdict::Open);
    let plan = world.plan();
    assert_eq!(plan.finalizer, Finalizer::Add);
    assert_eq!(
        (plan.status.state, plan.status.allocated_milli),
        (Some(Starting), Some(3000))
    );
    assert_eq!(
        steps(&plan),
        [
            "+a-sc-config",
            "+a-sc-jobmanager",
            "+a-sc-jobmanager",
            "+a-sc-taskmanager"
        ]
    );
    assert_eq!(told(&plan), ["Starting"]);
    assert_eq!(
        plan.status.operation.unwrap().kind.as_deref(),
        Some("Start")
    );
}

#[test]
fn what_has_no_room_waits_with_its_charge_kept_and_is_told_once() {
    let refusal = QuotaRefusal {
        quota: QuotaKey::Cluster { name: "q".into() },
        ask: Ask::Start,
        reason: Reason::OverLimit,
        figures: Figures::default(),
    };
    let mut world = World::asks("RUNNING", 2);
    world.gate = Some(Verdict::Refused(Box::new(refusal)));
    let plan = world.plan();
    assert_eq!(plan.status.state, Some(Stopped));
    assert!(
        plan.status.operation.is_some(),
        "an operation in progress keeps the charge"
    );
    assert_eq!((steps(&plan), told(&plan)), (vec![], vec!["QuotaExceeded"]));
    assert_eq!(ready(&plan.status), ("False", "CpuQuota"));
    assert!(plan.again.is_some());
    world.cluster.status = Some(plan.status.clone());
    let again = world.plan();
    assert_eq!(again.status, plan.status, "the same again is no change");
    assert_eq!(told(&again), Vec::<&str>::new());
}

#[test]
fn a_quota_that_is_not_counted_yet_is_waited_for_without_a_word() {
    let mut world = World::asks("RUNNING", 2);
    world.gate = Some(Verdict::NotCounted("x".into()));
    let plan = world.plan();
    assert_eq!(plan.status, SessionClusterStatus::default());
    assert!(
        plan.again
            .is_some_and(|again| again < Duration::from_millis(500))
    );
}

#[rstest]
#[case::all_there(World::asks("RUNNING", 2).was(Starting, 3000, Some("Start")).has(2), Running, &[], &["Started"], "Running")]
#[case::still_running(World::asks("RUNNING", 2).was(Running, 3000, None).has(2), Running, &[], &[], "Running")]
#[case::one_not_registered({
    let mut world = World::asks("RUNNING", 2).was(Starting, 3000, Some("Start")).has(2);
    world.heard = Heard::Answer(Flink { task_managers: vec!["tm-0".into()], ..Flink::default() });
    world
}, Starting, &[], &[], "Starting")]
#[case::one_registered_that_is_gone({
    let mut world = World::asks("RUNNING", 2).was(Running, 3000, None).has(2);
    world.heard = Heard::Answer(Flink { task_managers: vec!["tm-0".into(), "tm-old".into()], ..Flink::default() });
    world
}, Updating, &[], &["Recovering"], "TaskManagersMissing")]
#[case::not_asked_yet({
    let mut world = World::asks("RUNNING", 2).was(Starting, 3000, Some("Start")).has(2);
    world.heard = Heard::Nothing;
    world
}, Starting, &[], &[], "Starting")]
#[case::not_asked_yet_but_it_ran({
    let mut world = World::asks("RUNNING", 2).was(Running, 3000, None).has(2);
    world.heard = Heard::Nothing;
    world
}, Running, &[], &[], "Running")]
#[case::one_silence_is_none({
    let mut world = World::asks("RUNNING", 2).was(Running, 3000, None).has(2);
    world.heard = Heard::Silent { times: 2, why: "x".into() };
    world
}, Running, &[], &[], "Running")]
#[case::three_are({
    let mut world = World::asks("RUNNING", 2).was(Running, 3000, None).has(2);
    world.heard = Heard::Silent { times: 3, why: "x".into() };
    world
}, Starting, &[], &["Recovering"], "Unreachable")]
#[case::a_task_manager_lost(World::asks("RUNNING", 2).was(Running, 3000, None).has(2).without(&["tm-1"]),
    Updating, &[], &["Recovering"], "TaskManagersMissing")]
#[case::the_jobmanager_lost(World::asks("RUNNING", 2).was(Running, 3000, None).has(2).change("jm", unready),
    Starting, &[], &["Recovering"], "Unreachable")]
#[case::a_deployment_deleted(World::asks("RUNNING", 2).was(Running, 3000, None).has(2).without(&["a-sc-taskmanager", "tm-0", "tm-1"]),
    Updating, &["+a-sc-taskmanager"], &["Recovering"], "TaskManagersMissing")]
#[case::an_object_altered(World::asks("RUNNING", 2).was(Running, 3000, None).has(2).change("a-sc-config", |made| made.digest = 8),
    Running, &["+a-sc-config"], &[], "Running")]
#[case::made_by_another_version(World::asks("RUNNING", 2).was(Running, 3000, None).has(2)
    .change("a-sc-config", |made| { made.built = Some("other".into()); made.digest = 8; }), Running, &[], &[], "Running")]
#[case::replicas_altered(World::asks("RUNNING", 2).was(Running, 3000, None).has(7), Updating, &["a-sc-taskmanager=2"], &["Scaling"], "Scaling")]
#[case::an_image_missing(World::asks("RUNNING", 2).was(Starting, 3000, Some("Start")).has(2).change("tm-1", |made| {
    made.detail = Detail::Pod(Pod { trouble: Some(Trouble { kind: TroubleKind::Image, message: "no".into() }), ..Pod::default() });
}), Failed, &[], &["TransitionFailed"], "ImagePullFailed")]
#[case::no_node(World::asks("RUNNING", 2).was(Starting, 3000, Some("Start")).has(2).change("tm-1", |made| {
    made.detail = Detail::Pod(Pod { trouble: Some(Trouble { kind: TroubleKind::Unschedulable, message: "no".into() }), ..Pod::default() });
}), Starting, &[], &[], "Unschedulable")]
#[case::out_of_failure(World::asks("RUNNING", 2).was(Failed, 3000, Some("Start")).has(2), Running, &[], &["Started"], "Running")]
#[case::starts_while_it_stops(World::asks("RUNNING", 2).was(Stopping, 3000, Some("Stop")).has(2).without(&["a-sc-taskmanager", "tm-0", "tm-1"]),
    Starting, &["+a-sc-taskmanager"], &["Starting"], "Starting")]
fn to_run(
    #[case] world: World,
    #[case] state: SessionClusterState,
    #[case] expected_steps: &[&str],
    #[case] events: &[&str],
    #[case] reason: &str,
) {
    let plan = world.plan();
    assert_eq!(plan.status.state, Some(state), "{:#?}", plan.status);
    assert_eq!(steps(&plan), expected_steps);
    if world.cluster.status.as_ref().unwrap().state != Some(Stopping) {
        assert_eq!(told(&plan), events);
    }
    assert_eq!(ready(&plan.status).1, reason);
    assert_eq!(
        plan.status.allocated_milli,
        Some(3000),
        "CPU stays as it was"
    );
    assert_eq!(
        plan.status.operation.is_some(),
        state != Running,
        "an operation is in progress unless it runs"
    );
    // Decided again from what was stored: no other status, no Event.
    let mut again = World { ..world };
    again.cluster.status = Some(plan.status.clone());
    let repeated = again.plan();
    assert_eq!((repeated.status, repeated.notes), (plan.status, vec![]));
}

#[test]
fn growth_sets_cpu_aside_first_and_leaves_the_jobmanager_alone() {
    let mut world = World::asks("RUNNING", 5).was(Running, 3000, None).has(2);
    assert_eq!(world.decide(), Decision::AskGate);
    world.gate = Some(Verdict::Open);
    let plan = world.plan();
    assert_eq!(
        (plan.status.state, plan.status.allocated_milli),
        (Some(Updating), Some(6000))
    );
    assert_eq!(steps(&plan), ["a-sc-taskmanager=5"]);
    assert_eq!(told(&plan), ["Scaling"]);
}

#[test]
fn shrinking_gives_cpu_back_only_once_it_is_proven_that_the_pods_are_gone() {
    let world = World::asks("RUNNING", 2).was(Running, 6000, None).has(5);
    let plan = world.plan();
    assert_eq!(
        (plan.status.allocated_milli, steps(&plan)),
        (Some(6000), vec!["a-sc-taskmanager=2".to_owned()])
    );
    let mut leaving = World::asks("RUNNING", 2)
        .was(Updating, 6000, Some("Scale"))
        .has(2);
    leaving.made.push(pod("tm-9", Role::TaskManager));
    assert_eq!(
        leaving.plan().status.allocated_milli,
        Some(6000),
        "one is still there"
    );
    let mut gone = World::asks("RUNNING", 2)
        .was(Updating, 6000, Some("Scale"))
        .has(2);
    assert_eq!(gone.decide(), Decision::ReadAll);
    gone.proof = Proof::Read;
    let plan = gone.plan();
    assert_eq!(
        (plan.status.state, plan.status.allocated_milli),
        (Some(Running), Some(3000))
    );
    assert_eq!(told(&plan), ["Scaled"]);
}

/// Evicted, shut down with its node, or refused by it: its record stands until somebody removes it, and the Deployment has made another.
fn ended(name: &str, role: Role) -> Made {
    Made {
        detail: Detail::Pod(Pod {
            ended: true,
            ..Pod::default()
        }),
        ..pod(name, role)
    }
}

#[test]
fn pods_that_have_ended_are_none() {
    let with_ended = |mut world: World| {
        for role in Role::BOTH {
            world.made.insert(0, ended(&format!("old-{role}"), role));
        }
        world
    };
    let starts = World::asks("RUNNING", 2).was(Starting, 3000, Some("Start"));
    let plan = with_ended(starts.has(2)).plan();
    assert_eq!(plan.status.state, Some(Running), "{:#?}", plan.status);
    assert_eq!(plan.status.number_of_task_managers, Some(2));
    let shrinks = World::asks("RUNNING", 2).was(Updating, 6000, Some("Scale"));
    let mut shrinks = with_ended(shrinks.has(2));
    assert_eq!(shrinks.decide(), Decision::ReadAll);
    shrinks.proof = Proof::Read;
    assert_eq!(shrinks.plan().status.allocated_milli, Some(3000));
    // One whose Deployment is gone stands in nobody's way, and a cluster that stops takes it along.
    let lost = ["a-sc-taskmanager", "tm-0", "tm-1"];
    let lost = World::asks("RUNNING", 2)
        .was(Running, 3000, None)
        .has(2)
        .without(&lost);
    assert_eq!(steps(&with_ended(lost).plan()), ["+a-sc-taskmanager"]);
    let mut stops = World::asks("STOPPED", 2).was(Stopping, 3000, Some("Stop"));
    stops.made = vec![ended("old", Role::TaskManager)];
    assert_eq!(steps(&stops.plan()), ["-old"]);
}

#[test]
fn growth_that_is_refused_leaves_everything_running() {
    let refused = |mut world: World| {
        world.gate = Some(Verdict::Refused(Box::new(QuotaRefusal {
            quota: QuotaKey::Cluster { name: "q".into() },
            ask: Ask::Growth,
            reason: Reason::OverLimit,
            figures: Figures::default(),
        })));
        world.plan()
    };
    let world = || World::asks("RUNNING", 5).was(Running, 3000, None).has(2);
    // Nor is another size brought in by way of what somebody has paused, or has removed from above its pods.
    let paused = |input: &'static str| {
        world().change("a-sc-taskmanager", move |made| {
            made.input = Some(input.into());
            made.detail = Detail::Workload(Workload {
                replicas: 2,
                existing: 2,
                updated: 2,
                observed: true,
                paused: true,
                failure: None,
            });
        })
    };
    assert_eq!(steps(&refused(paused("smaller"))), [""; 0]);
    let orphaned = world().without(&["a-sc-taskmanager"]);
    assert_eq!(steps(&refused(orphaned)), [""; 0]);
    let stopped = world().change("a-sc-jobmanager", |made| {
        made.input = Some(FOSTER.into());
        made.detail = Detail::Workload(Workload::default());
    });
    assert_eq!(
        steps(&refused(stopped)),
        [""; 0],
        "it has no pods to be scaled to"
    );
    let plan = refused(world());
    assert_eq!(
        (plan.status.state, plan.status.allocated_milli),
        (Some(Updating), Some(3000))
    );
    assert_eq!((steps(&plan), told(&plan)), (vec![], vec!["GrowthRefused"]));
    assert!(
        plan.status.operation.is_some(),
        "the charge stays what was asked for"
    );
}

/// A ReplicaSet counts none that is going, and would make as many beside them: more would run than is counted.
#[test]
fn what_is_scaled_down_and_up_again_waits_for_those_that_are_going() {
    let scaled = |told: u32, going: u32| {
        let mut world = World::asks("RUNNING", 5)
            .was(Updating, 6000, Some("Scale"))
            .has(told);
        for index in 0..going {
            let mut leaving = pod(&format!("old-{index}"), Role::TaskManager);
            leaving.going = Some(Box::new(on_its_way()));
            world.made.push(leaving);
        }
        steps(&world.plan())
    };
    assert_eq!(scaled(0, 5), [""; 0]);
    assert_eq!(scaled(0, 3), ["a-sc-taskmanager=2"]);
    assert_eq!(scaled(2, 3), [""; 0]);
    assert_eq!(scaled(2, 0), ["a-sc-taskmanager=5"]);
    assert_eq!(scaled(5, 1), [""; 0], "one that is replaced");
    assert_eq!(scaled(7, 2), ["a-sc-taskmanager=5"], "fewer at once");
}

/// It would lose its place among those who wait.
#[test]
fn a_growth_that_is_refused_stays_so_while_nothing_is_counted() {
    let mut world = World::asks("RUNNING", 5).was(Running, 3000, None).has(2);
    world.gate = Some(Verdict::Refused(Box::new(QuotaRefusal {
        quota: QuotaKey::Cluster { name: "q".into() },
        ask: Ask::Growth,
        reason: Reason::OverLimit,
        figures: Figures::default(),
    })));
    let exceeded = |status: &SessionClusterStatus| {
        let mut all = status.conditions.iter();
        all.find(|one| one.type_ == "QuotaExceeded").cloned()
    };
    let refused = world.plan().status;
    let before = exceeded(&refused);
    assert_eq!(before.as_ref().unwrap().status, "True");
    world.cluster.status = Some(refused);
    world.gate = Some(Verdict::NotCounted("q".into()));
    world.uncounted = Duration::from_secs(4);
    world.now += Duration::from_secs(4);
    assert_eq!(exceeded(&world.plan().status), before);
}

/// Another process in the same pod has not said what the one before it said.
#[test]
fn a_container_that_is_started_again_is_another_process() {
    let before = pod("jm", Role::JobManager);
    let mut after = before.clone();
    after.detail = Detail::Pod(Pod {
        restarts: 1,
        ..Pod::default()
    });
    assert_ne!(
        super::scene::process(&before),
        super::scene::process(&after)
    );
}

#[test]
fn teardown_goes_in_order_and_frees_cpu_only_after_proof() {
    let world = || World::asks("STOPPED", 2).was(Running, 3000, None).has(2);
    let deleting = |made: &mut Made| made.going = Some(Box::new(on_its_way()));
    let plan = world().plan();
    assert_eq!(
        (plan.status.state, plan.status.allocated_milli),
        (Some(Stopping), Some(3000))
    );
    assert_eq!(
        (steps(&plan), told(&plan)),
        (vec!["-a-sc-taskmanager".to_owned()], vec!["Stopping"])
    );
    let stopping = || {
        World::asks("STOPPED", 2)
            .was(Stopping, 3000, Some("Stop"))
            .has(2)
    };
    let waits = stopping().change("a-sc-taskmanager", deleting);
    assert_eq!(
        steps(&waits.plan()),
        [""; 0],
        "pods of TaskManagers are awaited"
    );
    let task_managers = ["tm-0", "tm-1"];
    // The Service has the name of the JobManager's Deployment.
    let next = stopping()
        .without(&["a-sc-taskmanager"])
        .without(&task_managers);
    assert_eq!(steps(&next.plan()), ["-a-sc-jobmanager"]);
    let mut last = stopping()
        .without(&["a-sc-taskmanager", "jm"])
        .without(&task_managers);
    last.made.retain(|made| made.kind != MadeKind::Deployment);
    assert_eq!(steps(&last.plan()), ["-a-sc-jobmanager", "-a-sc-config"]);
    let mut gone = stopping();
    gone.made.clear();
    assert_eq!(last.plan().forget_jobs, None, "somebody may still write");
    assert_eq!(gone.decide(), Decision::ReadAll);
    gone.proof = Proof::Read;
    let plan = gone.plan();
    assert_eq!(
        (plan.status.state, plan.status.allocated_milli),
        (Some(Stopped), Some(0))
    );
    assert_eq!(
        (plan.finalizer, told(&plan)),
        (Finalizer::Remove, vec!["Stopped"])
    );
    assert!(plan.status.operation.is_none());
}

/// A node that nobody hears of keeps its pods for ever; what is asked for runs elsewhere by then.
#[test]
fn a_pod_that_is_late_in_going_holds_cpu_and_nothing_else() {
    let with = |gone: Going| {
        let mut world = World::asks("RUNNING", 2).was(Updating, 4000, None).has(2);
        world.demand = 3000;
        let mut old = pod("tm-old", Role::TaskManager);
        old.going = Some(Box::new(gone));
        world.made.push(old);
        world.plan()
    };
    let plan = with(on_its_way());
    assert_eq!(plan.status.state, Some(Updating));
    assert_eq!(
        plan.again,
        Some(Duration::from_secs(50)),
        "it is looked at once it is late"
    );
    let plan = with(lost());
    assert_eq!(
        (plan.status.state, plan.status.allocated_milli),
        (Some(Running), Some(4000))
    );
    let (reason, message) = condition(&plan, "Ready");
    assert_eq!(reason, "Running");
    for part in ["Pod n/tm-old", "node-1", "kubectl delete node node-1"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn what_keeps_a_stop_is_named() {
    let mut stopping = World::asks("STOPPED", 2)
        .was(Stopping, 3000, Some("Stop"))
        .has(2)
        .without(&["tm-0", "jm", "a-sc-jobmanager", "a-sc-config"])
        .change("a-sc-taskmanager", |made| {
            made.going = Some(Box::new(on_its_way()));
        })
        .change("tm-1", |made| made.going = Some(Box::new(lost())));
    let plan = stopping.plan();
    let (reason, message) = condition(&plan, "Progressing");
    assert_eq!(reason, "Stopping");
    assert!(
        message.starts_with("1 pod (tm-1) is still being removed. Pod n/tm-1 should have gone by"),
        "{message}"
    );
    assert_eq!(plan.status.allocated_milli, Some(3000));
    stopping.hindered = Some(no());
    let plan = stopping.plan();
    let (reason, message) = condition(&plan, "Progressing");
    assert_eq!(reason, "ObjectRefused");
    assert!(message.ends_with("is refused: no"), "{message}");
    assert_eq!(
        plan.again,
        Some(Duration::from_secs(30)),
        "it is tried again"
    );
}

fn no() -> Refusal {
    Refusal {
        reason: "ObjectRefused",
        message: "Deployment n/a-sc-taskmanager is refused: no".into(),
    }
}

/// What runs is more than is asked for, and nobody's trouble but the quota's.
#[test]
fn what_may_not_be_scaled_down_runs_on_and_says_so() {
    let mut world = World::asks("RUNNING", 1)
        .was(Updating, 3000, Some("Scale"))
        .has(2);
    world.hindered = Some(no());
    let plan = world.plan();
    assert_eq!(
        (plan.status.state, plan.status.allocated_milli),
        (Some(Updating), Some(3000))
    );
    assert_eq!(condition(&plan, "Ready").1, no().message);
    assert_eq!(steps(&plan).len(), 1, "it is tried each time");
}

/// What is late keeps its CPU, whatever it is: only what is gone is known to run nothing.
#[test]
fn what_stands_without_a_role_holds_the_cpu_too() {
    let mut world = World::asks("STOPPED", 2)
        .was(Stopping, 3000, Some("Stop"))
        .has(2);
    world.made.retain(|made| made.kind == MadeKind::ConfigMap);
    let late = world.change("a-sc-config", |made| {
        made.going = Some(Box::new(lost()));
    });
    let plan = late.plan();
    assert_eq!(plan.status.allocated_milli, Some(3000));
    let (_, message) = condition(&plan, "Progressing");
    assert!(
        message.starts_with("1 object (ConfigMap a-sc-config) is still being removed."),
        "{message}"
    );
}

/// What a plan makes of the Deployment of the TaskManagers: its replicas, and whether it is paused.
fn ensured(plan: &Plan) -> Option<(Value, Value)> {
    plan.steps.iter().find_map(|step| match step {
        Step::Ensure(built) if built.name == "a-sc-taskmanager" => {
            let spec = &built.object["spec"];
            Some((spec["replicas"].clone(), spec["paused"].clone()))
        }
        _ => None,
    })
}

/// `kubectl delete --cascade=orphan`. One that is deleted in the background looks the same until its pods go too.
#[test]
fn pods_without_their_deployment_get_one_that_makes_no_others_beside_them() {
    let world = || World::asks("RUNNING", 2).was(Running, 3000, None).has(2);
    let task_managers = ["tm-0", "tm-1"];
    let alone = || world().without(&["a-sc-taskmanager"]);
    let plan = alone().plan();
    assert_eq!(plan.status.state, Some(Updating));
    assert_eq!(ensured(&plan), Some((json!(2), json!(true))));
    let deleting = |made: &mut Made| made.going = Some(Box::new(on_its_way()));
    let going = alone().change("tm-0", deleting).change("tm-1", deleting);
    assert_eq!(steps(&going.plan()), [""; 0], "they hold the CPU");
    let paused = |existing: u32, observed: bool| {
        world().change("a-sc-taskmanager", move |made| {
            made.detail = Detail::Workload(Workload {
                replicas: 2,
                existing,
                updated: existing,
                observed,
                paused: true,
                failure: None,
            });
        })
    };
    assert_eq!(steps(&paused(0, true).plan()), [""; 0]);
    assert_eq!(steps(&paused(2, false).plan()), [""; 0]);
    let goes_on = Some((json!(2), json!(false)));
    assert_eq!(ensured(&paused(2, true).plan()), goes_on);
    let gone = paused(0, true).without(&task_managers);
    assert_eq!(ensured(&gone.plan()), goes_on);
}

#[test]
fn pods_without_their_deployment_get_one_before_they_are_removed() {
    let world = || {
        World::asks("STOPPED", 2)
            .was(Stopping, 3000, Some("Stop"))
            .has(2)
    };
    let alone = || world().without(&["a-sc-taskmanager"]);
    let plan = alone().plan();
    assert_eq!(steps(&plan), ["+a-sc-taskmanager"]);
    assert_eq!(ensured(&plan), Some((json!(0), Value::Null)));
    let fostered = |observed: bool| {
        world().change("a-sc-taskmanager", move |made| {
            made.detail = Detail::Workload(Workload {
                observed,
                ..Workload::default()
            });
        })
    };
    assert_eq!(
        steps(&fostered(false).plan()),
        [""; 0],
        "what makes them is not known to be its own yet"
    );
    assert_eq!(steps(&fostered(true).plan()), ["-tm-0", "-tm-1"]);
    let deleting = |made: &mut Made| made.going = Some(Box::new(on_its_way()));
    let going = fostered(true)
        .change("tm-0", deleting)
        .change("tm-1", deleting);
    assert_eq!(steps(&going.plan()), ["-a-sc-taskmanager"]);
    let mut refused = alone();
    refused.refused = Some(Refusal {
        reason: "ObjectRefused",
        message: "no".into(),
    });
    assert_eq!(steps(&refused.plan()), ["-tm-0", "-tm-1"]);
}

/// The next start would bring its jobs back. Without high availability there are none, and what bears its id is somebody else's.
#[test]
fn only_a_cluster_with_high_availability_leaves_jobs_to_be_forgotten() {
    let gone = |options: Value| {
        let mut world = World::asks("STOPPED", 2).was(Stopping, 3000, Some("Stop"));
        world.cluster.spec.flink_configuration = serde_json::from_value(options).unwrap();
        world.proof = Proof::Read;
        world
    };
    for (options, expected) in [
        (json!({"high-availability.type": "kubernetes"}), Some("n")),
        (
            json!({"high-availability": {"type": " Kubernetes "}}),
            Some("n"),
        ),
        (
            json!({"high-availability": "org.apache.flink.kubernetes.highavailability.KubernetesHaServicesFactory"}),
            Some("n"),
        ),
        (json!({"high-availability.type": "zookeeper"}), None),
        (json!({"high-availability.type": "NONE"}), None),
        (json!({}), None),
        (json!(null), None),
    ] {
        let plan = gone(options.clone()).plan();
        assert_eq!(plan.forget_jobs.as_deref(), expected, "{options}");
    }
    let mut elsewhere = gone(json!({"high-availability.type": "kubernetes"}));
    let status = elsewhere.cluster.status.as_mut().unwrap();
    status.target_namespace = Some("t".into());
    assert_eq!(elsewhere.plan().forget_jobs.as_deref(), Some("t"));
    elsewhere.cluster.metadata.finalizers = None;
    assert_eq!(
        elsewhere.plan().forget_jobs,
        None,
        "nothing was ever made of one without"
    );
}

/// A cluster that is about to start, or runs, with high availability.
fn available(mut world: World) -> World {
    let options = json!({"high-availability.type": "kubernetes"});
    world.cluster.spec.flink_configuration = serde_json::from_value(options).unwrap();
    world.gate = Some(Verdict::Open);
    world.flink_id = Some(FlinkId::Free);
    world
}

/// What stood in the way when the run before was torn down, or had another configuration by then, has left its jobs.
#[test]
fn what_an_earlier_run_has_left_is_forgotten_before_the_first_jobmanager_and_never_again() {
    let first = available(World::asks("RUNNING", 2));
    let stopped = available(World::asks("RUNNING", 2).was(Stopped, 0, None));
    let waited = available(World::asks("RUNNING", 2).was(Stopped, 0, Some("Start")));
    let was_spoilt = available(World::asks("RUNNING", 2).was(Failed, 0, Some("Update")));
    for world in [&first, &stopped, &waited, &was_spoilt] {
        let plan = world.plan();
        assert_eq!(plan.forget_jobs.as_deref(), Some("n"));
        assert_eq!(plan.status.allocated_milli, Some(3000));
        // Whatever becomes of its JobManager from now on: its jobs are to come back.
        let mut next = available(World::asks("RUNNING", 2));
        next.cluster.status = Some(plan.status);
        assert_eq!(next.plan().forget_jobs, None);
    }
    let mut elsewhere = available(World::asks("RUNNING", 2));
    elsewhere.target = Target::At("t".into());
    assert_eq!(elsewhere.plan().forget_jobs.as_deref(), Some("t"));
    let mut without = World::asks("RUNNING", 2).was(Stopped, 0, None);
    without.gate = Some(Verdict::Open);
    assert_eq!(without.plan().forget_jobs, None);
    // Its status was lost, as in a restore from a backup, and it runs.
    let mut runs = available(World::asks("RUNNING", 2)).has(2);
    assert_eq!(runs.decide(), Decision::ReadAll);
    runs.proof = Proof::Read;
    assert_eq!(runs.plan().forget_jobs, None);
    // What was to stop and is to run again has its jobs still.
    for before in [Stopping, Starting, Updating, Failed, Running] {
        let world = World::asks("RUNNING", 2).was(before, 3000, Some("Stop"));
        assert_eq!(available(world).plan().forget_jobs, None, "{before:?}");
    }
}

#[test]
fn a_start_waits_while_its_flinks_id_may_be_somebody_elses() {
    let mut world = available(World::asks("RUNNING", 2).was(Stopped, 0, None));
    world.flink_id = None;
    assert_eq!(world.decide(), Decision::AskFlinkId);
    world.flink_id = Some(FlinkId::Taken("Deployment n/a-sc stands".into()));
    let plan = world.plan();
    assert_eq!(
        (plan.status.state, plan.status.allocated_milli),
        (Some(Stopped), Some(0))
    );
    assert_eq!(ready(&plan.status), ("False", "NameTaken"));
    assert!(
        plan.status.operation.is_some(),
        "an operation in progress keeps the charge"
    );
    assert_eq!((steps(&plan), plan.forget_jobs.as_deref()), (vec![], None));
    assert_eq!(told(&plan), ["TransitionFailed"]);
    assert_eq!(plan.notes[0].text, "Deployment n/a-sc stands");
    assert_eq!(plan.again, Some(Duration::from_secs(30)), "no hot loop");
    world.cluster.status = Some(plan.status.clone());
    let again = world.plan();
    assert_eq!((again.status, again.notes), (plan.status, vec![]));
    // It goes.
    world.flink_id = Some(FlinkId::Free);
    let plan = world.plan();
    assert_eq!(plan.status.state, Some(Starting));
    assert_eq!(plan.forget_jobs.as_deref(), Some("n"));
    // What runs is never asked about it.
    let mut runs = available(World::asks("RUNNING", 2).was(Running, 3000, None)).has(2);
    runs.flink_id = None;
    assert_eq!(runs.plan().status.state, Some(Running));
}

#[test]
fn a_deleted_cluster_is_torn_down_whatever_it_asks_for() {
    let mut world = World::asks("RUNNING", 2).was(Running, 3000, None).has(2);
    world.cluster = serde_json::from_value({
        let mut object = serde_json::to_value(&world.cluster).unwrap();
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        object
    })
    .unwrap();
    assert_eq!(steps(&world.plan()), ["-a-sc-taskmanager"]);
    world.cluster.metadata.finalizers = None;
    assert_eq!(
        world.plan().finalizer,
        Finalizer::Leave,
        "Kubernetes takes none any more"
    );
}

#[test]
fn a_target_that_is_missing_is_waited_for() {
    let mut world = World::asks("RUNNING", 2);
    world.target = Target::Missing("there is no x".into());
    let plan = world.plan();
    assert_eq!(
        (plan.status.state, ready(&plan.status).1),
        (Some(Stopped), "NotFound")
    );
    assert_eq!(
        (steps(&plan), told(&plan)),
        (vec![], vec!["TargetNotFound"])
    );
}

#[test]
fn an_object_that_is_refused_is_told_with_the_api_servers_words() {
    let mut world = World::asks("RUNNING", 2).was(Starting, 3000, Some("Start"));
    world.refused = Some(Refusal {
        reason: "ObjectRefused",
        message: "exceeded quota".into(),
    });
    let plan = world.plan();
    assert_eq!(
        (plan.status.state, ready(&plan.status).1),
        (Some(Failed), "ObjectRefused")
    );
    assert_eq!(plan.status.failure.unwrap().message, "exceeded quota");
    assert_eq!(plan.forget_jobs, None, "its jobs are to come back");
    assert!(
        plan.again
            .is_some_and(|again| again >= Duration::from_secs(10)),
        "no hot loop"
    );
}

#[test]
fn flink_is_asked_slowly_only_where_nothing_is_awaited() {
    let listen = |world: &World| world.plan().listen;
    let runs = World::asks("RUNNING", 2).was(Running, 3000, None).has(2);
    assert_eq!(listen(&runs), Listen::Slowly);
    let mut starts = World::asks("RUNNING", 2)
        .was(Starting, 3000, Some("Start"))
        .has(2);
    starts.heard = Heard::Nothing;
    assert_eq!(listen(&starts), Listen::Soon);
    assert_eq!(
        listen(&starts.change("jm", unready)),
        Listen::No,
        "Kubernetes tells when it is ready"
    );
}
