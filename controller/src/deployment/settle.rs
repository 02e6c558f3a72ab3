//! What has become of the newest run: what Flink, its JobManager and the stored records say of it. An end is stored in the Job object
//! before anything follows from it; what follows is decided in [`super::decide`].

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sluice_api::{Failure, JobState as RunState, SavepointOrigin};

use super::draft::{Draft, operations};
use super::frozen::stops;
use super::health;
use super::identity;
use super::not_kept::kept;
use super::sight::{Again, Decision, Flink, Record, Told};
use crate::flink::types::Checkpoint;
use crate::flink::{JobId, JobState, Snapshot};
use crate::objects::{Application, MadeKind};
use crate::runtime::made::{Batch, Made};
use crate::savepoint::unclear::{self, STOP_UNCLEAR};
use crate::session_cluster::decide::Proof;
use crate::session_job::snapshot::millis;

/// Why a run has failed whose JobManager ended well and would not have by itself.
pub(super) const SHUT_DOWN: &str = "ShutDown";
/// What is said of it.
const SHUT_DOWN_WORDS: &str = "Its JobManager was shut down: it ended with exit code 0, which it does not do by itself when its job ends. Somebody has sent \
                         DELETE /cluster to Flink, or the program calls System.exit(0).";
/// What is said of one that ends with its job.
const ENDED: &str = "Its JobManager has ended.";

/// How the newest run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Life {
    /// There is none.
    None,
    /// Its name is taken in the status; its Job object does not stand.
    Unrecorded,
    /// Its Job object stands, its JobManager has never been made.
    Unmade,
    /// Its JobManager has been made; Flink does not run it yet, for this reason.
    Starting(String),
    /// It has run, and has not ended as far as is known.
    Live(Known),
    /// It is over, and that is stored.
    Over(RunState),
}

/// What is known of a run that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Flink cannot be asked now, for this reason.
    Silent(String),
    /// It has ended; which snapshots it has left is not certain yet.
    Ending,
    /// This is Flink's word, with the cause of its last failure.
    In(JobState, Option<String>),
}

/// What [`settle`] comes to.
pub enum Settled<'a> {
    /// How the run stands.
    Life(Box<Draft<'a>>, Life),
    /// This has to be done before anything else.
    First(Decision),
}

/// Whether a run in this state never runs again.
pub const fn is_over(state: RunState) -> bool {
    matches!(
        state,
        RunState::Terminated | RunState::Finished | RunState::Failed
    )
}

fn life(draft: Draft<'_>, life: Life) -> Settled<'_> {
    Settled::Life(Box::new(draft), life)
}

/// Finds out how the newest run stands.
pub fn settle(mut draft: Draft<'_>) -> Settled<'_> {
    if draft.next.job_name.is_none() {
        return life(draft, Life::None);
    }
    if draft.observed.run.is_none() {
        let claimed = draft.operation() == Some(operations::START);
        let found = if claimed {
            Life::Unrecorded
        } else {
            Life::None
        };
        return life(draft, found);
    }
    if let Some(state) = draft.run.state.filter(|state| is_over(*state)) {
        return life(draft, Life::Over(state));
    }
    let jobmanager = jobmanager(&draft);
    let Some(uid) = draft.run.jobmanager_uid.clone() else {
        let Some(made) = jobmanager else {
            return life(draft, Life::Unmade);
        };
        // Made, and not stored before this process or another died.
        draft.run.jobmanager_uid = Some(made.uid.clone());
        draft.run.state = Some(RunState::Starting);
        return Settled::First(draft.act(None, Again::AtOnce));
    };
    let Some(jobmanager) = jobmanager.filter(|made| made.uid == uid) else {
        return Settled::First(match draft.observed.proof {
            Proof::Watched => Decision::ReadAll,
            Proof::Read => lost(draft, "Its JobManager is gone.", RunState::Failed),
        });
    };
    if let Some(Snapshot::Completed(location)) = draft.observed.stop.clone() {
        // Flink says so when the job has ended, whatever its caches still show of it.
        return Settled::First(written(draft, &location));
    }
    match jobmanager.batch().unwrap_or_default() {
        Batch::Runs => {}
        Batch::Failed => {
            let words = last_words(&draft);
            return Settled::First(lost(draft, &words, RunState::Failed));
        }
        Batch::Complete => match &draft.observed.flink {
            // It has said in time what has become of its job.
            Flink::Job(told) if told.report.state.is_terminal() => {}
            _ => return Settled::First(completed(draft)),
        },
    }
    match draft.observed.flink.clone() {
        Flink::Job(told) => reported(draft, &told),
        Flink::NoSuchJob if draft.has_run() => {
            let words = "Flink does not know the job any more.";
            Settled::First(lost(draft, words, RunState::Failed))
        }
        Flink::NoSuchJob => life(
            draft,
            Life::Starting("Flink answers; the program begins.".into()),
        ),
        Flink::Silent(why) if draft.has_run() => life(draft, Life::Live(Known::Silent(why))),
        Flink::Absent if draft.has_run() => {
            let why = "its JobManager is not ready".to_owned();
            life(draft, Life::Live(Known::Silent(why)))
        }
        Flink::Silent(_) | Flink::Absent => {
            life(draft, Life::Starting("Its JobManager is starting.".into()))
        }
    }
}

/// The run's JobManager, as far as it is known to stand.
fn jobmanager<'d>(draft: &Draft<'d>) -> Option<&'d Made> {
    let name = draft.next.job_name.as_deref();
    let mut made = draft.observed.made.iter();
    made.find(|made| made.kind == MadeKind::Job && made.job.as_deref() == name)
}

