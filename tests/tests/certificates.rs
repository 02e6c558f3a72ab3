//! The certificates of three webhooks behind one address, while requests come without a pause: the CA is rotated without one that
//! fails, and what somebody destroys is whole again in seconds.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    missing_docs,
    reason = "a test; clippy exempts only functions marked #[test], not their helpers"
)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use sluice_api::SessionCluster;
use sluice_tests::{Gate, control_plane};

/// Seconds are usual; this is for a machine that compiles at the same time.
const WITHIN: Duration = Duration::from_mins(2);
const NAME: &str = "sluice";

/// Server-side dry-run creates, without a pause, by several at once, each over the whole way: defaulted and judged.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    failed: Arc<Mutex<Vec<String>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn begin(client: &Client) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let failed = Arc::new(Mutex::new(Vec::new()));
        let tasks = (0..4)
            .map(|index| {
                let api: Api<SessionCluster> = Api::namespaced(client.clone(), "team-a");
                let (stop, answered, failed) = (
                    Arc::clone(&stop),
                    Arc::clone(&answered),
                    Arc::clone(&failed),
                );
                tokio::spawn(async move {
                    while !stop.load(Relaxed) {
                        match dry_run(&api, &format!("load-{index}")).await {
                            Ok(()) => _ = answered.fetch_add(1, Relaxed),
                            Err(why) => failed.lock().unwrap().push(why),
                        }
                    }
                })
            })
            .collect();
        Self {
            stop,
            answered,
            failed,
            tasks,
        }
    }

    /// How many were answered, and how the others failed.
    async fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        let mut failed = std::mem::take(&mut *self.failed.lock().unwrap());
        failed.truncate(20);
        (self.answered.load(Relaxed), failed)
    }
}

/// One create that nothing is left of. The mutating webhook is passed over if it cannot be reached: its absence shows in what it
/// would have filled in.
async fn dry_run(api: &Api<SessionCluster>, name: &str) -> Result<(), String> {
    let object = serde_json::from_value(json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster", "metadata": {"name": name},
        "spec": {"state": "STOPPED", "flinkVersion": "1.20", "numberOfTaskManagers": 1,
            "resources": {"jobmanager": {"cpu": 1, "memory": "1Gi"}, "taskmanager": {"cpu": 1, "memory": "2Gi"}}}}))
    .unwrap();
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let made = api
        .create(&params, &object)
        .await
        .map_err(|error| error.to_string())?;
    match made.spec.logging {
        Some(_) => Ok(()),
        None => {
            Err("admitted without its defaults: the mutating webhook was passed over".to_owned())
        }
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < WITHIN, "not within {WITHIN:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    began.elapsed()
}

/// What somebody sees of the certificates.
struct Certificates {
    secrets: Api<Secret>,
    configurations: Api<ValidatingWebhookConfiguration>,
}

impl Certificates {
    fn new(client: &Client) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), "sluice-system"),
            configurations: Api::all(client.clone()),
        }
    }

    /// The CA that signs, PEM.
    async fn signing(&self) -> Option<String> {
        let secret = self.secrets.get_opt("sluice-ca").await.unwrap()?;
        let pem = secret.data?.remove("ca.crt")?;
        Some(String::from_utf8(pem.0).unwrap())
    }

    /// What every validating webhook trusts; `None`: nothing, or not the same.
    async fn trusted(&self) -> Option<String> {
        let webhooks = self.configurations.get(NAME).await.unwrap().webhooks?;
        let mut bundles: Vec<_> = webhooks
            .into_iter()
            .map(|webhook| webhook.client_config.ca_bundle)
            .collect();
        bundles.dedup();
        match bundles.as_slice() {
            [Some(bundle)] => Some(String::from_utf8(bundle.0.clone()).unwrap()),
            _ => None,
        }
    }

    async fn trusts(&self, count: usize) -> bool {
        let bundle = self.trusted().await.unwrap_or_default();
        bundle.matches("BEGIN CERTIFICATE").count() == count
    }

    async fn ask(&self, value: &str) {
        let patch = json!({"metadata": {"annotations": {"sluice.dev/rotate-ca": value}}});
        self.secrets
            .patch("sluice-ca", &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap();
    }
}

/// The CA is replaced in its phases while three replicas serve.
async fn rotates_without_a_request_that_fails(client: &Client) {
    let certificates = Certificates::new(client);
    let old = certificates.signing().await.unwrap();
    let load = Load::begin(client);
    certificates.ask("now").await;
    let announced = until("two CAs are trusted", async || certificates.trusts(2).await).await;
    assert_eq!(certificates.signing().await.as_ref(), Some(&old));
    let signs = until("the next CA signs", async || {
        certificates
            .signing()
            .await
            .is_some_and(|signing| signing != old)
    })
    .await;
    assert!(certificates.trusted().await.unwrap().contains(old.trim()));
    let retired = until("one CA is trusted", async || certificates.trusts(1).await).await;
    assert!(!certificates.trusted().await.unwrap().contains(old.trim()));
    let (answered, failed) = load.end().await;
    println!(
        "rotation: announced after {announced:.1?}, signs after {signs:.1?} more, the old CA retired after {retired:.1?} more; \
         {answered} requests answered, {} failed",
        failed.len()
    );
    assert!(failed.is_empty(), "{failed:?}");
    assert!(answered > 50, "only {answered}: no load to speak of");
}

