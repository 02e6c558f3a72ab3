//! The edge: reads, decides, writes, makes, calls Flink. Between two of these the process may die at any time; [`Probe`] lets
//! tests do so.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::Api;
use kube::{Client, Resource, ResourceExt};
use sluice_api::conditions::reasons;
use sluice_api::names::finalizers;
use sluice_api::{Deployment, Job, JobState as RunState};
use sluice_policy::MilliCpu;

use super::decide::decide;
use super::frozen::Frozen;
use super::place::{Place, demand};
use super::settle::is_over;
use super::sight::{Again, Answer, Decision, Finalizer, Flink, Observed, Plan, Step, Stored, Told};
use super::{identity, place};
use crate::flink::{FlinkClient, FlinkError, FlinkHttp, Snapshot, StopAnswer, TriggerId};
use crate::ledger::gate::Verdict;
use crate::objects::application::frozen;
use crate::objects::names::Names;
use crate::objects::{Application, BuildSettings, FlinkCluster, MadeKind, Owner, Role, build};
use crate::runtime::events::Events;
use crate::runtime::hand::{Hand, HandError};
use crate::runtime::index::Index;
use crate::runtime::made::{Detail, Made};
use crate::runtime::status::{self, Written};
use crate::session_cluster::decide::Proof;
use crate::session_cluster::health::AddressOf;
use crate::session_cluster::target::Target;
use crate::session_job::read::report;

/// After somebody else wrote first.
const OUTDATED: Duration = Duration::from_millis(200);
/// Steps that follow from each other at once; more of them wait for their turn.
const TURNS: usize = 12;

/// Called after each write and call, with its name; `false` ends the work there, as if the process had died.
pub type Probe = Arc<dyn Fn(&Deployment, &'static str) -> bool + Send + Sync>;

/// What the reconciler works with.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Reads and writes made objects.
    pub hand: Hand,
    /// What has been made.
    pub index: Index,
    /// Targets and the second gate.
    pub place: Place,
    /// Flink.
    pub flink: FlinkHttp,
    /// Where a JobManager's REST API is.
    pub address: AddressOf,
    /// Events.
    pub events: Events,
    /// How objects are made.
    pub build: BuildSettings,
    /// Nothing, but in tests.
    pub probe: Option<Probe>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}

/// A Deployment could not be seen to; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server failed.
    #[error("{what}: {source}")]
    Kube {
        /// What was tried.
        what: &'static str,
        /// What went wrong.
        source: Box<kube::Error>,
    },
    /// A made object could not be read, made or removed.
    #[error(transparent)]
    Hand(#[from] HandError),
    /// A Savepoint of the name that is needed is of another job.
    #[error(
        "Savepoint {name} is of another job, and {location} has to be kept under this name; rename or delete it"
    )]
    SavepointTaken {
        /// The name.
        name: String,
        /// What has to be kept.
        location: String,
    },
    /// Somebody else wrote first.
    #[error("somebody else wrote first")]
    Outdated,
    /// A test has ended the work here.
    #[error("ended by the probe after {0}")]
    Probe(&'static str),
}

pub(super) fn kube(what: &'static str) -> impl Fn(kube::Error) -> Error {
    move |source| Error::Kube {
        what,
        source: Box::new(source),
    }
}

/// How far what is known goes; grows until a decision can be made.
struct Knowledge {
    made: Vec<Made>,
    proof: Proof,
    gate: Option<Verdict>,
    savepoints: Option<Vec<Stored>>,
}

/// What is read once a turn.
struct Read {
    demand: Result<MilliCpu, String>,
    target: Target,
    spoilt: Option<String>,
    frozen: Frozen,
    flink: Flink,
    stop: Option<Snapshot>,
}

impl Read {
    fn decide(
        &self,
        deployment: &Deployment,
        run: Option<&Job>,
        known: &Knowledge,
        answer: Option<Answer>,
    ) -> Decision {
        decide(&Observed {
            deployment,
            now: Timestamp::now(),
            demand: self.demand.clone(),
            target: self.target.clone(),
            spoilt: self.spoilt.clone(),
            gate: known.gate.clone(),
            run,
            version: self.frozen.version,
            task_managers: self.frozen.task_managers,
            folder: self.frozen.folder.clone(),
            made: &known.made,
            proof: known.proof,
            flink: self.flink.clone(),
            stop: self.stop.clone(),
            savepoints: known.savepoints.as_deref(),
            answer,
        })
    }
}

