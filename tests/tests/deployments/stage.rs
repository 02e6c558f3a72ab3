//! The stage of these tests: a control plane with kube-controller-manager and no node. The test plays the kubelet and Flink: each
//! JobManager pod that runs is a Flink with the one job that its arguments name, which counts, takes checkpoints, and restores from
//! what it is told to. What happens to jobs is written down, and two jobs of one Deployment at once are noticed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the played kubelet and Flink know.
#[derive(Default)]
pub struct Play {
    /// By Flink's id.
    pub jobs: HashMap<String, FakeJob>,
    /// Counts by location of a snapshot.
    pub snapshots: BTreeMap<String, i64>,
    /// Flink's id by the cluster IP of the JobManager's Service.
    by_ip: HashMap<String, String>,
    /// Pods that have been told to run, by uid, with their job.
    running: HashMap<String, String>,
    /// What must never be.
    pub violations: Vec<String>,
    /// By Deployment: what goes wrong with it.
    pub faults: HashMap<String, Faults>,
}

/// What goes wrong.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// JobManagers that end before they have a job.
    pub starts: u32,
    /// Savepoints that are not written.
    pub savepoints: u32,
    /// Flink does not answer.
    pub mute: bool,
    /// Flink takes cancellations and does not act upon them.
    pub deaf: bool,
}

#[derive(Clone, Debug, Default)]
pub struct FakeJob {
    /// `namespace/name` of the Deployment.
    pub of: String,
    pub state: String,
    pub from: Option<String>,
    pub restored: i64,
    pub count: i64,
    pub limit: Option<i64>,
    pub restarts: i64,
    checkpoint: Option<String>,
    checkpointed: i64,
    ended: i64,
    stops: BTreeMap<String, Result<String, String>>,
    savepoint: Option<(String, i64)>,
    /// The minor version of Flink 1 that it runs on.
    minor: u32,
    /// Results of stops that have been read.
    read: BTreeSet<String>,
    /// Whether its JobManager is there.
    pub is_up: bool,
}

impl FakeJob {
    /// Before 1.15 a JobManager ends with its job, when the results of stops have been read.
    fn is_done(&self) -> bool {
        self.minor < 15
            && self.is_up
            && self.state != "RUNNING"
            && self.stops.keys().all(|stop| self.read.contains(stop))
    }

    fn is_live(&self) -> bool {
        self.is_up && self.state == "RUNNING"
    }
}

fn millis() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_millis()).unwrap()
}

pub fn lock(play: &Mutex<Play>) -> MutexGuard<'_, Play> {
    play.lock().unwrap()
}

/// `docker.io/library/flink:1.14` is 14.
fn minor(image: &str) -> u32 {
    let tag = image.rsplit_once(":1.").map_or("20", |(_, tag)| tag);
    let digits = tag.split(|letter: char| !letter.is_ascii_digit()).next();
    digits.unwrap_or_default().parse().unwrap()
}

fn option(args: &[String], name: &str) -> Option<String> {
    let at = args.iter().position(|arg| arg == name)?;
    args.get(at + 1).cloned()
}

impl Play {
    /// The job of a Deployment that runs.
    pub fn live(&self, of: &str) -> Option<(String, FakeJob)> {
        let mut live = self
            .jobs
            .iter()
            .filter(|(_, job)| job.of == of && job.is_live());
        live.next().map(|(id, job)| (id.clone(), job.clone()))
    }

    fn fault(&mut self, of: &str) -> &mut Faults {
        self.faults.entry(of.to_owned()).or_default()
    }

