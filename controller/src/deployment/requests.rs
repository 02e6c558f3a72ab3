//! Savepoints that users ask for: a Savepoint object that names the Deployment and no location is taken of the job that runs. Its id
//! at Flink is the object's uid, so that asking twice is asking once.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Resource, ResourceExt};
use sluice_api::conditions::types;
use sluice_api::events::EventReason;
use sluice_api::{
    Deployment, Failure, Job, Savepoint, SavepointOrigin, SavepointState, SavepointStatus,
};
use sluice_policy::flink::FlinkVersion;

use super::identity;
use super::reconcile::{Context, Error, kube};
use super::records::completed;
use crate::flink::{FlinkClient, JobState, Snapshot, StopAnswer, TriggerId};
use crate::runtime::conditions::{self, Truth, whole_second};
use crate::runtime::events::Note;
use crate::runtime::status::{self, Written};

/// From this version on Flink takes the caller's id for a savepoint.
const TRIGGERS_SINCE: FlinkVersion = FlinkVersion::new(1, 15);

/// Whether something is still to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    /// Nothing.
    No,
    /// Flink is writing a savepoint.
    Yes,
}

/// The run that savepoints are taken of.
pub(super) struct Taken<'a> {
    /// Its Job object.
    pub run: &'a Job,
    /// The way to its Flink.
    pub flink: &'a FlinkClient,
    /// Its state.
    pub state: JobState,
    /// Flink's version.
    pub version: Option<FlinkVersion>,
    /// Where its configuration puts savepoints.
    pub folder: Option<&'a str>,
}

impl Taken<'_> {
    /// Whether it runs, and that is stored: what is asked of it is told by its time.
    fn runs(&self) -> bool {
        let status = self.run.status.as_ref();
        self.state == JobState::Running && status.is_some_and(|status| status.start_time.is_some())
    }
}

impl Context {
    /// Takes what users have asked for. `taken`: the job that runs, if one does.
    pub(super) async fn requests(
        &self,
        deployment: &Deployment,
        taken: Option<&Taken<'_>>,
    ) -> Result<Pending, Error> {
        let mut pending = Pending::No;
        for request in self.asked_for(deployment) {
            let status = request.status.clone().unwrap_or_default();
            let next = match (status.state, taken) {
                (None, Some(taken)) if taken.runs() => begun(&request, taken),
                (None, _) => waiting(&request, status.clone()),
                (Some(_), Some(taken)) if is_of(&status, taken.run) => {
                    self.looked_at(&request, status.clone(), taken).await
                }
                (Some(_), _) => failed(&request, status.clone(), "the job has ended meanwhile"),
            };
            if next.state == Some(SavepointState::Started) {
                pending = Pending::Yes;
            }
            if next == status {
                continue;
            }
            let is_change = next.state != status.state;
            let mut object = request.clone();
            object.status = Some(next.clone());
            let written = status::put(&self.client, &object).await;
            let written = written.map_err(kube("writing the Savepoint's status"))?;
            self.probed(deployment, "Savepoint requested")?;
            if matches!(written, Written::Outdated) {
                continue;
            }
            if is_change {
                self.tell(deployment, &request.name_any(), &next).await;
            }
            if let (SavepointState::Started, Some(taken)) =
                (next.state.unwrap_or(SavepointState::Failed), taken)
                && is_change
            {
                // What comes of it is asked for at the next look.
                let _ = ask(&request, &next, taken).await;
            }
        }
        Ok(pending)
    }

    fn asked_for(&self, deployment: &Deployment) -> Vec<Savepoint> {
        let (name, namespace) = (deployment.name_any(), deployment.namespace());
        let all = self.savepoint_store.state();
        all.iter()
            .filter(|savepoint| {
                let spec = &savepoint.spec;
                let state = savepoint.status.as_ref().and_then(|status| status.state);
                spec.deployment_name.as_deref() == Some(name.as_str())
                    && savepoint.namespace() == namespace
                    && spec.savepoint_location.is_none()
                    && matches!(spec.origin, None | Some(SavepointOrigin::UserRequest))
                    && matches!(state, None | Some(SavepointState::Started))
                    && savepoint.metadata.deletion_timestamp.is_none()
            })
            .map(|savepoint| Savepoint::clone(savepoint))
            .collect()
    }

