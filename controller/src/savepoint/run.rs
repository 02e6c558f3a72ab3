//! The edge: reads, decides, writes, asks Flink; queue and watch, which run while this process leads. Between two of these the
//! process may die at any time; [`Probe`] lets tests do so.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::controller::{Action, Config, applier};
use kube::runtime::reflector;
use kube::runtime::watcher::{self, watcher};
use kube::{Client, Resource, ResourceExt};
use sluice_api::{Savepoint, SavepointState};

use super::decide::decide;
use super::object::{Request, request};
use super::place::{is_of, trigger_id};
use super::sight::{Answer, Ask, Life, Observed, Place, Plan, Sight, Told, Whose};
use crate::flink::types::Latest;
use crate::flink::{FlinkClient, FlinkError, FlinkHttp, JobId, Snapshot, StopAnswer, TriggerId};
use crate::metrics::metrics;
use crate::runtime::call::{CallError, call};
use crate::runtime::events::Events;
use crate::runtime::status::{self, Written};
use crate::runtime::watched::all_due;
use crate::session_job::snapshot::millis;

/// Savepoints that are seen to at once.
const AT_ONCE: u16 = 16;
/// Objects per page of the first list.
const PAGE: u32 = 500;
/// After the API server has failed.
const RETRY: Duration = Duration::from_secs(2);
/// After somebody else wrote first.
const OUTDATED: Duration = Duration::from_millis(200);

/// Called after each write and call, with its name; `false` ends the work there, as if the process had died.
pub type Probe = Arc<dyn Fn(&Savepoint, &'static str) -> bool + Send + Sync>;

/// The reconciler of savepoints that users ask for.
#[derive(Clone)]
pub struct Savepoints {
    client: Client,
    flink: FlinkHttp,
    events: Events,
    session_jobs: Option<Whose>,
    deployments: Option<Whose>,
    probe: Option<Probe>,
}

impl fmt::Debug for Savepoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Savepoints").finish_non_exhaustive()
    }
}

/// Why a savepoint could not be seen to; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A test has ended the work here.
    #[error("ended by the probe after {0}")]
    Probe(&'static str),
}

impl Savepoints {
    /// In the name of this instance; knows of no jobs yet.
    pub fn new(client: Client, flink: FlinkHttp, instance: &str) -> Self {
        Self {
            events: Events::new(client.clone(), instance),
            client,
            flink,
            session_jobs: None,
            deployments: None,
            probe: None,
        }
    }

    /// Takes savepoints of SessionJobs, of which this tells.
    #[must_use]
    pub fn session_jobs(mut self, whose: Whose) -> Self {
        self.session_jobs = Some(whose);
        self
    }

    /// Takes savepoints of Deployments, of which this tells.
    #[must_use]
    pub fn deployments(mut self, whose: Whose) -> Self {
        self.deployments = Some(whose);
        self
    }

    /// With a probe, for tests.
    #[must_use]
    pub fn probe(mut self, probe: Probe) -> Self {
        self.probe = Some(probe);
        self
    }

    /// Sees to every Savepoint for ever. Dropping the future ends everything at once, whatever is under way.
    pub async fn run(&self) {
        let (store, writer) = reflector::store::<Savepoint>();
        let events = reflector::reflector(
            writer,
            watcher(
                Api::<Savepoint>::all(self.client.clone()),
                watcher::Config::default().page_size(PAGE),
            )
            .default_backoff()
            .modify(slim),
        );
        let queue = all_due(events, store.clone()).inspect(|event| {
            if let Err(error) = event {
                tracing::warn!(%error, "watching Savepoints failed; the watch is opened again");
            }
        });
        applier(
            |savepoint, this: Arc<Self>| {
                Box::pin(async move {
                    metrics()
                        .reconciling("Savepoint", this.see_to(&savepoint))
                        .await
                })
            },
            again_after,
            Arc::new(self.clone()),
            store,
            queue,
            Config::default().concurrency(AT_ONCE),
        )
        .for_each(|_| std::future::ready(()))
        .await;
    }

