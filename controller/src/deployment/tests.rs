//! The decision as a table: every situation against every desired state, and what `vvp-deployments.txt` promises, with a clock that
//! the test sets.

use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};
use sluice_api::events::EventReason;
use sluice_api::{
    Deployment, DeploymentState, Job, JobState as RunState, RunningCondition, SavepointOrigin,
};
use sluice_policy::MilliCpu;
use sluice_policy::flink::FlinkVersion;
use sluice_policy::ledger::{Ask, Figures, QuotaKey, Reason, Refusal};

use super::decide::decide;
use super::identity;
use super::sight::*;
use crate::flink::types::{Checkpoint, Latest};
use crate::flink::{JobState, Snapshot, TriggerId};
use crate::ledger::gate::Verdict;
use crate::objects::{MadeKind, Role};
use crate::runtime::going::Going;
use crate::runtime::made::{Batch, Detail, Made, Pod, Workload};
use crate::session_cluster::decide::Proof;
use crate::session_cluster::target::Target;

mod charges;
pub(super) mod context;
mod not_kept;
mod remains;
mod shut_down;

const RUN_UID: &str = "6f0c0d5e-0000-4000-8000-000000000001";
const RUN_ID: &str = "6f0c0d5e000040008000000000000001";

fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

fn ago(seconds: i64) -> Value {
    json!((now() - SignedDuration::from_secs(seconds)).to_string())
}

fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}

/// A Deployment as it is stored, with a finalizer.
fn deployment(spec: &Value, status: &Value) -> Deployment {
    let mut all = json!({"state": "RUNNING", "template": {"spec": {"artifact": {"jarUri": "https://h/a.jar", "flinkVersion": "1.20"},
        "flinkConfiguration": {"state.savepoints.dir": "s3://b/sp"}}}});
    merge(&mut all, spec);
    serde_json::from_value(json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "n", "uid": "u", "generation": 3, "finalizers": ["sluice.dev/teardown"]},
        "spec": all, "status": status}))
    .unwrap()
}

/// The Job object of run 1, made from what `deployment(spec)` says.
fn record(spec: &Value, status: &Value) -> Job {
    serde_json::from_value(json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "Job",
        "metadata": {"name": "d-1", "namespace": "n", "uid": RUN_UID},
        "spec": {"startedWith": identity::fingerprint(&deployment(spec, &json!({})))}, "status": status}))
    .unwrap()
}

fn made(kind: MadeKind, role: Option<Role>, detail: Detail) -> Made {
    Made {
        kind,
        namespace: "n".into(),
        name: format!("d-dep-{}", role.map_or("config", Role::word)),
        uid: format!("uid-{kind}-{role:?}"),
        role,
        job: Some("d-1".into()),
        input: None,
        built: None,
        digest: 0,
        going: None,
        detail,
    }
}

/// All that a run consists of.
fn cluster() -> Vec<Made> {
    vec![
        made(MadeKind::ConfigMap, None, Detail::Plain),
        made(
            MadeKind::Service,
            None,
            Detail::Service {
                cluster_ip: Some("10.0.0.1".into()),
            },
        ),
        made(
            MadeKind::Deployment,
            Some(Role::TaskManager),
            Detail::Workload(Workload {
                replicas: 1,
                ..Workload::default()
            }),
        ),
        made(
            MadeKind::Job,
            Some(Role::JobManager),
            Detail::Batch(Batch::Runs),
        ),
        made(
            MadeKind::Pod,
            Some(Role::JobManager),
            Detail::Pod(Pod {
                ready: true,
                ..Pod::default()
            }),
        ),
    ]
}

fn jobmanager_uid() -> String {
    format!("uid-Job-{:?}", Some(Role::JobManager))
}

fn says(state: JobState) -> Flink {
    Flink::Job(Box::new(Told {
        report: Report {
            state,
            failure: None,
            latest: Latest::default(),
            is_last: true,
        },
        tasks_run: true,
        restarts: Some(0),
        task_managers: Some(1),
    }))
}

fn with_checkpoint(state: JobState) -> Flink {
    let Flink::Job(mut told) = says(state) else {
        unreachable!()
    };
    told.report.latest.completed = Some(Checkpoint {
        external_path: Some("s3://b/ck/chk-7".into()),
        latest_ack_timestamp: now().as_millisecond() - 5_000,
        ..Checkpoint::default()
    });
    Flink::Job(told)
}

/// All that is observed, owned.
#[derive(Clone)]
struct Scene {
    spec: Value,
    status: Value,
    run: Option<Job>,
    made: Vec<Made>,
    flink: Flink,
    stop: Option<Snapshot>,
    gate: Option<Verdict>,
    demand: u64,
    savepoints: Vec<Stored>,
    answer: Option<Answer>,
    deleted: bool,
    version: Option<FlinkVersion>,
    target: Target,
    spoilt: Option<String>,
    now: Timestamp,
}

impl Scene {
    fn empty() -> Self {
        Self {
            spec: json!({}),
            status: json!({}),
            run: None,
            made: Vec::new(),
            flink: Flink::Absent,
            stop: None,
            gate: Some(Verdict::Open),
            demand: 2000,
            savepoints: Vec::new(),
            answer: None,
            deleted: false,
            version: Some(FlinkVersion::new(1, 20)),
            target: Target::At("n".into()),
            spoilt: None,
            now: now(),
        }
    }

    /// A job that runs.
    fn running() -> Self {
        let run = json!({"state": "STARTED", "jobmanagerUid": jobmanager_uid(), "startTime": ago(3600), "flinkState": "RUNNING",
            "lastRestartCount": 0});
        Self {
            status: json!({"state": "RUNNING", "observedGeneration": 3, "jobName": "d-1", "allocatedMilli": 2000,
                "running": {"jobId": RUN_ID, "transitionTime": ago(3600)}}),
            run: Some(record(&json!({}), &run)),
            made: cluster(),
            flink: says(JobState::Running),
            ..Self::empty()
        }
    }

