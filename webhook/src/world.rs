//! What else exists, as the judge sees it: caches filled by watches, read without waiting.
//!
//! * [`kinds`]: what is watched, and how little of it is kept.
//! * [`store`]: one resource's cache; `small`: how it keeps very many workloads.
//! * [`watch`]: fills a store: list (streamed, or page by page), then watch, for ever.
//! * [`fresh`]: bounds how long a quota may be unknown here.
//! * [`tries`]: what failed lists teach about the next; [`installed`]: which kinds there are.
//! * [`falls`]: CPU that was given up a moment ago.
//!
//! What is not here: whole workloads. A hundred thousand of them must fit into a few megabytes, so only what other objects'
//! judgement looks up is kept; `/scale` reads its parent live.

pub mod falls;
pub mod fresh;
pub mod installed;
pub mod kinds;
pub mod moment;
pub mod quotas;
mod small;
pub mod store;
pub mod tries;
pub mod watch;

use crate::metrics::Metrics;
use installed::Installed;
use kinds::{Keep, Single, Watched};
use quotas::{CLUSTER_CPU_QUOTAS, CPU_QUOTAS, Quota};
use serde_json::Value;
use sluice_policy::dialect::Class;
use sluice_policy::ledger::{CHARGE_FN, QuotaKey};
use sluice_policy::mode::Modes;
use sluice_policy::world::{Layer, Lookup, Source, World};
use sluice_policy::{Dialect, KindInfo, MilliCpu};
use std::sync::Arc;
use std::time::Duration;
use store::{State, Store};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// So long readiness waits for other people's kinds. A list that comes takes seconds; one that fails may do so for ever, and in every pod.
/// What is judged by it is refused by itself ([`World::unfilled`]).
const FOREIGN_WITHIN: Duration = Duration::from_mins(1);

/// All caches.
pub struct Caches {
    stores: Vec<Arc<Store>>,
    began: Instant,
    modes: Modes,
    operator: Option<Single>,
    changed: Arc<Notify>,
}

