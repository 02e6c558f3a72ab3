//! Metrics, for Prometheus. Labels are enums and fixed words only, never names of objects or users.
//!
//! Requests are counted by the raw verdict, before a namespace's mode turned it into a warning: an admin who tries a
//! rule in `warn` sees what `enforce` would refuse.

use crate::gate::{Endpoint, Verb};
use crate::ledger::LedgerMetrics;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// `allowed` or `denied`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types)] // the label's spelling
enum Verdict {
    allowed,
    denied,
}

impl Verdict {
    fn of(denied: bool) -> Self {
        if denied { Self::denied } else { Self::allowed }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    endpoint: &'static str,
    kind: &'static str,
    operation: &'static str,
    verdict: Verdict,
    rule: &'static str,
    answer: Verdict,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabels {
    endpoint: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResourceLabels {
    resource: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RoleLabels {
    role: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// One answered request.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// `/mutate` or `/validate`.
    pub endpoint: Endpoint,
    /// Kind of the dialect, or `unknown`.
    pub kind: &'static str,
    /// Create, update, scale, another one.
    pub verb: Verb,
    /// The rule that refused it before the mode was applied.
    pub raw: Option<&'static str>,
    /// Whether the answer was a refusal.
    pub denied: bool,
    /// From the last byte of the request to the answer.
    pub took: Duration,
    /// How much of that was waiting for the quota ledger; `None`: it was not asked.
    pub ledger: Option<Duration>,
}

/// All metrics of the webhook.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    latency: Family<EndpointLabels, Histogram>,
    ledger_wait: Histogram,
    ledger: LedgerMetrics,
    events: Family<OutcomeLabels, Counter>,
    synced: Family<ResourceLabels, Gauge>,
    objects: Family<ResourceLabels, Gauge>,
    heard: Family<ResourceLabels, Gauge<f64, AtomicU64>>,
    certificate_ends: Family<RoleLabels, Gauge>,
    ready: Gauge,
    connections: Gauge,
}

fn latency_histogram() -> Histogram {
    Histogram::new([
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0,
    ])
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            latency: Family::new_with_constructor(latency_histogram),
            ledger_wait: latency_histogram(),
            ledger: LedgerMetrics::default(),
            events: Family::default(),
            synced: Family::default(),
            objects: Family::default(),
            heard: Family::default(),
            certificate_ends: Family::default(),
            ready: Gauge::default(),
            connections: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        metrics.ledger.register(registry);
        registry.register(
            "sluice_build",
            "The webhook's version",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register(
            "sluice_ledger_wait_seconds",
            "How long reviews that raise CPU waited for the ledger",
            metrics.ledger_wait.clone(),
        );
        registry.register(
            "sluice_admission_requests",
            "Reviews answered; verdict and rule before the namespace's mode was applied, answer after",
            metrics.requests.clone(),
        );
        registry.register(
            "sluice_admission_duration_seconds",
            "From the last byte of a review to its answer",
            metrics.latency.clone(),
        );
        registry.register(
            "sluice_events",
            "Events about refusals, by what became of them",
            metrics.events.clone(),
        );
        registry.register(
            "sluice_cache_synced",
            "1 if the cache of a resource is full",
            metrics.synced.clone(),
        );
        registry.register(
            "sluice_cache_objects",
            "Objects in the cache of a resource",
            metrics.objects.clone(),
        );
        registry.register(
            "sluice_cache_last_heard_timestamp_seconds",
            "When the watch of a resource last said anything (bookmarks count)",
            metrics.heard.clone(),
        );
        registry.register(
            "sluice_certificate_not_after_timestamp_seconds",
            "When the certificate ends",
            metrics.certificate_ends.clone(),
        );
        registry.register(
            "sluice_ready",
            "1 if this process is ready to answer",
            metrics.ready.clone(),
        );
        registry.register(
            "sluice_connections",
            "Open TLS connections",
            metrics.connections.clone(),
        );
        metrics
    }
}

impl Metrics {
    /// Counts an answered request.
    pub fn answered(&self, answered: &Answered) {
        let endpoint = answered.endpoint.word();
        self.requests
            .get_or_create(&RequestLabels {
                endpoint,
                kind: answered.kind,
                operation: answered.verb.word(),
                verdict: Verdict::of(answered.raw.is_some()),
                rule: answered.raw.unwrap_or(""),
                answer: Verdict::of(answered.denied),
            })
            .inc();
        self.latency
            .get_or_create(&EndpointLabels { endpoint })
            .observe(answered.took.as_secs_f64());
        if let Some(waited) = answered.ledger {
            self.ledger_wait.observe(waited.as_secs_f64());
        }
    }

    /// The ledger's own counters.
    pub fn ledger(&self) -> LedgerMetrics {
        self.ledger.clone()
    }

    /// Counts an Event: `written`, `repeated` (told before), `dropped` (too many waiting), `failed`.
    pub fn event(&self, outcome: &'static str) {
        self.events.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// The state of one resource's cache. Resources are named with their group (`sessionclusters.sluice.dev`): two groups have a
    /// `flinkapplications`.
    pub fn cache(&self, resource: &Arc<str>, synced: bool, objects: usize) {
        let labels = of(resource);
        self.synced.get_or_create(&labels).set(i64::from(synced));
        self.objects
            .get_or_create(&labels)
            .set(i64::try_from(objects).unwrap_or(i64::MAX));
    }

    /// A watch has said something at this time.
    pub fn heard(&self, resource: &Arc<str>, at: jiff::Timestamp) {
        self.heard
            .get_or_create(&of(resource))
            .set(at.as_duration().as_secs_f64());
    }

    /// A resource is watched no more: from one that is not installed nothing will be heard, and that is no silence.
    pub fn unheard(&self, resource: &Arc<str>) {
        self.heard.remove(&of(resource));
    }

    /// When leaf (`leaf`) or CA (`ca`) ends.
    pub fn certificate(&self, role: &'static str, ends: jiff::Timestamp) {
        self.certificate_ends
            .get_or_create(&RoleLabels { role })
            .set(ends.as_second());
    }

    /// Whether the process is ready.
    pub fn ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }

    /// A connection was opened; it counts until the guard is dropped.
    pub fn connection(&self) -> ConnectionGuard {
        self.connections.inc();
        ConnectionGuard(self.connections.clone())
    }

    /// Everything, as OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

fn of(resource: &Arc<str>) -> ResourceLabels {
    ResourceLabels {
        resource: Arc::clone(resource),
    }
}

/// Counts one open connection while it lives.
#[derive(Debug)]
pub struct ConnectionGuard(Gauge);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_raw_verdict_is_counted_beside_the_answer() {
        let metrics = Metrics::default();
        metrics.answered(&Answered {
            endpoint: Endpoint::Validate,
            kind: "SessionCluster",
            verb: Verb::Update,
            raw: Some("immutable/session-cluster"),
            denied: false,
            took: Duration::from_micros(40),
            ledger: Some(Duration::from_micros(20)),
        });
        let text = metrics.encode();
        let line = "sluice_admission_requests_total{endpoint=\"validate\",kind=\"SessionCluster\",operation=\"UPDATE\",verdict=\"denied\",rule=\"immutable/session-cluster\",answer=\"allowed\"} 1";
        assert!(text.contains(line), "{text}");
        assert!(
            text.contains(
                "sluice_admission_duration_seconds_bucket{le=\"0.0001\",endpoint=\"validate\"} 1"
            ),
            "{text}"
        );
        assert!(
            text.contains("sluice_ledger_wait_seconds_count 1"),
            "{text}"
        );
    }
}
