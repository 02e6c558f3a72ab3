//! The calls about the cluster, its jobs and its jars. Stops and savepoints are in [`super::snapshots`].

use std::path::Path;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, Url, header, redirect};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::answer::{Body, LONGEST, LONGEST_OF_JOB, Room, SMALL, few, short};
use super::cause;
use super::error::{FlinkError, Meaning};
use super::tasks::Tasks;
use super::types::{
    Checkpoints, Exceptions, JobDetails, JobId, JobOverview, Jobs, Latest, Overview, Settings,
    TaskManager, TaskManagers,
};
use crate::http;

/// How long each sort of call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To make a connection.
    pub connect: Duration,
    /// To read something, or to ask for a cancellation, a stop or a savepoint.
    pub call: Duration,
    /// To run a jar: Flink runs the program's main method meanwhile.
    pub run: Duration,
    /// To upload a jar.
    pub upload: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            call: Duration::from_secs(5),
            run: Duration::from_mins(1),
            upload: Duration::from_mins(5),
        }
    }
}

/// Makes clients for many clusters that share connections, and room for their answers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FlinkHttp {
    client: Client,
    timeouts: Timeouts,
    pub(super) room: Room,
}

impl FlinkHttp {
    /// With these time-outs.
    ///
    /// # Errors
    /// [`FlinkError::Http`] where no HTTP client can be made.
    pub fn new(timeouts: Timeouts) -> Result<Self, FlinkError> {
        let client = http::builder()?
            .connect_timeout(timeouts.connect)
            .redirect(redirect::Policy::none())
            // A JobManager is reached inside the cluster; a proxy for the way out would not know it.
            .no_proxy()
            .pool_max_idle_per_host(1)
            // Longer than between two questions while something is awaited; of a thousand clusters at rest none is kept.
            .pool_idle_timeout(Duration::from_secs(4))
            .build()
            .map_err(http::HttpError::from)?;
        Ok(Self {
            client,
            timeouts,
            room: Room::new(),
        })
    }

    /// The REST API at this address, such as `http://10.96.3.4:8081`.
    ///
    /// # Errors
    /// [`FlinkError::Address`] for what is no address.
    pub fn at(&self, address: &str) -> Result<FlinkClient, FlinkError> {
        let bad = |reason: String| FlinkError::Address {
            address: address.to_owned(),
            reason,
        };
        let mut base = Url::parse(address).map_err(|error| bad(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(bad("it must begin with http:// and name a host".to_owned()));
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        Ok(FlinkClient {
            http: self.clone(),
            base,
        })
    }
}

/// The REST API of one cluster.
#[derive(Clone, Debug)]
pub struct FlinkClient {
    http: FlinkHttp,
    base: Url,
}

/// What is submitted with `/jars/:id/run`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JarRun {
    /// The main class; left out: the one that the jar's manifest names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_class: Option<String>,
    /// Arguments of the main class.
    #[serde(rename = "programArgsList", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Parallelism; left out: that of this configuration, else 1, whatever the cluster's own says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<i32>,
    /// The id that the job shall have. With it a second submission is refused by Flink, as long as it knows what became of the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// Where the snapshot is that the job starts from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub savepoint_path: Option<String>,
    /// Whether state that the job has no operator for may be dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_non_restored_state: Option<bool>,
    /// Options of this job. Flink 1.17 and later; earlier ones ignore it.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub flink_configuration: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Metrics {
    #[serde(deserialize_with = "few")]
    all: Vec<Metric>,
}

#[derive(Deserialize)]
struct Metric {
    id: String,
    value: Option<String>,
}

#[derive(Deserialize)]
struct Uploaded {
    filename: String,
}

#[derive(Deserialize)]
struct Started {
    jobid: JobId,
}

#[derive(Deserialize)]
struct Jars {
    #[serde(default, deserialize_with = "few")]
    files: Vec<Jar>,
}

#[derive(Deserialize)]
struct Jar {
    #[serde(deserialize_with = "short")]
    id: String,
    #[serde(default)]
    name: String,
}

/// What Flink answers where it has failed.
#[derive(Deserialize)]
struct Errors {
    #[serde(deserialize_with = "few")]
    errors: Vec<String>,
}

impl FlinkClient {
    /// The address, without a slash at its end.
    pub fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The cluster at a glance. What answers this is a JobManager that leads.
    pub async fn overview(&self) -> Result<Overview, FlinkError> {
        self.get(&["overview"]).await
    }

