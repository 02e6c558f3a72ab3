//! The Deployments of one namespace, as a user sees them: created, changed, read, waited for.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use sluice_api::{Deployment, DeploymentState, Job, JobState, Savepoint};

use super::stage::{FakeJob, Faults, Play, lock};

const PATIENCE: Duration = Duration::from_mins(3);

/// Waits until a condition holds; the message tells what was seen last.
pub async fn until<T: std::fmt::Debug>(what: &str, mut look: impl AsyncFnMut() -> (bool, T)) -> T {
    let deadline = Instant::now() + PATIENCE;
    let mut every = tokio::time::interval(Duration::from_millis(50));
    loop {
        every.tick().await;
        let (done, seen) = look().await;
        if done {
            return seen;
        }
        assert!(
            Instant::now() < deadline,
            "waited in vain until {what}; last seen: {seen:#?}"
        );
    }
}

#[derive(Clone)]
pub struct Scene {
    pub namespace: String,
    pub client: Client,
    pub play: Arc<Mutex<Play>>,
    pub begun: Instant,
}

impl Scene {
    /// The same in a namespace that is new, with these labels.
    pub async fn within(&self, namespace: &str, labels: Value) -> Self {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let new: Namespace =
            serde_json::from_value(json!({"metadata": {"name": namespace, "labels": labels}}))
                .unwrap();
        namespaces
            .create(&PostParams::default(), &new)
            .await
            .unwrap();
        Self {
            namespace: namespace.to_owned(),
            ..self.clone()
        }
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// What the stage calls a Deployment.
    fn of(&self, name: &str) -> String {
        format!("{}/{name}", self.namespace)
    }

    /// Creates an object of any kind that is served here.
    pub async fn put<K>(&self, object: Value) -> K
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + k8s_openapi::serde::Serialize
            + k8s_openapi::serde::de::DeserializeOwned,
    {
        let object: K = serde_json::from_value(object).unwrap();
        let created = self.api().create(&PostParams::default(), &object).await;
        created.unwrap()
    }

    /// Waits until a Deployment is as it should be.
    pub async fn sees(
        &self,
        what: &str,
        name: &str,
        is_so: impl Fn(&Deployment) -> bool,
    ) -> Deployment {
        until(&format!("{name}: {what}"), async || {
            let deployment = self.get(name).await;
            (is_so(&deployment), deployment)
        })
        .await
    }

    pub fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn told(&self, what: &str) {
        eprintln!("{:6.1} s  {what}", self.begun.elapsed().as_secs_f32());
    }

    pub async fn create(&self, name: &str, more: Value) {
        let mut spec = json!({"state": "RUNNING", "template": {"spec": {
            "artifact": {"kind": "JAR", "jarUri": "https://h/a.jar", "entryClass": "a.B", "flinkVersion": "1.20"},
            "parallelism": 1, "numberOfTaskManagers": 1,
            "resources": {"jobmanager": {"cpu": 1, "memory": "1Gi"}, "taskmanager": {"cpu": 1, "memory": "2Gi"}},
            "flinkConfiguration": {"state.savepoints.dir": "s3://b/sp"}}}});
        merge(&mut spec, &more);
        let deployment: Deployment = serde_json::from_value(json!({
            "apiVersion": "sluice.dev/v1alpha1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": self.namespace}, "spec": spec}))
        .unwrap();
        self.deployments()
            .create(&PostParams::default(), &deployment)
            .await
            .unwrap();
    }

    pub async fn patch(&self, name: &str, spec: Value) {
        let patch = json!({"spec": spec});
        self.deployments()
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap();
    }

    pub async fn get(&self, name: &str) -> Deployment {
        self.deployments().get(name).await.unwrap()
    }

    /// Waits until the status says this state about the newest spec, with nothing under way.
    pub async fn becomes(&self, name: &str, state: DeploymentState) -> Deployment {
        until(&format!("{name} is {state}"), async || {
            let deployment = self.get(name).await;
            let status = deployment.status.clone().unwrap_or_default();
            let done = status.state == Some(state)
                && status.operation.is_none()
                && status.observed_generation == deployment.metadata.generation;
            (done, deployment)
        })
        .await
    }

