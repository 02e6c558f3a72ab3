//! The edge: what every turn needs, and its order: [`super::observe`] and the decision, what that writes, then [`super::act`]. Between two of
//! these the process may die at any time; [`Probe`] lets tests do so.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kube::api::Api;
use kube::{Client, Resource, ResourceExt};
use sluice_api::names::finalizers;
use sluice_api::{Deployment, Job, JobState as RunState};

use super::in_session;
use super::place::{self, Place};
use super::records::Kept;
use super::settle::is_over;
use super::sight::{Again, Answer, Decision, Finalizer, Flink, Plan, Stored};
use crate::flink::FlinkHttp;
use crate::ledger::gate::Verdict;
use crate::objects::BuildSettings;
use crate::runtime::events::Events;
use crate::runtime::hand::{Hand, HandError};
use crate::runtime::index::Index;
use crate::runtime::made::Made;
use crate::runtime::status::{self, Written};
use crate::session_cluster::decide::Proof;
use crate::session_cluster::health::AddressOf;
use crate::session_cluster::target::Target;

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
pub(super) struct Knowledge {
    pub(super) made: Vec<Made>,
    pub(super) proof: Proof,
    pub(super) gate: Option<Verdict>,
    pub(super) savepoints: Option<Vec<Stored>>,
}

/// What became of a plan.
enum Applied {
    /// It is written; the run's record afterwards.
    Stored(Option<Box<Job>>),
    /// Somebody else wrote first.
    Outdated,
    /// The snapshot that it comes with could not be kept, so nothing of it is written.
    NotKept(Answer),
}

