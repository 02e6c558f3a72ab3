//! What is observed of a Deployment, and what is to be done: the words of [`super::decide`].

use std::time::Duration;

use jiff::Timestamp;
use sluice_api::{Deployment, DeploymentStatus, Job, JobSpec, JobStatus};
use sluice_policy::MilliCpu;
use sluice_policy::flink::FlinkVersion;

use crate::flink::{JobId, Snapshot, TriggerId};
use crate::ledger::gate::Verdict;
use crate::runtime::events::Note;
use crate::runtime::made::Made;
pub use crate::savepoint::history::{Record, Stored};
use crate::session_cluster::decide::Proof;
use crate::session_cluster::target::Target;
pub use crate::session_job::sight::{Finalizer, Report};

/// What is observed.
#[derive(Debug)]
pub struct Observed<'a> {
    /// The object.
    pub deployment: &'a Deployment,
    /// The time.
    pub now: Timestamp,
    /// CPU that it asks for while it runs, as admission reads it.
    pub demand: Result<MilliCpu, String>,
    /// Where the next run's pods go.
    pub target: Target,
    /// Why objects cannot be made of the spec, if they cannot.
    pub spoilt: Option<String>,
    /// What the second gate says; `None`: not asked yet.
    pub gate: Option<Verdict>,
    /// The Job object of the newest run, read past every cache.
    pub run: Option<&'a Job>,
    /// Flink's version of that run, if it can be read.
    pub version: Option<FlinkVersion>,
    /// TaskManagers of that run.
    pub task_managers: Option<u32>,
    /// Where that run's configuration puts savepoints.
    pub folder: Option<String>,
    /// Everything that has been made for the Deployment.
    pub made: &'a [Made],
    /// Whether `made` was read past every cache.
    pub proof: Proof,
    /// What Flink says of the newest run.
    pub flink: Flink,
    /// How the stop stands that the status speaks of; `None`: not asked.
    pub stop: Option<Snapshot>,
    /// The Deployment's Savepoint objects that are complete; `None`: not read yet.
    pub savepoints: Option<&'a [Stored]>,
    /// What came of the step that was decided last; `None`: none was, or it is not known.
    pub answer: Option<Answer>,
}

/// What Flink says of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Flink {
    /// It was not asked: there is nobody to ask.
    Absent,
    /// Nothing, for this reason.
    Silent(String),
    /// It does not know it (yet).
    NoSuchJob,
    /// This.
    Job(Box<Told>),
}

/// What Flink says of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// State, failure and snapshots.
    pub report: Report,
    /// Whether its tasks run; asked only until it has begun.
    pub tasks_run: bool,
    /// How often it has restarted, as this JobManager counts.
    pub restarts: Option<i64>,
    /// TaskManagers that have registered.
    pub task_managers: Option<u32>,
}

/// What has to be found out, or done.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Ask the second gate, then decide again.
    AskGate,
    /// Read what has been made past every cache, then decide again.
    ReadAll,
    /// Read the Savepoint objects, then decide again.
    ReadSavepoints,
    /// Do this.
    Act(Box<Plan>),
}

/// What has to be done, in this order: finalizer to be added, Savepoint to be stored, the run's status, status, Events, step,
/// finalizer to be removed.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The object's finalizer.
    pub finalizer: Finalizer,
    /// A snapshot to be kept as an object.
    pub savepoint: Option<Record>,
    /// The status of the Job object, where it changes.
    pub run: Option<JobStatus>,
    /// The status, whether it has changed or not.
    pub status: DeploymentStatus,
    /// What is told, once it is stored.
    pub notes: Vec<Note>,
    /// What to do then.
    pub step: Option<Step>,
    /// When to look again, should nothing be heard.
    pub again: Again,
}

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// At once: something was written that the next step follows from.
    AtOnce,
    /// After this time.
    After(Duration),
    /// When something changes.
    OnNews,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Create the Job object of a run.
    Record {
        /// Its name.
        name: String,
        /// What is to be run.
        spec: Box<JobSpec>,
    },
    /// Make the cluster of the run.
    Make,
    /// Set the number of a Deployment's pods.
    Scale(Made, u32),
    /// Delete these.
    Delete(Vec<Made>),
    /// Let go of the Job object: its run is over.
    Release,
    /// Stop the run with a savepoint.
    Stop {
        /// The run.
        job: JobId,
        /// Where to.
        directory: Option<String>,
        /// Under this id, where Flink takes one.
        trigger: Option<TriggerId>,
    },
    /// Have a savepoint taken of a run that goes on: before Flink 1.9 the first half of a stop.
    Savepoint {
        /// The run.
        job: JobId,
        /// Where to.
        directory: Option<String>,
    },
    /// Cancel the run.
    Cancel(JobId),
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The Job object stands, and what follows from it is decided anew.
    Recorded,
    /// A Job object of this name is of another run.
    NameTaken,
    /// The JobManager stands, with this uid.
    Made(String),
    /// An object could not be made; the reason's word, and a sentence.
    Refused(&'static str, String),
    /// What stands in the way is on its way out.
    Waiting,
    /// Flink works on the stop, under this id.
    Stopping(TriggerId),
    /// It does not take the stop.
    StopFailed(String),
    /// It cancels.
    Cancelling,
    /// It does not take the cancellation.
    CancelFailed(String),
    /// It is not known, or not yet, what became of it.
    Unclear(String),
    /// The API server refuses the Savepoint object of a snapshot that has to be kept, so what was decided with it has not been written.
    NotKept {
        /// The object's name.
        name: String,
        /// Where the snapshot is.
        location: String,
        /// The API server's words.
        why: String,
    },
    /// It is done.
    Done,
}