    async fn see_to(&self, savepoint: &Savepoint) -> Result<Action, Error> {
        let is_mine = match request(savepoint) {
            Request::Nothing => false,
            Request::BringIn => true,
            Request::Take => savepoint.spec.deployment_name.is_none() || self.deployments.is_some(),
        };
        let is_deleted = savepoint.metadata.deletion_timestamp.is_some();
        if !is_mine || is_deleted || is_over(savepoint) {
            return Ok(Action::await_change());
        }
        let mut sight = self.sight(savepoint).await?;
        if let (Some(sight), None) = (
            &mut sight,
            savepoint.status.as_ref().and_then(|status| status.state),
        ) {
            self.see_tasks(sight).await;
        }
        let place = sight.as_ref().and_then(|sight| sight.place.as_ref());
        let told = self.told(savepoint, place).await;
        let plan = decide(&observed(savepoint, sight.clone(), told, None));
        let Some(stored) = self.apply(savepoint, &plan).await? else {
            return Ok(Action::requeue(OUTDATED));
        };
        let (Some(ask), Some(place)) = (&plan.ask, place) else {
            return Ok(next(&plan));
        };
        let answer = self.ask(ask, place).await;
        self.probed(&stored, "savepoint asked for")?;
        tracing::debug!(name = stored.name_any(), ?answer, "Flink was asked");
        let plan = decide(&observed(&stored, sight, None, Some(answer)));
        Ok(match self.apply(&stored, &plan).await? {
            Some(_) => next(&plan),
            None => Action::requeue(OUTDATED),
        })
    }

    /// What is known of its job; `None`: it names none.
    async fn sight(&self, savepoint: &Savepoint) -> Result<Option<Sight>, Error> {
        let spec = &savepoint.spec;
        let (name, whose) = match (&spec.session_job_name, &spec.deployment_name) {
            (Some(name), _) => (name, &self.session_jobs),
            (None, Some(name)) => (name, &self.deployments),
            (None, None) => return Ok(None),
        };
        let Some(whose) = whose else {
            return Ok(None);
        };
        let namespace = savepoint.namespace().unwrap_or_default();
        let sight = whose(namespace, name.clone()).await;
        Ok(Some(sight.map_err(call("reading the savepoint's job"))?))
    }

    /// Flink calls a job RUNNING that still waits for slots, and fails a savepoint that it is asked for meanwhile.
    async fn see_tasks(&self, sight: &mut Sight) {
        let (Life::Runs, Some(place)) = (&sight.life, &sight.place) else {
            return;
        };
        let Ok(flink) = self.flink.at(&place.address) else {
            return; // asking it will tell why
        };
        if matches!(flink.tasks_run(&place.job).await, Ok(false)) {
            let why = format!(
                "Not all tasks of job {} run yet, and Flink takes no savepoint before.",
                place.job
            );
            sight.life = Life::Moving(why);
        }
    }

    /// How it stands that has been asked for.
    async fn told(&self, savepoint: &Savepoint, place: Option<&Place>) -> Option<Told> {
        let status = savepoint.status.as_ref()?;
        if status.state != Some(SavepointState::Started) {
            return None;
        }
        let job = JobId::parse(status.job_id.as_deref()?)?;
        let flink = match self.flink.at(&place?.address) {
            Ok(flink) => flink,
            Err(error) => return Some(Told::Silent(error.to_string())),
        };
        let uid = savepoint.uid().unwrap_or_default();
        let told = match &status.trigger_id {
            Some(id) => match flink.snapshot(&job, &TriggerId(id.clone())).await {
                Ok(Snapshot::Unknown) => written(&flink, &job, &uid).await,
                Ok(Snapshot::Completed(location)) => Ok(timed(&flink, &job, location).await),
                Ok(stands) => Ok(Told::Stands(stands)),
                Err(error) => Err(error),
            },
            None => written(&flink, &job, &uid).await,
        };
        Some(told.unwrap_or_else(|error| Told::Silent(error.to_string())))
    }

    async fn ask(&self, ask: &Ask, place: &Place) -> Answer {
        let flink = match self.flink.at(&place.address) {
            Ok(flink) => flink,
            Err(error) => return Answer::Unclear(error.to_string()),
        };
        let asked = flink
            .savepoint(&ask.job, ask.directory.as_deref(), ask.trigger.as_ref())
            .await;
        match asked {
            Ok(StopAnswer::Accepted(id)) => Answer::Accepted(id),
            Ok(StopAnswer::NoSuchJob) => {
                Answer::Refused("it does not know the job any more".to_owned())
            }
            Err(error @ FlinkError::Refused { .. }) if !error.is_transient() => {
                Answer::Refused(error.reason())
            }
            Err(error) => Answer::Unclear(error.to_string()),
        }
    }