impl Caches {
    /// Empty caches for these dialects. `modes` hold where a namespace's labels say nothing, `operator` is the ConfigMap of
    /// the Apache operator, where there is one.
    pub fn new(
        dialects: &[&'static dyn Dialect],
        modes: Modes,
        operator: Option<Single>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let changed = Arc::new(Notify::new());
        let stores = kinds::watched(dialects, operator.as_ref())
            .into_iter()
            .map(|watched| {
                Arc::new(Store::new(
                    watched,
                    Arc::clone(metrics),
                    Arc::clone(&changed),
                ))
            })
            .collect();
        Self {
            stores,
            began: Instant::now(),
            modes,
            operator,
            changed,
        }
    }

    /// Fills all caches and keeps them true until stopped.
    pub async fn run(&self, client: kube::Client, stop: CancellationToken) {
        let crds = self.store("apiextensions.k8s.io", kinds::CRDS);
        let installed = Arc::new(Installed::new(crds.cloned()));
        let watches = self.stores.iter().map(|store| {
            watch::keep_full(
                client.clone(),
                Arc::clone(store),
                Arc::clone(&installed),
                stop.clone(),
            )
        });
        let compared = self
            .stores
            .iter()
            .filter(|store| matches!(store.watched().keep, Keep::Quota(_)))
            .map(|store| fresh::keep_fresh(client.clone(), Arc::clone(store), stop.clone()));
        let foreign = async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep_until(self.began + FOREIGN_WITHIN) => self.changed.notify_waiters(),
            }
        };
        futures::join!(
            futures::future::join_all(watches),
            futures::future::join_all(compared),
            foreign
        );
    }

    /// What readiness waits for, one line each; empty: nothing. Resources that are not installed count as known. What was known once is
    /// waited for no more, nor are other people's kinds after a minute.
    pub fn obstacles(&self) -> Vec<String> {
        let has_waited = self.began.elapsed() >= FOREIGN_WITHIN;
        self.stores
            .iter()
            .filter(|store| !(has_waited && store.watched().is_foreign()))
            .filter_map(|store| store.obstacle())
            .collect()
    }

    /// Told whenever [`Caches::obstacles`] may have changed.
    pub fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    /// Objects in all caches.
    pub fn len(&self) -> usize {
        self.stores.iter().map(|store| store.len()).sum()
    }

    /// Whether nothing is cached.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The cache of a resource.
    pub fn store(&self, group: &str, plural: &str) -> Option<&Arc<Store>> {
        self.stores.iter().find(|store| {
            let watched = store.watched();
            watched.group == group && watched.plural == plural
        })
    }

    /// The quotas that cover a namespace; an error says which cache is not filled yet, or not compared any more.
    pub fn quotas_of(&self, namespace: &str) -> Result<Vec<Arc<Quota>>, String> {
        let mut found = Vec::new();
        for (plural, place) in [(CPU_QUOTAS, namespace), (CLUSTER_CPU_QUOTAS, "")] {
            let Some(store) = self.store(sluice_api::GROUP, plural) else {
                continue;
            };
            if let Some(why) = store.unknown().or_else(|| fresh::stale(store)) {
                return Err(why);
            }
            let covering = store
                .quotas(place)
                .into_iter()
                .filter(|quota| quota.scope.contains(namespace));
            found.extend(covering);
        }
        Ok(found)
    }

    /// One quota as the watch brought it last.
    pub fn quota(&self, key: &QuotaKey) -> Option<Arc<Quota>> {
        let (namespace, name) = match key {
            QuotaKey::Namespaced { namespace, name } => (namespace.as_str(), name),
            QuotaKey::Cluster { name } => ("", name),
        };
        self.store_of(key)?.quota(namespace, name)
    }

    /// The cache of the quotas of this one's kind.
    pub fn store_of(&self, key: &QuotaKey) -> Option<&Arc<Store>> {
        let plural = match key {
            QuotaKey::Namespaced { .. } => CPU_QUOTAS,
            QuotaKey::Cluster { .. } => CLUSTER_CPU_QUOTAS,
        };
        self.store(sluice_api::GROUP, plural)
    }

    /// Whether the leader has counted a quota in its present spec, as far as the watch has told.
    pub fn is_counted(&self, key: &QuotaKey) -> bool {
        self.quota(key).is_some_and(|quota| {
            let account = quota.stored.as_ref().map(|stored| &stored.account);
            matches!(account, Some(Ok(account))
                if account.book.charge_fn == CHARGE_FN && account.book.observed_generation == account.generation)
        })
    }

    /// CPU in a quota's scope that was given up lately and that the quota still counts.
    pub fn fallen(&self, key: &QuotaKey) -> MilliCpu {
        let Some(quota) = self.quota(key) else {
            return MilliCpu::ZERO;
        };
        let Some(Ok(account)) = quota.stored.as_ref().map(|stored| &stored.account) else {
            return MilliCpu::ZERO;
        };
        self.stores
            .iter()
            .filter(|store| matches!(store.watched().keep, Keep::Facts(_) | Keep::Charge(_)))
            .map(|store| {
                let counted = account.book.snapshot.get(&store.name()).copied();
                store.fallen(counted.unwrap_or_default(), &quota.scope)
            })
            .sum()
    }

    fn layers(
        &self,
        plural: &str,
        kind: &str,
        namespace: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Vec<Layer> {
        let Some(store) = self.store(sluice_api::GROUP, plural) else {
            return Vec::new();
        };
        store
            .in_namespace(namespace)
            .into_iter()
            .filter(|(_, spec)| wanted(spec))
            .map(|(name, spec)| Layer {
                source: if namespace.is_empty() {
                    format!("{kind} {name}")
                } else {
                    format!("{kind} {namespace}/{name}")
                },
                spec,
            })
            .collect()
    }

    fn looked_up<'s>(&'s self, kind: &KindInfo) -> Option<&'s Arc<Store>> {
        self.store(kind.group, kind.plural).filter(|store| {
            !matches!(
                store.watched().keep,
                Keep::Labels | Keep::Presence | Keep::Quota(_) | Keep::Charge(_) | Keep::Operator
            )
        })
    }
}

