//! kubectl, the installation, and a webhook in this process.

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use serde_json::Value;
use sluice_webhook::registration::{Address, Registration, guard};
use sluice_webhook::{Config, Webhook};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const SOON: Duration = Duration::from_secs(40);

/// What one kubectl call came to.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub struct Kubectl {
    pub binary: PathBuf,
    pub kubeconfig: PathBuf,
}

impl Kubectl {
    pub async fn run(&self, arguments: &[&str], stdin: &str) -> Said {
        let mut child = tokio::process::Command::new(&self.binary)
            .args(["--namespace", "team-a"])
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(stdin.as_bytes()).await.unwrap();
        drop(input);
        let output = child.wait_with_output().await.unwrap();
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Must succeed; answers with what it printed on both channels.
    pub async fn ok(&self, arguments: &[&str], stdin: &str) -> String {
        let said = self.run(arguments, stdin).await;
        assert_eq!(said.code, 0, "{arguments:?}: {}{}", said.out, said.err);
        format!("{}{}", said.err, said.out)
    }

    /// Must fail; answers with standard error.
    pub async fn refused(&self, arguments: &[&str], stdin: &str) -> String {
        let said = self.run(arguments, stdin).await;
        assert_ne!(said.code, 0, "{arguments:?}: {}", said.out);
        said.err
    }

    pub async fn get(&self, what: &str) -> Value {
        serde_json::from_str(&self.ok(&["get", what, "-o", "json"], "").await).unwrap()
    }
}

pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> T {
    let deadline = tokio::time::Instant::now() + SOON;
    let mut every = tokio::time::interval(Duration::from_millis(50));
    loop {
        every.tick().await;
        if let Some(found) = attempt().await {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{what}: not within {SOON:?}"
        );
    }
}

pub async fn create(client: &Client, resource: &ApiResource, object: Value) {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), resource);
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
}

pub fn resource<K: kube::Resource<DynamicType = ()>>() -> ApiResource {
    ApiResource::erase::<K>(&())
}

pub async fn install(client: &Client, registration: &Registration) {
    use k8s_openapi::api::admissionregistration::v1 as admission;
    let mutating = serde_json::to_value(registration.mutating()).unwrap();
    let validating = serde_json::to_value(registration.validating()).unwrap();
    create(
        client,
        &resource::<admission::MutatingWebhookConfiguration>(),
        mutating,
    )
    .await;
    create(
        client,
        &resource::<admission::ValidatingWebhookConfiguration>(),
        validating,
    )
    .await;
    for (policy, binding) in guard::policies() {
        create(
            client,
            &resource::<admission::ValidatingAdmissionPolicy>(),
            serde_json::to_value(policy).unwrap(),
        )
        .await;
        create(
            client,
            &resource::<admission::ValidatingAdmissionPolicyBinding>(),
            serde_json::to_value(binding).unwrap(),
        )
        .await;
    }
}

pub struct Running {
    pub ops: SocketAddr,
    pub stop: CancellationToken,
    pub hurry: CancellationToken,
    pub task: JoinHandle<Result<(), sluice_webhook::Error>>,
}

pub async fn start(kubeconfig: &Path, port: u16) -> Running {
    start_with(kubeconfig, port, |_| {}).await
}

pub async fn start_with(kubeconfig: &Path, port: u16, change: impl FnOnce(&mut Config)) -> Running {
    let mut config = Config::new(Address::Url(format!("https://127.0.0.1:{port}")));
    config.listen = SocketAddr::from(([127, 0, 0, 1], port));
    config.metrics_listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.kubeconfig = Some(kubeconfig.to_owned());
    change(&mut config);
    let webhook = Webhook::bind(config).await.unwrap();
    let ops = webhook.ops_address().unwrap();
    let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
    let task = tokio::spawn(webhook.serve(stop.clone(), hurry.clone()));
    Running {
        ops,
        stop,
        hurry,
        task,
    }
}

/// A plain GET; status and body.
pub async fn http_get(address: SocketAddr, path: &str) -> (u16, String) {
    use tokio::io::AsyncReadExt;
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

pub fn cluster_manifest(name: &str, state: &str, more: &str) -> String {
    format!(
        "apiVersion: sluice.dev/v1alpha1\nkind: SessionCluster\nmetadata: {{name: {name}}}\nspec:\n  state: {state}\n  flinkVersion: '1.20'\n  numberOfTaskManagers: 3\n{more}"
    )
}