impl Context {
    /// Sees to one Deployment; returns when to look again.
    ///
    /// # Errors
    /// What keeps it from being seen to.
    pub async fn reconcile(&self, deployment: &Deployment) -> Result<Option<Duration>, Error> {
        let mut deployment = deployment.clone();
        for _ in 0..TURNS {
            let Some(again) = self.turn(&mut deployment).await? else {
                return Ok(Some(OUTDATED));
            };
            match again {
                Again::AtOnce => {}
                Again::After(time) => return Ok(Some(time)),
                Again::OnNews => return Ok(None),
            }
        }
        Ok(Some(OUTDATED))
    }

    pub(super) fn probed(&self, deployment: &Deployment, point: &'static str) -> Result<(), Error> {
        match &self.probe {
            Some(probe) if !probe(deployment, point) => Err(Error::Probe(point)),
            _ => Ok(()),
        }
    }

    /// One decision, and what it asks for; `None` where somebody else wrote first.
    async fn turn(&self, deployment: &mut Deployment) -> Result<Option<Again>, Error> {
        let uid = deployment.uid().unwrap_or_default();
        let run = self.newest_run(deployment).await?;
        let mut known = Knowledge {
            made: self.index.of(&uid),
            proof: Proof::Watched,
            gate: None,
            savepoints: None,
        };
        let mut read = self.read(deployment, run.as_ref(), &known.made).await?;
        let plan = loop {
            match read.decide(deployment, run.as_ref(), &known, None) {
                Decision::Act(plan) => break plan,
                Decision::AskGate => {
                    let demand = read.demand.clone().unwrap_or_default();
                    let verdict = self.place.gate(deployment, demand).await;
                    known.gate = Some(verdict.map_err(kube("reading the namespace"))?);
                }
                Decision::ReadAll => {
                    let places = namespaces(deployment, run.as_ref(), &known.made);
                    known.made = self.hand.read_all(&uid, &places).await?;
                    self.index.correct(&uid, &known.made);
                    known.proof = Proof::Read;
                }
                Decision::ReadSavepoints => {
                    known.savepoints = Some(self.savepoints(deployment).await?);
                }
            }
        };
        let Some(run) = self.apply(deployment, run.as_ref(), &plan).await? else {
            return Ok(None);
        };
        let Some(step) = plan.step else {
            return Ok(Some(plan.again));
        };
        let answer = self
            .act(deployment, run.as_ref(), &known.made, &step)
            .await?;
        tracing::debug!(
            deployment = deployment.name_any(),
            ?answer,
            "a step was taken"
        );
        if matches!(answer, Answer::Recorded | Answer::Done) {
            return Ok(Some(plan.again));
        }
        // What the answer changes is written upon what was written before the step.
        (read.flink, read.stop) = (Flink::Absent, None);
        let Decision::Act(plan) = read.decide(deployment, run.as_ref(), &known, Some(answer))
        else {
            return Ok(Some(Again::After(OUTDATED)));
        };
        Ok(self
            .apply(deployment, run.as_ref(), &plan)
            .await?
            .map(|_| plan.again))
    }

    async fn read(
        &self,
        deployment: &Deployment,
        run: Option<&Job>,
        made: &[Made],
    ) -> Result<Read, Error> {
        let target = self.place.target(deployment).await;
        let target = target.map_err(kube("reading the target's namespace"))?;
        let (flink, stop) = self.ask(deployment, run, made).await;
        Ok(Read {
            demand: demand(deployment),
            spoilt: self.spoilt(deployment, &target),
            target,
            frozen: run.map(Frozen::of).unwrap_or_default(),
            flink,
            stop,
        })
    }

