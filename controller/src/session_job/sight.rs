//! What is observed of a session job, and what is to be done: the words of [`super::decide`].

use std::time::Duration;

use jiff::Timestamp;
use sluice_api::{SessionClusterState, SessionJob, SessionJobStatus};
use sluice_policy::flink::FlinkVersion;

use crate::flink::types::Latest;
use crate::flink::{JarRun, JobId, JobState, Snapshot, TriggerId};
use crate::runtime::events::Note;
pub use crate::savepoint::history::{Record, Stored};

/// What is observed.
#[derive(Debug)]
pub struct Observed<'a> {
    /// The object.
    pub job: &'a SessionJob,
    /// The time.
    pub now: Timestamp,
    /// The session cluster that the spec names.
    pub target: Target,
    /// The session cluster that the newest run is on.
    pub home: Home,
    /// The same, and what it takes; `None`: there is no such cluster any more. The target may be another one, or take no jobs.
    pub at: Option<Ready>,
    /// What Flink says of the newest run; `None`: not asked.
    pub flink: Option<Flink>,
    /// How the stop stands that the status speaks of; `None`: not asked.
    pub stop: Option<Snapshot>,
    /// The job's Savepoint objects that are complete.
    pub savepoints: &'a [Stored],
    /// What came of the step that was decided last; `None`: none was, or it is not known.
    pub answer: Option<Answer>,
}

/// The session cluster that a job is to run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The spec names none.
    Unnamed,
    /// There is none of this name.
    Missing(String),
    /// It does not run.
    NotReady {
        /// Its name.
        name: String,
        /// What it is.
        state: Option<SessionClusterState>,
    },
    /// It runs.
    Ready(Ready),
}

/// A session cluster, and what matters of it to a job: of a [`Target`] that takes jobs, or of the one that a run is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Flink's version, if it can be read.
    pub version: Option<FlinkVersion>,
    /// Where its configuration puts savepoints.
    pub savepoints: Option<String>,
}

/// The session cluster that the newest run is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// There is no such cluster any more, or nothing of it is left.
    Gone,
    /// It may or may not run; Flink is not asked.
    Away,
    /// It runs.
    Ready,
}

/// What Flink says of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flink {
    /// Nothing, for this reason.
    Silent(String),
    /// It does not know it.
    NoSuchJob,
    /// This.
    Job(Box<Report>),
}

/// What Flink says of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its state.
    pub state: JobState,
    /// Why it failed or restarted last.
    pub failure: Option<String>,
    /// Its newest snapshots.
    pub latest: Latest,
    /// Whether these are its last ones. Flink answers from caches of different age: a job that has ended may still show the
    /// snapshots that it had before.
    pub is_last: bool,
}

/// What has to be done, in this order: finalizer to be added, Savepoint to be stored, status, Events, step, finalizer to be
/// removed.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The object's finalizer.
    pub finalizer: Finalizer,
    /// A snapshot to be kept as an object.
    pub record: Option<Record>,
    /// The status, whether it has changed or not.
    pub status: SessionJobStatus,
    /// What is told, once it is stored.
    pub notes: Vec<Note>,
    /// What to ask of Flink, once the status is stored.
    pub step: Option<Step>,
    /// When to look again, should nothing be heard.
    pub again: Option<Duration>,
}

/// What to do to the finalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finalizer {
    /// It is as it should be.
    Leave,
    /// Before anything runs.
    Add,
    /// Nothing runs any more.
    Remove,
}

/// What to ask of Flink.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// To run a jar.
    Submit(Box<Submission>),
    /// To stop the run with a savepoint.
    Stop {
        /// The run.
        job: JobId,
        /// Where to.
        directory: Option<String>,
        /// Under this id, where Flink takes one.
        trigger: Option<TriggerId>,
    },
    /// To cancel the run.
    Cancel(JobId),
}

/// A run to be submitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// Where the jar is; `None`: the program is on the cluster's class path.
    pub jar: Option<String>,
    /// File name of the jar at Flink.
    pub name: String,
    /// What to run, with the job's id.
    pub run: JarRun,
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Flink has the job.
    Submitted,
    /// It will not have it, or the jar cannot be fetched: the same again gives the same.
    SubmitFailed(String),
    /// The jar cannot be fetched for now: its server is not reached, or has trouble of its own.
    NotFetched(String),
    /// Flink was not asked, or takes nothing yet: the cluster was not reached or still starts, or something newer is asked for.
    NotSent(String),
    /// Flink works on the stop, under this id.
    Stopping(TriggerId),
    /// It does not take the stop.
    StopFailed(String),
    /// It cancels.
    Cancelling,
    /// It is not known, or not yet, what became of it.
    Unclear(String),
}