    fn with(mut self, status: &Value) -> Self {
        merge(&mut self.status, status);
        self
    }

    fn asked(mut self, spec: &Value) -> Self {
        merge(&mut self.spec, spec);
        self
    }

    fn run_is(mut self, status: &Value) -> Self {
        if let Some(run) = &mut self.run {
            let mut all = serde_json::to_value(run.status.clone().unwrap_or_default()).unwrap();
            merge(&mut all, status);
            run.status = serde_json::from_value(all).unwrap();
        }
        self
    }

    fn gone(mut self) -> Self {
        self.made.clear();
        self.flink = Flink::Absent;
        self
    }

    /// The Deployment as it is stored.
    fn stored(&self) -> Deployment {
        let mut deployment = deployment(&self.spec, &self.status);
        if self.deleted {
            deployment.metadata.deletion_timestamp = Some(Time(self.now));
        }
        deployment
    }

    fn decide(&self) -> Plan {
        let deployment = self.stored();
        let mut observed = Observed {
            deployment: &deployment,
            now: self.now,
            demand: Ok(MilliCpu(self.demand)),
            target: self.target.clone(),
            spoilt: self.spoilt.clone(),
            gate: None,
            run: self.run.as_ref(),
            version: self.version,
            task_managers: Some(1),
            folder: Some("s3://b/sp".into()),
            made: &self.made,
            proof: Proof::Watched,
            flink: self.flink.clone(),
            stop: self.stop.clone(),
            savepoints: None,
            answer: self.answer.clone(),
        };
        for _ in 0..5 {
            match decide(&observed) {
                Decision::Act(plan) => return *plan,
                Decision::AskGate => observed.gate.clone_from(&self.gate),
                Decision::ReadAll => observed.proof = Proof::Read,
                Decision::ReadSavepoints => observed.savepoints = Some(&self.savepoints),
            }
        }
        panic!("no decision")
    }

    /// The same after a plan was written, and its step taken as nothing had gone wrong.
    fn after(mut self, plan: &Plan) -> Self {
        self.status = serde_json::to_value(&plan.status).unwrap();
        if let (Some(run), Some(next)) = (&mut self.run, &plan.run) {
            run.status = Some(next.clone());
        }
        if let Some(record) = &plan.savepoint {
            self.savepoints.push(Stored {
                name: record.name.clone(),
                location: record.location.clone(),
                completed: record.completed,
                origin: record.origin,
            });
        }
        match &plan.step {
            Some(Step::Delete(_)) => self = self.gone(),
            Some(Step::Record { .. }) => self.run = None,
            _ => {}
        }
        self.stop = None;
        self
    }
}

fn step(plan: &Plan) -> String {
    match &plan.step {
        None => "-".to_owned(),
        Some(Step::Record { name, spec }) => match &spec.savepoint_name {
            Some(from) => format!("record {name} from {from}"),
            None => format!("record {name}"),
        },
        Some(Step::Make) => "make".to_owned(),
        Some(Step::Scale(_, number)) => format!("scale to {number}"),
        Some(Step::Delete(made)) => format!("delete {}", made.len()),
        Some(Step::Release) => "release".to_owned(),
        Some(Step::Stop { .. }) => "stop".to_owned(),
        Some(Step::Savepoint { .. }) => "savepoint".to_owned(),
        Some(Step::Cancel(_)) => "cancel".to_owned(),
    }
}

fn shown(plan: &Plan) -> String {
    let state = plan.status.state.map_or("-", DeploymentState::as_str);
    let operation = plan
        .status
        .operation
        .as_ref()
        .and_then(|one| one.kind.as_deref());
    let mut text = format!("{state}/{} {}", operation.unwrap_or("-"), step(plan));
    if let Some(run) = plan.run.as_ref().and_then(|run| run.state) {
        let _ = write!(text, ", job {run}");
    }
    if plan.finalizer == Finalizer::Remove {
        text.push_str(", let go");
    }
    text
}

fn told(plan: &Plan) -> Vec<EventReason> {
    plan.notes.iter().map(|note| note.reason).collect()
}

fn condition<'p>(plan: &'p Plan, kind: &str) -> &'p RunningCondition {
    let running = plan.status.running.as_ref().unwrap();
    running
        .conditions
        .iter()
        .find(|one| one.type_ == kind)
        .unwrap()
}