    /// A JobManager begins with the job that its arguments name.
    fn begin(&mut self, id: &str, of: &str, args: &[String], image: &str) {
        if let Some(known) = self.jobs.get(id) {
            self.violations.push(format!(
                "{of}: job {id} is begun a second time, from {:?}",
                known.from
            ));
            return;
        }
        let other = self.jobs.iter().find(|(_, job)| job.of == of && job.is_up);
        if let Some((other, _)) = other {
            self.violations.push(format!(
                "{of}: job {id} begins while the JobManager of {other} is there"
            ));
        }
        let from = option(args, "--fromSavepoint");
        let restored = from.as_ref().map(|from| self.snapshots.get(from).copied());
        let job = FakeJob {
            of: of.to_owned(),
            state: if restored == Some(None) {
                "FAILED"
            } else {
                "RUNNING"
            }
            .to_owned(),
            restored: restored.flatten().unwrap_or_default(),
            count: restored.flatten().unwrap_or_default(),
            limit: option(args, "--limit").and_then(|limit| limit.parse().ok()),
            ended: if restored == Some(None) { millis() } else { -1 },
            from,
            minor: minor(image),
            is_up: true,
            ..FakeJob::default()
        };
        self.jobs.insert(id.to_owned(), job);
    }

    /// Flink gives a job up; the checkpoints are retained.
    pub fn give_up(&mut self, id: &str) {
        if let Some(job) = self.jobs.get_mut(id) {
            job.state = "FAILED".into();
            job.ended = millis();
        }
    }

    /// Time passes.
    fn tick(&mut self) {
        let mut new = Vec::new();
        for (id, job) in &mut self.jobs {
            if !job.is_live() {
                continue;
            }
            job.count += 1;
            if job.limit.is_some_and(|limit| job.count >= limit) {
                job.state = "FINISHED".into();
                job.ended = millis();
                job.checkpoint = None;
            } else if job.count % 5 == 0 {
                let location = format!("s3://b/ck/{id}/chk-{}", job.count);
                new.push((location.clone(), job.count));
                job.checkpoint = Some(location);
                job.checkpointed = millis();
            }
        }
        self.snapshots.extend(new);
    }

    #[allow(clippy::too_many_lines, reason = "a table of calls")]
    fn answer(&mut self, method: &str, path: &[&str], body: &Value) -> Option<(u16, Value)> {
        let (ip, path) = path.split_first()?;
        let id = self.by_ip.get(*ip)?.clone();
        let of = self.jobs.get(&id).map(|job| job.of.clone())?;
        let fault = self.fault(&of).clone();
        let job = self
            .jobs
            .get_mut(&id)
            .filter(|job| job.is_up && !fault.mute)?;
        let missing = || Some((404, json!({"errors": ["not found"]})));
        Some(match (method, path) {
            ("GET", ["overview"]) => (
                200,
                json!({"taskmanagers": 1, "slots-total": 1, "slots-available": 0, "jobs-running": 1,
                "jobs-finished": 0, "jobs-cancelled": 0, "jobs-failed": 0, "flink-version": "1.20.1"}),
            ),
            ("GET", ["config"]) => (200, json!({"refresh-interval": 0})),
            (_, ["jobs", wanted, ..]) if *wanted != id => return missing(),
            ("GET", ["jobs", _]) => (
                200,
                json!({"jid": id, "name": "fake", "state": job.state, "start-time": 0,
                "end-time": job.ended, "now": millis()}),
            ),
            ("GET", ["jobs", _, "checkpoints"]) => {
                let completed = job.checkpoint.as_ref().map(|path| json!({"id": 1, "external_path": path, "discarded": false,
                    "trigger_timestamp": job.checkpointed, "latest_ack_timestamp": job.checkpointed}));
                let savepoint = job.savepoint.as_ref().map(|(path, at)| {
                    json!({"id": 2, "external_path": path, "discarded": false,
                    "trigger_timestamp": at, "latest_ack_timestamp": at})
                });
                (
                    200,
                    json!({"latest": {"completed": completed, "savepoint": savepoint}}),
                )
            }
            ("GET", ["jobs", _, "metrics"]) => (
                200,
                json!([{"id": "numRestarts", "value": job.restarts.to_string()}]),
            ),
            ("GET", ["jobs", _, "exceptions"]) => (
                200,
                json!({"root-exception": "java.lang.Exception: it failed on purpose"}),
            ),
            ("PATCH", ["jobs", _]) => {
                if job.is_live() && !fault.deaf {
                    job.state = "CANCELED".into();
                    job.ended = millis();
                }
                (202, json!({}))
            }
            ("POST", ["jobs", _, "stop"]) if job.minor < 9 => return missing(),
            ("POST", ["jobs", _, "stop"]) => {
                let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
                let (mut trigger, folder) = (text("triggerId"), text("targetDirectory"));
                if job.minor < 15 {
                    if !trigger.is_empty() {
                        self.violations
                            .push(format!("{of}: Flink 1.{} knows no triggerId", job.minor));
                    }
                    trigger = format!("{:032x}", job.stops.len() + 1);
                }
                if !job.stops.contains_key(&trigger) {
                    if !job.is_live() {
                        return missing();
                    }
                    let result = if fault.savepoints > 0 {
                        Err("java.io.IOException: the disk is full".to_owned())
                    } else {
                        let location = format!("{folder}/savepoint-{}", job.count);
                        job.state = "FINISHED".into();
                        job.ended = millis();
                        job.checkpoint = None;
                        job.savepoint = Some((location.clone(), millis()));
                        Ok(location)
                    };
                    job.stops.insert(trigger.clone(), result.clone());
                    let count = job.count;
                    match result {
                        Ok(location) => {
                            if self.snapshots.insert(location.clone(), count).is_some() {
                                self.violations
                                    .push(format!("{location} is written a second time"));
                            }
                        }
                        Err(_) => self.fault(&of).savepoints -= 1,
                    }
                }
                (202, json!({"request-id": trigger}))
            }
            ("POST", ["jobs", _, "savepoints"]) => {
                let mut trigger = body["triggerId"].as_str().unwrap_or_default().to_owned();
                if job.minor < 15 {
                    trigger = format!("{:032x}", job.stops.len() + 1);
                }
                let folder = body["target-directory"].as_str().unwrap_or_default();
                if !job.stops.contains_key(&trigger) {
                    let location = format!("{folder}/savepoint-{trigger}");
                    job.stops.insert(trigger.clone(), Ok(location.clone()));
                    let count = job.count;
                    self.snapshots.insert(location, count);
                }
                (202, json!({"request-id": trigger}))
            }
            ("GET", ["jobs", _, "savepoints", trigger]) => {
                job.read.insert((*trigger).to_owned());
                match job.stops.get(*trigger) {
                    None => return missing(),
                    Some(Ok(location)) => (
                        200,
                        json!({"status": {"id": "COMPLETED"}, "operation": {"location": location}}),
                    ),
                    Some(Err(why)) => (
                        200,
                        json!({"status": {"id": "COMPLETED"}, "operation": {"failure-cause": {"stack-trace": why}}}),
                    ),
                }
            }
            _ => return missing(),
        })
    }
}

