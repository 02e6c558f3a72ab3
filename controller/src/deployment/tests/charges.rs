//! What a Deployment is charged, as the world moves under it: only admission raises that. A charge that a status write lowers is given away
//! to others at once, so no later one may take it back, and a spec that nobody has looked at costs what it asks for.

use proptest::prelude::*;
use proptest::test_runner::Config;
use sluice_api::{DeploymentStatus, DesiredState, SessionJob};

use super::super::in_session::decide as session;
use super::super::in_session::takes;
use super::*;
use crate::ledger::claim::workload;

/// A Deployment, what runs of it, and what was written so far.
struct World {
    scene: Scene,
    job: Option<SessionJob>,
    written: Vec<String>,
}

impl World {
    fn of(scene: Scene) -> Self {
        let mut world = Self {
            scene,
            job: None,
            written: Vec::new(),
        };
        let is_stopped = ["SUSPENDED", "CANCELLED"].contains(&world.state().as_str());
        // What was stopped and shall run was asked to by a write that nobody has looked at.
        world.asked(&if is_stopped {
            json!({"state": "RUNNING"})
        } else {
            json!({})
        });
        world
    }

    fn state(&self) -> String {
        let state = self.scene.status["state"].as_str();
        state.unwrap_or_default().to_owned()
    }

    fn demand(&self) -> u64 {
        workload(&self.scene.stored(), "Deployment")
            .unwrap()
            .demand
            .0
    }

    fn charge(&self) -> u64 {
        let workload = workload(&self.scene.stored(), "Deployment").unwrap();
        workload.charge().0
    }

    /// Somebody writes the spec, and admission lets it pass.
    fn asked(&mut self, spec: &Value) {
        merge(&mut self.scene.spec, spec);
        if spec != &json!({}) {
            merge(&mut self.scene.status, &json!({"observedGeneration": 2}));
        }
        let artifact = self
            .scene
            .spec
            .pointer("/template/spec/artifact/jarUri")
            .cloned();
        self.scene.spoilt = (artifact == Some(json!(""))).then(|| "no jar".to_owned());
        self.scene.demand = self.demand();
        self.written.push(format!("asked {spec}"));
    }

    /// The status is written.
    fn put(&mut self, status: &DeploymentStatus) {
        let is_new = self.scene.status["observedGeneration"] != json!(3);
        let (before, demand) = (self.charge(), self.demand());
        self.scene.status = serde_json::to_value(status).unwrap();
        let (after, status) = (self.charge(), &self.scene.status);
        let told = [&status["state"], &status["operation"]["kind"]];
        self.written.push(format!(
            "{}/{} at {}: {before} -> {after}",
            told[0], told[1], status["observedGeneration"]
        ));
        assert!(after <= before, "raised: {:#?}", self.written);
        let is_to_run = !self.scene.deleted && self.scene.stored().spec.state == WANTED;
        let does_not_run = status["observedGeneration"] == json!(3)
            && ["FINISHED", "FAILED"].map(Value::from).contains(told[0])
            && status["allocatedMilli"] == json!(0);
        assert!(
            !(is_new && is_to_run) || does_not_run || after >= demand,
            "given away unseen: {:#?}",
            self.written
        );
    }

    /// One turn, in which every step comes off that can; `how`: whether Flink takes what it is asked for.
    fn turn(&mut self, how: bool) {
        let stored = self.scene.stored();
        if takes(&stored) {
            return self.turn_in_session(&stored);
        }
        let plan = self.scene.decide();
        self.written.push(format!("decided {}", shown(&plan)));
        self.apply(&plan);
        if plan.finalizer == Finalizer::Remove {
            return;
        }
        let id = || TriggerId("t".into());
        let answer = match plan.step {
            None => return,
            Some(Step::Record { name, spec }) => {
                let mut run = record(&json!({}), &json!({}));
                run.metadata.name = Some(name);
                run.metadata.finalizers = Some(vec!["sluice.dev/teardown".to_owned()]);
                run.spec = *spec;
                run.status = None;
                self.scene.run = Some(run);
                return;
            }
            Some(Step::Release) => {
                if let Some(run) = &mut self.scene.run {
                    run.metadata.finalizers = None;
                }
                return;
            }
            Some(Step::Make) if how => {
                let name = self.scene.run.as_ref().unwrap().metadata.name.clone();
                self.scene.made = cluster();
                for made in &mut self.scene.made {
                    made.job = name.as_deref().map(Into::into);
                }
                Answer::Made(jobmanager_uid())
            }
            Some(Step::Make) => Answer::Refused("Refused", "no".into()),
            Some(Step::Delete(_)) => {
                self.scene.made.clear();
                self.scene.flink = Flink::Absent;
                Answer::Waiting
            }
            Some(Step::Scale(..)) => Answer::Waiting,
            Some(Step::Stop { .. } | Step::Savepoint { .. }) if how => Answer::Stopping(id()),
            Some(Step::Stop { .. } | Step::Savepoint { .. }) => Answer::StopFailed("no".into()),
            Some(Step::Cancel(_)) if how => Answer::Cancelling,
            Some(Step::Cancel(_)) => Answer::CancelFailed("no".into()),
        };
        self.scene.answer = Some(answer);
        let plan = self.scene.decide();
        self.scene.answer = None;
        self.apply(&plan);
    }