    /// Why no objects can be made of the spec, if so: it is tried with a run that does not exist.
    fn spoilt(&self, deployment: &Deployment, target: &Target) -> Option<String> {
        let template = deployment.spec.template.as_ref();
        let template = template
            .and_then(|all| all.spec.clone())
            .unwrap_or_default();
        let namespace = match target {
            Target::At(namespace) => namespace.as_str(),
            _ => "default",
        };
        let mut tried = Job::new(&deployment.name_any(), sluice_api::JobSpec::default());
        tried.metadata.uid = deployment.uid();
        let application = Application::of(&tried, &template);
        if application.jar.is_none() {
            return Some(
                "spec.template.spec.artifact.jarUri: is needed to run; write where the jar is"
                    .to_owned(),
            );
        }
        let built = FlinkCluster::of_run(owner(deployment), namespace, &template, application);
        let built = built.and_then(|cluster| build(&cluster, &self.build));
        built.err().map(|error| error.to_string())
    }

    fn client_of(&self, made: &[Made], run: &Job) -> Option<Result<FlinkClient, FlinkError>> {
        let name = run.name_any();
        let ip = made.iter().find_map(|made| match &made.detail {
            Detail::Service {
                cluster_ip: Some(ip),
            } if made.job.as_deref() == Some(name.as_str()) => Some(ip),
            _ => None,
        })?;
        Some(self.flink.at(&(self.address)(ip)))
    }

    /// What Flink says of the newest run, and of its stop.
    async fn ask(
        &self,
        deployment: &Deployment,
        run: Option<&Job>,
        made: &[Made],
    ) -> (Flink, Option<Snapshot>) {
        let Some((run, id)) = run.and_then(|run| Some((run, identity::job_id(run)?))) else {
            return (Flink::Absent, None);
        };
        let status = run.status.clone().unwrap_or_default();
        let name = run.name_any();
        let is_up = made.iter().any(|made| {
            made.role == Some(Role::JobManager)
                && made.job.as_deref() == Some(name.as_str())
                && made.pod().is_some_and(|pod| pod.ready)
        });
        let is_over = status.state.is_some_and(is_over);
        if is_over || status.jobmanager_uid.is_none() || !(is_up || status.start_time.is_some()) {
            return (Flink::Absent, None);
        }
        let flink = match self.client_of(made, run) {
            None => return (Flink::Absent, None),
            Some(Ok(flink)) => flink,
            Some(Err(error)) => return (Flink::Silent(error.to_string()), None),
        };
        let report = match report(&flink, &id).await {
            Ok(Some(report)) => report,
            Ok(None) => return (Flink::NoSuchJob, None),
            Err(error) => return (Flink::Silent(error.to_string()), None),
        };
        let mut told = Told {
            tasks_run: true,
            restarts: None,
            task_managers: None,
            report,
        };
        if !told.report.state.is_terminal() {
            let (restarts, overview) = tokio::join!(flink.restarts(&id), flink.overview());
            if status.start_time.is_none() {
                told.tasks_run = flink.tasks_run(&id).await.unwrap_or(false);
            }
            told.restarts = restarts.ok().flatten();
            told.task_managers = overview.ok().map(|overview| overview.taskmanagers);
        }
        let operation = deployment.status.as_ref();
        let operation = operation.and_then(|status| status.operation.as_ref());
        let trigger = operation.and_then(|operation| operation.trigger_id.clone());
        let stop = match trigger {
            // Unheard answers are asked for again.
            Some(trigger) => flink.snapshot(&id, &TriggerId(trigger)).await.ok(),
            None => None,
        };
        (Flink::Job(Box::new(told)), stop)
    }