impl Context {
    /// Sees to one Deployment; returns when to look again.
    ///
    /// # Errors
    /// What keeps it from being seen to.
    pub async fn reconcile(&self, deployment: &Deployment) -> Result<Option<Duration>, Error> {
        let mut deployment = deployment.clone();
        for _ in 0..TURNS {
            let turn = if in_session::takes(&deployment) {
                self.in_session(&mut deployment).await?
            } else {
                self.turn(&mut deployment).await?
            };
            let Some(again) = turn else {
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
    pub(super) async fn turn(&self, deployment: &mut Deployment) -> Result<Option<Again>, Error> {
        let uid = deployment.uid().unwrap_or_default();
        let run = self.newest_run(deployment).await?;
        let target = self.target(deployment).await?;
        let places = namespaces(deployment, run.as_ref(), &target);
        let mut known = Knowledge {
            made: self.index.of(&uid, &places),
            proof: Proof::Watched,
            gate: None,
            savepoints: None,
        };
        let mut read = self
            .read(deployment, run.as_ref(), &known.made, target)
            .await;
        let plan = loop {
            match read.decide(deployment, run.as_ref(), &known, None) {
                Decision::Act(plan) => break plan,
                Decision::AskGate => {
                    let demand = read.demand.clone().unwrap_or_default();
                    let verdict = self.place.gate(deployment, demand).await;
                    known.gate = Some(verdict.map_err(kube("reading the namespace"))?);
                }
                Decision::ReadAll => {
                    known.made = self.read_all(&uid, &places).await?;
                    known.proof = Proof::Read;
                }
                Decision::ReadSavepoints => {
                    known.savepoints = Some(self.savepoints(deployment).await?);
                }
            }
        };
        let run = match self.apply(deployment, run.as_ref(), &plan).await? {
            Applied::Stored(run) => run.map(|run| *run),
            Applied::Outdated => return Ok(None),
            Applied::NotKept(answer) => {
                let told = read.decide(deployment, run.as_ref(), &known, Some(answer));
                return self.answered(deployment, run.as_ref(), told).await;
            }
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
        let told = read.decide(deployment, run.as_ref(), &known, Some(answer));
        self.answered(deployment, run.as_ref(), told).await
    }

    /// Writes what follows from an answer.
    async fn answered(
        &self,
        deployment: &mut Deployment,
        run: Option<&Job>,
        told: Decision,
    ) -> Result<Option<Again>, Error> {
        let Decision::Act(plan) = told else {
            return Ok(Some(Again::After(OUTDATED)));
        };
        Ok(match self.apply(deployment, run, &plan).await? {
            Applied::Outdated => None,
            Applied::Stored(_) | Applied::NotKept(_) => Some(plan.again),
        })
    }

    /// Writes what a plan says, into the object too.
    async fn apply(
        &self,
        deployment: &mut Deployment,
        run: Option<&Job>,
        plan: &Plan,
    ) -> Result<Applied, Error> {
        if plan.finalizer == Finalizer::Add {
            let mut all = deployment.finalizers().to_vec();
            all.push(finalizers::TEARDOWN.to_owned());
            let written = status::set_finalizers(&self.client, deployment, &all).await;
            let written = written.map_err(kube("adding the finalizer"))?;
            self.probed(deployment, "finalizer added")?;
            return Ok(match written {
                Written::Stored(stored) => {
                    *deployment = *stored;
                    Applied::Stored(run.cloned().map(Box::new))
                }
                Written::Outdated => Applied::Outdated,
            });
        }
        let mut run = run.cloned();
        if let Some(next) = &plan.run {
            // The end of a run must follow from what is asked for now, not from what a watch has seen last.
            if next.state.is_some_and(is_over) && !self.is_newest(deployment).await? {
                return Ok(Applied::Outdated);
            }
            if let Some(record) = &plan.savepoint
                && let Kept::Refused(why) = self.keep(deployment, record).await?
            {
                return Ok(Applied::NotKept(Answer::NotKept {
                    name: record.name.clone(),
                    location: record.location.clone(),
                    why,
                }));
            }
            if let Some(before) = &run {
                let Some(stored) = self.write_run(deployment, before, next.clone()).await? else {
                    return Ok(Applied::Outdated);
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
                Written::Outdated => return Ok(Applied::Outdated),
            }
            self.probed(deployment, "status written")?;
        } else if plan.step.is_some() && !self.is_newest(deployment).await? {
            return Ok(Applied::Outdated);
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
        Ok(Applied::Stored(run.map(Box::new)))
    }

    /// Where the next run's pods go.
    pub(super) async fn target(&self, deployment: &Deployment) -> Result<Target, Error> {
        let target = self.place.target(deployment).await;
        target.map_err(kube("reading the target's namespace"))
    }

    /// What was made for a Deployment and lies in these namespaces, past every cache.
    pub(super) async fn read_all(&self, uid: &str, places: &[String]) -> Result<Vec<Made>, Error> {
        let since = self.index.changed(uid);
        let made = self.hand.read_all(uid, places).await?;
        self.index.correct(uid, places, &made, since);
        Ok(made)
    }

    pub(super) async fn is_newest(&self, deployment: &Deployment) -> Result<bool, Error> {
        let namespace = deployment.namespace().unwrap_or_default();
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &namespace);
        let now = api.get_opt(&deployment.name_any()).await;
        let now = now.map_err(kube("reading the Deployment"))?;
        Ok(now.is_some_and(|now| now.resource_version() == deployment.resource_version()))
    }
}

/// The namespace that a run's pods are in.
pub(super) fn namespace_of(deployment: &Deployment, run: Option<&Job>) -> String {
    let frozen = run.and_then(|run| run.spec.target_namespace.clone());
    let told = deployment.status.as_ref();
    let told = told.and_then(|status| status.target_namespace.clone());
    frozen
        .or(told)
        .or_else(|| deployment.namespace())
        .unwrap_or_default()
}

/// Namespaces that something of the Deployment may lie in: its own, those that its newest run and its status name before anything is made there,
/// and its target's, should the status have been lost.
pub(super) fn namespaces(
    deployment: &Deployment,
    run: Option<&Job>,
    target: &Target,
) -> Vec<String> {
    let status = deployment.status.as_ref();
    let mut all: Vec<String> = deployment.namespace().into_iter().collect();
    all.extend(run.and_then(|run| run.spec.target_namespace.clone()));
    all.extend(status.and_then(|status| status.target_namespace.clone()));
    if let Target::At(namespace) = target {
        all.push(namespace.clone());
    }
    all.sort();
    all.dedup();
    all
}

/// CPU that the status says its pods have; for whoever asks from outside.
pub use place::held;