/// Every situation that a Deployment can be in.
#[allow(clippy::too_many_lines, reason = "a table")]
fn situations() -> Vec<(&'static str, Scene)> {
    let running = Scene::running;
    let changed = |scene: Scene| {
        scene
            .asked(&json!({"restartNonce": 7}))
            .with(&json!({"observedGeneration": 2}))
    };
    let starting = running().with(&json!({"state": "TRANSITIONING", "running": null, "operation": {"kind": "Start", "startedAt": ago(5)}}))
        .run_is(&json!({"state": "STARTING", "startTime": null}));
    let stopping = running().with(&json!({"state": "TRANSITIONING", "running": null,
        "operation": {"kind": "Suspend", "startedAt": ago(5), "triggerId": "t", "targetDirectory": "s3://b/sp/n-d-1-t"}}));
    let lost_stop = stopping.clone();
    let cancelling = running().with(&json!({"state": "TRANSITIONING", "running": null, "operation": {"kind": "Cancel", "startedAt": ago(5)}}))
        .run_is(&json!({"state": "TERMINATING"}));
    let ended = |kind: &str, state: &str, savepoint: Value| {
        running()
            .with(&json!({"state": "TRANSITIONING", "running": null, "operation": {"kind": kind, "startedAt": ago(5)}}))
            .run_is(&json!({"state": state, "endTime": ago(100), "savepointName": savepoint}))
    };
    let rest = |state: &str, run: &str| {
        running()
            .with(&json!({"state": state, "running": null, "allocatedMilli": 0}))
            .run_is(&json!({"state": run, "endTime": ago(100)}))
            .gone()
    };
    let silent = |scene: Scene| Scene {
        flink: Flink::Silent("no route".into()),
        ..scene
    };
    let says = |scene: Scene, state: JobState| Scene {
        flink: says(state),
        ..scene
    };
    vec![
        ("new", Scene::empty()),
        (
            "claimed, not recorded",
            Scene {
                run: None,
                ..starting.clone().gone()
            },
        ),
        (
            "recorded, not made",
            starting
                .clone()
                .run_is(&json!({"state": null, "jobmanagerUid": null}))
                .gone(),
        ),
        (
            "made, not stored",
            starting
                .clone()
                .run_is(&json!({"state": null, "jobmanagerUid": null})),
        ),
        ("starting, not heard", silent(starting.clone())),
        (
            "starting, CREATED",
            says(starting.clone(), JobState::Created),
        ),
        ("starting, RUNNING", starting.clone()),
        ("starting, FAILED", says(starting.clone(), JobState::Failed)),
        ("runs", running()),
        ("runs, not heard", silent(running())),
        ("runs, RESTARTING", says(running(), JobState::Restarting)),
        ("runs, changed", changed(running())),
        (
            "runs, changed, STATELESS",
            changed(running()).asked(&json!({"upgradeStrategy": {"kind": "STATELESS"}})),
        ),
        (
            "runs, changed, NONE",
            changed(running()).asked(&json!({"upgradeStrategy": {"kind": "NONE"}})),
        ),
        ("runs, FINISHED", says(running(), JobState::Finished)),
        ("runs, FAILED", says(running(), JobState::Failed)),
        (
            "runs, CANCELED by another",
            says(running(), JobState::Canceled),
        ),
        (
            "being stopped",
            Scene {
                stop: Some(Snapshot::InProgress),
                ..stopping.clone()
            },
        ),
        (
            "stopped",
            Scene {
                stop: Some(Snapshot::Completed("s3://b/sp/n-d-1-t/x".into())),
                ..stopping.clone()
            },
        ),
        (
            "stop failed",
            Scene {
                stop: Some(Snapshot::Failed("full".into())),
                ..stopping.clone()
            },
        ),
        (
            "stop not heard of",
            Scene {
                stop: Some(Snapshot::Unknown),
                ..stopping
            },
        ),
        (
            "stopping, JobManager lost",
            Scene {
                made: Vec::new(),
                flink: Flink::Absent,
                ..lost_stop
            },
        ),
        ("being cancelled", cancelling.clone()),
        ("cancelled", says(cancelling, JobState::Canceled)),
        ("over, stopped", ended("Suspend", "FINISHED", json!("sp"))),
        (
            "over, stopped, gone",
            ended("Suspend", "FINISHED", json!("sp")).gone(),
        ),
        (
            "over, cancelled, gone",
            ended("Cancel", "TERMINATED", json!(null)).gone(),
        ),
        (
            "over, lost, gone",
            ended("Recover", "FAILED", json!("ck")).gone(),
        ),
        ("at rest CANCELLED", rest("CANCELLED", "TERMINATED")),
        ("at rest SUSPENDED", rest("SUSPENDED", "FINISHED")),
        ("at rest FINISHED", rest("FINISHED", "FINISHED")),
        ("FAILED, nothing left", rest("FAILED", "FAILED")),
        (
            "FAILED, nothing left, changed",
            changed(rest("FAILED", "FAILED")),
        ),
        (
            "FAILED, the job runs",
            running().with(&json!({"state": "FAILED", "running": null})),
        ),
    ]
}

#[test]
fn every_situation_against_every_desired_state() {
    let mut table = String::new();
    for (name, scene) in situations() {
        let _ = writeln!(table, "{name}");
        for (wish, spec, deleted) in [
            ("RUNNING", "RUNNING", false),
            ("SUSPENDED", "SUSPENDED", false),
            ("CANCELLED", "CANCELLED", false),
            ("deleted", "RUNNING", true),
        ] {
            let scene = Scene {
                deleted,
                ..scene.clone().asked(&json!({"state": spec}))
            };
            let _ = writeln!(table, "    {wish:9} {}", shown(&scene.decide()));
        }
    }
    insta::assert_snapshot!(table);
}

/// From every situation, whatever was asked before, the last desired state is reached, and no second run begins before the first is
/// gone.
#[test]
fn only_the_latest_desired_state_counts() {
    for (name, scene) in situations() {
        for (first, then, end) in [
            ("SUSPENDED", "CANCELLED", DeploymentState::Cancelled),
            ("CANCELLED", "SUSPENDED", DeploymentState::Suspended),
            ("RUNNING", "CANCELLED", DeploymentState::Cancelled),
        ] {
            let mut scene = scene.clone().asked(&json!({"state": first}));
            let plan = scene.decide();
            scene = scene
                .after(&plan)
                .asked(&json!({"state": then}))
                .with(&json!({"observedGeneration": 2}));
            let mut seen = Vec::new();
            for _ in 0..20 {
                let plan = scene.decide();
                seen.push(shown(&plan));
                let is_record = matches!(plan.step, Some(Step::Record { .. }));
                assert!(!is_record || scene.made.is_empty(), "{name}: {seen:#?}");
                let asked = plan.step.clone();
                scene = scene.after(&plan);
                // Flink does as it is asked.
                if scene.flink != Flink::Absent {
                    match asked {
                        Some(Step::Cancel(_)) => scene.flink = says(JobState::Canceled),
                        Some(Step::Stop { .. }) => {
                            scene.stop = Some(Snapshot::Completed("s3://b/sp/x".into()));
                        }
                        _ => {}
                    }
                    // A job that is to be suspended is heard of again, sooner or later.
                    if matches!(scene.flink, Flink::Silent(_)) {
                        scene.flink = says(JobState::Running);
                    }
                }
                scene.now += SignedDuration::from_secs(20);
                if plan.again == Again::OnNews {
                    break;
                }
            }
            let state: DeploymentState =
                serde_json::from_value(scene.status["state"].clone()).unwrap();
            let ended_by_itself =
                matches!(state, DeploymentState::Finished | DeploymentState::Failed)
                    && then == "SUSPENDED";
            assert!(
                state == end || ended_by_itself,
                "{name}, {first} then {then}: {seen:#?}"
            );
        }
    }
}

