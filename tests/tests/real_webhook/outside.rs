//! What others keep for the webhook: a leaf in files, as cert-manager mounts it, and a collector that spans are told to.

use crate::support::{Kubectl, SOON, cluster_manifest, eventually, http_get, install, start_with};
use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::api::{Api, Patch, PatchParams};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Told;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use sluice_certs::files::Pair;
use sluice_cluster::free_loopback_port;
use sluice_tests::Stage;
use sluice_webhook::registration::{Address, Registration};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A CA that is not Sluice's.
struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { pem, issuer }
    }

    /// A new leaf as kubelet mounts a Secret: a folder of its own, and a link that is swapped.
    fn mount(&self, dir: &Path, generation: u32) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.serial_number = Some(vec![7, u8::try_from(generation).unwrap()].into());
        let leaf = params.signed_by(&key, &self.issuer).unwrap().pem();
        let folder = dir.join(format!("..{generation}"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("tls.crt"), leaf).unwrap();
        std::fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
        let link = dir.join("..new");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        std::fs::rename(link, dir.join("..data")).unwrap();
        for name in ["tls.crt", "tls.key"] {
            let file = dir.join(name);
            if !file.exists() {
                std::os::unix::fs::symlink(format!("..data/{name}"), file).unwrap();
            }
        }
    }
}

/// Hears spans; or takes the call and never answers.
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    hangs: Arc<AtomicBool>,
    called: Arc<AtomicBool>,
    url: String,
}

impl Collector {
    async fn start() -> Self {
        let spans: Arc<Mutex<Vec<Span>>> = Arc::default();
        let hangs = Arc::new(AtomicBool::new(false));
        let called = Arc::new(AtomicBool::new(false));
        let (heard, hanging, told) = (Arc::clone(&spans), Arc::clone(&hangs), Arc::clone(&called));
        let take = move |body: Bytes| {
            let (heard, hanging, told) =
                (Arc::clone(&heard), Arc::clone(&hanging), Arc::clone(&told));
            async move {
                told.store(true, Ordering::SeqCst);
                if hanging.load(Ordering::SeqCst) {
                    std::future::pending::<()>().await;
                }
                let request = ExportTraceServiceRequest::decode(body).unwrap();
                let spans = request.resource_spans.into_iter().flat_map(|resource| {
                    let named = resource.resource.unwrap().attributes.iter().any(|pair| {
                        pair.key == "service.name" && format!("{pair:?}").contains("sluice-webhook")
                    });
                    assert!(named, "the resource has no name");
                    resource
                        .scope_spans
                        .into_iter()
                        .flat_map(|scope| scope.spans)
                });
                heard.lock().unwrap().extend(spans);
            }
        };
        let router = Router::new().route("/v1/traces", post(take));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            spans,
            hangs,
            called,
            url,
        }
    }

    /// The span of a review of this object.
    async fn span(&self, name: &str, object: &str) -> Span {
        eventually("the span", || async {
            let spans = self.spans.lock().unwrap();
            let mut all = spans.iter();
            all.find(|span| span.name == name && attribute(span, "sluice.name") == object)
                .cloned()
        })
        .await
    }
}

fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|pair| pair.key == key);
    match found.and_then(|pair| pair.value.clone()?.value) {
        Some(Told::StringValue(text)) => text,
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

/// How often a leaf of this serial is served: by a handshake that trusts everybody.
async fn served(port: u16, ca: &Ca) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    let root = rustls::pki_types::CertificateDer::from_pem_slice(ca.pem.as_bytes()).unwrap();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    let name = rustls::pki_types::ServerName::try_from("127.0.0.1").unwrap();
    let stream = connector.connect(name, stream).await.unwrap();
    let (_, connection) = stream.get_ref();
    let leaf = connection.peer_certificates().unwrap()[0].clone();
    let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).unwrap();
    parsed.raw_serial().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaf_of_files_and_spans_for_a_collector() {
    let Some(stage) = Stage::set().await.unwrap() else {
        return;
    };
    for namespace in ["team-a", "sluice-system"] {
        stage.namespace(namespace, &[]).await.unwrap();
    }
    let Stage { cluster, client } = stage;
    let kubectl = Kubectl {
        binary: cluster.kubectl(),
        kubeconfig: cluster.kubeconfig(),
    };
    let port = free_loopback_port().unwrap();
    let registration = Registration {
        address: Address::Url(format!("https://127.0.0.1:{port}")),
        excluded_namespaces: vec!["sluice-system".to_owned()],
    };
    install(&client, &registration).await;
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::new();
    ca.mount(dir.path(), 1);
    let collector = Collector::start().await;
    let webhook = start_with(&cluster.kubeconfig(), port, |config| {
        config.leaf = Some(Pair {
            certificate: dir.path().join("tls.crt"),
            key: dir.path().join("tls.key"),
        });
        config.otlp_endpoint = Some(collector.url.clone());
    })
    .await;

    // Served, but not ready: no API server would accept it yet.
    eventually("told why not", || async {
        let (status, why) = http_get(webhook.ops, "/readyz").await;
        (status == 503 && why.contains("has no caBundle yet")).then_some(())
    })
    .await;
    let bundle = json!({"webhooks": [{"clientConfig": {"caBundle": ByteString(ca.pem.clone().into_bytes())}}]});
    let params = PatchParams::default();
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let with_name = |name: &str| {
        let mut patch = bundle.clone();
        patch["webhooks"][0]["name"] = name.into();
        Patch::Strategic(patch)
    };
    validating
        .patch("sluice", &params, &with_name("validate.sluice.dev"))
        .await
        .unwrap();
    mutating
        .patch("sluice", &params, &with_name("mutate.sluice.dev"))
        .await
        .unwrap();
    eventually("ready", || async {
        (http_get(webhook.ops, "/readyz").await.0 == 200).then_some(())
    })
    .await;
    let probe = cluster_manifest("probe", "STOPPED", "");
    eventually("called", || async {
        let dry = ["create", "--dry-run=server", "-f", "-"];
        (kubectl.run(&dry, &probe).await.code == 0).then_some(())
    })
    .await;
    assert_eq!(served(port, &ca).await, [7, 1]);

    // Replaced twice while requests come: none fails, and each new leaf is served.
    for generation in 2..4_u8 {
        ca.mount(dir.path(), generation.into());
        eventually("the new leaf", || async {
            let said = kubectl
                .run(&["create", "--dry-run=server", "-f", "-"], &probe)
                .await;
            assert_eq!(said.code, 0, "{}", said.err);
            assert!(said.err.is_empty(), "{}", said.err);
            (served(port, &ca).await == [7, generation]).then_some(())
        })
        .await;
    }

    spans(&kubectl, &collector).await;
    webhook.stop.cancel();
    webhook.hurry.cancel();
    tokio::time::timeout(SOON, webhook.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    cluster.stop().await.unwrap();
}

async fn spans(kubectl: &Kubectl, collector: &Collector) {
    let quota = "{apiVersion: sluice.dev/v1alpha1, kind: CpuQuota, metadata: {name: q}, spec: {hard: {cpu: 9}}}";
    kubectl.ok(&["create", "-f", "-"], quota).await;
    let stopped = cluster_manifest("traced", "STOPPED", "");
    kubectl.ok(&["create", "-f", "-"], &stopped).await;
    let span = collector.span("validate SessionCluster", "traced").await;
    assert_eq!(attribute(&span, "sluice.operation"), "CREATE");
    assert_eq!(attribute(&span, "sluice.verdict"), "allowed");
    assert_eq!(attribute(&span, "k8s.namespace.name"), "team-a");
    assert_eq!(attribute(&span, "sluice.uid").len(), 36);
    assert_eq!(attribute(&span, "sluice.ledger_wait_ms"), "");
    assert!(span.end_time_unix_nano > span.start_time_unix_nano);
    collector.span("mutate SessionCluster", "traced").await;

    // Nobody counts here, so the ledger is asked and refuses.
    let running = cluster_manifest("refused", "RUNNING", "");
    kubectl.refused(&["create", "-f", "-"], &running).await;
    let span = collector.span("validate SessionCluster", "refused").await;
    assert_eq!(attribute(&span, "sluice.verdict"), "denied");
    assert_eq!(attribute(&span, "sluice.answer"), "denied");
    let rule = attribute(&span, "sluice.rule");
    assert!(rule.starts_with("quota/"), "{rule}");
    let waited = attribute(&span, "sluice.ledger_wait_ms");
    assert!(waited.starts_with("DoubleValue"), "{waited}");

    // A collector that hangs is nobody's business but its own.
    collector.hangs.store(true, Ordering::SeqCst);
    collector.called.store(false, Ordering::SeqCst);
    let dry = ["create", "--dry-run=server", "-f", "-"];
    let mut slowest = Duration::ZERO;
    eventually("the hanging call", || async {
        kubectl.ok(&dry, &stopped.replace("traced", "again")).await;
        collector.called.load(Ordering::SeqCst).then_some(())
    })
    .await;
    for _ in 0..5 {
        let began = Instant::now();
        kubectl.ok(&dry, &stopped.replace("traced", "again")).await;
        slowest = slowest.max(began.elapsed());
    }
    // A mutating call that is not answered within 2 s is passed over, and a validating one within 3 s is refused.
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}
