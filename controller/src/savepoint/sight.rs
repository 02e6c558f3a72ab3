//! What is observed of a savepoint that a user asks for, and what is to be done: the words of [`super::decide`].

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use sluice_api::{Savepoint, SavepointStatus};
use sluice_policy::flink::FlinkVersion;

use crate::flink::{JobId, Snapshot, TriggerId};
use crate::runtime::events::Note;

/// Tells of the job of this name in this namespace. Every kind of job has one.
pub type Whose =
    Arc<dyn Fn(String, String) -> BoxFuture<'static, kube::Result<Sight>> + Send + Sync>;

/// What is known of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Whether a savepoint can be taken of it now.
    pub life: Life,
    /// Where its newest run is, or was, while that can be asked.
    pub place: Option<Place>,
}

/// Whether a savepoint can be taken of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Life {
    /// There is no such object; it may come. The sentence names it.
    Missing(String),
    /// It is about to run, or cannot be asked just now; the sentence says what it is waiting for.
    Moving(String),
    /// It does not run, and nobody asks it to; the sentence says so and what to do.
    Resting(String),
    /// It runs, at [`Sight::place`].
    Runs,
}

/// A run, and the Flink that it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Address of the REST API: `http://10.96.0.7:8081`.
    pub address: String,
    /// Flink's id of the run.
    pub job: JobId,
    /// Flink's version, where it can be read.
    pub version: Option<FlinkVersion>,
    /// Where the job's configuration puts savepoints, where it says so.
    pub folder: Option<String>,
}

/// What is observed.
#[derive(Debug)]
pub struct Observed<'a> {
    /// The object.
    pub savepoint: &'a Savepoint,
    /// The time.
    pub now: Timestamp,
    /// Its job; `None`: the object names none.
    pub sight: Option<Sight>,
    /// What Flink says of the request; `None`: not asked.
    pub told: Option<Told>,
    /// What came of asking for it; `None`: that was not done, or it is not known.
    pub answer: Option<Answer>,
}

/// What Flink says of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing, for this reason.
    Silent(String),
    /// How it stands.
    Stands(Snapshot),
    /// Here is its savepoint, and when Flink had it complete.
    Found(String, Timestamp),
}

/// What came of asking for a savepoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Flink works on it, under this id.
    Accepted(TriggerId),
    /// It does not take it, for this reason.
    Refused(String),
    /// It is not known whether it has.
    Unclear(String),
}

/// What has to be done, in this order: status, Events, step.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The status, whether it has changed or not.
    pub status: SavepointStatus,
    /// What is told, once it is stored.
    pub notes: Vec<Note>,
    /// To ask Flink for, once the status is stored.
    pub ask: Option<Ask>,
    /// When to look again.
    pub again: Option<Duration>,
}

/// A savepoint to be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Of this run.
    pub job: JobId,
    /// Where to; `None`: where Flink is configured to.
    pub directory: Option<String>,
    /// Under this id, where Flink takes one.
    pub trigger: Option<TriggerId>,
}