    /// The TaskManagers that are registered.
    pub async fn taskmanagers(&self) -> Result<Vec<TaskManager>, FlinkError> {
        let all: TaskManagers = self.get(&["taskmanagers"]).await?;
        Ok(all.taskmanagers)
    }

    /// Every job that the cluster remembers, ended ones for `jobstore.expiration-time` (an hour).
    pub async fn jobs(&self) -> Result<Vec<JobOverview>, FlinkError> {
        let all: Jobs = self.get(&["jobs", "overview"]).await?;
        Ok(all.jobs)
    }

    /// One job; `None` where Flink does not know it.
    pub async fn job(&self, job: &JobId) -> Result<Option<JobDetails>, FlinkError> {
        optional(self.about(job).await)
    }

    /// Why a job has failed or restarted last, in a sentence; `None` where it has not.
    pub async fn job_failure(&self, job: &JobId) -> Result<Option<String>, FlinkError> {
        let url = self.url(&["jobs", job.as_str(), "exceptions"])?;
        let request = self
            .request(Method::GET, url)
            .query(&[("maxExceptions", "1")]);
        let found: Exceptions = self.ask(request).await?;
        let newest = found
            .history
            .and_then(|history| history.entries.into_iter().next())
            .and_then(|entry| entry.stacktrace)
            .or(found.root_exception);
        Ok(newest.map(|trace| cause::root_cause(&trace)))
    }

    /// The newest snapshots of a job, running or ended.
    pub async fn checkpoints(&self, job: &JobId) -> Result<Latest, FlinkError> {
        let found: Checkpoints = self.get(&["jobs", job.as_str(), "checkpoints"]).await?;
        Ok(found.latest.unwrap_or_default())
    }

    /// Whether the tasks of a job run: all of a streaming job's, the first stage of a batch job's. Flink calls a job RUNNING that still waits for
    /// slots.
    pub async fn tasks_run(&self, job: &JobId) -> Result<bool, FlinkError> {
        let found: Tasks = self.about(job).await?;
        Ok(found.run())
    }

    /// How often a job has restarted, as its JobManager counts; `None` where it does not count (yet).
    pub async fn restarts(&self, job: &JobId) -> Result<Option<i64>, FlinkError> {
        let url = self.url(&["jobs", job.as_str(), "metrics"])?;
        let request = self
            .request(Method::GET, url)
            // The second name is that of older versions.
            .query(&[("get", "numRestarts,fullRestarts")]);
        let found: Metrics = self.ask(request).await?;
        let value = |id: &str| {
            let metric = found.all.iter().find(|metric| metric.id == id)?;
            metric.value.as_deref()?.parse().ok()
        };
        Ok(value("numRestarts").or_else(|| value("fullRestarts")))
    }

    /// How old an answer about a job may be, in milliseconds: Flink keeps what it answers for `web.refresh-interval`, the job's
    /// state and its snapshots each by itself.
    pub async fn refresh_millis(&self) -> Result<i64, FlinkError> {
        /// Flink's default.
        const DEFAULT: i64 = 3000;
        let settings: Settings = self.get(&["config"]).await?;
        Ok(settings
            .refresh_interval
            .filter(|millis| *millis >= 0)
            .unwrap_or(DEFAULT))
    }

    /// Uploads a jar under this file name; returns the id to run it by.
    pub async fn upload_jar(&self, name: &str, jar: &Path) -> Result<String, FlinkError> {
        let file = |source| FlinkError::File {
            path: jar.display().to_string(),
            source,
        };
        let open = tokio::fs::File::open(jar).await.map_err(file)?;
        let length = open.metadata().await.map_err(file)?.len();
        self.upload(
            name,
            reqwest::multipart::Part::stream_with_length(open, length),
        )
        .await
    }

