//! What Flink's REST API answers, as far as Sluice reads it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::answer::{few, place, short};

/// Flink's id of a job: 32 hexadecimal digits in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct JobId(String);

impl TryFrom<String> for JobId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("an id of a job has 32 hexadecimal digits")
    }
}

impl JobId {
    /// The id in a text, if it is one.
    pub fn parse(text: &str) -> Option<Self> {
        let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then(|| Self(text.to_ascii_lowercase()))
    }

    /// The id of these 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(format!("{:032x}", u128::from_be_bytes(bytes)))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// State of a job, in Flink's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum JobState {
    /// Its JobMaster is being made.
    Initializing,
    /// It waits for its first schedule.
    Created,
    /// It runs, which may mean that it waits for slots.
    Running,
    /// It has failed and is being brought down.
    Failing,
    /// It failed for good.
    Failed,
    /// It is being cancelled.
    Cancelling,
    /// It was cancelled.
    Canceled,
    /// It ended by itself, or was stopped with a savepoint.
    Finished,
    /// It failed and starts again.
    Restarting,
    /// Its JobManager gave it up; another may take it on.
    Suspended,
    /// Left from another JobManager, being taken on.
    Reconciling,
    /// A word that this version of Sluice does not know.
    #[serde(other)]
    Unknown,
}

impl JobState {
    /// Whether it never runs again.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Failed | Self::Canceled | Self::Finished)
    }

    /// Flink's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initializing => "INITIALIZING",
            Self::Created => "CREATED",
            Self::Running => "RUNNING",
            Self::Failing => "FAILING",
            Self::Failed => "FAILED",
            Self::Cancelling => "CANCELLING",
            Self::Canceled => "CANCELED",
            Self::Finished => "FINISHED",
            Self::Restarting => "RESTARTING",
            Self::Suspended => "SUSPENDED",
            Self::Reconciling => "RECONCILING",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// `/overview`: the cluster at a glance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Overview {
    /// TaskManagers that are registered.
    pub taskmanagers: u32,
    /// Slots of all TaskManagers.
    pub slots_total: u32,
    /// Slots that no job uses.
    pub slots_available: u32,
    /// Jobs that have not ended.
    pub jobs_running: u32,
    /// Jobs that ended by themselves or were stopped.
    pub jobs_finished: u32,
    /// Jobs that were cancelled.
    pub jobs_cancelled: u32,
    /// Jobs that failed.
    pub jobs_failed: u32,
    /// Flink's version, such as 1.20.1.
    pub flink_version: String,
}

/// A TaskManager that is registered.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TaskManager {
    /// Its resource id: its pod's name, or before Flink 1.12 something that begins with the pod's address.
    #[serde(deserialize_with = "short")]
    pub id: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct TaskManagers {
    #[serde(default, deserialize_with = "few")]
    pub taskmanagers: Vec<TaskManager>,
}

/// A job in `/jobs/overview`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobOverview {
    /// Its id.
    pub jid: JobId,
    /// Its state.
    pub state: JobState,
    /// Milliseconds since 1970.
    #[serde(default)]
    pub start_time: i64,
    /// Milliseconds since 1970; -1 while it has not ended.
    #[serde(default)]
    pub end_time: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Jobs {
    #[serde(default, deserialize_with = "few")]
    pub jobs: Vec<JobOverview>,
}

/// `/jobs/:id`, without the vertices.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobDetails {
    /// Its id.
    pub jid: JobId,
    /// Its state.
    pub state: JobState,
    /// Milliseconds since 1970.
    #[serde(default)]
    pub start_time: i64,
    /// Milliseconds since 1970; -1 while it has not ended.
    #[serde(default)]
    pub end_time: i64,
    /// The JobManager's clock when it answered, in milliseconds since 1970.
    #[serde(default)]
    pub now: i64,
}

/// `/config`: how old an answer may be.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Settings {
    pub refresh_interval: Option<i64>,
}

/// `/jobs/:id/exceptions`: the newest one. Flink 2 leaves `root-exception` out, 1.12 and earlier the history.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Exceptions {
    pub root_exception: Option<String>,
    #[serde(rename = "exceptionHistory")]
    pub history: Option<History>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct History {
    #[serde(deserialize_with = "few")]
    pub entries: Vec<HistoryEntry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HistoryEntry {
    pub stacktrace: Option<String>,
}

/// A checkpoint or savepoint that is complete.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Checkpoint {
    /// Its number.
    pub id: i64,
    /// Where its data is; Flink writes a word in angle brackets where that is the JobManager's memory.
    #[serde(deserialize_with = "place")]
    pub external_path: Option<String>,
    /// Whether its data has been deleted since.
    pub discarded: bool,
    /// Milliseconds since 1970 when it was begun.
    pub trigger_timestamp: i64,
    /// Milliseconds since 1970 when it was complete.
    pub latest_ack_timestamp: i64,
}

impl Checkpoint {
    /// Where it can be restored from, if it still can.
    pub fn location(&self) -> Option<&str> {
        self.external_path
            .as_deref()
            .filter(|path| !self.discarded && !path.is_empty() && !path.starts_with('<'))
    }
}

/// The newest of each sort in `/jobs/:id/checkpoints`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Latest {
    /// The newest checkpoint that Flink took by itself.
    pub completed: Option<Checkpoint>,
    /// The newest savepoint.
    pub savepoint: Option<Checkpoint>,
    /// What the job was restored from.
    pub restored: Option<Restored>,
}

/// What a job was restored from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Restored {
    /// Its number.
    pub id: i64,
    /// Where its data is.
    #[serde(deserialize_with = "place")]
    pub external_path: Option<String>,
    /// Whether it is a savepoint.
    pub is_savepoint: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Checkpoints {
    pub latest: Option<Latest>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ids_are_32_hexadecimal_digits() {
        assert_eq!(JobId::parse("0A").map(|id| id.0), None);
        let id = JobId::parse("0000000000000000000000000000000A").unwrap();
        assert_eq!(id.as_str(), "0000000000000000000000000000000a");
        assert_eq!(
            id,
            JobId::from_bytes([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10])
        );
        assert_eq!(JobId::parse(&"é".repeat(16)), None);
    }

    #[test]
    fn a_state_of_tomorrow_is_no_error() {
        let state: JobState = serde_json::from_value(json!("DREAMING")).unwrap();
        assert_eq!(state, JobState::Unknown);
        assert!(!state.is_terminal());
        let state: JobState = serde_json::from_value(json!("CANCELED")).unwrap();
        assert_eq!((state, state.as_str()), (JobState::Canceled, "CANCELED"));
    }

    #[test]
    fn only_data_that_is_there_is_a_location() {
        let mut checkpoint = Checkpoint {
            external_path: Some("file:/ck/chk-7".into()),
            ..Checkpoint::default()
        };
        assert_eq!(checkpoint.location(), Some("file:/ck/chk-7"));
        checkpoint.discarded = true;
        assert_eq!(checkpoint.location(), None);
        checkpoint.discarded = false;
        checkpoint.external_path = Some("<checkpoint-not-externally-addressable>".into());
        assert_eq!(checkpoint.location(), None);
    }
}