    /// Waits until the run of this number runs.
    pub async fn runs(&self, name: &str, number: u32) -> (Deployment, FakeJob) {
        let wanted = format!("{name}-{number}");
        let deployment = until(&format!("{wanted} runs"), async || {
            let deployment = self.get(name).await;
            let status = deployment.status.clone().unwrap_or_default();
            let done = status.state == Some(DeploymentState::Running)
                && status.job_name.as_ref() == Some(&wanted)
                && status.operation.is_none();
            (done, deployment)
        })
        .await;
        let id = deployment
            .status
            .clone()
            .unwrap()
            .running
            .unwrap()
            .job_id
            .unwrap();
        let job = lock(&self.play).jobs[&id].clone();
        (deployment, job)
    }

    /// Waits until the job of a Deployment has counted so far; returns how far it has.
    pub async fn counts(&self, name: &str, at_least: i64) -> i64 {
        until(&format!("{name} counts"), async || {
            let live = lock(&self.play).live(&self.of(name));
            let count = live.map_or(0, |(_, job)| job.count);
            (count >= at_least, count)
        })
        .await
    }

    pub fn ended(&self, deployment: &Deployment) -> FakeJob {
        let name = deployment.name_any();
        let play = lock(&self.play);
        let jobs = play.jobs.values().filter(|job| job.of == self.of(&name));
        jobs.max_by_key(|job| job.count).unwrap().clone()
    }

    pub fn fault(&self, name: &str, change: impl FnOnce(&mut Faults)) {
        change(lock(&self.play).faults.entry(self.of(name)).or_default());
    }

    pub async fn job(&self, name: &str) -> Job {
        let api: Api<Job> = Api::namespaced(self.client.clone(), &self.namespace);
        api.get(name).await.unwrap()
    }

    pub async fn savepoints(&self, name: &str) -> Vec<Savepoint> {
        let api: Api<Savepoint> = Api::namespaced(self.client.clone(), &self.namespace);
        let only = ListParams::default().fields(&format!("spec.deploymentName={name}"));
        api.list(&only).await.unwrap().items
    }

    pub async fn pods(&self, name: &str) -> usize {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let only = ListParams::default().labels(&format!("sluice.dev/owner-name={name}"));
        api.list(&only).await.unwrap().items.len()
    }

    /// Waits until an Event tells of this, with this in its sentence; it is written after the status.
    pub async fn hears(&self, name: &str, reason: &str, part: &str) {
        until(&format!("{name}: an Event {reason}"), async || {
            let log = self.event_log(name).await;
            let mut told = log.iter();
            (told.any(|one| one.0 == reason && one.1.contains(part)), log)
        })
        .await;
    }

    /// Reasons of the Events about a Deployment, the oldest first.
    pub async fn events(&self, name: &str) -> Vec<String> {
        let all = self.event_log(name).await;
        all.into_iter().map(|(reason, _)| reason).collect()
    }

    /// Reasons and sentences of the Events about a Deployment, the oldest first.
    pub async fn event_log(&self, name: &str) -> Vec<(String, String)> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut all = api.list(&ListParams::default()).await.unwrap().items;
        all.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
        all.into_iter()
            .filter(|event| {
                let about = event.regarding.as_ref();
                about.is_some_and(|about| {
                    about.name.as_deref() == Some(name)
                        && about.kind.as_deref() == Some("Deployment")
                })
            })
            .map(|event| {
                (
                    event.reason.unwrap_or_default(),
                    event.note.unwrap_or_default(),
                )
            })
            .collect()
    }
}

pub fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}

pub fn ready(deployment: &Deployment) -> (String, String, String) {
    condition(deployment, "Ready")
}

/// Status, reason and message of a condition.
pub fn condition(deployment: &Deployment, kind: &str) -> (String, String, String) {
    let status = deployment.status.clone().unwrap_or_default();
    let found = status.conditions.into_iter().find(|one| one.type_ == kind);
    found.map_or_else(Default::default, |one| {
        (one.status, one.reason, one.message)
    })
}

pub fn ran(job: &Job) -> JobState {
    job.status.clone().unwrap().state.unwrap()
}

pub async fn install(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in sluice_api::crds() {
        api.create(&PostParams::default(), &crd).await.unwrap();
    }
    let (deployments, jobs, savepoints): (Api<Deployment>, Api<Job>, Api<Savepoint>) = (
        Api::all(client.clone()),
        Api::all(client.clone()),
        Api::all(client.clone()),
    );
    until("the kinds are served", async || {
        let one = ListParams::default().limit(1);
        let served = deployments.list(&one).await.is_ok()
            && jobs.list(&one).await.is_ok()
            && savepoints.list(&one).await.is_ok();
        (served, ())
    })
    .await;
}