    /// Uploads a jar with nothing in it, for programs that are on the cluster's class path; returns its id.
    pub async fn upload_empty_jar(&self, name: &str) -> Result<String, FlinkError> {
        /// A ZIP archive without entries: the record that ends it.
        const EMPTY: [u8; 22] = [
            b'P', b'K', 5, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        self.upload(name, reqwest::multipart::Part::bytes(EMPTY.to_vec()))
            .await
    }

    async fn upload(
        &self,
        name: &str,
        part: reqwest::multipart::Part,
    ) -> Result<String, FlinkError> {
        let part = part
            .file_name(name.to_owned())
            .mime_str("application/x-java-archive")
            .map_err(http::HttpError::from)?;
        let form = reqwest::multipart::Form::new().part("jarfile", part);
        let url = self.url(&["jars", "upload"])?;
        let request = self.request(Method::POST, url).multipart(form);
        let uploaded: Uploaded = self.send(request, self.http.timeouts.upload).await?;
        let id = uploaded.filename.rsplit('/').next().unwrap_or_default();
        Ok(id.to_owned())
    }

    /// Ids of the uploaded jars that have this file name.
    pub async fn jars_named(&self, name: &str) -> Result<Vec<String>, FlinkError> {
        let all: Jars = self.get(&["jars"]).await?;
        let named = all.files.into_iter().filter(|jar| jar.name == name);
        Ok(named.map(|jar| jar.id).collect())
    }

    /// Runs an uploaded jar; returns the job's id. [`FlinkError::is_duplicate_job`] where a job of `run.job_id` was submitted
    /// before.
    pub async fn run_jar(&self, jar: &str, run: &JarRun) -> Result<JobId, FlinkError> {
        let url = self.url(&["jars", jar, "run"])?;
        let request = self.request(Method::POST, url).json(run);
        let started: Started = self.send(request, self.http.timeouts.run).await?;
        Ok(started.jobid)
    }

    /// Deletes an uploaded jar; jobs that were started from it run on. One that is gone already is no error.
    pub async fn delete_jar(&self, jar: &str) -> Result<(), FlinkError> {
        let request = self.request(Method::DELETE, self.url(&["jars", jar])?);
        match self
            .send::<IgnoredAny>(request, self.http.timeouts.call)
            .await
        {
            Err(FlinkError::Refused { code: 400, .. } | FlinkError::NotFound { .. }) | Ok(_) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Asks Flink to cancel a job. One that has ended, or is not known any more, is no error.
    pub async fn cancel(&self, job: &JobId) -> Result<(), FlinkError> {
        let url = self.url(&["jobs", job.as_str()])?;
        let request = self
            .request(Method::PATCH, url)
            .query(&[("mode", "cancel")]);
        match self
            .send::<IgnoredAny>(request, self.http.timeouts.call)
            .await
        {
            // 409 since 1.14: it has ended in another way.
            Err(FlinkError::NotFound { .. } | FlinkError::Refused { code: 409, .. }) | Ok(_) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    pub(super) const fn call_timeout(&self) -> Duration {
        self.http.timeouts.call
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, FlinkError> {
        let request = self.request(Method::GET, self.url(path)?);
        self.ask(request).await
    }

    /// Sends what changes nothing, and may be answered at length.
    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, FlinkError> {
        self.read(request, self.http.timeouts.call, LONGEST).await
    }

    /// What `/jobs/:id` says.
    async fn about<T: DeserializeOwned>(&self, job: &JobId) -> Result<T, FlinkError> {
        let request = self.request(Method::GET, self.url(&["jobs", job.as_str()])?);
        self.read(request, self.http.timeouts.call, LONGEST_OF_JOB)
            .await
    }

    pub(super) fn url(&self, path: &[&str]) -> Result<Url, FlinkError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| FlinkError::Address {
                address: self.address().to_owned(),
                reason: "it takes no path".to_owned(),
            })?
            .pop_if_empty()
            .extend(path);
        Ok(url)
    }

    pub(super) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.client.request(method, url)
    }

    /// Sends a request to change something and reads its answer, or Flink's root cause.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        within: Duration,
    ) -> Result<T, FlinkError> {
        self.read(request, within, SMALL).await
    }

    /// The same of an answer of at most so many bytes.
    async fn read<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        within: Duration,
        longest: usize,
    ) -> Result<T, FlinkError> {
        let request = request.build().map_err(http::HttpError::from)?;
        let call = format!("{} {}", request.method(), request.url().path());
        let late = |after| FlinkError::TimedOut {
            address: self.address().to_owned(),
            call: call.clone(),
            after,
        };
        let failed = |error: reqwest::Error| {
            let address = self.address().to_owned();
            let call = call.clone();
            if error.is_timeout() {
                let after = if error.is_connect() {
                    self.http.timeouts.connect
                } else {
                    within
                };
                return FlinkError::TimedOut {
                    address,
                    call,
                    after,
                };
            }
            FlinkError::Unreachable {
                address,
                call,
                reason: http::why(error),
            }
        };
        let answering = async {
            let mut response = self.http.client.execute(request).await.map_err(failed)?;
            // Why it is refused may take many words, but no time: its room is others'.
            let (longest, within) = if response.status().is_success() {
                (longest, within)
            } else {
                (longest.max(LONGEST), self.http.timeouts.call)
            };
            let reading = async {
                let mut body = Body::of_at_most(longest);
                while let Some(chunk) = response.chunk().await.map_err(failed)? {
                    if body.take_in(&chunk, &self.http.room).await.is_err() {
                        return Err(FlinkError::TooLarge {
                            address: self.address().to_owned(),
                            call: call.clone(),
                            limit: longest,
                        });
                    }
                }
                Ok(body)
            };
            let Ok(body) = tokio::time::timeout(within, reading).await else {
                return Err(late(within));
            };
            let body = body?;
            Ok((response, body))
        };
        let Ok(answer) = tokio::time::timeout(within, answering).await else {
            return Err(late(within));
        };
        let (response, body) = answer?;
        if !response.status().is_success() {
            return Err(refused(call, &response, body.bytes()));
        }
        serde_json::from_slice(body.bytes()).map_err(|error| FlinkError::Unreadable {
            address: self.address().to_owned(),
            call,
            // It may repeat what was read.
            reason: cause::shorten(&error.to_string(), cause::LONGEST),
        })
    }
}

/// What is not there as `None`.
fn optional<T>(found: Result<T, FlinkError>) -> Result<Option<T>, FlinkError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(FlinkError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn refused(call: String, response: &Response, body: &[u8]) -> FlinkError {
    let code = response.status().as_u16();
    if response.status().is_redirection() {
        return FlinkError::Refused {
            call,
            code,
            reason: redirects(response),
            meaning: Meaning::Other,
        };
    }
    let texts = match serde_json::from_slice::<Errors>(body) {
        Ok(errors) => errors.errors,
        Err(_) => vec![String::from_utf8_lossy(body).into_owned()],
    };
    // A heading and then the trace, or the trace alone.
    let trace = texts
        .iter()
        .rev()
        .find(|text| !text.trim().is_empty())
        .map_or("", String::as_str);
    let reason = cause::root_cause(trace);
    if code == 404 {
        return FlinkError::NotFound { call, reason };
    }
    let meaning = if cause::mentions(trace, "DuplicateJobSubmissionException") {
        Meaning::DuplicateJob
    } else if code == 503
        || cause::mentions(trace, "LeaderRetrievalException")
        || cause::mentions(trace, "EndpointNotStartedException")
    {
        Meaning::NotReady
    } else {
        Meaning::Other
    };
    FlinkError::Refused {
        call,
        code,
        reason,
        meaning,
    }
}

/// Where an answer sends who asks, which is not followed: Flink itself does so where its REST API is behind TLS.
fn redirects(response: &Response) -> String {
    let location = response.headers().get(header::LOCATION);
    let location = location.map_or(std::borrow::Cow::Borrowed("nowhere"), |location| {
        String::from_utf8_lossy(location.as_bytes())
    });
    cause::shorten(&format!("it redirects to {location}"), cause::LONGEST)
}