/// The ledger charges nothing for it, so it must not get pods of its own: it is handed over as soon as nothing of them is left.
#[test]
fn a_deployment_for_a_session_cluster_gets_no_cluster_of_its_own() {
    let asked = json!({"state": "RUNNING", "sessionClusterName": "shared"});
    let new = Scene::empty().asked(&asked).decide();
    assert!(new.step.is_none(), "{}", shown(&new));
    assert_eq!(new.status.state, Some(DeploymentState::Transitioning));
    assert_eq!(new.status.target_namespace, None);
    assert_eq!(new.status.allocated_milli, Some(0));
    assert_eq!(new.status.operation, None);
    // One that runs is stopped as for any other upgrade.
    let running = Scene::running()
        .asked(&asked)
        .with(&json!({"observedGeneration": 2}))
        .decide();
    assert!(
        matches!(running.step, Some(Step::Stop { .. })),
        "{}",
        shown(&running)
    );
    // Nothing is touched for a spec that no job can be made of.
    let spoilt = json!({"state": "RUNNING", "sessionClusterName": "shared", "template": {"spec": {"artifact": {"jarUri": "", "entryClass": ""}}}});
    let running = Scene::running()
        .asked(&spoilt)
        .with(&json!({"observedGeneration": 2}))
        .decide();
    assert!(running.step.is_none(), "{}", shown(&running));
    assert_eq!(running.status.state, Some(DeploymentState::Running));
}

#[test]
fn cancellation_takes_longer_than_the_deadline_of_3_minutes() {
    let at = |seconds| {
        Scene::running()
            .asked(&json!({"state": "CANCELLED"}))
            .with(&json!({"operation": {"kind": "Cancel", "startedAt": ago(seconds)}}))
            .run_is(&json!({"state": "TERMINATING", "lastCheckpoint": "s3://b/ck/chk-7", "lastCheckpointTime": ago(9)}))
            .decide()
    };
    assert_eq!(shown(&at(180)), "TRANSITIONING/Cancel cancel");
    let late = at(181);
    assert_eq!(shown(&late), "RUNNING/Cancel -, job TERMINATED");
    assert_eq!(told(&late), [EventReason::CancellationFailed]);
    assert_eq!(
        late.savepoint.unwrap().location,
        "s3://b/ck/chk-7",
        "what is left is kept"
    );
}

#[test]
fn cancellation_fails_multiple_times_5_times() {
    let mut scene = Scene::running().asked(&json!({"state": "CANCELLED"}));
    let mut calls = 0;
    for _ in 0..20 {
        let plan = scene.decide();
        if plan.run.as_ref().and_then(|run| run.state) == Some(RunState::Terminated) {
            assert_eq!(
                (calls, told(&plan)),
                (5, vec![EventReason::CancellationFailed])
            );
            return;
        }
        let asks = matches!(plan.step, Some(Step::Cancel(_)));
        scene = scene.after(&plan);
        if asks {
            calls += 1;
            scene.answer = Some(Answer::CancelFailed("500".into()));
            let plan = scene.decide();
            scene = scene.after(&plan);
            scene.answer = None;
        }
    }
    panic!("{calls} calls and no end");
}

#[test]
fn max_savepoint_creation_attempts_then_failed_while_the_job_still_runs() {
    let stopping = |failures: i32| {
        let mut scene = Scene::running()
            .asked(&json!({"state": "SUSPENDED"}))
            .with(&json!({"attempts": {"savepointCreation": failures}, "operation": {"kind": "Suspend", "startedAt": ago(5), "triggerId": "t"}}));
        scene.stop = Some(Snapshot::Failed("the disk is full".into()));
        scene
    };
    let third = stopping(2).decide();
    assert_eq!(shown(&third), "TRANSITIONING/- -");
    assert_eq!(told(&third), [EventReason::SavepointFailed]);
    let fourth = stopping(3).decide();
    assert_eq!(
        (shown(&fourth).as_str(), told(&fourth)),
        ("FAILED/- -", vec![EventReason::TransitionFailed])
    );
    assert_eq!(
        fourth.status.failure.as_ref().unwrap().reason,
        "SavepointCreationFailed"
    );
    assert_eq!(fourth.status.allocated_milli, Some(2000));
    // It stays so until somebody changes something: by hand, for example by cancelling.
    let failed = stopping(3).after(&fourth);
    assert_eq!(failed.decide().status, fourth.status);
    let by_hand = failed
        .asked(&json!({"state": "CANCELLED"}))
        .with(&json!({"observedGeneration": 2}));
    assert_eq!(shown(&by_hand.decide()), "TRANSITIONING/Cancel cancel");
}

#[test]
fn a_job_runs_when_its_tasks_do() {
    let mut scene = Scene::running()
        .with(&json!({"state": "TRANSITIONING", "running": null, "operation": {"kind": "Start", "startedAt": ago(5)}}))
        .run_is(&json!({"state": "STARTING", "startTime": null}));
    let Flink::Job(told) = &mut scene.flink else {
        unreachable!()
    };
    told.tasks_run = false;
    assert_eq!(shown(&scene.decide()), "TRANSITIONING/Start -");
    let Flink::Job(told) = &mut scene.flink else {
        unreachable!()
    };
    told.tasks_run = true;
    assert_eq!(shown(&scene.decide()), "TRANSITIONING/Start -, job STARTED");
}

#[test]
fn attempts_are_reset_to_zero_after_a_success() {
    let scene = Scene::running()
        .with(&json!({"state": "TRANSITIONING", "attempts": {"jobCreation": 3, "savepointCreation": 2}, "operation": {"kind": "Start"}}));
    assert_eq!(scene.decide().status.attempts, None);
}