    fn apply(&mut self, plan: &Plan) {
        if let (Some(run), Some(next)) = (&mut self.scene.run, &plan.run) {
            run.status = Some(next.clone());
        }
        if plan.finalizer == Finalizer::Leave {
            self.put(&plan.status);
        }
    }

    fn turn_in_session(&mut self, stored: &Deployment) {
        let found = self
            .job
            .as_ref()
            .map_or(session::Found::Nothing, session::Found::Ours);
        let plan = session::decide(&session::Observed {
            deployment: stored,
            now: self.scene.now,
            found,
            savepoints: &[],
        });
        if plan.finalizer != Finalizer::Leave {
            return;
        }
        self.put(&plan.status);
        let mut job = match plan.step {
            None => return,
            Some(session::Step::Delete) => {
                self.job = None;
                return;
            }
            Some(session::Step::Create(job) | session::Step::Replace(job)) => *job,
        };
        job.metadata.generation = Some(job.metadata.generation.unwrap_or_default() + 1);
        self.put(&session::noted(&plan.status, &job, stored));
        self.job = Some(job);
    }

    /// Something happens; `how` makes it one of several.
    fn happens(&mut self, what: u8, how: u8) {
        self.written.push(format!("happens {what} {how}"));
        let pick = |words: &[&str]| words[usize::from(how) % words.len()].to_owned();
        match what {
            0 => self.scene.now += SignedDuration::from_secs(1 << (how % 10)),
            1 => self.flink(how),
            2 => {
                self.scene.made.clear();
                self.scene.flink = Flink::Absent;
            }
            3 => {
                self.scene.stop = match how % 5 {
                    0 => Some(Snapshot::Completed("s3://b/sp/x".into())),
                    1 => Some(Snapshot::Failed("full".into())),
                    2 => Some(Snapshot::InProgress),
                    3 => Some(Snapshot::Unknown),
                    _ => None,
                };
            }
            4 => self.scene.gate = Some([Verdict::Open, no_room()][usize::from(how % 2)].clone()),
            5 => {
                self.asked(&json!({"state": pick(&["RUNNING", "RUNNING", "SUSPENDED", "CANCELLED"])}));
            }
            6 | 7 => {
                self.asked(
                    &json!({"template": {"spec": {"numberOfTaskManagers": 1 + 4 * (how % 3)}}}),
                );
            }
            8 => self.asked(&json!({"upgradeStrategy": {"kind": pick(&["STATEFUL", "STATELESS", "NONE"])}})),
            9 => self.asked(&[json!({"sessionClusterName": "s"}), json!({"sessionClusterName": null})][usize::from(how % 2)]),
            10 => match how % 4 {
                0 => self.asked(&json!({"restartNonce": how})),
                1 => self.asked(&json!({"maxJobCreationAttempts": 1 + how % 2})),
                2 => self.asked(&json!({"maxSavepointCreationAttempts": 1})),
                _ => self.asked(&json!({"template": {"spec": {"artifact": {"jarUri": pick(&["", "https://h/a.jar"])}}}})),
            },
            // Somebody removes a record, or makes something that looks as if it were Sluice's.
            11 => self.scene.run = None,
            12 => self.scene.made.extend(cluster().pop()),
            13 => {
                self.scene.target =
                    [Target::At("n".into()), Target::Missing("none".into())][usize::from(how % 2)].clone();
            }
            14 if how.is_multiple_of(8) => self.scene.deleted = true,
            15 => {
                if let Some(run) = &mut self.scene.run {
                    run.metadata.finalizers = Some(vec!["sluice.dev/teardown".to_owned()]);
                }
            }
            _ => self.session_job(how),
        }
    }