    /// Writes what a plan says; the object afterwards, or `None` where somebody else wrote first.
    async fn apply(&self, savepoint: &Savepoint, plan: &Plan) -> Result<Option<Savepoint>, Error> {
        if savepoint.status.as_ref() == Some(&plan.status) {
            return Ok(Some(savepoint.clone()));
        }
        let mut next = savepoint.clone();
        next.status = Some(plan.status.clone());
        let written = status::put(&self.client, &next).await;
        let stored = match written.map_err(call("writing the Savepoint's status"))? {
            Written::Stored(stored) => *stored,
            Written::Outdated => return Ok(None),
        };
        self.probed(&stored, "savepoint status written")?;
        let reference = stored.object_ref(&());
        for note in &plan.notes {
            self.events.write(&reference, note).await;
        }
        Ok(Some(stored))
    }

    fn probed(&self, savepoint: &Savepoint, point: &'static str) -> Result<(), Error> {
        match &self.probe {
            Some(probe) if !probe(savepoint, point) => Err(Error::Probe(point)),
            _ => Ok(()),
        }
    }
}

/// The savepoint of this request, if it is the job's newest: for when Flink knows the request by no id (any more).
async fn written(flink: &FlinkClient, job: &JobId, uid: &str) -> Result<Told, FlinkError> {
    let latest = match flink.checkpoints(job).await {
        Ok(latest) => latest,
        Err(error) if error.is_transient() => return Err(error),
        Err(_) => return Ok(Told::Stands(Snapshot::Unknown)),
    };
    let found = found(&latest, |location| is_of(location, &trigger_id(uid)));
    Ok(found.unwrap_or(Told::Stands(Snapshot::Unknown)))
}

/// The savepoint at this location, with the time at which it was complete as far as Flink still tells: its answer to the request has none.
async fn timed(flink: &FlinkClient, job: &JobId, location: String) -> Told {
    let latest = flink.checkpoints(job).await.ok();
    let found = latest.and_then(|latest| found(&latest, |other| other == location));
    found.unwrap_or(Told::Stands(Snapshot::Completed(location)))
}

/// The job's newest savepoint, if it is this one.
fn found(latest: &Latest, is_it: impl Fn(&str) -> bool) -> Option<Told> {
    let savepoint = latest.savepoint.as_ref()?;
    let location = savepoint.location().filter(|location| is_it(location))?;
    let completed = millis(savepoint.latest_ack_timestamp);
    Some(Told::Found(location.to_owned(), completed))
}

fn observed(
    savepoint: &Savepoint,
    sight: Option<Sight>,
    told: Option<Told>,
    answer: Option<Answer>,
) -> Observed<'_> {
    Observed {
        savepoint,
        now: Timestamp::now(),
        sight,
        told,
        answer,
    }
}

fn next(plan: &Plan) -> Action {
    plan.again
        .map_or_else(Action::await_change, Action::requeue)
}

fn is_over(savepoint: &Savepoint) -> bool {
    let state = savepoint.status.as_ref().and_then(|status| status.state);
    matches!(
        state,
        Some(SavepointState::Completed | SavepointState::Failed)
    )
}

/// What nobody here reads. Of one that is over only its state is.
fn slim(savepoint: &mut Savepoint) {
    savepoint.metadata.managed_fields = None;
    savepoint.metadata.annotations = None;
    if is_over(savepoint)
        && let Some(status) = &mut savepoint.status
    {
        status.conditions.clear();
        status.location = None;
        status.failure = None;
    }
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "as kube's Controller calls it"
)]
fn again_after(savepoint: Arc<Savepoint>, error: &Error, _: Arc<Savepoints>) -> Action {
    tracing::warn!(
        namespace = savepoint.namespace(),
        name = savepoint.name_any(),
        %error,
        "a savepoint could not be seen to; it is tried again"
    );
    Action::requeue(RETRY)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::flink::Timeouts;
    use crate::played::address_of;

    /// It may have been complete for long when Sluice comes to ask, and newer checkpoints beside it.
    #[tokio::test]
    async fn a_savepoint_is_as_old_as_flink_says() {
        let checkpoints = json!({"latest": {"savepoint": {"external_path": "s3://b/sp/x", "latest_ack_timestamp": 1_800_000_000_500_i64}}});
        let address = address_of(async move || checkpoints.to_string()).await;
        let flink = FlinkHttp::new(Timeouts::default()).unwrap();
        let flink = flink.at(&address).unwrap();
        let job = JobId::from_bytes([7; 16]);
        assert_eq!(
            timed(&flink, &job, "s3://b/sp/x".into()).await,
            Told::Found(
                "s3://b/sp/x".into(),
                Timestamp::from_second(1_800_000_000).unwrap()
            )
        );
        // Another one has been taken since.
        assert_eq!(
            timed(&flink, &job, "s3://b/sp/w".into()).await,
            Told::Stands(Snapshot::Completed("s3://b/sp/w".into()))
        );
    }
}
