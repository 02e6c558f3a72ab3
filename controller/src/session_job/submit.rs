//! A submission on its way to Flink: the jar is brought and uploaded, then run under the id that was stored before.

use std::sync::Arc;
use std::time::Duration;

use crate::fetch::{FetchError, Fetcher, Limits, LocalFiles, Reach, S3Settings, Source};
use crate::flink::{FlinkClient, FlinkError, Meaning};

use super::sight::{Answer, Submission};
use super::submissions::Shares;

/// Bounds of a session job's jar: the controller holds it on its disk meanwhile.
pub const JAR_LIMITS: Limits = Limits {
    bytes: 512 * 1024 * 1024,
    connect: Duration::from_secs(5),
    silence: Duration::from_secs(15),
    total: Duration::from_mins(5),
    attempts: 3,
    backoff: Duration::from_secs(1),
    redirects: 5,
};

/// Jars that lie on the controller's disk at once: they take 4 GiB at most, and whoever fills a node's disk is evicted from it.
const AT_ONCE: usize = 8;
/// Of these, of one namespace: a server that gives its jar slowly keeps nobody else's waiting.
const OF_A_NAMESPACE: usize = 2;

/// Fetches with the controller's bounds, so many at once.
#[derive(Clone, Debug)]
pub struct Jars {
    fetcher: Fetcher,
    room: Arc<Shares>,
}

impl Jars {
    /// From these addresses.
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub fn new(reach: Reach) -> Result<Self, FetchError> {
        Ok(Self {
            fetcher: Fetcher::new(JAR_LIMITS, S3Settings::from_env(), reach)?,
            room: Arc::new(Shares::new(AT_ONCE, OF_A_NAMESPACE)),
        })
    }
}

/// Brings the jar of a job in this namespace to Flink, as soon as there is room for it; returns its id there.
pub async fn bring(
    flink: &FlinkClient,
    jars: &Jars,
    namespace: &str,
    submission: &Submission,
) -> Result<String, Answer> {
    let unsent = |error: FlinkError| {
        if error.is_transient() {
            Answer::NotSent(error.to_string())
        } else {
            Answer::SubmitFailed(error.to_string())
        }
    };
    let there = flink.jars_named(&submission.name).await.map_err(unsent)?;
    if let Some(id) = there.into_iter().next() {
        return Ok(id);
    }
    let Some(uri) = &submission.jar else {
        return flink
            .upload_empty_jar(&submission.name)
            .await
            .map_err(unsent);
    };
    let failed = |error: FetchError| {
        let told = format!("spec.job.jarUri: {error}");
        if error.is_transient() {
            Answer::NotFetched(told)
        } else {
            Answer::SubmitFailed(told)
        }
    };
    let source = Source::parse(uri, LocalFiles::Refused).map_err(failed)?;
    let _until_uploaded = jars.room.place(namespace).await;
    let folder = tempfile::Builder::new()
        .prefix("sluice-jar-")
        .tempdir()
        .map_err(|error| Answer::SubmitFailed(format!("no folder for the jar: {error}")))?;
    jars.fetcher
        .fetch(uri, &source, folder.path(), &submission.name, &|_| ())
        .await
        .map_err(failed)?;
    let jar = folder.path().join(&submission.name);
    flink
        .upload_jar(&submission.name, &jar)
        .await
        .map_err(unsent)
}

/// Runs it.
pub async fn run(flink: &FlinkClient, jar: &str, submission: &Submission) -> Answer {
    match flink.run_jar(jar, &submission.run).await {
        Ok(_) => Answer::Submitted,
        Err(error) if error.is_duplicate_job() => Answer::Submitted,
        // It has answered, so nothing is under way.
        Err(
            error @ FlinkError::Refused {
                meaning: Meaning::NotReady,
                ..
            },
        ) => Answer::NotSent(error.to_string()),
        Err(error @ (FlinkError::Refused { .. } | FlinkError::NotFound { .. }))
            if !error.is_transient() =>
        {
            Answer::SubmitFailed(error.reason())
        }
        Err(error) => Answer::Unclear(error.to_string()),
    }
}

/// Takes the jar of a submission away again; jobs that were started from it run on. A program whose main method is still under way becomes no
/// job without it.
///
/// # Errors
/// Where Flink does not do so.
pub async fn clean_up(flink: &FlinkClient, name: &str) -> Result<(), FlinkError> {
    for jar in flink.jars_named(name).await? {
        flink.delete_jar(&jar).await?;
    }
    Ok(())
}