/// Whether a kind's judgement looks at a resource.
fn judges_by(dialect: &dyn Dialect, watched: &Watched) -> bool {
    let sources = dialect.sources();
    match watched.keep {
        // Modes; what configures Sluice is judged alike in all of them.
        Keep::Labels => dialect.class() == Class::Workload,
        Keep::Settings(_) => dialect.section().is_some(),
        Keep::Operator => sources.contains(&Source::OperatorConfiguration),
        Keep::Whole | Keep::Facts(_) => sources.iter().any(|source| {
            matches!(source, Source::Objects(kind) if kind.group == watched.group && kind.plural == watched.plural)
        }),
        // A quota that is not known yet is refused where it is asked (`quotas_of`).
        Keep::Quota(_) | Keep::Charge(_) | Keep::Presence => false,
    }
}

impl World for Caches {
    fn modes(&self, namespace: &str) -> Modes {
        let Some(labels) = self.namespace_labels(namespace) else {
            return self.modes;
        };
        Modes::from_labels(self.modes, |key| labels.get(key).and_then(Value::as_str))
    }

    fn defaults(&self, namespace: &str) -> Vec<Layer> {
        let mut layers = if namespace.is_empty() {
            Vec::new()
        } else {
            self.layers(kinds::DEFAULTS, "DeploymentDefaults", namespace, |_| true)
        };
        layers.extend(self.layers(
            kinds::CLUSTER_DEFAULTS,
            "ClusterDeploymentDefaults",
            "",
            |_| true,
        ));
        layers
    }

    fn environments(&self, namespace: &str) -> Vec<Layer> {
        let names = |spec: &Value| {
            spec.get("namespaces")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .any(|name| name == "*" || name == namespace)
        };
        self.layers(kinds::ENVIRONMENTS, "Environment", "", names)
    }

    fn lookup(&self, kind: &KindInfo, namespace: &str, name: &str) -> Lookup {
        let Some(store) = self.looked_up(kind) else {
            return Lookup::Unknown;
        };
        match (store.get(namespace, name), store.state()) {
            (Some(object), _) => Lookup::Found(object),
            (None, State::Full) => Lookup::Absent,
            (None, _) => Lookup::Unknown,
        }
    }

    fn lookup_uid(&self, kind: &KindInfo, namespace: &str, uid: &str) -> Lookup {
        let Some(store) = self.looked_up(kind) else {
            return Lookup::Unknown;
        };
        match (store.get_by_uid(namespace, uid), store.state()) {
            (Some(object), _) => Lookup::Found(object),
            (None, State::Full) => Lookup::Absent,
            (None, _) => Lookup::Unknown,
        }
    }

    fn namespace_labels(&self, namespace: &str) -> Option<Arc<Value>> {
        self.store("", kinds::NAMESPACES)?.get("", namespace)
    }

    fn unfilled(&self, dialect: &dyn Dialect) -> Option<String> {
        let mut unknown = self
            .stores
            .iter()
            .filter(|store| judges_by(dialect, store.watched()))
            .filter_map(|store| {
                let why = store.unfilled()?;
                Some(format!("{} ({why})", store.name()))
            });
        let first = unknown.next()?;
        Some(match unknown.count() {
            0 => first,
            more => format!("{first} and {more} more"),
        })
    }