    /// Writes what a plan says, into the object too; the run's record afterwards, or `None` where somebody else wrote first.
    async fn apply(
        &self,
        deployment: &mut Deployment,
        run: Option<&Job>,
        plan: &Plan,
    ) -> Result<Option<Option<Job>>, Error> {
        if plan.finalizer == Finalizer::Add {
            let mut all = deployment.finalizers().to_vec();
            all.push(finalizers::TEARDOWN.to_owned());
            let written = status::set_finalizers(&self.client, deployment, &all).await;
            let written = written.map_err(kube("adding the finalizer"))?;
            self.probed(deployment, "finalizer added")?;
            return Ok(match written {
                Written::Stored(stored) => {
                    *deployment = *stored;
                    Some(run.cloned())
                }
                Written::Outdated => None,
            });
        }
        let mut run = run.cloned();
        if let Some(next) = &plan.run {
            // The end of a run must follow from what is asked for now, not from what a watch has seen last.
            if next.state.is_some_and(is_over) && !self.is_newest(deployment).await? {
                return Ok(None);
            }
            if let Some(record) = &plan.savepoint {
                self.keep(deployment, record).await?;
            }
            if let Some(before) = &run {
                let Some(stored) = self.write_run(deployment, before, next.clone()).await? else {
                    return Ok(None);
                };
                run = Some(stored);
            }
        }
        let is_changed = deployment.status.as_ref() != Some(&plan.status);
        let is_leaving = plan.finalizer == Finalizer::Remove;
        if is_changed && !is_leaving {
            deployment.status = Some(plan.status.clone());
            let written = status::put(&self.client, deployment).await;
            match written.map_err(kube("writing the status"))? {
                Written::Stored(stored) => *deployment = *stored,
                Written::Outdated => return Ok(None),
            }
            self.probed(deployment, "status written")?;
        } else if plan.step.is_some() && !self.is_newest(deployment).await? {
            return Ok(None);
        }
        let reference = deployment.object_ref(&());
        for note in &plan.notes {
            self.events.write(&reference, note).await;
        }
        if is_leaving {
            let mut all = deployment.finalizers().to_vec();
            all.retain(|name| name != finalizers::TEARDOWN);
            if all.len() < deployment.finalizers().len() {
                let written = status::set_finalizers(&self.client, deployment, &all).await;
                written.map_err(kube("removing the finalizer"))?;
                self.probed(deployment, "finalizer removed")?;
            }
        }
        let has_begun = plan.run.as_ref().and_then(|run| run.state) == Some(RunState::Started);
        if has_begun && let Err(error) = self.prune(deployment).await {
            tracing::warn!(deployment = deployment.name_any(), %error, "old records could not be removed");
        }
        Ok(Some(run))
    }