#[test]
fn max_job_creation_attempts_then_failed() {
    let over = |failures: i32| {
        Scene::running()
            .with(&json!({"state": "TRANSITIONING", "attempts": {"jobCreation": failures}, "operation": {"kind": "Start", "startedAt": ago(5)}}))
            .run_is(&json!({"state": "FAILED", "startTime": null, "endTime": ago(1), "failure": {"reason": "x", "message": "no such class"}}))
    };
    let plan = over(2).decide();
    assert_eq!(shown(&plan), "TRANSITIONING/Retry -");
    assert_eq!(told(&plan), [EventReason::JobCreationFailed]);
    let waiting = over(2).after(&plan).gone();
    assert_eq!(
        waiting.decide().again,
        Again::After(std::time::Duration::from_secs(7)),
        "the third is 8 s after its failure"
    );
    let plan = over(3).decide();
    assert_eq!(shown(&plan), "TRANSITIONING/Fail -");
    let failed = over(3).after(&plan).gone();
    let plan = failed.decide();
    assert_eq!(shown(&plan), "FAILED/- -");
    let failure = plan.status.failure.clone().unwrap();
    assert!(
        failure.message.contains("in 4 attempts") && failure.message.contains("no such class"),
        "{failure:?}"
    );
    assert_eq!(
        plan.status.allocated_milli,
        Some(0),
        "nothing runs, nothing is charged"
    );
}

fn restarts(times: &[i64], counter: i64) -> Plan {
    let times: Vec<Value> = times.iter().map(|minutes| ago(minutes * 60)).collect();
    let mut scene = Scene::running().run_is(&json!({"restartTimes": times, "lastRestartCount": 5}));
    let Flink::Job(told) = &mut scene.flink else {
        unreachable!()
    };
    told.restarts = Some(counter);
    scene.decide()
}

#[test]
fn job_failing_is_3_restarts_within_10_minutes_and_job_unstable_3_within_60() {
    let words = |plan: &Plan| {
        let of = |kind| condition(plan, kind).status.clone();
        format!("{}/{}", of("JobFailing"), of("JobUnstable"))
    };
    assert_eq!(words(&restarts(&[9, 8], 5)), "False/False");
    assert_eq!(
        words(&restarts(&[9, 8], 6)),
        "True/True",
        "JobFailing implies JobUnstable"
    );
    assert_eq!(words(&restarts(&[11, 8], 6)), "False/True");
    assert_eq!(words(&restarts(&[61, 59, 58], 5)), "False/False");
    let plan = restarts(&[9, 8], 6);
    assert_eq!(
        told(&plan),
        [EventReason::JobFailing, EventReason::JobUnstable]
    );
    assert_eq!(plan.run.unwrap().restarts, Some(1));
    let fallen = restarts(&[], 1).run.unwrap();
    assert_eq!(
        (fallen.restarts, fallen.last_restart_count),
        (Some(2), Some(1)),
        "a new JobManager counts as one"
    );
}

#[test]
fn a_condition_has_times_of_its_last_transition_and_of_its_last_update() {
    let first = restarts(&[9, 8], 6);
    let at = |one: &RunningCondition| {
        (
            one.last_transition_time.clone().unwrap().0,
            one.last_update_time.clone().unwrap().0,
        )
    };
    assert_eq!(at(condition(&first, "JobFailing")), (now(), now()));
    let mut scene = Scene::running();
    scene.run.as_mut().unwrap().status = first.run.clone();
    scene.status = serde_json::to_value(&first.status).unwrap();
    scene.now += SignedDuration::from_secs(30);
    let Flink::Job(told) = &mut scene.flink else {
        unreachable!()
    };
    told.restarts = Some(6);
    assert_eq!(scene.decide().status, first.status, "nothing is new");
    let Flink::Job(told) = &mut scene.flink else {
        unreachable!()
    };
    told.restarts = Some(7);
    let later = scene.now;
    assert_eq!(
        at(condition(&scene.decide(), "JobFailing")),
        (now(), later),
        "the message changed, the status did not"
    );
}

#[test]
fn cluster_unreachable_is_a_job_last_observed_in_an_unknown_status() {
    let plan = Scene {
        flink: Flink::Silent("no route".into()),
        ..Scene::running()
    }
    .decide();
    assert_eq!(plan.status.state, Some(DeploymentState::Running));
    let unreachable = condition(&plan, "ClusterUnreachable");
    assert_eq!(unreachable.status, "True");
    assert!(unreachable.message.as_ref().unwrap().contains("no route"));
    assert_eq!(told(&plan), [EventReason::ClusterUnreachable]);
    assert_eq!(
        condition(&Scene::running().decide(), "ClusterUnreachable").status,
        "False"
    );
}

fn stored(name: &str, seconds: i64, origin: SavepointOrigin) -> Stored {
    Stored {
        name: name.into(),
        location: format!("s3://b/{name}"),
        completed: now() - SignedDuration::from_secs(seconds),
        origin,
    }
}

#[test]
fn the_configured_restore_strategy_determines_which_snapshot_is_restored() {
    let start = |kind: &str, savepoints: Vec<Stored>| {
        let scene = Scene {
            savepoints,
            ..Scene::empty().asked(&json!({"restoreStrategy": {"kind": kind}, "upgradeStrategy": {"kind": "STATELESS"}}))
        };
        step(&scene.decide())
    };
    let all = || {
        vec![
            stored("user", 30, SavepointOrigin::UserRequest),
            stored("suspend", 20, SavepointOrigin::Suspend),
            stored("retained", 10, SavepointOrigin::RetainedCheckpoint),
            stored("copied", 40, SavepointOrigin::Copied),
        ]
    };
    assert_eq!(start("LATEST_STATE", all()), "record d-1 from retained");
    assert_eq!(start("LATEST_SAVEPOINT", all()), "record d-1 from suspend");
    assert_eq!(start("NONE", all()), "record d-1");
    assert_eq!(start("LATEST_STATE", Vec::new()), "record d-1");
}

