//! Metrics of the controller, for Prometheus. What shows them is in [`crate::ops`].
//!
//! One set for the whole process, as there is one Lease: whatever reconciles counts here without being handed anything. Labels are
//! enums and fixed words, with one exception: figures of quotas carry the quota's name, for a limit without a name is of no use.
//! Quotas are made by admins, so they are few.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use sluice_policy::MilliCpu;
use sluice_policy::ledger::{Account, QuotaKey};
use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileLabels {
    kind: &'static str,
    outcome: &'static str,
}

/// `namespace` is a label that Prometheus itself gives to what it scrapes, so the quota's is called otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QuotaLabels {
    kind: &'static str,
    quota_namespace: String,
    quota: String,
}

impl QuotaLabels {
    fn of(key: &QuotaKey) -> Self {
        let (kind, quota_namespace, quota) = match key {
            QuotaKey::Namespaced { namespace, name } => ("CpuQuota", namespace.clone(), name),
            QuotaKey::Cluster { name } => ("ClusterCpuQuota", String::new(), name),
        };
        Self {
            kind,
            quota_namespace,
            quota: quota.clone(),
        }
    }
}

/// CPU, in cores.
type Cores = Family<QuotaLabels, Gauge<f64, AtomicU64>>;

/// All metrics of the controller.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    leads: Gauge,
    reconciliations: Family<ReconcileLabels, Counter>,
    durations: Family<KindLabels, Histogram>,
    limits: Cores,
    used: Cores,
    reserved: Cores,
    holds: Family<QuotaLabels, Gauge>,
    ledger_writes: Counter,
    ledger_conflicts: Counter,
    ledger_failures: Counter,
    holds_expired: Counter,
}

fn histogram() -> Histogram {
    Histogram::new([
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    ])
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            leads: Gauge::default(),
            reconciliations: Family::default(),
            durations: Family::new_with_constructor(histogram),
            limits: Family::default(),
            used: Family::default(),
            reserved: Family::default(),
            holds: Family::default(),
            ledger_writes: Counter::default(),
            ledger_conflicts: Counter::default(),
            ledger_failures: Counter::default(),
            holds_expired: Counter::default(),
        };
        metrics.register_work();
        metrics.register_ledger();
        metrics
    }
}

impl Metrics {
    fn register_work(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "sluice_controller_build",
            "The controller's version",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register(
            "sluice_controller_leader",
            "1 if this controller leads, 0 if it waits for its turn",
            self.leads.clone(),
        );
        registry.register(
            "sluice_controller_reconciliations",
            "Looks at an object, by kind and by whether they came to their end (ok, error)",
            self.reconciliations.clone(),
        );
        registry.register(
            "sluice_controller_reconcile_duration_seconds",
            "How long a look at an object took, with all calls that it made",
            self.durations.clone(),
        );
    }