    /// What Flink says of the newest run, where there is one to be asked about.
    fn flink(&mut self, how: u8) {
        if self.scene.made.is_empty() {
            return;
        }
        self.scene.flink = match how % 8 {
            0 | 1 => says(JobState::Running),
            2 => with_checkpoint(JobState::Failed),
            3 => says(JobState::Canceled),
            5 => Flink::Silent("no route".into()),
            6 => Flink::NoSuchJob,
            _ => says(JobState::Finished),
        };
        if let Flink::Job(told) = &mut self.scene.flink {
            told.report.is_last = how % 8 < 7;
        }
    }

    /// What the SessionJob says of itself.
    fn session_job(&mut self, how: u8) {
        let Some(job) = &mut self.job else { return };
        let word = |words: &[&str], how: u8| words[usize::from(how) % words.len()].to_owned();
        let state = word(
            &[
                "RUNNING",
                "FAILED",
                "SUSPENDED",
                "CANCELLED",
                "FINISHED",
                "TRANSITIONING",
                "FAILED",
            ],
            how,
        );
        let flink = word(&["RUNNING", "FINISHED", "FAILED"], how / 7);
        let operation = [json!(null), json!(null), json!({"kind": "Suspend"})];
        let start = how.is_multiple_of(2).then(|| ago(60));
        job.status = serde_json::from_value(json!({"state": state, "observedGeneration": job.metadata.generation,
            "startTime": start, "flinkState": flink, "operation": operation[usize::from(how / 21) % 3],
            "failure": {"reason": word(&["JobFailed", "SavepointCreationFailed", "StopUnclear"], how / 63), "message": "why"}}))
        .unwrap();
        if how > 247 {
            self.job = None;
        }
    }
}

const WANTED: Option<DesiredState> = Some(DesiredState::Running);

fn no_room() -> Verdict {
    Verdict::Refused(Box::new(Refusal {
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
    }))
}

fn at(name: &str) -> World {
    let mut all = situations().into_iter();
    World::of(all.find(|(one, _)| *one == name).unwrap().1)
}

/// One that has another word to say first is no reason to believe what it said before.
#[test]
fn a_session_job_that_has_not_spoken_since_is_not_believed() {
    let mut world = World::of(Scene::empty());
    world.asked(&json!({"sessionClusterName": "s", "upgradeStrategy": {"kind": "NONE"}}));
    for _ in 0..3 {
        world.turn(true);
    }
    world.happens(16, 2);
    world.turn(true);
    assert_eq!(world.state(), "SUSPENDED");
    let job = world.job.as_mut().unwrap();
    job.metadata.generation = Some(9);
    world.asked(&json!({"sessionClusterName": null}));
    world.turn(true);
    assert_eq!(world.charge(), 2000, "{:#?}", world.written);
}

fn larger() -> Value {
    json!({"template": {"spec": {"numberOfTaskManagers": 9}}})
}

/// That the job has ended, or its JobManager, is no look at the spec that was written meanwhile.
#[rstest::rstest]
#[case::ends(1, 7)]
#[case::has_ended(1, 4)]
#[case::was_given_up(1, 2)]
#[case::lost_its_jobmanager(2, 0)]
fn a_run_that_ends_under_a_larger_spec_costs_what_that_asks_for(#[case] what: u8, #[case] how: u8) {
    let mut world = at("runs");
    world.asked(&larger());
    world.happens(what, how);
    for _ in 0..3 {
        world.turn(true);
        assert_eq!(world.charge(), 10_000, "{:#?}", world.written);
    }
    world.happens(2, 0);
    for _ in 0..4 {
        world.turn(true);
        assert_eq!(world.charge(), 10_000, "{:#?}", world.written);
    }
}

/// The last attempt at a savepoint fails when the job is to run again, and larger.
#[test]
fn what_has_failed_to_stop_and_shall_grow_by_now_costs_what_that_asks_for() {
    let mut world = at("being stopped");
    world.asked(&json!({"state": "SUSPENDED", "maxSavepointCreationAttempts": 1}));
    world.turn(true);
    assert_eq!(world.charge(), 2000);
    world.asked(&json!({"state": "RUNNING"}));
    world.asked(&larger());
    world.happens(3, 1);
    for _ in 0..4 {
        world.turn(true);
        assert_eq!(world.charge(), 10_000, "{:#?}", world.written);
        world.scene.now += SignedDuration::from_secs(60);
    }
    assert_eq!(
        world.scene.status["allocatedMilli"],
        json!(10_000),
        "the gate was asked"
    );
}

