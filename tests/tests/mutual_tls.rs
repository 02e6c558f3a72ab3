//! A webhook that answers only those who show the API server's certificate, and a real API server that is told to show it.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test; clippy exempts only functions marked #[test], not their helpers"
)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::json;
use sluice_api::SessionCluster;
use sluice_cluster::free_loopback_port;
use sluice_tests::Stage;
use sluice_webhook::registration::{Address, Registration};
use sluice_webhook::server::clients::Required;
use sluice_webhook::{Config, Webhook};
use tokio_util::sync::CancellationToken;

const WITHIN: Duration = Duration::from_mins(2);

/// A CA of clients (PEM) and a certificate of it with its key, for one who is called `api-server`.
struct Certificates {
    ca: String,
    client: String,
    key: String,
}

impl Certificates {
    fn new() -> Self {
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = params.self_signed(&ca_key).unwrap().pem();
        let issuer = rcgen::Issuer::new(params, ca_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "api-server");
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let client = params.signed_by(&key, &issuer).unwrap().pem();
        Self {
            ca,
            client,
            key: key.serialize_pem(),
        }
    }

    /// What an admin writes: which certificate the API server shows to whom.
    fn admission_configuration(&self, folder: &Path, port: u16) -> PathBuf {
        let path = |name: &str| folder.join(name);
        std::fs::write(path("client.crt"), &self.client).unwrap();
        std::fs::write(path("client.key"), &self.key).unwrap();
        let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "users": [{
            "name": format!("127.0.0.1:{port}"),
            "user": {"client-certificate": path("client.crt"), "client-key": path("client.key")}}]});
        std::fs::write(path("webhooks.kubeconfig"), kubeconfig.to_string()).unwrap();
        let plugin = |name: &str| {
            json!({"name": name, "configuration": {
                "apiVersion": "apiserver.config.k8s.io/v1", "kind": "WebhookAdmissionConfiguration",
                "kubeConfigFile": path("webhooks.kubeconfig")}})
        };
        let admission = json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration",
            "plugins": [plugin("MutatingAdmissionWebhook"), plugin("ValidatingAdmissionWebhook")]});
        std::fs::write(path("admission.yaml"), admission.to_string()).unwrap();
        path("admission.yaml")
    }
}

async fn dry_run(client: &Client) -> Result<SessionCluster, String> {
    let object = serde_json::from_value(json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster", "metadata": {"name": "a"},
        "spec": {"state": "STOPPED", "flinkVersion": "1.20", "numberOfTaskManagers": 1}}))
    .unwrap();
    let api: Api<SessionCluster> = Api::namespaced(client.clone(), "team-a");
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let made = api.create(&params, &object).await;
    made.map_err(|error| error.to_string())
}

/// Tries until the outcome is as wanted.
async fn until<T>(
    what: &str,
    client: &Client,
    wanted: impl Fn(Result<SessionCluster, String>) -> Option<T>,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = wanted(dry_run(client).await) {
            return found;
        }
        assert!(began.elapsed() < WITHIN, "not within {WITHIN:?}: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_api_server_gets_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_loopback_port().unwrap();
    let certificates = Certificates::new();
    let admission = certificates.admission_configuration(folder.path(), port);
    let flag = format!("--admission-control-config-file={}", admission.display());
    let Some(stage) = Stage::set_with(|options| options.api_server_arg(flag))
        .await
        .unwrap()
    else {
        return;
    };
    for namespace in ["team-a", "sluice-system"] {
        stage.namespace(namespace, &[]).await.unwrap();
    }
    let Stage { cluster, client } = stage;
    let registration = Registration {
        address: Address::Url(format!("https://127.0.0.1:{port}")),
        excluded_namespaces: vec!["sluice-system".to_owned()],
    };
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let params = PostParams::default();
    mutating
        .create(&params, &registration.mutating())
        .await
        .unwrap();
    validating
        .create(&params, &registration.validating())
        .await
        .unwrap();

    // The CA of somebody else at first: the API server's certificate is turned away.
    let trusted = folder.path().join("clients.pem");
    std::fs::write(&trusted, Certificates::new().ca).unwrap();
    let mut config = Config::new(registration.address.clone());
    config.listen = SocketAddr::from(([127, 0, 0, 1], port));
    config.metrics_listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.kubeconfig = Some(cluster.kubeconfig());
    config.clients = Some(Required {
        file: trusted.clone(),
        names: vec!["api-server".to_owned()],
    });
    let webhook = Webhook::bind(config).await.unwrap();
    let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
    let serving = tokio::spawn(webhook.serve(stop.clone(), hurry.clone()));

    let refused = until("the API server is turned away", &client, |outcome| {
        outcome
            .err()
            .filter(|why| why.contains("remote error: tls"))
    })
    .await;
    println!("another CA: {refused}");
    std::fs::write(&trusted, &certificates.ca).unwrap();
    let made = until("the API server is answered", &client, Result::ok).await;
    assert!(made.spec.logging.is_some(), "by the mutating webhook, too");

    stop.cancel();
    hurry.cancel();
    serving.await.unwrap().unwrap();
    cluster.stop().await.unwrap();
}