    fn register_ledger(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "sluice_quota_limit_cores",
            "CPU that a quota allows; the leader alone tells it, like the other figures of quotas",
            self.limits.clone(),
        );
        registry.register(
            "sluice_quota_used_cores",
            "CPU of workloads that are counted",
            self.used.clone(),
        );
        registry.register(
            "sluice_quota_reserved_cores",
            "CPU set aside for admitted requests that are not counted yet",
            self.reserved.clone(),
        );
        registry.register(
            "sluice_quota_holds",
            "Admitted requests that are not counted yet",
            self.holds.clone(),
        );
        registry.register(
            "sluice_controller_ledger_writes",
            "Counts written to the status of a quota",
            self.ledger_writes.clone(),
        );
        registry.register(
            "sluice_controller_ledger_conflicts",
            "Counts made again because somebody else wrote first",
            self.ledger_conflicts.clone(),
        );
        registry.register(
            "sluice_controller_ledger_failures",
            "Calls for a count that failed",
            self.ledger_failures.clone(),
        );
        registry.register(
            "sluice_controller_holds_expired",
            "Holds of requests that never came to be stored, dropped",
            self.holds_expired.clone(),
        );
    }

    /// Whether this process leads.
    pub fn leads(&self, leads: bool) {
        self.leads.set(i64::from(leads));
    }

    /// Counts and measures one look at an object of a kind.
    pub async fn reconciling<T, E>(
        &self,
        kind: &'static str,
        look: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let began = Instant::now();
        let result = look.await;
        let outcome = if result.is_ok() { "ok" } else { "error" };
        self.reconciliations
            .get_or_create(&ReconcileLabels { kind, outcome })
            .inc();
        self.durations
            .get_or_create(&KindLabels { kind })
            .observe(began.elapsed().as_secs_f64());
        result
    }

    /// A quota's figures as they stand.
    pub fn quota(&self, account: &Account) {
        let labels = QuotaLabels::of(&account.key);
        let set = |family: &Cores, cpu: MilliCpu| {
            family.get_or_create(&labels).set(cores(cpu));
        };
        set(&self.limits, account.hard);
        set(&self.used, account.book.confirmed);
        set(&self.reserved, account.book.reserved());
        let holds = i64::try_from(account.book.pending.len()).unwrap_or(i64::MAX);
        self.holds.get_or_create(&labels).set(holds);
    }

    /// A quota is gone, or cannot be read.
    pub fn no_quota(&self, key: &QuotaKey) {
        let labels = QuotaLabels::of(key);
        for family in [&self.limits, &self.used, &self.reserved] {
            family.remove(&labels);
        }
        self.holds.remove(&labels);
    }

    /// Whoever keeps the ledger keeps this: when it is dropped no quota is shown any more, for another process tells then.
    pub fn keeping(&self) -> Keeping<'_> {
        Keeping(self)
    }

    /// A count was written.
    pub fn counted(&self) {
        self.ledger_writes.inc();
    }

    /// A count has to be made again.
    pub fn conflict(&self) {
        self.ledger_conflicts.inc();
    }

    /// A call for a count failed.
    pub fn failure(&self) {
        self.ledger_failures.inc();
    }

    /// So many holds were dropped.
    pub fn expired(&self, holds: usize) {
        self.holds_expired.inc_by(holds as u64);
    }

    /// Everything, as OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

/// While it lives quotas are shown.
#[derive(Debug)]
pub struct Keeping<'a>(&'a Metrics);

impl Drop for Keeping<'_> {
    fn drop(&mut self) {
        for family in [&self.0.limits, &self.0.used, &self.0.reserved] {
            family.clear();
        }
        self.0.holds.clear();
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "millicores up to 2^52 are exact, and that is a trillion machines"
)]
fn cores(cpu: MilliCpu) -> f64 {
    cpu.0 as f64 / 1000.0
}

/// Those of this process.
pub fn metrics() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::default);
    &METRICS
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_policy::ledger::Book;

    fn account() -> Account {
        Account {
            key: QuotaKey::Namespaced {
                namespace: "team-a".to_owned(),
                name: "default".to_owned(),
            },
            generation: 1,
            hard: MilliCpu(100_000),
            on_growth: sluice_api::quota::OnGrowth::default(),
            book: Book {
                confirmed: MilliCpu(2500),
                ..Book::default()
            },
        }
    }

    #[test]
    fn a_quota_is_shown_while_the_ledger_is_kept_here_and_no_longer() {
        let metrics = Metrics::default();
        let keeping = metrics.keeping();
        metrics.quota(&account());
        let labels = "{kind=\"CpuQuota\",quota_namespace=\"team-a\",quota=\"default\"}";
        for line in [
            format!("sluice_quota_limit_cores{labels} 100.0"),
            format!("sluice_quota_used_cores{labels} 2.5"),
            format!("sluice_quota_reserved_cores{labels} 0.0"),
            format!("sluice_quota_holds{labels} 0"),
        ] {
            assert!(metrics.encode().contains(&line), "{}", metrics.encode());
        }
        metrics.no_quota(&account().key);
        assert!(!metrics.encode().contains("team-a"));
        metrics.quota(&account());
        drop(keeping);
        assert!(!metrics.encode().contains("team-a"));
    }

    #[tokio::test]
    async fn looks_are_counted_by_their_end() {
        let metrics = Metrics::default();
        let fine = async { Ok::<_, ()>(7) };
        assert_eq!(metrics.reconciling("Deployment", fine).await, Ok(7));
        let wrong = async { Err::<(), _>("no") };
        assert_eq!(metrics.reconciling("Deployment", wrong).await, Err("no"));
        let text = metrics.encode();
        for line in [
            "sluice_controller_reconciliations_total{kind=\"Deployment\",outcome=\"ok\"} 1",
            "sluice_controller_reconciliations_total{kind=\"Deployment\",outcome=\"error\"} 1",
            "sluice_controller_reconcile_duration_seconds_count{kind=\"Deployment\"} 2",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