/// Somebody deletes the Secret: it comes back as it was, and nobody notices, nor helm, which refuses what is not marked as its own.
async fn a_deleted_secret_comes_back_without_a_request_that_fails(client: &Client) {
    let certificates = Certificates::new(client);
    let before = certificates.signing().await.unwrap();
    let marks = json!({"metadata": {
        "labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"meta.helm.sh/release-name": "sluice", "meta.helm.sh/release-namespace": "sluice-system"},
    }});
    certificates
        .secrets
        .patch("sluice-ca", &PatchParams::default(), &Patch::Merge(&marks))
        .await
        .unwrap();
    // Every replica reads it once more by then.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let load = Load::begin(client);
    certificates
        .secrets
        .delete("sluice-ca", &DeleteParams::default())
        .await
        .unwrap();
    let back = until("the Secret is back", async || {
        certificates.signing().await.is_some()
    })
    .await;
    assert_eq!(certificates.signing().await.as_ref(), Some(&before));
    let made = certificates
        .secrets
        .get("sluice-ca")
        .await
        .unwrap()
        .metadata;
    let made = json!({"metadata": {"labels": made.labels, "annotations": made.annotations}});
    assert_eq!(made, marks);
    until("a hundred requests are answered after it", async || {
        load.answered.load(Relaxed) > 100
    })
    .await;
    let (answered, failed) = load.end().await;
    println!(
        "Secret deleted: back after {back:.1?}; {answered} requests answered, {} failed",
        failed.len()
    );
    assert!(failed.is_empty(), "{failed:?}");
}

/// Somebody replaces the configuration by one without a bundle, as a Git repository may: no webhook can be reached for a moment.
async fn a_replaced_configuration_trusts_again_in_seconds(client: &Client) {
    let certificates = Certificates::new(client);
    let before = certificates.trusted().await.unwrap();
    let mut bare = certificates.configurations.get(NAME).await.unwrap();
    for webhook in bare.webhooks.iter_mut().flatten() {
        webhook.client_config.ca_bundle = None;
    }
    let replaced = certificates
        .configurations
        .replace(NAME, &PostParams::default(), &bare)
        .await
        .unwrap();
    let mut webhooks = replaced.webhooks.into_iter().flatten();
    assert!(webhooks.all(|webhook| webhook.client_config.ca_bundle.is_none()));
    let back = until("the bundle is back", async || {
        certificates.trusted().await.as_ref() == Some(&before)
    })
    .await;
    println!("configuration replaced: trusted again after {back:.1?}");
    assert!(
        back < Duration::from_secs(20),
        "{back:?}: a tick, not the watch"
    );
}

/// The key is in wrong hands: the old CA is trusted by nobody from the moment on, and requests are answered again in seconds.
async fn a_ca_that_is_not_to_be_trusted_goes_at_once(client: &Client) {
    let certificates = Certificates::new(client);
    let old = certificates.signing().await.unwrap();
    certificates.ask("distrust").await;
    let gone = until("only another CA is trusted", async || {
        let bundle = certificates.trusted().await;
        bundle.is_some_and(|bundle| !bundle.is_empty() && !bundle.contains(old.trim()))
    })
    .await;
    let api: Api<SessionCluster> = Api::namespaced(client.clone(), "team-a");
    let answered = until("requests are answered", async || {
        // All three replicas: the balancer takes them in turn.
        for _ in 0..6 {
            if dry_run(&api, "after").await.is_err() {
                return false;
            }
        }
        true
    })
    .await;
    println!("distrusted: gone after {gone:.1?}, answered again after {answered:.1?} more");
}

#[tokio::test]
async fn certificates_under_load() {
    if !tokio::task::spawn_blocking(control_plane).await.unwrap() {
        return;
    }
    let gate = tokio::task::spawn_blocking(|| Gate::up(&["--replicas", "3"]))
        .await
        .unwrap()
        .unwrap();
    let client = sluice_tests::client(gate.kubeconfig()).await.unwrap();
    rotates_without_a_request_that_fails(&client).await;
    a_deleted_secret_comes_back_without_a_request_that_fails(&client).await;
    a_replaced_configuration_trusts_again_in_seconds(&client).await;
    a_ca_that_is_not_to_be_trusted_goes_at_once(&client).await;
    tokio::task::spawn_blocking(move || gate.down())
        .await
        .unwrap()
        .unwrap();
}
