//! The edge: reads, decides, writes, calls Flink. Between two of these the process may die at any time; [`Probe`] lets tests
//! do so.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::Api;
use kube::runtime::reflector::Store;
use kube::{Client, Resource, ResourceExt};
use sluice_api::names::finalizers;
use sluice_api::{DeploymentState, SessionCluster, SessionJob};

use super::decide::decide;
use super::read::Read;
use super::savepoints::Kept;
use super::sight::{Answer, Finalizer, Observed, Plan, Record, Step, Submission};
use super::submissions::{LOOK, Standing, Submissions};
use super::submit;
use super::submit::Jars;
use super::unrecorded;
use super::withdraw;
use crate::flink::{FlinkClient, FlinkHttp, StopAnswer};
use crate::runtime::call::{CallError, call};
use crate::runtime::conditions::whole_second;
use crate::runtime::events::Events;
use crate::runtime::status::{self, Written};

/// After somebody else wrote first.
const OUTDATED: Duration = Duration::from_millis(200);
/// How often the answer to a submission is decided on anew because somebody else wrote first.
const ROUNDS: u32 = 8;

/// Finds the address of a session cluster's REST API; `None` while there is none.
pub type Resolver =
    Arc<dyn Fn(&SessionCluster) -> BoxFuture<'static, kube::Result<Option<String>>> + Send + Sync>;

/// Called after each write and call, with its name; `false` ends the work there, as if the process had died.
pub type Probe = Arc<dyn Fn(&SessionJob, &'static str) -> bool + Send + Sync>;

/// What the reconciler works with.
#[derive(Clone)]
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Every session cluster.
    pub clusters: Store<SessionCluster>,
    /// Flink.
    pub flink: FlinkHttp,
    /// Jars.
    pub jars: Jars,
    /// Submissions under way.
    pub submissions: Submissions,
    /// Events.
    pub events: Events,
    /// Addresses.
    pub resolver: Resolver,
    /// Nothing, but in tests.
    pub probe: Option<Probe>,
    /// Addresses by a cluster's uid.
    pub addresses: Arc<Mutex<HashMap<String, (String, Instant)>>>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}

/// Why a job could not be seen to; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A test has ended the work here.
    #[error("ended by the probe after {0}")]
    Probe(&'static str),
}

/// When to look again; `None`: when something changes.
pub type Again = Option<Duration>;

/// What came of writing a plan.
enum Applied {
    /// The object afterwards, and when to look again.
    Done(Box<SessionJob>, Again),
    /// The plan does not hold any more, or not yet: when to decide again.
    Later(Duration),
}

impl Context {
    /// Sees to one job. Its submission goes on by itself.
    pub async fn reconcile(&self, job: &SessionJob) -> Result<Again, Error> {
        let standing = self.submissions.standing(job);
        if standing == Standing::Same {
            return Ok(Some(LOOK));
        }
        let read = self.read(job).await?;
        let answer = (standing == Standing::Ended)
            .then(|| Answer::NotSent("Something newer is asked for.".to_owned()));
        let mut plan = decide(&observed(job, &read, answer));
        if standing == Standing::Ended {
            still_to_be_seen(job, &mut plan);
        }
        let is_submission = matches!(plan.step, Some(Step::Submit(_)));
        if is_submission && standing == Standing::Written {
            return Ok(Some(LOOK));
        }
        let (mut job, again) = match self.apply(job.clone(), &plan).await? {
            Applied::Done(job, again) => (*job, again),
            Applied::Later(wait) => return Ok(Some(wait)),
        };
        if standing == Standing::Ended {
            self.submissions.forget(&job);
        }
        match plan.step {
            None => Ok(again),
            Some(Step::Submit(submission)) => {
                let context = self.clone();
                self.submissions.begin(&job.clone(), async move {
                    if let Err(error) = context.submit(&mut job, &read, &submission).await {
                        tracing::warn!(
                            namespace = job.namespace(),
                            name = job.name_any(),
                            %error,
                            "a session job could not be submitted; it is tried again"
                        );
                    }
                });
                Ok(Some(LOOK))
            }
            Some(step) => {
                let answer = self.act(&job, &step).await?;
                self.answered(job, &read, answer).await
            }
        }
    }

    /// Sees a submission to its end.
    async fn submit(
        &self,
        job: &mut SessionJob,
        read: &Read,
        submission: &Submission,
    ) -> Result<(), Error> {
        let answer = self.submitted(job, submission).await?;
        self.record(job, read, &answer).await
    }

    /// Writes what follows from the answer to a submission, also onto what others have written to the object meanwhile: an answer that is lost
    /// is a submission of which nobody knows how it stands.
    async fn record(
        &self,
        submitted: &SessionJob,
        read: &Read,
        answer: &Answer,
    ) -> Result<(), Error> {
        let mut job = submitted.clone();
        for _ in 0..ROUNDS {
            tracing::debug!(job = job.name_any(), ?answer, "Flink was asked");
            let mut plan = decide(&observed(&job, read, Some(answer.clone())));
            if job.metadata.generation != submitted.metadata.generation {
                still_to_be_seen(&job, &mut plan);
            }
            if let Applied::Done(..) = self.apply(job.clone(), &plan).await? {
                break;
            }
            let newest = self.newest(&job).await?;
            let written = newest.filter(|newest| {
                newest.uid() == job.uid()
                    && newest.resource_version() != job.resource_version()
                    && withdraw::is_of_the_same(newest, &job)
            });
            let Some(written) = written else { break };
            job = written;
        }
        Ok(())
    }