/// Something that bears its labels, or a record that is gone, starts nothing: whoever may make or remove these is not asked for CPU.
#[rstest::rstest]
#[case::stray("at rest FINISHED", 12, "FINISHED")]
#[case::stray_of_a_failure("FAILED, nothing left", 12, "FAILED")]
#[case::no_record("at rest FINISHED", 11, "FINISHED")]
#[case::held_record("at rest FINISHED", 15, "FINISHED")]
fn what_is_at_rest_stays_there_until_somebody_asks(
    #[case] name: &str,
    #[case] what: u8,
    #[case] state: &str,
) {
    let mut world = at(name);
    world.happens(what, 0);
    for _ in 0..4 {
        world.turn(true);
        assert_eq!(world.charge(), 0, "{:#?}", world.written);
        assert_eq!(world.scene.status["state"], json!(state));
    }
    assert_eq!(world.scene.made, []);
    // A larger spec is not overlooked for it.
    let mut world = at(name);
    world.asked(&larger());
    world.happens(what, 0);
    for _ in 0..4 {
        world.turn(true);
        assert_eq!(world.charge(), 10_000, "{:#?}", world.written);
    }
}

/// Its savepoints fail for good on the session cluster that it is to leave, and its job runs on there, then ends.
#[rstest::rstest]
fn what_leaves_a_session_cluster_costs_what_its_own_will(
    #[values("STATEFUL", "STATELESS", "NONE")] upgrade: &str,
    #[values("FAILED", "SUSPENDED", "FINISHED", "RUNNING")] says: &str,
) {
    let mut world = World::of(Scene::empty());
    world.asked(&json!({"sessionClusterName": "s", "upgradeStrategy": {"kind": upgrade}}));
    let told = |world: &mut World, state: &str, flink: &str| {
        let job = world.job.as_mut().unwrap();
        let status = json!({"state": state, "observedGeneration": job.metadata.generation, "flinkState": flink});
        job.status = serde_json::from_value(status).unwrap();
        world.turn(true);
        world.written.push(format!("told {state} {flink}"));
    };
    for _ in 0..4 {
        world.turn(true);
    }
    told(&mut world, "RUNNING", "RUNNING");
    assert_eq!(
        (world.charge(), world.demand()),
        (0, 0),
        "its session cluster has paid"
    );
    world.asked(&json!({"sessionClusterName": null}));
    for _ in 0..3 {
        told(&mut world, says, "RUNNING");
        assert_eq!(world.charge(), 2000, "{:#?}", world.written);
    }
    let before = world.scene.status.clone();
    world.turn(true);
    assert_eq!(world.scene.status, before, "the same again changes nothing");
    told(&mut world, "FAILED", "FAILED");
    for _ in 0..4 {
        world.turn(true);
        assert_eq!(world.charge(), 2000, "{:#?}", world.written);
    }
    assert_eq!(world.scene.status["operation"]["kind"], json!("Start"));
}

/// Specs that are written in a situation, beside the one that stood there.
fn writes() -> Vec<Value> {
    let more = json!({"template": {"spec": {"numberOfTaskManagers": 9}}});
    let with = |extra: Value| {
        let mut spec = more.clone();
        merge(&mut spec, &extra);
        spec
    };
    vec![
        json!({}),
        json!({"maxJobCreationAttempts": 3}),
        with(json!({})),
        with(json!({"upgradeStrategy": {"kind": "STATELESS"}})),
        with(json!({"upgradeStrategy": {"kind": "NONE"}})),
        with(json!({"template": {"spec": {"artifact": {"jarUri": ""}}}})),
        json!({"sessionClusterName": "s"}),
        json!({"state": "SUSPENDED"}),
        json!({"state": "CANCELLED"}),
    ]
}

proptest! {
    #![proptest_config(Config { cases: Config::default().cases / 4, failure_persistence: None, ..Config::default() })]

    /// Every situation, every write of a spec, and whatever happens then, one after the other.
    #[test]
    fn only_admission_raises_a_charge(
        start in 0..situations().len(),
        spec in 0..writes().len(),
        moves in proptest::collection::vec((0..18_u8, any::<u8>(), any::<bool>()), 1..40),
    ) {
        let mut world = World::of(situations().swap_remove(start).1);
        world.asked(&writes().swap_remove(spec));
        for (what, how, takes) in moves {
            world.happens(what, how);
            world.turn(takes);
            world.turn(true);
        }
    }
}
