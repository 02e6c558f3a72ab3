//! Fewer replicas are no licence to start: a job that has come to its end costs nothing, and its next spec starts it again.
#![allow(clippy::unwrap_used, clippy::panic)] // a test's own failures

mod support;

use futures::future::BoxFuture;
use serde_json::{Value, json};
use sluice_policy::MilliCpu;
use sluice_policy::world::EmptyWorld;
use sluice_webhook::events::Events;
use sluice_webhook::gate::{Decision, Endpoint, Gate};
use sluice_webhook::metrics::Metrics;
use sluice_webhook::quota::{Answer, Ask, QuotaGate};
use sluice_webhook::review::{Parsed, request};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::GivenObjects;
use tokio::time::Instant;

/// Admits everything and notes what was asked for.
#[derive(Default)]
struct Noting(Mutex<Vec<(MilliCpu, MilliCpu, String)>>);

impl QuotaGate for Noting {
    fn reserve<'a>(&'a self, ask: Ask<'a>, _deadline: Instant) -> BoxFuture<'a, Answer> {
        let asked = (ask.demand.from, ask.demand.to, ask.base.to_owned());
        self.0.lock().unwrap().push(asked);
        Box::pin(std::future::ready(Answer::default()))
    }
}

/// A Deployment that is told to run, with four TaskManagers, in form.
#[allow(clippy::needless_pass_by_value)] // `json!` at the call reads best by value
fn deployment(status: Value) -> Value {
    let short = json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "Deployment",
        "metadata": {"name": "batch", "namespace": "team-a", "uid": "o-1", "resourceVersion": "7", "generation": 3},
        "spec": {"state": "RUNNING", "template": {"spec": {
            "artifact": {"flinkVersion": "1.20", "jarUri": "s3://a/b.jar"}, "parallelism": 1, "numberOfTaskManagers": 4,
        }}},
        "status": status,
    });
    let asked = sluice_policy::Review {
        dialect: sluice_policy::dialect_for("sluice.dev", "Deployment").unwrap(),
        operation: sluice_policy::Operation::Create,
        part: sluice_policy::Part::Whole,
        namespace: "team-a",
        name: "batch",
        object: &short,
    };
    sluice_policy::mutate(&asked, &EmptyWorld)
        .object
        .into_owned()
}

fn scale(replicas: u64, runs: u64, revision: &str) -> Value {
    json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": {"name": "batch", "namespace": "team-a", "uid": "o-1", "resourceVersion": revision},
        "spec": {"replicas": replicas}, "status": {"replicas": runs},
    })
}

/// The verdict about a scale to two, and what the ledger was asked.
async fn decide(
    status: Value,
    runs: u64,
    revision: &str,
) -> (Decision, Vec<(MilliCpu, MilliCpu, String)>) {
    let own = ("sluice.dev", "v1alpha1", "deployments");
    decide_of(own, deployment(status), runs, revision).await
}

async fn decide_of(
    (group, version, resource): (&str, &str, &str),
    object: Value,
    runs: u64,
    revision: &str,
) -> (Decision, Vec<(MilliCpu, MilliCpu, String)>) {
    let quota = Arc::new(Noting::default());
    let (events, _inbox) = Events::queue(Arc::new(Metrics::default()));
    let stored = Arc::new(GivenObjects(Mutex::new(Some(object))));
    let gate = Gate::new(
        Arc::new(EmptyWorld),
        Arc::clone(&quota) as _,
        stored,
        events,
    );
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "r-1", "subResource": "scale", "operation": "UPDATE", "name": "batch", "namespace": "team-a",
            "kind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
            "resource": {"group": group, "version": version, "resource": resource},
            "userInfo": {"username": "ann"}, "dryRun": false,
            "object": scale(2, runs, revision), "oldObject": scale(4, runs, revision),
        },
    });
    let body = review.to_string();
    let Parsed::Request(mut request) = request::parse(Some("application/json"), body.as_bytes())
    else {
        panic!("{review}");
    };
    let due = Instant::now() + Duration::from_secs(3);
    let decision = gate.decide(Endpoint::Validate, &mut request, due).await;
    let asked = quota.0.lock().unwrap().clone();
    (decision, asked)
}