    async fn is_newest(&self, deployment: &Deployment) -> Result<bool, Error> {
        let namespace = deployment.namespace().unwrap_or_default();
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &namespace);
        let now = api.get_opt(&deployment.name_any()).await;
        let now = now.map_err(kube("reading the Deployment"))?;
        Ok(now.is_some_and(|now| now.resource_version() == deployment.resource_version()))
    }

    /// Takes the step that was decided.
    async fn act(
        &self,
        deployment: &Deployment,
        run: Option<&Job>,
        made: &[Made],
        step: &Step,
    ) -> Result<Answer, Error> {
        match step {
            Step::Record { name, spec } => return self.record_run(deployment, name, spec).await,
            Step::Delete(going) => {
                for one in going {
                    self.hand.delete(one).await?;
                    self.probed(deployment, "object deleted")?;
                }
                return Ok(Answer::Waiting);
            }
            Step::Scale(workload, number) => {
                self.hand.scale(workload, *number).await?;
                return Ok(Answer::Waiting);
            }
            Step::Make
            | Step::Release
            | Step::Stop { .. }
            | Step::Savepoint { .. }
            | Step::Cancel(_) => {}
        }
        let Some(run) = run else {
            return Ok(Answer::Waiting);
        };
        match step {
            Step::Make => self.make(deployment, run).await,
            Step::Release => {
                // Nobody is left who uses it, and the next run would find this one's job there.
                let id = Names::of_deployment(&deployment.name_any()).flink_id();
                let namespace = namespace_of(deployment, Some(run));
                self.hand.remove_high_availability(&namespace, &id).await?;
                self.release(deployment, run).await?;
                Ok(Answer::Done)
            }
            step => {
                let flink = match self.client_of(made, run) {
                    None => return Ok(Answer::Unclear("its Service has no address".to_owned())),
                    Some(Ok(flink)) => flink,
                    Some(Err(error)) => return Ok(Answer::Unclear(error.to_string())),
                };
                self.call(deployment, &flink, step).await
            }
        }
    }

    async fn call(
        &self,
        deployment: &Deployment,
        flink: &FlinkClient,
        step: &Step,
    ) -> Result<Answer, Error> {
        Ok(match step {
            Step::Stop {
                job,
                directory,
                trigger,
            } => {
                let asked = flink
                    .stop_with_savepoint(job, directory.as_deref(), trigger.as_ref())
                    .await;
                self.probed(deployment, "stop asked for")?;
                stopping(asked)
            }
            Step::Savepoint { job, directory } => {
                let asked = flink.savepoint(job, directory.as_deref(), None).await;
                self.probed(deployment, "savepoint asked for")?;
                stopping(asked)
            }
            Step::Cancel(job) => {
                let asked = flink.cancel(job).await;
                self.probed(deployment, "cancellation asked for")?;
                match asked {
                    Ok(()) => Answer::Cancelling,
                    Err(error) => Answer::CancelFailed(error.to_string()),
                }
            }
            _ => Answer::Waiting,
        })
    }

    /// Makes what is not there of a run's cluster; its JobManager last, and only once.
    async fn make(&self, deployment: &Deployment, run: &Job) -> Result<Answer, Error> {
        let refused = |error: String| Answer::Refused(reasons::INVALID_SPEC, error);
        let template = match frozen(run.spec.template.as_ref()) {
            Ok(template) => template,
            Err(error) => return Ok(refused(error.to_string())),
        };
        let status = run.status.as_ref();
        let has_jobmanager = status.is_some_and(|status| status.jobmanager_uid.is_some());
        let cluster = FlinkCluster::of_run(
            owner(deployment),
            &namespace_of(deployment, Some(run)),
            &template,
            Application::of(run, &template),
        );
        let built = match cluster.and_then(|cluster| build(&cluster, &self.build)) {
            Ok(built) => built,
            Err(error) if !has_jobmanager => return Ok(refused(error.to_string())),
            Err(_) => return Ok(Answer::Waiting),
        };
        let mut answer = Answer::Waiting;
        for object in built {
            if object.kind == MadeKind::Job && has_jobmanager {
                continue;
            }
            match self.hand.ensure(&object).await {
                Ok(ensured) if object.kind == MadeKind::Job => answer = Answer::Made(ensured.uid),
                Ok(_) => {}
                Err(HandError::BeingDeleted { .. }) => return Ok(Answer::Waiting),
                Err(error @ (HandError::Refused { .. } | HandError::NameTaken { .. })) => {
                    if has_jobmanager {
                        // What runs is left alone.
                        tracing::warn!(%error, "something of a running job cannot be made again");
                        return Ok(Answer::Waiting);
                    }
                    let reason = match error {
                        HandError::NameTaken { .. } => reasons::NAME_TAKEN,
                        _ => reasons::OBJECT_REFUSED,
                    };
                    return Ok(Answer::Refused(reason, error.to_string()));
                }
                Err(error) => return Err(error.into()),
            }
            self.probed(
                deployment,
                if object.kind == MadeKind::Job {
                    "JobManager made"
                } else {
                    "object made"
                },
            )?;
        }
        Ok(answer)
    }
}

/// What Flink's answer to a stop means.
fn stopping(asked: Result<StopAnswer, FlinkError>) -> Answer {
    match asked {
        Ok(StopAnswer::Accepted(id)) => Answer::Stopping(id),
        Ok(StopAnswer::NoSuchJob) => Answer::Unclear("Flink does not know the job.".to_owned()),
        Err(error) if error.is_transient() => Answer::Unclear(error.to_string()),
        Err(error) => Answer::StopFailed(error.reason()),
    }
}

fn owner(deployment: &Deployment) -> Owner {
    Owner {
        kind: "Deployment",
        namespace: deployment.namespace().unwrap_or_default(),
        name: deployment.name_any(),
        uid: deployment.uid().unwrap_or_default(),
    }
}

/// The namespace that a run's pods are in.
fn namespace_of(deployment: &Deployment, run: Option<&Job>) -> String {
    let frozen = run.and_then(|run| run.spec.target_namespace.clone());
    let told = deployment.status.as_ref();
    let told = told.and_then(|status| status.target_namespace.clone());
    frozen
        .or(told)
        .or_else(|| deployment.namespace())
        .unwrap_or_default()
}

/// Namespaces that something of the Deployment may lie in.
fn namespaces(deployment: &Deployment, run: Option<&Job>, made: &[Made]) -> Vec<String> {
    let mut all: Vec<String> = made.iter().map(|made| made.namespace.clone()).collect();
    all.push(namespace_of(deployment, run));
    all.extend(deployment.namespace());
    all.sort();
    all.dedup();
    all
}

/// CPU that the status says its pods have; for whoever asks from outside.
pub use place::held;
