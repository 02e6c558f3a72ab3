//! What reviews can make of the webhook's memory, measured at the real process: the chart grants it 256 MiB, and past these the kernel
//! ends it. Its API server is a stand-in that has everything and holds nothing.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test; clippy exempts only functions marked #[test], not their helpers"
)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use futures::future::join_all;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use sluice_cluster::free_loopback_port;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Three quarters of what the chart grants; of a debug build 50 MiB are its own code and tables.
const MOST: usize = 192 << 20;

/// Seconds are usual; this is for a machine that compiles at the same time.
const WITHIN: Duration = Duration::from_mins(1);

/// Lists are empty, and watches silent.
async fn api_server() -> SocketAddr {
    let answer = |request: Request| async move {
        let target = request.uri().to_string();
        let end =
            json!({"resourceVersion": "1", "annotations": {"k8s.io/initial-events-end": "true"}});
        if target.contains("sendInitialEvents") {
            let end = json!({"type": "BOOKMARK", "object": {"metadata": end}});
            Body::from(format!("{end}\n"))
        } else if target.contains("watch=1") {
            Body::from_stream(futures::stream::pending::<Result<String, Infallible>>())
        } else {
            Body::from(json!({"metadata": {"resourceVersion": "1"}, "items": []}).to_string())
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// `sluice webhook`, ended with the test.
struct Webhook {
    process: Child,
    address: SocketAddr,
    tls: TlsConnector,
}

impl Drop for Webhook {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Webhook {
    async fn start(folder: &Path) -> Self {
        let path = |name: &str| folder.join(name);
        let leaf = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(path("tls.crt"), leaf.cert.pem()).unwrap();
        std::fs::write(path("tls.key"), leaf.signing_key.serialize_pem()).unwrap();
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "a",
            "clusters": [{"name": "a", "cluster": {"server": format!("http://{}", api_server().await)}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "users": [{"name": "a", "user": {}}],
        });
        std::fs::write(path("kubeconfig"), kubeconfig.to_string()).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_loopback_port().unwrap()));
        let metrics = SocketAddr::from(([127, 0, 0, 1], free_loopback_port().unwrap()));
        let binary = tokio::task::spawn_blocking(sluice_tests::sluice_binary);
        let process = Command::new(binary.await.unwrap().unwrap())
            .arg("webhook")
            .args(["--listen", &address.to_string()])
            .args(["--metrics-listen", &metrics.to_string()])
            .args(["--url", &format!("https://{address}"), "--log", "error"])
            .arg("--kubeconfig")
            .arg(path("kubeconfig"))
            .arg("--tls-cert")
            .arg(path("tls.crt"))
            .arg("--tls-key")
            .arg(path("tls.key"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut roots = rustls::RootCertStore::empty();
        let pem = leaf.cert.pem();
        roots
            .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let webhook = Self {
            process,
            address,
            tls: TlsConnector::from(Arc::new(tls)),
        };
        let began = Instant::now();
        loop {
            let answer = webhook.ask("/mutate", &small(), "3s").await;
            if answer.is_some_and(|reply| reply["allowed"] == true) {
                return webhook;
            }
            assert!(began.elapsed() < WITHIN, "not ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn connect(&self) -> Option<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await.ok()?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        self.tls.connect(name, stream).await.ok()
    }

    /// Sends the head of a review and this much of its body.
    async fn begin(
        &self,
        path: &str,
        body: &[u8],
        sent: usize,
        timeout: &str,
    ) -> Option<TlsStream<TcpStream>> {
        let mut stream = self.connect().await?;
        let head = format!(
            "POST {path}?timeout={timeout} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.ok()?;
        stream.write_all(body.get(..sent)?).await.ok()?;
        Some(stream)
    }

    async fn ask(&self, path: &str, body: &[u8], timeout: &str) -> Option<Value> {
        let mut stream = self.begin(path, body, body.len(), timeout).await?;
        let mut answer = String::new();
        // Whoever closes a connection without a word of TLS has said everything all the same.
        let _ = stream.read_to_string(&mut answer).await;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let mut reply: Value = serde_json::from_str(body).ok()?;
        Some(reply["response"].take())
    }

    /// The most memory that it has ever had.
    fn peak(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.unwrap();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
        peak.unwrap().trim().parse::<usize>().unwrap() << 10
    }
}

/// A create of a SessionCluster whose configuration holds this.
fn create(uid: &str, held: &str) -> Vec<u8> {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": uid,
            "kind": {"group": "sluice.dev", "version": "v1alpha1", "kind": "SessionCluster"},
            "resource": {"group": "sluice.dev", "version": "v1alpha1", "resource": "sessionclusters"},
            "name": "analytics", "namespace": "team-a", "operation": "CREATE",
            "userInfo": {"username": "ann"},
            "object": {
                "apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster",
                "metadata": {"name": "analytics", "namespace": "team-a"},
                "spec": {"state": "STOPPED", "flinkVersion": "1.20", "numberOfTaskManagers": 2,
                         "flinkConfiguration": {"a": "HELD"}},
            },
        },
    });
    let text = review.to_string();
    text.replace("\"HELD\"", held).into_bytes()
}

/// An update that leaves such a SessionCluster as it is.
fn update(uid: &str, held: &str) -> Vec<u8> {
    let mut review: Value = serde_json::from_slice(&create(uid, "\"HELD\"")).unwrap();
    review["request"]["operation"] = json!("UPDATE");
    review["request"]["oldObject"] = review["request"]["object"].clone();
    let text = review.to_string();
    text.replace("\"HELD\"", held).into_bytes()
}

fn small() -> Vec<u8> {
    create("small", "\"b\"")
}

/// A list of as many of these as make this many bytes.
fn list(of: &str, bytes: usize) -> String {
    let all = vec![of; bytes / (of.len() + 1)];
    format!("[{}]", all.join(","))
}

fn mebibytes(bytes: usize) -> String {
    let tenths = (bytes * 10) >> 20;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_values_and_stalled_bodies_leave_the_webhook_within_its_memory() {
    let folder = tempfile::tempdir().unwrap();
    let webhook = Webhook::start(folder.path()).await;
    println!("ready: {}", mebibytes(webhook.peak()));

    // Few bytes, many values.
    let dense = create("dense", &list("1", 2_900_000));
    let asked = ["/mutate", "/validate", "/mutate", "/validate"];
    let answers = asked.map(|path| webhook.ask(path, &dense, "10s"));
    for answer in join_all(answers).await {
        let reply = answer.unwrap();
        assert_eq!(reply["uid"], "dense");
        assert_eq!(reply["status"]["code"], 413, "{reply}");
        let message = reply["status"]["message"].as_str().unwrap();
        assert!(
            message.contains("holds 14")
                && message.contains(" values")
                && message.ends_with("[request/too-large]"),
            "{message}"
        );
    }
    println!("refused: {}", mebibytes(webhook.peak()));

    // As many as are read, in those shapes that take most.
    for (of, values) in [("1", 1), ("[0]", 2), (r#"{"":0}"#, 2)] {
        let most = update("most", &list(of, (of.len() + 1) * 24_500 / values));
        let asked = ["/mutate", "/validate"].repeat(4);
        let answers = asked.iter().map(|path| webhook.ask(path, &most, "30s"));
        for answer in join_all(answers).await {
            let reply = answer.unwrap();
            assert_eq!(reply["uid"], "most");
            assert_ne!(reply["status"]["code"], 413, "{reply}");
        }
        println!("{of}: {}", mebibytes(webhook.peak()));
    }

    // Bodies that do not end, for as long as may be asked for. They hold up nobody for long: neither who sends little nor who sends as
    // much as they do and means it.
    let long = create("long", &format!("\"{}\"", "x".repeat(4_900_000)));
    let stalled = (0..60).map(|_| webhook.begin("/validate", &long, long.len() - 1, "30s"));
    let stalled = join_all(stalled.map(|one| tokio::time::timeout(Duration::from_secs(4), one)));
    let others = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        for _ in 0..40 {
            let reply = webhook.ask("/mutate", &small(), "3s").await.unwrap();
            assert_eq!(reply["allowed"], true, "{reply}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let another = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let began = Instant::now();
        loop {
            let reply = webhook.ask("/mutate", &long, "10s").await.unwrap();
            assert_eq!(reply["uid"], "long");
            if reply["allowed"] == true {
                break;
            }
            // As kubectl does it.
            assert_eq!(reply["status"]["code"], 503, "{reply}");
            assert_eq!(reply["status"]["details"]["retryAfterSeconds"], 1);
            assert!(began.elapsed() < Duration::from_secs(10), "{reply}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        println!("a long one among them: {:?}", began.elapsed());
    };
    let (stalled, (), ()) = tokio::join!(stalled, others, another);
    println!("stalled: {}", mebibytes(webhook.peak()));
    drop(stalled);

    let peak = webhook.peak();
    assert!(peak < MOST, "{}", mebibytes(peak));
}