fn last_words(draft: &Draft<'_>) -> String {
    let name = draft.next.job_name.as_deref();
    let mut pods = draft.observed.made.iter().filter_map(|made| {
        let pod = made.pod().filter(|_| made.job.as_deref() == name)?;
        pod.last_words.as_deref()
    });
    match pods.next() {
        Some(words) => format!("Its JobManager has ended: {words}"),
        None => ENDED.to_owned(),
    }
}

/// The JobManager has ended well. Before Flink 1.15 it does so with its job, if the job did; from then on it outlives its job, and somebody has
/// shut it down.
fn completed(mut draft: Draft<'_>) -> Decision {
    let heard = draft.run.flink_state.as_deref();
    let has_finished = heard == Some(JobState::Finished.as_str());
    match draft.observed.version {
        Some(version) if Application::outlives(version) && !has_finished => {
            ended(draft, SHUT_DOWN, SHUT_DOWN_WORDS, RunState::Failed)
        }
        // Flink deletes the checkpoints of a job that has come to its end.
        Some(_) => lost(draft, ENDED, RunState::Finished),
        None => {
            keep_checkpoint(&mut draft);
            lost(draft, ENDED, RunState::Finished)
        }
    }
}

/// The JobManager is no more: what it last said of snapshots is all that is left.
fn lost(draft: Draft<'_>, why: &str, state: RunState) -> Decision {
    ended(draft, "Lost", why, state)
}

fn ended(mut draft: Draft<'_>, reason: &str, why: &str, state: RunState) -> Decision {
    draft.run.flink_state = None;
    if draft.operation() == Some(operations::SUSPEND) {
        keep_checkpoint(&mut draft);
        let message = unclear_stop(&draft, why);
        failure(&mut draft, STOP_UNCLEAR, &message);
        return draft.conclude(RunState::Failed);
    }
    let state = match draft.operation() {
        Some(operations::CANCEL) => RunState::Terminated,
        _ => state,
    };
    if state != RunState::Finished {
        keep_checkpoint(&mut draft);
    }
    if state == RunState::Failed {
        failure(&mut draft, reason, why);
    }
    draft.conclude(state)
}

fn unclear_stop(draft: &Draft<'_>, why: &str) -> String {
    let operation = draft.next.operation.as_ref();
    let folder = operation.and_then(|operation| operation.target_directory.as_deref());
    unclear::message("deploymentName", draft.name(), folder, why)
}

fn failure(draft: &mut Draft<'_>, reason: &str, message: &str) {
    draft.run.failure = Some(Failure {
        reason: reason.to_owned(),
        message: message.to_owned(),
        failed_at: Some(Time(draft.now())),
    });
}