    /// Writes what follows from Flink's answer.
    async fn answered(&self, job: SessionJob, read: &Read, answer: Answer) -> Result<Again, Error> {
        tracing::debug!(job = job.name_any(), ?answer, "Flink was asked");
        let plan = decide(&observed(&job, read, Some(answer)));
        Ok(match self.apply(job, &plan).await? {
            Applied::Done(_, again) => again,
            Applied::Later(wait) => Some(wait),
        })
    }

    pub(super) fn probed(&self, job: &SessionJob, point: &'static str) -> Result<(), Error> {
        match &self.probe {
            Some(probe) if !probe(job, point) => Err(Error::Probe(point)),
            _ => Ok(()),
        }
    }

    /// Writes what a plan says.
    async fn apply(&self, mut job: SessionJob, plan: &Plan) -> Result<Applied, Error> {
        if plan.finalizer == Finalizer::Add {
            let mut all = job.finalizers().to_vec();
            all.push(finalizers::TEARDOWN.to_owned());
            let written = status::set_finalizers(&self.client, &job, &all).await;
            let written = written.map_err(call("adding the finalizer"))?;
            self.probed(&job, "finalizer added")?;
            return Ok(match written {
                Written::Stored(job) => Applied::Done(job, plan.again),
                Written::Outdated => Applied::Later(OUTDATED),
            });
        }
        let before = job.status.clone().unwrap_or_default();
        if let Some(over) = withdraw::over(&before, &plan.status)
            && !self.withdraw(&job, &over).await?
        {
            return Ok(Applied::Later(withdraw::AGAIN));
        }
        if let Some(record) = &plan.record
            && let Kept::Refused(why) = self.keep(&job, record).await?
        {
            return self.unrecorded(job, record, &why).await;
        }
        let is_changed = job.status.as_ref() != Some(&plan.status);
        if is_changed && plan.finalizer != Finalizer::Remove {
            job.status = Some(plan.status.clone());
            let written = status::put(&self.client, &job).await;
            match written.map_err(call("writing the status"))? {
                Written::Stored(stored) => job = *stored,
                Written::Outdated => return Ok(Applied::Later(OUTDATED)),
            }
            self.probed(&job, "status written")?;
        } else if plan.step.is_some() && !self.is_newest(&job).await? {
            // What is asked of Flink must follow from what is stored now, not from what a watch has seen last.
            return Ok(Applied::Later(OUTDATED));
        }
        let reference = job.object_ref(&());
        for note in &plan.notes {
            self.events.write(&reference, note).await;
        }
        let runs = plan.status.state == Some(DeploymentState::Running);
        if runs
            && before.state != plan.status.state
            && let Err(error) = self.prune(&job).await
        {
            tracing::warn!(job = job.name_any(), %error, "old Savepoints could not be removed");
        }
        if plan.finalizer == Finalizer::Remove {
            let mut all = job.finalizers().to_vec();
            all.retain(|name| name != finalizers::TEARDOWN);
            if all.len() < job.finalizers().len() {
                let written = status::set_finalizers(&self.client, &job, &all).await;
                written.map_err(call("removing the finalizer"))?;
                self.probed(&job, "finalizer removed")?;
            }
        }
        Ok(Applied::Done(Box::new(job), plan.again))
    }

    /// Tells of a snapshot that no object can be made of; nothing else happens before one is.
    async fn unrecorded(
        &self,
        mut job: SessionJob,
        record: &Record,
        why: &str,
    ) -> Result<Applied, Error> {
        let told = unrecorded::tell(&job, record, why, Timestamp::now());
        if job.status.as_ref() != Some(&told.status) {
            job.status = Some(told.status);
            let written = status::put(&self.client, &job).await;
            if let Written::Outdated = written.map_err(call("writing the status"))? {
                return Ok(Applied::Later(OUTDATED));
            }
            self.probed(&job, "status written")?;
        }
        if let Some(note) = &told.note {
            self.events.write(&job.object_ref(&()), note).await;
        }
        Ok(Applied::Later(told.again))
    }

    async fn newest(&self, job: &SessionJob) -> Result<Option<SessionJob>, Error> {
        let api: Api<SessionJob> =
            Api::namespaced(self.client.clone(), &job.namespace().unwrap_or_default());
        let now = api.get_opt(&job.name_any()).await;
        Ok(now.map_err(call("reading the SessionJob"))?)
    }

    async fn is_newest(&self, job: &SessionJob) -> Result<bool, Error> {
        let now = self.newest(job).await?;
        Ok(now.is_some_and(|now| now.resource_version() == job.resource_version()))
    }