/// Says of every pod that it runs; a JobManager's is a Flink from then on, until it is gone.
#[allow(clippy::too_many_lines, reason = "what a kubelet does in one round")]
pub async fn kubelet(client: Client, play: Arc<Mutex<Play>>) {
    let made = ListParams::default().labels("app.kubernetes.io/managed-by=sluice");
    let pods: Api<Pod> = Api::all(client.clone());
    let services: Api<Service> = Api::all(client.clone());
    let mut every = tokio::time::interval(Duration::from_millis(100));
    loop {
        every.tick().await;
        let (Ok(pods), Ok(services)) = tokio::join!(pods.list(&made), services.list(&made)) else {
            continue;
        };
        let label = |labels: &Option<BTreeMap<String, String>>, key: &str| {
            let found = labels.as_ref().and_then(|labels| labels.get(key)).cloned();
            found.unwrap_or_default()
        };
        let mut there = BTreeSet::new();
        let mut by_run: HashMap<(String, String), String> = HashMap::new();
        for pod in &pods.items {
            let labels = &pod.metadata.labels;
            let uid = pod.metadata.uid.clone().unwrap();
            let (namespace, name) = (
                pod.metadata.namespace.clone().unwrap(),
                pod.metadata.name.clone().unwrap(),
            );
            let phase = pod
                .status
                .as_ref()
                .and_then(|status| status.phase.clone())
                .unwrap_or_default();
            let is_jobmanager = label(labels, "sluice.dev/component") == "jobmanager";
            let args = pod
                .spec
                .as_ref()
                .and_then(|spec| spec.containers[0].args.clone())
                .unwrap_or_default();
            let id = option(&args, "--job-id");
            let image = pod
                .spec
                .as_ref()
                .and_then(|spec| spec.containers[0].image.clone())
                .unwrap_or_default();
            let of = format!("{namespace}/{}", label(labels, "sluice.dev/owner-name"));
            if phase == "Failed" || phase == "Succeeded" {
                continue;
            }
            let is_done = id
                .as_ref()
                .is_some_and(|id| lock(&play).jobs.get(id).is_some_and(FakeJob::is_done));
            if is_done && pod.metadata.deletion_timestamp.is_none() {
                let status = json!({"status": {"phase": "Succeeded", "conditions": [{"type": "Ready", "status": "False"}]}});
                let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
                let _ = api
                    .patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
                    .await;
                continue;
            }
            if let (true, Some(id)) = (is_jobmanager, &id) {
                there.insert(uid.clone());
                by_run.insert(
                    (namespace.clone(), label(labels, "sluice.dev/job")),
                    id.clone(),
                );
            }
            if phase == "Running" || pod.metadata.deletion_timestamp.is_some() {
                continue;
            }
            let fails = {
                let mut play = lock(&play);
                let fault = play.fault(&of);
                let fails = is_jobmanager && fault.starts > 0;
                fault.starts -= u32::from(fails);
                fails
            };
            let status = if fails {
                json!({"status": {"phase": "Failed", "containerStatuses": [{"name": "flink-main-container", "image": "x", "imageID": "", "ready": false,
                    "restartCount": 0, "state": {"terminated": {"exitCode": 1, "reason": "Error", "message": "the class a.B is not there"}}}]}})
            } else {
                json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})
            };
            let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
            let told = api
                .patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
                .await;
            if told.is_ok()
                && !fails
                && let (true, Some(id)) = (is_jobmanager, id)
            {
                let mut play = lock(&play);
                play.running.insert(uid, id.clone());
                play.begin(&id, &of, &args, &image);
            }
        }
        let mut play = lock(&play);
        let gone: Vec<String> = play
            .running
            .keys()
            .filter(|uid| !there.contains(*uid))
            .cloned()
            .collect();
        for uid in gone {
            let id = play.running.remove(&uid).unwrap();
            if let Some(job) = play.jobs.get_mut(&id) {
                job.is_up = false;
            }
        }
        play.by_ip = services
            .items
            .iter()
            .filter_map(|service| {
                let ip = service.spec.as_ref()?.cluster_ip.clone()?;
                let run = (
                    service.metadata.namespace.clone()?,
                    label(&service.metadata.labels, "sluice.dev/job"),
                );
                Some((ip, by_run.get(&run)?.clone()))
            })
            .collect();
        play.tick();
    }
}

