//! Stopping with a savepoint, savepoints of a running job, and how they come out: Flink does both while one polls.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sluice_policy::flink::FlinkVersion;

use super::answer::place;
use super::cause;
use super::client::FlinkClient;
use super::error::FlinkError;
use super::types::JobId;

/// Id of a request that Flink works on: 32 hexadecimal digits. From Flink 1.15 on the caller chooses it, so that asking twice
/// is asking once; before, Flink does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TriggerId(pub String);

impl TriggerId {
    /// Of a text that says what is asked for; the same text gives the same id.
    pub fn of(text: &str) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        let mut first = [0; 16];
        for (to, from) in first.iter_mut().zip(digest) {
            *to = from;
        }
        Self(format!("{:032x}", u128::from_be_bytes(first)))
    }

    /// Whether a Flink takes the caller's id, as all do from 1.15 on; one whose version cannot be read is taken for a newer one.
    pub fn may_be_chosen(version: Option<FlinkVersion>) -> bool {
        version.is_none_or(|version| version >= FlinkVersion::new(1, 15))
    }
}

/// Where a savepoint stands that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Snapshot {
    /// Flink is writing it.
    InProgress,
    /// It is at this location.
    Completed(String),
    /// It was not written, for this reason.
    Failed(String),
    /// Flink does not know the request: never made, made of another JobManager, or answered more than 5 minutes ago.
    Unknown,
}

/// What came of asking for a stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopAnswer {
    /// Flink works on it, under this id.
    Accepted(TriggerId),
    /// There is no such job (any more).
    NoSuchJob,
}

#[derive(Deserialize)]
struct Accepted {
    #[serde(rename = "request-id")]
    request_id: TriggerId,
}

#[derive(Deserialize)]
struct Progress {
    status: Status,
    operation: Option<Operation>,
}

#[derive(Deserialize)]
struct Status {
    id: String,
}

#[derive(Deserialize)]
struct Operation {
    #[serde(default, deserialize_with = "place")]
    location: Option<String>,
    #[serde(rename = "failure-cause")]
    failure: Option<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(rename = "stack-trace", default)]
    trace: String,
}

impl FlinkClient {
    /// Asks for a savepoint in a folder below `directory`, after which the job ends. `directory` left out means the
    /// configured one; `id` is for Flink 1.15 and later.
    pub async fn stop_with_savepoint(
        &self,
        job: &JobId,
        directory: Option<&str>,
        id: Option<&TriggerId>,
    ) -> Result<StopAnswer, FlinkError> {
        let mut body = json!({"drain": false});
        set(&mut body, "targetDirectory", directory);
        set(&mut body, "triggerId", id.map(|id| id.0.as_str()));
        self.trigger(&["jobs", job.as_str(), "stop"], &body).await
    }

    /// Asks for a savepoint of a job that runs on. Arguments as in [`Self::stop_with_savepoint`].
    pub async fn savepoint(
        &self,
        job: &JobId,
        directory: Option<&str>,
        id: Option<&TriggerId>,
    ) -> Result<StopAnswer, FlinkError> {
        let mut body = json!({"cancel-job": false});
        set(&mut body, "target-directory", directory);
        set(&mut body, "triggerId", id.map(|id| id.0.as_str()));
        self.trigger(&["jobs", job.as_str(), "savepoints"], &body)
            .await
    }

    async fn trigger(&self, path: &[&str], body: &Value) -> Result<StopAnswer, FlinkError> {
        let request = self.request(Method::POST, self.url(path)?).json(body);
        match self.send::<Accepted>(request, self.call_timeout()).await {
            Ok(accepted) => Ok(StopAnswer::Accepted(accepted.request_id)),
            Err(FlinkError::NotFound { .. }) => Ok(StopAnswer::NoSuchJob),
            Err(error) => Err(error),
        }
    }

    /// How a stop or savepoint stands.
    pub async fn snapshot(&self, job: &JobId, id: &TriggerId) -> Result<Snapshot, FlinkError> {
        let found = self
            .get::<Progress>(&["jobs", job.as_str(), "savepoints", &id.0])
            .await;
        let progress = match found {
            Ok(progress) => progress,
            Err(FlinkError::NotFound { .. }) => return Ok(Snapshot::Unknown),
            Err(error) => return Err(error),
        };
        let Some(operation) = progress
            .operation
            .filter(|_| progress.status.id == "COMPLETED")
        else {
            return Ok(Snapshot::InProgress);
        };
        Ok(match (operation.location, operation.failure) {
            (Some(location), _) => Snapshot::Completed(location),
            (None, Some(failure)) => Snapshot::Failed(cause::root_cause(&failure.trace)),
            (None, None) => Snapshot::Failed("Flink names no location".to_owned()),
        })
    }
}

fn set(body: &mut Value, key: &str, value: Option<&str>) {
    if let (Some(body), Some(value)) = (body.as_object_mut(), value) {
        body.insert(key.to_owned(), json!(value));
    }
}