fn reported<'a>(mut draft: Draft<'a>, told: &Told) -> Settled<'a> {
    let report = &told.report;
    let word = Some(report.state.as_str().to_owned());
    if report.state.is_terminal() && !report.is_last {
        if report.state == JobState::Finished {
            // It is not asked again should its JobManager be shut down before its last word.
            draft.run.flink_state = word;
        }
        return life(draft, Life::Live(Known::Ending));
    }
    draft.run.flink_state = word;
    let completed = report.latest.completed.as_ref();
    let is_deleted = completed.is_some_and(|checkpoint| checkpoint.discarded);
    if let Some(checkpoint) = completed
        && let Some(location) = checkpoint.location()
    {
        draft.run.last_checkpoint = Some(location.to_owned());
        draft.run.last_checkpoint_time = Some(Time(millis(checkpoint.latest_ack_timestamp)));
    } else if report.state == JobState::Finished || (report.state.is_terminal() && is_deleted) {
        // What was there is not any more: Flink keeps none for such an end. A JobManager that has taken the job over does not tell of the
        // checkpoints before it, so that it says nothing is no proof.
        draft.run.last_checkpoint = None;
        draft.run.last_checkpoint_time = None;
    }
    health::count(&mut draft, told.restarts);
    draft.next.task_managers_registered = told
        .task_managers
        .and_then(|number| i32::try_from(number).ok());
    Settled::First(match report.state {
        JobState::Finished => match our_stop(&draft, report.latest.savepoint.as_ref()) {
            Some(location) => stopped(draft, &location),
            None => draft.conclude(RunState::Finished),
        },
        JobState::Canceled => {
            keep_checkpoint(&mut draft);
            draft.conclude(RunState::Terminated)
        }
        JobState::Failed => {
            keep_checkpoint(&mut draft);
            let why = report.failure.clone();
            let why = why.unwrap_or_else(|| "Flink gives no reason".to_owned());
            failure(&mut draft, "JobFailed", &why);
            draft.conclude(RunState::Failed)
        }
        JobState::Running if !draft.has_run() && !told.tasks_run => {
            let why = "Flink waits for TaskManagers.".to_owned();
            return life(draft, Life::Starting(why));
        }
        JobState::Running if !draft.has_run() => {
            draft.run.start_time = Some(Time(draft.now()));
            draft.run.state = Some(RunState::Started);
            draft.act(None, Again::AtOnce)
        }
        state if draft.has_run() => {
            let known = Known::In(state, report.failure.clone());
            return life(draft, Life::Live(known));
        }
        state => {
            let why = match &report.failure {
                Some(cause) => format!("Flink says {}: {cause}", state.as_str()),
                None => format!("Flink says {}.", state.as_str()),
            };
            return life(draft, Life::Starting(why));
        }
    })
}

/// Where the savepoint lies that the run was told to stop with, if that is what it ended with. A bounded job may end by itself
/// meanwhile.
fn our_stop(draft: &Draft<'_>, savepoint: Option<&Checkpoint>) -> Option<String> {
    let operation = draft.next.operation.as_ref()?;
    let location = savepoint?.location()?;
    let folder = operation.target_directory.as_deref()?.rsplit('/').next()?;
    location.contains(folder).then(|| location.to_owned())
}

/// The savepoint that the run was to end with is complete.
fn written(mut draft: Draft<'_>, location: &str) -> Decision {
    let goes_on = match &draft.observed.flink {
        Flink::Job(told) => !told.report.state.is_terminal(),
        _ => false,
    };
    if stops(draft.observed.version) || !goes_on {
        return stopped(draft, location);
    }
    // Before Flink 1.9 the job is cancelled next, and leaves nothing newer that anybody has asked for.
    let completed = draft.now();
    keep(&mut draft, SavepointOrigin::Suspend, location, completed);
    draft.run.state = Some(RunState::Started);
    draft.begin(operations::CANCEL);
    draft.act(None, Again::AtOnce)
}

/// The run was stopped, and this is its savepoint.
fn stopped(mut draft: Draft<'_>, location: &str) -> Decision {
    draft.run.flink_state = Some(JobState::Finished.as_str().to_owned());
    let completed = draft.now();
    keep(&mut draft, SavepointOrigin::Suspend, location, completed);
    draft.conclude(RunState::Finished)
}

/// Keeps the newest checkpoint, which nobody deletes any more.
pub fn keep_checkpoint(draft: &mut Draft<'_>) {
    if draft.run.savepoint_name.is_some() {
        // The savepoint of a stop in two steps.
        return;
    }
    if let Some(location) = draft.run.last_checkpoint.clone() {
        let completed = draft.run.last_checkpoint_time.as_ref();
        let completed = completed.map_or_else(|| draft.now(), |time| time.0);
        let origin = SavepointOrigin::RetainedCheckpoint;
        keep(draft, origin, &location, completed);
    }
}

fn keep(
    draft: &mut Draft<'_>,
    origin: SavepointOrigin,
    location: &str,
    completed: jiff::Timestamp,
) {
    let (Some(job), Some(run)) = (run_id(draft), draft.next.job_name.as_deref()) else {
        return;
    };
    let name = identity::savepoint_name(run, &job, origin);
    draft.run.savepoint_name = Some(name.clone());
    kept(draft);
    draft.savepoint = Some(Record {
        name,
        origin,
        job,
        location: location.to_owned(),
        completed,
    });
}

/// Flink's id of the newest run.
pub fn run_id(draft: &Draft<'_>) -> Option<JobId> {
    identity::job_id(draft.observed.run?)
}