fn status(state: &str, allocated: u64) -> Value {
    json!({"state": state, "observedGeneration": 3, "allocatedMilli": allocated})
}

#[tokio::test]
async fn a_job_that_has_ended_is_charged_when_it_is_scaled_down() {
    for state in ["FINISHED", "FAILED"] {
        let (decision, asked) = decide(status(state, 0), 0, "7").await;
        assert_eq!(decision.refusal, None);
        assert_eq!(
            asked,
            [(MilliCpu(0), MilliCpu(3000), "7".to_owned())],
            "{state}"
        );
    }
}

#[tokio::test]
async fn what_runs_is_scaled_down_without_the_ledger() {
    for runs in [4, 0] {
        let (decision, asked) = decide(status("RUNNING", 5000), runs, "7").await;
        assert_eq!((decision.refusal, asked), (None, Vec::new()), "{runs}");
    }
}

#[tokio::test]
async fn a_revision_that_is_over_stands_in_nobodys_way() {
    // The API server refuses the write, or asks again for the next revision.
    let (decision, asked) = decide(status("FINISHED", 0), 0, "6").await;
    assert_eq!((decision.refusal, asked), (None, Vec::new()));
}

/// A standalone FlinkDeployment whose job has ended: the operator leaves the number of TaskManagers as the spec asked for it.
fn flink_deployment(account: Option<&str>, job: &str, job_manager: &str) -> Value {
    let spec = json!({
        "image": "flink:1.20", "flinkVersion": "v1_20", "mode": "standalone", "serviceAccount": account,
        "flinkConfiguration": {"taskmanager.numberOfTaskSlots": "1"},
        "jobManager": {"resource": {"cpu": 1, "memory": "1024m"}},
        "taskManager": {"replicas": 4, "resource": {"cpu": 1, "memory": "1024m"}},
        "job": {"jarURI": "local:///a.jar", "parallelism": 4, "state": "running", "upgradeMode": "stateless"},
    });
    let record =
        json!({"spec": spec, "resource_metadata": {"apiVersion": "flink.apache.org/v1beta1"}})
            .to_string();
    json!({
        "apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment",
        "metadata": {"name": "batch", "namespace": "team-a", "uid": "o-1", "resourceVersion": "7", "generation": 3},
        "spec": spec,
        "status": {
            "observedGeneration": 3, "lifecycleState": "STABLE", "jobManagerDeploymentStatus": job_manager,
            "jobStatus": {"state": job},
            "taskManager": {"replicas": 4, "labelSelector": "a=b"},
            "reconciliationStatus": {"state": "DEPLOYED", "lastReconciledSpec": record, "lastStableSpec": record},
        },
    })
}

#[tokio::test]
async fn an_ended_job_of_the_apache_operator_is_charged_whatever_number_it_left() {
    let flink = ("flink.apache.org", "v1beta1", "flinkdeployments");
    let ended = flink_deployment(Some("flink"), "FINISHED", "MISSING");
    let (decision, asked) = decide_of(flink, ended, 4, "7").await;
    assert_eq!(decision.refusal, None);
    // Until the operator has taken the new spec up, what it recorded counts too: four TaskManagers and a JobManager.
    assert_eq!(asked, [(MilliCpu(0), MilliCpu(5000), "7".to_owned())]);
}

#[tokio::test]
async fn what_runs_is_scaled_down_whatever_else_is_wrong_with_it() {
    // Stored before Sluice came; a create like this is refused.
    let flink = ("flink.apache.org", "v1beta1", "flinkdeployments");
    let faulty = flink_deployment(None, "RUNNING", "READY");
    for runs in [4, 0] {
        let (decision, asked) = decide_of(flink, faulty.clone(), runs, "7").await;
        assert_eq!((decision.refusal, asked), (None, Vec::new()), "{runs}");
    }
}