#[test]
fn what_a_run_leaves_is_kept_before_anything_follows() {
    let suspended = Scene {
        stop: Some(Snapshot::Completed("s3://b/sp/x".into())),
        ..Scene::running()
            .asked(&json!({"state": "SUSPENDED"}))
            .with(&json!({"operation": {"kind": "Suspend", "startedAt": ago(5), "triggerId": "t"}}))
    };
    let plan = suspended.decide();
    let kept = plan.savepoint.clone().unwrap();
    assert_eq!(
        (kept.origin, kept.location.as_str()),
        (SavepointOrigin::Suspend, "s3://b/sp/x")
    );
    assert_eq!(plan.run.unwrap().state, Some(RunState::Finished));
    assert_eq!(
        plan.status.state,
        Some(DeploymentState::Running),
        "its cluster stands until that is stored"
    );
    for state in [JobState::Canceled, JobState::Failed] {
        let plan = Scene {
            flink: with_checkpoint(state),
            ..Scene::running()
        }
        .decide();
        assert_eq!(
            plan.savepoint.unwrap().origin,
            SavepointOrigin::RetainedCheckpoint,
            "{state:?}"
        );
    }
    let mut early = with_checkpoint(JobState::Canceled);
    if let Flink::Job(told) = &mut early {
        told.report.is_last = false;
    }
    let plan = Scene {
        flink: early,
        ..Scene::running()
    }
    .decide();
    assert_eq!(
        (plan.savepoint, plan.run),
        (None, None),
        "its last snapshots are not certain yet"
    );
}

/// The controller may have died before it saw all tasks run, and come back when they run no more.
#[test]
fn a_run_that_is_given_up_before_it_was_seen_to_run_leaves_its_checkpoint() {
    let starting = Scene::running()
        .with(&json!({"state": "TRANSITIONING", "running": null, "operation": {"kind": "Start", "startedAt": ago(600)}}))
        .run_is(&json!({"state": "STARTING", "startTime": null}));
    for asked in [
        json!({"state": "SUSPENDED"}),
        json!({"state": "CANCELLED"}),
        json!({"restartNonce": 7}),
    ] {
        let given_up = |flink: Flink| {
            let scene = Scene {
                flink,
                ..starting.clone().asked(&asked)
            };
            let plan = scene.with(&json!({"observedGeneration": 2})).decide();
            assert_eq!(shown(&plan), "TRANSITIONING/Cancel -, job TERMINATED");
            plan.savepoint
        };
        let kept = given_up(with_checkpoint(JobState::Restarting)).unwrap();
        assert_eq!(
            (kept.origin, kept.location.as_str()),
            (SavepointOrigin::RetainedCheckpoint, "s3://b/ck/chk-7")
        );
        assert_eq!(given_up(says(JobState::Restarting)), None);
    }
}

#[test]
fn a_job_manager_is_made_once_and_its_loss_ends_the_run() {
    let mut scene = Scene::running();
    scene.made.retain(|made| made.kind != MadeKind::Job);
    let plan = scene
        .clone()
        .run_is(&json!({"lastCheckpoint": "s3://b/ck/chk-7"}))
        .decide();
    assert_eq!(shown(&plan), "RUNNING/- -, job FAILED");
    assert_eq!(plan.savepoint.unwrap().location, "s3://b/ck/chk-7");
    let plan = scene
        .run_is(&json!({"state": "FAILED", "endTime": ago(0)}))
        .decide();
    assert_eq!(
        (shown(&plan).as_str(), told(&plan)),
        ("TRANSITIONING/Recover -", vec![EventReason::Recovering])
    );
}

#[test]
fn an_upgrade_that_grows_is_charged_before_the_old_job_is_touched() {
    let grown = |gate: Verdict| Scene {
        demand: 3000,
        gate: Some(gate),
        ..Scene::running()
            .asked(&json!({"restartNonce": 1}))
            .with(&json!({"observedGeneration": 2}))
    };
    let plan = grown(Verdict::Open).decide();
    assert_eq!(
        (shown(&plan).as_str(), plan.status.allocated_milli),
        ("TRANSITIONING/Suspend stop", Some(3000))
    );
    let plan = grown(Verdict::NotCounted("not yet".into())).decide();
    assert_eq!(
        (shown(&plan).as_str(), plan.status.allocated_milli),
        ("RUNNING/Upgrade -", Some(2000))
    );
    // Without growth nobody is asked: an upgrade keeps its charge.
    let same = Scene {
        demand: 2000,
        gate: None,
        ..grown(Verdict::Open)
    };
    assert_eq!(shown(&same.decide()), "TRANSITIONING/Suspend stop");
}

#[test]
fn a_stop_has_an_id_and_a_folder_of_its_own_that_are_stored_first() {
    let plan = Scene::running()
        .asked(&json!({"state": "SUSPENDED"}))
        .decide();
    let operation = plan.status.operation.clone().unwrap();
    let Some(Step::Stop {
        job,
        directory,
        trigger,
    }) = plan.step
    else {
        panic!("{:?}", plan.step)
    };
    assert_eq!(job.as_str(), RUN_ID);
    assert_eq!(operation.trigger_id, trigger.map(|TriggerId(id)| id));
    assert_eq!(operation.target_directory, directory);
    assert!(directory.unwrap().starts_with("s3://b/sp/n-d-1-"));
}