    /// Stores that Flink is asked from now on, so that whoever reads it next knows how long it may be at it; `false` if somebody else has
    /// written meanwhile.
    async fn begins_now(&self, job: &mut SessionJob) -> Result<bool, Error> {
        let status = job.status.as_mut();
        if let Some(operation) = status.and_then(|status| status.operation.as_mut()) {
            operation.started_at = Some(Time(whole_second(Timestamp::now())));
        }
        let written = status::put(&self.client, job).await;
        match written.map_err(call("writing the status"))? {
            Written::Stored(stored) => *job = *stored,
            Written::Outdated => return Ok(false),
        }
        Ok(true)
    }

    /// Whether the jar that was brought for it will be asked for again, or goes when its submission is over.
    async fn needs_its_jar(&self, job: &SessionJob) -> Result<bool, Error> {
        let begun = job.status.clone().unwrap_or_default();
        let now = self.newest(job).await?;
        let now = now.filter(|now| now.uid() == job.uid());
        Ok(now.is_some_and(|now| {
            let status = now.status.unwrap_or_default();
            withdraw::over(&begun, &status).is_none()
        }))
    }

    /// The way to the session cluster that the newest run is on.
    async fn flink_of(&self, job: &SessionJob) -> Result<Result<FlinkClient, Answer>, Error> {
        let uid = job
            .status
            .as_ref()
            .and_then(|status| status.session_cluster_uid.clone());
        let clusters = self.clusters.state();
        let cluster = clusters.iter().find(|cluster| cluster.uid() == uid);
        let Some(cluster) = cluster else {
            let gone = "The session cluster is gone.".to_owned();
            return Ok(Err(Answer::NotSent(gone)));
        };
        Ok(self.client_of(cluster).await?.map_err(Answer::NotSent))
    }

    /// Brings a jar to Flink and has it run.
    async fn submitted(
        &self,
        job: &mut SessionJob,
        submission: &Submission,
    ) -> Result<Answer, Error> {
        let flink = match self.flink_of(job).await? {
            Ok(flink) => flink,
            Err(answer) => return Ok(answer),
        };
        let namespace = job.namespace().unwrap_or_default();
        let jar = match submit::bring(&flink, &self.jars, &namespace, submission).await {
            Ok(jar) => jar,
            Err(answer) => return Ok(answer),
        };
        self.probed(job, "jar uploaded")?;
        // A jar may take minutes to come; what was asked for meanwhile is what counts.
        if !self.begins_now(job).await? {
            if !self.needs_its_jar(job).await? {
                let cleaned = submit::clean_up(&flink, &submission.name).await;
                tracing::debug!(
                    jar,
                    ?cleaned,
                    "the jar of a submission that is over has come"
                );
            }
            return Ok(Answer::NotSent("Something newer is asked for.".to_owned()));
        }
        self.submissions.asks(job);
        let answer = submit::run(&flink, &jar, submission).await;
        self.probed(job, "jar run")?;
        if matches!(answer, Answer::SubmitFailed(_))
            && let Err(error) = submit::clean_up(&flink, &submission.name).await
        {
            // It may be the jar that is wrong: the next attempt fetches it anew.
            tracing::debug!(jar, %error, "an uploaded jar could not be deleted");
        }
        Ok(answer)
    }

    /// Asks Flink for what was decided, other than a submission.
    async fn act(&self, job: &SessionJob, step: &Step) -> Result<Answer, Error> {
        let flink = match self.flink_of(job).await? {
            Ok(flink) => flink,
            Err(answer) => return Ok(answer),
        };
        let answer = match step {
            Step::Submit(_) => Answer::NotSent("It is submitted by itself.".to_owned()),
            Step::Stop {
                job: run,
                directory,
                trigger,
            } => {
                let asked = flink
                    .stop_with_savepoint(run, directory.as_deref(), trigger.as_ref())
                    .await;
                self.probed(job, "stop asked for")?;
                match asked {
                    Ok(StopAnswer::Accepted(id)) => Answer::Stopping(id),
                    Ok(StopAnswer::NoSuchJob) => {
                        Answer::Unclear("Flink does not know the job.".to_owned())
                    }
                    Err(error) if error.is_transient() => Answer::Unclear(error.to_string()),
                    Err(error) => Answer::StopFailed(error.reason()),
                }
            }
            Step::Cancel(run) => {
                let asked = flink.cancel(run).await;
                self.probed(job, "cancellation asked for")?;
                match asked {
                    Ok(()) => Answer::Cancelling,
                    Err(error) => Answer::Unclear(error.to_string()),
                }
            }
        };
        Ok(answer)
    }
}

/// What follows from an answer is no reply to a change of the spec.
fn still_to_be_seen(job: &SessionJob, plan: &mut Plan) {
    let seen = job.status.as_ref();
    plan.status.observed_generation = seen.and_then(|seen| seen.observed_generation);
}

fn observed<'a>(job: &'a SessionJob, read: &'a Read, answer: Option<Answer>) -> Observed<'a> {
    Observed {
        job,
        now: Timestamp::now(),
        target: read.target.clone(),
        home: read.home,
        at: read.at.clone(),
        flink: read.flink.clone(),
        stop: read.stop.clone(),
        savepoints: &read.savepoints,
        answer,
    }
}