    fn operator_configuration(&self) -> Option<Arc<Value>> {
        let Single { namespace, name } = self.operator.as_ref()?;
        self.store("", kinds::CONFIG_MAPS)?.get(namespace, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use moment::Moment;
    use store::Objects;

    fn caches() -> Caches {
        let metrics = Arc::new(Metrics::default());
        let operator = Single {
            namespace: "flink-operator".into(),
            name: "flink-operator-config".into(),
        };
        Caches::new(
            sluice_policy::dialects(),
            Modes::default(),
            Some(operator),
            &metrics,
        )
    }

    /// What a kind's judgement waits for, each resource by itself.
    fn awaited_by(dialect: &dyn Dialect) -> Vec<String> {
        let mut awaited = Vec::new();
        for number in 0..caches().stores.len() {
            let caches = caches();
            for (other, store) in caches.stores.iter().enumerate() {
                if other != number {
                    store.replace(Objects::default(), Moment::now());
                }
            }
            let Some(unfilled) = caches.unfilled(dialect) else {
                continue;
            };
            let name = caches.stores[number].name();
            assert_eq!(unfilled, format!("{name} (not listed yet)"));
            awaited.push(name);
        }
        awaited
    }

    #[test]
    fn a_kind_waits_for_what_it_is_judged_by_and_for_nothing_else() {
        const SETTINGS: [&str; 4] = [
            "namespaces",
            "deploymentdefaults.sluice.dev",
            "clusterdeploymentdefaults.sluice.dev",
            "environments.sluice.dev",
        ];
        const TARGETS: &str = "deploymenttargets.sluice.dev";
        const CLUSTERS: &str = "sessionclusters.sluice.dev";
        const THEIRS: &str = "flinkdeployments.flink.apache.org";
        const THEIR_JOBS: &str = "flinksessionjobs.flink.apache.org";
        const ENVIRONMENTS: &str = "flinkenvironments.platform.confluent.io";
        const OPERATOR: &str = "configmaps";
        for dialect in sluice_policy::dialects() {
            let kind = dialect.kind();
            let (settings, more): (bool, &[&str]) = match (kind.kind, kind.group) {
                ("SessionCluster", _) => (true, &[TARGETS]),
                ("Deployment", _) => (true, &[CLUSTERS, TARGETS]),
                ("SessionJob", _) => (true, &[CLUSTERS]),
                ("FlinkDeployment", _) | ("FlinkApplication", "cmf.confluent.io") => {
                    (true, &[OPERATOR])
                }
                ("FlinkSessionJob", _) => (true, &[OPERATOR, THEIRS]),
                ("FlinkApplication", _) => (true, &[ENVIRONMENTS, OPERATOR]),
                ("FlinkStateSnapshot", _) => (false, &[THEIRS, THEIR_JOBS]),
                _ => (false, &[]),
            };
            let mut wanted: Vec<&str> = if settings { SETTINGS.to_vec() } else { vec![] };
            wanted.extend(more);
            wanted.sort_unstable();
            let mut awaited = awaited_by(*dialect);
            awaited.sort_unstable();
            assert_eq!(awaited, wanted, "{} ({})", kind.kind, kind.group);
        }
    }

    #[test]
    fn quotas_are_asked_for_themselves_and_all_that_is_missing_is_counted() {
        let caches = caches();
        let cluster = &sluice_policy::dialect::session_cluster::SessionCluster;
        let unfilled = caches.unfilled(cluster).unwrap();
        assert_eq!(unfilled, "namespaces (not listed yet) and 4 more");
        for store in &caches.stores {
            if !matches!(store.watched().keep, Keep::Quota(_)) {
                store.replace(Objects::default(), Moment::now());
            }
        }
        assert_eq!(caches.unfilled(cluster), None);
        assert!(caches.quotas_of("team-a").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_stood_still_does_not_judge_by_the_quotas_of_before() {
        let caches = caches();
        let stores = |plural| caches.store(sluice_api::GROUP, plural).unwrap();
        let began = Moment::now();
        stores(CPU_QUOTAS).not_installed();
        stores(CLUSTER_CPU_QUOTAS).replace(Objects::default(), began);
        assert!(caches.quotas_of("team-a").is_ok());
        tokio::time::advance(fresh::UNPROVEN + Duration::from_secs(1)).await;
        assert_eq!(
            caches.quotas_of("team-a").unwrap_err(),
            "cache of clustercpuquotas.sluice.dev: last compared with the API server 16 s ago; the webhook or the API server stood still"
        );
        // An answer that was asked for before it stood still says nothing of now.
        stores(CLUSTER_CPU_QUOTAS).prove(began.after(Duration::from_secs(1)));
        assert!(caches.quotas_of("team-a").is_ok());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(caches.quotas_of("team-a").is_err());
        // Found by tracing the code: a machine that sleeps stops the clock that was looked at.
        let proven = Moment::now();
        stores(CLUSTER_CPU_QUOTAS).prove(proven);
        assert!(caches.quotas_of("team-a").is_ok());
        stores(CLUSTER_CPU_QUOTAS).prove(proven.slept(fresh::UNPROVEN + Duration::from_secs(1)));
        assert!(caches.quotas_of("team-a").is_err());
    }
}