/// A stop may be complete when the JobManager is lost that has not told yet: what is in its folder may be newer than every snapshot that
/// is known, so nothing goes on without somebody who has looked.
#[test]
fn a_stop_whose_outcome_was_lost_ends_failed_with_its_folder_and_the_way_out() {
    let folder = "s3://b/sp/n-d-1-t";
    for wish in ["RUNNING", "SUSPENDED"] {
        let mut scene = Scene::running()
            .asked(&json!({"state": wish, "restartNonce": 1}))
            .with(
                &json!({"state": "TRANSITIONING", "running": null, "operation": {"kind": "Suspend", "startedAt": ago(5),
                "triggerId": "t", "targetDirectory": folder}}),
            )
            .run_is(&json!({"lastCheckpoint": "s3://b/ck/chk-7", "lastCheckpointTime": ago(60)}))
            .gone();
        let mut seen = Vec::new();
        for _ in 0..8 {
            let plan = scene.decide();
            assert!(!matches!(plan.step, Some(Step::Record { .. })), "{seen:#?}");
            seen.push(shown(&plan));
            scene = scene.after(&plan);
            if plan.again == Again::OnNews {
                break;
            }
        }
        let failure = &scene.status["failure"];
        assert_eq!(scene.status["state"], "FAILED", "{seen:#?}");
        assert_eq!(failure["reason"], "StopUnclear");
        let message = failure["message"].as_str().unwrap();
        for part in [folder, "spec.savepointLocation", "spec.restartNonce"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert_eq!(scene.savepoints[0].location, "s3://b/ck/chk-7");
        // The way out: the savepoint is brought in, and the next start takes it.
        scene
            .savepoints
            .push(stored("found", 1, SavepointOrigin::Copied));
        let changed = scene
            .asked(&json!({"state": "RUNNING", "restartNonce": 2}))
            .with(&json!({"observedGeneration": 2}));
        assert_eq!(
            shown(&changed.decide()),
            "TRANSITIONING/Start record d-2 from found"
        );
    }
}

#[test]
fn before_flink_1_9_a_savepoint_is_triggered_and_then_the_job_is_cancelled() {
    let old = Scene {
        version: Some(FlinkVersion::new(1, 8)),
        ..Scene::running().asked(&json!({"state": "SUSPENDED"}))
    };
    let plan = old.decide();
    assert_eq!(shown(&plan), "TRANSITIONING/Suspend savepoint");
    assert_eq!(
        plan.status.operation.as_ref().unwrap().trigger_id,
        None,
        "its Flink chooses the id"
    );
    let mut scene = old.after(&plan);
    scene.answer = Some(Answer::Stopping(TriggerId("t".into())));
    let plan = scene.decide();
    scene = scene.after(&plan);
    scene.answer = None;
    scene.stop = Some(Snapshot::InProgress);
    assert_eq!(shown(&scene.decide()), "TRANSITIONING/Suspend -");
    scene.stop = Some(Snapshot::Completed("s3://b/sp/x".into()));
    let plan = scene.decide();
    assert_eq!(shown(&plan), "TRANSITIONING/Cancel -, job STARTED");
    assert_eq!(
        plan.savepoint.as_ref().unwrap().origin,
        SavepointOrigin::Suspend
    );
    scene = scene.after(&plan);
    let plan = scene.decide();
    assert_eq!(shown(&plan), "TRANSITIONING/Cancel cancel");
    scene = scene.after(&plan);
    scene.flink = with_checkpoint(JobState::Canceled);
    let plan = scene.decide();
    assert_eq!(shown(&plan), "TRANSITIONING/Cancel -, job TERMINATED");
    assert_eq!(plan.savepoint, None, "the savepoint is what it leaves");
    scene = scene.after(&plan);
    let mut last = String::new();
    for _ in 0..4 {
        let plan = scene.decide();
        last = shown(&plan);
        scene = scene.after(&plan);
    }
    assert_eq!(last, "SUSPENDED/- -");
    assert_eq!(scene.savepoints.len(), 1);
}

/// Decision 17: a recovery is never refused, whatever the spec asks for by now.
#[test]
fn a_recovery_whose_growth_is_refused_runs_again_as_it_was() {
    let refusal = Refusal {
        quota: QuotaKey::Namespaced {
            namespace: "n".into(),
            name: "default".into(),
        },
        ask: Ask::Growth,
        reason: Reason::OverLimit,
        figures: Figures {
            hard: MilliCpu(2000),
            used: MilliCpu(2000),
            reserved: MilliCpu::ZERO,
            asked: MilliCpu(1000),
        },
    };
    let before = json!({"spec": {"parallelism": 7}});
    let mut scene = Scene {
        demand: 3000,
        gate: Some(Verdict::Refused(Box::new(refusal))),
        savepoints: vec![stored("ck", 9, SavepointOrigin::RetainedCheckpoint)],
        ..Scene::running()
            .asked(&json!({"restartNonce": 1}))
            .with(&json!({"state": "TRANSITIONING", "running": null, "operation": {"kind": "Recover", "startedAt": ago(5)}}))
            .run_is(&json!({"state": "FAILED", "endTime": ago(100), "savepointName": "ck"}))
            .gone()
    };
    let run = scene.run.as_mut().unwrap();
    run.spec.template = serde_json::from_value(before).unwrap();
    let started_with = run.spec.started_with.clone();
    let plan = scene.decide();
    assert_eq!(shown(&plan), "TRANSITIONING/Start record d-2 from ck");
    assert_eq!(
        plan.status.allocated_milli,
        Some(2000),
        "no more than before"
    );
    assert!(told(&plan).contains(&EventReason::GrowthRefused));
    let Some(Step::Record { spec, .. }) = &plan.step else {
        panic!("{:?}", plan.step)
    };
    assert_eq!(spec.started_with, started_with);
    assert_eq!(spec.template, scene.run.as_ref().unwrap().spec.template);
    // It is made, although the spec says otherwise.
    let mut made = scene.clone();
    made.status = serde_json::to_value(&plan.status).unwrap();
    let record = made.run.as_mut().unwrap();
    record.metadata.name = Some("d-2".into());
    record.status = None;
    assert_eq!(shown(&made.decide()), "TRANSITIONING/Start make");
    // The process died before its record was stored: its name is given back, and the same comes out.
    scene.status = serde_json::to_value(&plan.status).unwrap();
    let run = scene.run.take();
    let plan = scene.decide();
    assert_eq!(shown(&plan), "TRANSITIONING/Recover -");
    assert_eq!(plan.status.job_name.as_deref(), Some("d-1"));
    scene.status = serde_json::to_value(&plan.status).unwrap();
    scene.run = run;
    assert_eq!(
        shown(&scene.decide()),
        "TRANSITIONING/Start record d-2 from ck"
    );
    // One that has never run is not begun again as it was.
    let never = scene.run_is(&json!({"startTime": null}));
    assert_eq!(shown(&never.decide()), "TRANSITIONING/Recover -");
}

/// Somebody has removed the record of a run that is over, and it goes as soon as it is let go of: what follows its end is known all the same.
#[test]
fn what_follows_an_end_is_not_forgotten_with_its_record() {
    let gone = |kind: &str, reason: &str| {
        Scene {
        run: None,
        ..Scene::running()
            .with(
                &json!({"state": "TRANSITIONING", "running": null, "failure": {"reason": reason, "message": "why"},
                "operation": {"kind": kind, "startedAt": ago(5)}}),
            )
            .gone()
    }
    };
    assert_eq!(shown(&gone("Finish", "").decide()), "FINISHED/- -");
    assert_eq!(shown(&gone("Fail", "Cancelled").decide()), "FAILED/- -");
    for spec in [
        json!({}),
        json!({"restartNonce": 1}),
        json!({"state": "SUSPENDED"}),
    ] {
        let unclear = gone("Fail", "StopUnclear").asked(&spec);
        let plan = unclear.with(&json!({"observedGeneration": 2})).decide();
        assert_eq!(shown(&plan), "FAILED/- -", "{spec}");
        assert_eq!(plan.status.failure.unwrap().reason, "StopUnclear");
    }
    // A spec that was changed meanwhile asks for another run.
    for kind in ["Finish", "Fail"] {
        let changed = gone(kind, "Cancelled").with(&json!({"observedGeneration": 2}));
        assert_eq!(
            shown(&changed.decide()),
            "TRANSITIONING/Start record d-2",
            "{kind}"
        );
    }
    // And stays to be seen until nothing of the run is left.
    let ends = Scene::running()
        .asked(&json!({"restartNonce": 1}))
        .with(&json!({"observedGeneration": 2}))
        .run_is(&json!({"state": "FINISHED", "endTime": ago(1)}));
    let plan = ends.decide();
    assert_eq!(shown(&plan), "TRANSITIONING/Finish -");
    assert_eq!(plan.status.observed_generation, Some(2));
}

fn progressing(plan: &Plan) -> (String, String) {
    let mut all = plan.status.conditions.iter();
    let found = all.find(|one| one.type_ == "Progressing").unwrap();
    (found.reason.clone(), found.message.clone())
}

#[test]
fn pods_that_do_not_go_are_named() {
    let going = || Some(Box::new(Going::from_node("node-1", now())));
    let mut scene = Scene::running()
        .asked(&json!({"state": "CANCELLED"}))
        .with(&json!({"state": "TRANSITIONING", "running": null, "operation": {"kind": "Cancel", "startedAt": ago(90)}}))
        .run_is(&json!({"state": "TERMINATED", "endTime": ago(80)}));
    for made in &mut scene.made {
        made.going = going();
    }
    let plan = scene.decide();
    assert_eq!(shown(&plan), "TRANSITIONING/Cancel -");
    let told = |message: &str| ("Stopping".to_owned(), message.to_owned());
    assert_eq!(
        progressing(&plan),
        told("1 pod (d-dep-jobmanager) is still being removed.")
    );
    scene.now = now() + SignedDuration::from_secs(30);
    assert_eq!(
        progressing(&scene.decide()),
        told(
            "1 pod (d-dep-jobmanager) is still being removed. Pod n/d-dep-jobmanager should have gone by 2026-11-21T10:00:00Z: node node-1 has \
             not said that its processes have ended; if the node is lost for good, \"kubectl delete node node-1\" lets go of its pods."
        )
    );
    scene.now = now();
    for number in 0..4 {
        let mut more = made(
            MadeKind::Pod,
            Some(Role::TaskManager),
            Detail::Pod(Pod::default()),
        );
        more.name = format!("tm-{number}");
        more.going = going();
        scene.made.push(more);
    }
    assert_eq!(
        progressing(&scene.decide()),
        told("5 pods (d-dep-jobmanager, tm-0, tm-1 and 2 more) are still being removed.")
    );
    scene.made.retain(|made| made.kind == MadeKind::Service);
    assert_eq!(
        progressing(&scene.decide()),
        told("1 object (Service d-dep-config) is still being removed.")
    );
}

#[test]
fn a_stop_that_flink_tells_nothing_of_says_so_and_how_it_can_be_ended() {
    for (wish, nonce) in [("SUSPENDED", json!(null)), ("RUNNING", json!(1))] {
        let silent = Scene {
            flink: Flink::Silent("no route".into()),
            ..Scene::running()
                .asked(&json!({"state": wish, "restartNonce": nonce}))
                .with(&json!({"state": "TRANSITIONING", "running": null,
                    "operation": {"kind": "Suspend", "startedAt": ago(5), "triggerId": "t", "targetDirectory": "s3://b/sp/n-d-1-t"}}))
        };
        let plan = silent.decide();
        assert_eq!(shown(&plan), "TRANSITIONING/Suspend -");
        let (reason, message) = progressing(&plan);
        assert_eq!(reason, "Unreachable");
        for part in ["no route", "CANCELLED", "without"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        let heard = Scene {
            flink: says(JobState::Running),
            stop: Some(Snapshot::InProgress),
            ..silent
        };
        assert_ne!(progressing(&heard.decide()).0, "Unreachable");
    }
}

#[test]
fn task_managers_that_have_ended_are_not_counted() {
    let mut scene = Scene::running();
    for ended in [true, false] {
        let detail = Detail::Pod(Pod {
            ended,
            ready: !ended,
            ..Pod::default()
        });
        let pod = made(MadeKind::Pod, Some(Role::TaskManager), detail);
        scene.made.push(pod);
    }
    assert_eq!(scene.decide().status.number_of_task_managers, Some(1));
}
