//! Traces, on request: a span for each review, told to a collector by OTLP over HTTP.
//!
//! Whatever the collector does, no review waits for it: spans go into a queue of bounded length that a thread of its own empties, and
//! what does not fit is dropped. An API server that traces its own requests hands down its span, of which ours are children then; and
//! whether it records them decides for ours too.

use crate::gate::Verb;
use crate::metrics::Answered;
use axum::http::{HeaderMap, HeaderValue};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Span, SpanKind, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use rustls_platform_verifier::BuilderVerifierExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::runtime::Handle;

/// Longest that one call of the collector may take; the next spans wait meanwhile.
const CALL: Duration = Duration::from_secs(5);

/// Longest that the end of the process waits for the last spans to be told.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Characters of a uid or a name that are told; an API server's uids and names are shorter. A queue of thousands of spans holds them.
const LONGEST: usize = 256;

/// Bytes of a header by which a parent is handed down; what is longer is not heard.
const LONGEST_PARENT: usize = 512;

/// Where the API is below the address that OTLP speaks of.
const PATH: &str = "/v1/traces";

/// Spans cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The address cannot be used.
    #[error("cannot use {endpoint} (--otlp-endpoint): {why}; give http://HOST:4318")]
    Endpoint {
        /// Which.
        endpoint: String,
        /// Why.
        why: String,
    },
    /// TLS or the client cannot be set up.
    #[error("cannot set up the client of the traces' collector: {0}")]
    Client(String),
}

/// Tells spans.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    parents: TraceContextPropagator,
}

/// What is told of a review besides its answer.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Headers of the request, which may name a parent.
    pub headers: &'a HeaderMap,
    /// The review's uid, as the API server's audit log has it.
    pub uid: &'a str,
    /// The object's namespace.
    pub namespace: &'a str,
    /// The object's name.
    pub name: &'a str,
    /// Whether nothing will be stored.
    pub dry_run: bool,
}

/// The headers that may name a parent, and no others: copied, since what they came with would be kept along.
pub fn parents(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for name in ["traceparent", "tracestate"] {
        let value = headers.get(name);
        let value = value.filter(|value| value.len() <= LONGEST_PARENT);
        let copied = value.and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok());
        if let Some(copied) = copied {
            kept.insert(name, copied);
        }
    }
    kept
}

impl Traces {
    /// To a collector at a base address such as `http://otel-collector:4318`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The address is none, or TLS cannot be set up. Whether anybody listens there is not asked.
    pub fn to(endpoint: &str, instance: &str) -> Result<Self, TracesError> {
        let unusable = |why: &str| TracesError::Endpoint {
            endpoint: endpoint.to_owned(),
            why: why.to_owned(),
        };
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            return Err(unusable("it is no http:// or https:// URL"));
        }
        let base = endpoint.trim_end_matches('/');
        let url = if base.ends_with(PATH) {
            base.to_owned()
        } else {
            format!("{base}{PATH}")
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new()?)
            .with_endpoint(url)
            .with_timeout(CALL)
            .build()
            .map_err(|error: ExporterBuildError| unusable(&error.to_string()))?;
        let resource = Resource::builder()
            .with_attributes([
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", instance.to_owned()),
            ])
            .with_service_name("sluice-webhook")
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        Ok(Self {
            tracer: provider.tracer("sluice"),
            provider,
            parents: TraceContextPropagator::new(),
        })
    }

    /// Tells of an answered review. Returns at once.
    pub fn review(&self, seen: &Seen<'_>, answered: &Answered) {
        let end = SystemTime::now();
        let parent = self
            .parents
            .extract_with_context(&Context::new(), &Short(HeaderExtractor(seen.headers)));
        let mut attributes = vec![
            KeyValue::new("sluice.uid", cut(seen.uid)),
            KeyValue::new("sluice.endpoint", answered.endpoint.word()),
            KeyValue::new("sluice.kind", answered.kind),
            KeyValue::new("sluice.operation", answered.verb.word()),
            KeyValue::new("k8s.namespace.name", cut(seen.namespace)),
            KeyValue::new("sluice.name", cut(seen.name)),
            KeyValue::new("sluice.dry_run", seen.dry_run),
            KeyValue::new("sluice.verdict", word(answered.raw.is_some())),
            KeyValue::new("sluice.answer", word(answered.denied)),
        ];
        if let Some(rule) = answered.raw {
            attributes.push(KeyValue::new("sluice.rule", rule));
        }
        if let Some(waited) = answered.ledger {
            let waited = waited.as_secs_f64() * 1000.0;
            attributes.push(KeyValue::new("sluice.ledger_wait_ms", waited));
        }
        let name = match answered.verb {
            Verb::Unknown => answered.endpoint.word().to_owned(),
            _ => format!("{} {}", answered.endpoint.word(), answered.kind),
        };
        let builder = self
            .tracer
            .span_builder(name)
            .with_kind(SpanKind::Server)
            .with_start_time(end.checked_sub(answered.took).unwrap_or(end))
            .with_attributes(attributes);
        let mut span = self.tracer.build_with_context(builder, &parent);
        span.end_with_timestamp(end);
    }

    /// Tells what has not been told yet, if the collector hears it in time.
    pub async fn end(self: Arc<Self>) {
        let told =
            tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(LAST_WORDS));
        if let Ok(Err(error)) = told.await {
            tracing::warn!(%error, "the last spans were not told");
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// Headers without those that are too long.
struct Short<'a>(HeaderExtractor<'a>);