/// Answers `/<cluster IP>/...` as the Flink behind it would.
pub async fn flink(listener: TcpListener, play: Arc<Mutex<Play>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let play = Arc::clone(&play);
        tokio::spawn(async move {
            let _ = serve(stream, play).await;
        });
    }
}

async fn serve(mut stream: TcpStream, play: Arc<Mutex<Play>>) -> std::io::Result<()> {
    let mut read = Vec::new();
    let (head, body) = loop {
        let mut buffer = [0_u8; 4096];
        let got = stream.read(&mut buffer).await?;
        if got == 0 {
            return Ok(());
        }
        read.extend_from_slice(&buffer[..got]);
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().ok())?
        });
        if body.len() >= length.unwrap_or(0) {
            break (head.to_owned(), body.to_owned());
        }
    };
    let mut words = head.split_whitespace();
    let method = words.next().unwrap_or_default();
    let path = words
        .next()
        .unwrap_or_default()
        .split('?')
        .next()
        .unwrap_or_default()
        .to_owned();
    let path: Vec<&str> = path.split('/').skip(1).collect();
    let body = serde_json::from_str(&body).unwrap_or_default();
    let answer = lock(&play).answer(method, &path, &body);
    let Some((code, answer)) = answer else {
        return Ok(());
    };
    let answer = answer.to_string();
    let head = format!(
        "HTTP/1.1 {code} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        answer.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