    async fn looked_at(
        &self,
        request: &Savepoint,
        status: SavepointStatus,
        taken: &Taken<'_>,
    ) -> SavepointStatus {
        let Some(id) = identity::job_id(taken.run) else {
            return status;
        };
        let Some(trigger) = status.trigger_id.clone() else {
            // Before 1.15 Flink gives the id.
            return match ask(request, &status, taken).await {
                Some(Ok(trigger)) => SavepointStatus {
                    trigger_id: Some(trigger.0),
                    ..status
                },
                Some(Err(why)) => failed(request, status, &why),
                None => status,
            };
        };
        match taken.flink.snapshot(&id, &TriggerId(trigger)).await {
            Ok(Snapshot::Completed(location)) => SavepointStatus {
                trigger_id: status.trigger_id,
                start_time: status.start_time,
                ..completed(&location, Timestamp::now(), request.metadata.generation)
            },
            Ok(Snapshot::Failed(why)) => failed(request, status, &why),
            // Never heard of: the same is asked again.
            Ok(Snapshot::Unknown) => match ask(request, &status, taken).await {
                Some(Err(why)) => failed(request, status, &why),
                _ => status,
            },
            Ok(Snapshot::InProgress) | Err(_) => status,
        }
    }

    async fn tell(&self, deployment: &Deployment, name: &str, status: &SavepointStatus) {
        let note = match status.state {
            Some(SavepointState::Started) => Note::new(
                EventReason::SavepointStarted,
                format!("Savepoint {name} is being taken."),
            ),
            Some(SavepointState::Completed) => Note::new(
                EventReason::SavepointCompleted,
                format!(
                    "Savepoint {name} is at {}.",
                    status.location.as_deref().unwrap_or_default()
                ),
            ),
            _ => Note::new(
                EventReason::SavepointFailed,
                format!(
                    "Savepoint {name} was not written: {}",
                    status.failure.clone().unwrap_or_default().message
                ),
            ),
        };
        self.events.write(&deployment.object_ref(&()), &note).await;
    }
}

/// Asks Flink for it; `None`: it is not known whether Flink has heard.
async fn ask(
    request: &Savepoint,
    status: &SavepointStatus,
    taken: &Taken<'_>,
) -> Option<Result<TriggerId, String>> {
    let id = identity::job_id(taken.run)?;
    let trigger = status.trigger_id.clone().map(TriggerId);
    let asked = taken.flink.savepoint(&id, taken.folder, trigger.as_ref());
    match asked.await {
        Ok(StopAnswer::Accepted(id)) => Some(Ok(id)),
        Ok(StopAnswer::NoSuchJob) => Some(Err("Flink does not know the job".to_owned())),
        Err(error) if error.is_transient() => {
            tracing::debug!(savepoint = request.name_any(), %error, "a savepoint is asked for again");
            None
        }
        Err(error) => Some(Err(error.reason())),
    }
}

/// Whether it was asked of this run.
fn is_of(status: &SavepointStatus, run: &Job) -> bool {
    let began = run
        .status
        .as_ref()
        .and_then(|status| status.start_time.as_ref());
    match (status.start_time.as_ref(), began) {
        (Some(asked), Some(began)) => asked.0 >= began.0,
        _ => false,
    }
}

fn begun(request: &Savepoint, taken: &Taken<'_>) -> SavepointStatus {
    let uid = request.metadata.uid.as_deref().unwrap_or_default();
    let chooses = taken
        .version
        .is_none_or(|version| version >= TRIGGERS_SINCE);
    let mut status = SavepointStatus {
        state: Some(SavepointState::Started),
        observed_generation: request.metadata.generation,
        trigger_id: chooses.then(|| uid.replace('-', "")),
        start_time: Some(Time(whole_second(Timestamp::now()))),
        ..SavepointStatus::default()
    };
    not_ready(&mut status, request, "InProgress", "Flink is writing it.");
    status
}

fn waiting(request: &Savepoint, mut status: SavepointStatus) -> SavepointStatus {
    if status.conditions.is_empty() {
        let message = "It is taken as soon as the job runs.";
        not_ready(&mut status, request, "NotRunning", message);
    }
    status
}

fn failed(request: &Savepoint, status: SavepointStatus, why: &str) -> SavepointStatus {
    let mut status = SavepointStatus {
        state: Some(SavepointState::Failed),
        failure: Some(Failure {
            reason: "SavepointFailed".to_owned(),
            message: why.to_owned(),
            failed_at: Some(Time(whole_second(Timestamp::now()))),
        }),
        ..status
    };
    not_ready(&mut status, request, "SavepointFailed", why);
    status
}

fn not_ready(status: &mut SavepointStatus, request: &Savepoint, reason: &str, message: &str) {
    let generation = request.metadata.generation;
    conditions::set(
        &mut status.conditions,
        types::READY,
        Truth::False,
        reason,
        message,
        generation,
        Timestamp::now(),
    );
}