impl Extractor for Short<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0
            .get(key)
            .filter(|value| value.len() <= LONGEST_PARENT)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys()
    }
}

fn word(denied: bool) -> &'static str {
    if denied { "denied" } else { "allowed" }
}

/// reqwest on our own runtime: spans are told by a thread that has none.
#[derive(Debug)]
struct Client {
    inner: reqwest::Client,
    runtime: Handle,
}

impl Client {
    fn new() -> Result<Self, TracesError> {
        let failed = |why: String| TracesError::Client(why);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(BuilderVerifierExt::with_platform_verifier)
            .map_err(|error| failed(error.to_string()))?
            .with_no_client_auth();
        let inner = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("sluice/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(CALL)
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let runtime = Handle::try_current().map_err(|error| failed(error.to_string()))?;
        Ok(Self { inner, runtime })
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.inner.clone();
        let call = self.runtime.spawn(async move {
            let answer = client.execute(request.try_into()?).await?;
            let mut response = Response::builder().status(answer.status());
            if let Some(headers) = response.headers_mut() {
                headers.clone_from(answer.headers());
            }
            Ok::<_, HttpError>(response.body(answer.bytes().await?)?)
        });
        call.await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Endpoint;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::SpanData;
    use std::sync::Mutex;

    #[derive(Clone, Debug, Default)]
    struct Told(Arc<Mutex<Vec<SpanData>>>);

    impl opentelemetry_sdk::trace::SpanExporter for Told {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().extend(batch);
            Ok(())
        }
    }

    #[test]
    fn a_span_is_short_whatever_was_sent() {
        let told = Told::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(told.clone())
            .build();
        let traces = Traces {
            tracer: provider.tracer("sluice"),
            provider,
            parents: TraceContextPropagator::new(),
        };
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_static(parent));
        let members: Vec<_> = (0..30)
            .map(|member| format!("m{member}={}", "v".repeat(250)))
            .collect();
        headers.insert("tracestate", members.join(",").parse().unwrap());
        let (long, name) = ("\u{e9}".repeat(1 << 20), "analytics");
        let seen = Seen {
            headers: &headers,
            uid: &long,
            namespace: &long,
            name,
            dry_run: false,
        };
        let answered = Answered {
            endpoint: Endpoint::Validate,
            kind: "SessionCluster",
            verb: Verb::Update,
            raw: None,
            denied: false,
            took: Duration::from_micros(40),
            ledger: None,
        };
        traces.review(&seen, &answered);
        let told = told.0.lock().unwrap();
        let [span] = told.as_slice() else {
            panic!("{told:?}")
        };
        for (key, expected) in [
            ("sluice.uid", "\u{e9}".repeat(256)),
            ("k8s.namespace.name", "\u{e9}".repeat(256)),
            ("sluice.name", name.to_owned()),
        ] {
            let attribute = span.attributes.iter().find(|told| told.key.as_str() == key);
            assert_eq!(attribute.unwrap().value.as_str(), expected, "{key}");
        }
        let parent = span.parent_span_id.to_string();
        assert_eq!(parent, "b7ad6b7169203331", "the parent is heard");
        assert_eq!(span.span_context.trace_state().header(), "");
    }
}
