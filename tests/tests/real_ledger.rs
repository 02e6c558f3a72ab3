//! The quota ledger on a real API server: replicas of the webhook's actors and two leaders of the controller at once, with
//! processes that die in between. No webhook is registered: the test plays the API server's part, so that it can do what a
//! real one seldom does. One test, so that the control plane is started once.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::needless_pass_by_value,
    reason = "a test; clippy exempts only functions marked #[test], not their helpers"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use sluice_api::SessionCluster;
use sluice_api::quota::{ClusterCpuQuota, CpuQuota, QuotaStatus};
use sluice_cluster::Cluster;
use sluice_controller::leader::{Elector, Leadership, Times};
use sluice_controller::ledger::facts::Facts;
use sluice_controller::ledger::{LedgerKeeper, Resource, Settings as KeeperSettings};
use sluice_policy::MilliCpu;
use sluice_policy::ledger::{Ask, Enforcement, ObjectKey, QuotaKey, Reason, Revision, Run};
use sluice_tests::Stage;
use sluice_webhook::ledger::{KubeStore, Ledger, LedgerMetrics, Reserve, Settings, Verdict};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const NAMESPACE: &str = "team-a";
const CLUSTERS: usize = 200;
const ROOM: usize = 50;

/// Waits until a condition holds; the message tells what was seen last.
async fn until<T: std::fmt::Debug>(what: &str, mut look: impl AsyncFnMut() -> (bool, T)) -> T {
    let deadline = Instant::now() + Duration::from_mins(1);
    let mut every = tokio::time::interval(Duration::from_millis(50));
    loop {
        every.tick().await;
        let (done, seen) = look().await;
        if done {
            return seen;
        }
        assert!(
            Instant::now() < deadline,
            "waited in vain until {what}; last seen: {seen:?}"
        );
    }
}

/// As simple as a charge can be: a CPU for each TaskManager of what is told to run.
fn charge(object: &Value) -> MilliCpu {
    let running = object.pointer("/spec/state") == Some(&json!("RUNNING"));
    let count = object
        .pointer("/spec/numberOfTaskManagers")
        .and_then(Value::as_u64)
        .unwrap_or_default();
    if running {
        MilliCpu(count * 1000)
    } else {
        MilliCpu::ZERO
    }
}

fn keeper(client: &Client) -> LedgerKeeper {
    let resource = |group: &str, version: &str, plural: &str| Resource {
        group: group.into(),
        version: version.into(),
        plural: plural.into(),
    };
    LedgerKeeper {
        client: client.clone(),
        resources: vec![
            resource("sluice.dev", "v1alpha1", "sessionclusters"),
            resource("flink.apache.org", "v1beta1", "flinkdeployments"),
        ],
        charge: Arc::new(|_, object| charge(object)),
        facts: None,
        sightings: Arc::default(),
        settings: KeeperSettings {
            undecided: Duration::from_secs(3),
            expiry_tick: Duration::from_millis(500),
            page: 70,
            ..KeeperSettings::default()
        },
    }
}

/// A webhook process: its actors live in a runtime of its own, which can be killed.
struct Replica {
    runtime: Option<Runtime>,
    ledger: Ledger,
}

impl Replica {
    fn new(cluster: &Cluster) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let ledger = std::thread::scope(|scope| {
            let start = || {
                runtime.block_on(async {
                    let store = KubeStore::new(cluster.client().await.unwrap());
                    Ledger::new(
                        Arc::new(store),
                        Settings::default(),
                        LedgerMetrics::default(),
                    )
                })
            };
            scope.spawn(start).join().unwrap()
        });
        Self {
            runtime: Some(runtime),
            ledger,
        }
    }

    /// Asks within the replica's own runtime; `None` if it died over it.
    async fn ask(&self, quotas: Vec<QuotaKey>, reserve: Reserve) -> Option<Verdict> {
        let ledger = self.ledger.clone();
        let runtime = self.runtime.as_ref().unwrap();
        let deadline = Instant::now() + Duration::from_secs(4);
        runtime
            .spawn(async move { ledger.reserve(&quotas, reserve, deadline).await })
            .await
            .ok()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

struct World {
    client: Client,
    cluster: Cluster,
    replicas: Mutex<Vec<Arc<Replica>>>,
    quotas: Vec<QuotaKey>,
}

enum Start {
    Running,
    Refused(Reason),
}

impl World {
    fn sessions(&self) -> Api<SessionCluster> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    fn replica(&self, index: usize) -> Arc<Replica> {
        Arc::clone(&self.replicas.lock().unwrap()[index])
    }

    /// Kills a replica at this instant and starts another in its place.
    fn crash(&self, index: usize) {
        let fresh = Arc::new(Replica::new(&self.cluster));
        self.replicas.lock().unwrap()[index] = fresh;
    }

    async fn get(&self, name: &str) -> SessionCluster {
        self.sessions().get(name).await.unwrap()
    }

    fn rise(object: &SessionCluster, to: usize) -> Reserve {
        let before = serde_json::to_value(object).unwrap();
        Reserve {
            object: ObjectKey {
                resource: "sessionclusters.sluice.dev".into(),
                namespace: NAMESPACE.into(),
                name: object.metadata.name.clone().unwrap(),
            },
            uid: object.metadata.uid.clone().unwrap(),
            base: Revision::parse(object.metadata.resource_version.as_deref().unwrap()).unwrap(),
            from: charge(&before),
            to: MilliCpu(to as u64 * 1000),
            by: "ann".into(),
            ask: Ask::Start,
            enforcement: Enforcement::Enforce,
            run: Run::Real,
        }
    }

    async fn put(
        &self,
        object: &SessionCluster,
        state: &str,
        count: usize,
    ) -> kube::Result<SessionCluster> {
        let mut next = serde_json::to_value(object).unwrap();
        next["spec"]["state"] = json!(state);
        next["spec"]["numberOfTaskManagers"] = json!(count);
        let next: SessionCluster = serde_json::from_value(next).unwrap();
        let name = object.metadata.name.clone().unwrap();
        self.sessions()
            .replace(&name, &PostParams::default(), &next)
            .await
    }

    /// What `kubectl` and the API server do to start a session cluster: ask, come again on 429 or after a conflict.
    async fn start(&self, name: &str, replica: usize) -> Start {
        for attempt in 0..200 {
            let object = self.get(name).await;
            let verdict = self
                .replica((replica + attempt) % 3)
                .ask(self.quotas.clone(), Self::rise(&object, 1))
                .await;
            match verdict {
                Some(Verdict::Admitted { over }) => {
                    assert!(over.is_empty(), "{over:?}");
                    if self.put(&object, "RUNNING", 1).await.is_ok() {
                        return Start::Running;
                    }
                }
                Some(Verdict::Refused(refusal)) if refusal.code().number() == 403 => {
                    return Start::Refused(refusal.reason);
                }
                Some(Verdict::Refused(_)) | None => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        panic!("{name} was neither started nor refused");
    }

    async fn running(&self) -> usize {
        let all = self.sessions().list(&ListParams::default()).await.unwrap();
        all.items
            .iter()
            .map(|object| charge(&serde_json::to_value(object).unwrap()).0 / 1000)
            .sum::<u64>() as usize
    }

    async fn statuses(&self) -> Vec<QuotaStatus> {
        let namespaced: Api<CpuQuota> = Api::namespaced(self.client.clone(), NAMESPACE);
        let cluster: Api<ClusterCpuQuota> = Api::all(self.client.clone());
        vec![
            namespaced
                .get("default")
                .await
                .unwrap()
                .status
                .unwrap_or_default(),
            cluster
                .get("everybody")
                .await
                .unwrap()
                .status
                .unwrap_or_default(),
        ]
    }

    /// Waits until no hold is left and usage is what exists.
    async fn quiet(&self, cpu: usize) {
        until("no hold is left and usage is exact", async || {
            let statuses = self.statuses().await;
            let exact = |status: &QuotaStatus| {
                status.pending.is_empty() && status.confirmed_milli == Some(cpu as u64 * 1000)
            };
            (statuses.iter().all(exact), statuses)
        })
        .await;
        assert_eq!(self.running().await, cpu);
    }
}

fn quota(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "sluice.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

async fn set_up(stage: Stage) -> Arc<World> {
    stage.namespace(NAMESPACE, &[]).await.unwrap();
    let Stage { cluster, client } = stage;
    let default = quota("CpuQuota", "default", json!({"hard": {"cpu": ROOM}}));
    let quotas: Api<CpuQuota> = Api::namespaced(client.clone(), NAMESPACE);
    quotas
        .create(
            &PostParams::default(),
            &serde_json::from_value(default).unwrap(),
        )
        .await
        .unwrap();
    let everybody = quota(
        "ClusterCpuQuota",
        "everybody",
        json!({"hard": {"cpu": "60"}, "namespaces": ["*"]}),
    );
    let all: Api<ClusterCpuQuota> = Api::all(client.clone());
    all.create(
        &PostParams::default(),
        &serde_json::from_value(everybody).unwrap(),
    )
    .await
    .unwrap();
    let sessions: Api<SessionCluster> = Api::namespaced(client.clone(), NAMESPACE);
    for index in 0..CLUSTERS {
        let spec = json!({"state": "STOPPED", "numberOfTaskManagers": 1, "flinkVersion": "1.20"});
        let object = quota("SessionCluster", &format!("c{index}"), spec);
        sessions
            .create(
                &PostParams::default(),
                &serde_json::from_value(object).unwrap(),
            )
            .await
            .unwrap();
    }
    let replicas = (0..3).map(|_| Arc::new(Replica::new(&cluster))).collect();
    Arc::new(World {
        client,
        cluster,
        replicas: Mutex::new(replicas),
        quotas: vec![
            QuotaKey::Namespaced {
                namespace: NAMESPACE.into(),
                name: "default".into(),
            },
            QuotaKey::Cluster {
                name: "everybody".into(),
            },
        ],
    })
}

#[test]
fn the_ledger_is_exact_on_a_real_api_server() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let Some(stage) = Stage::set().await.unwrap() else {
            return;
        };
        let world = set_up(stage).await;
        nothing_starts_before_the_first_count(&world).await;
        let leaders: Vec<JoinHandle<()>> = (0..2)
            .map(|_| {
                let keeper = keeper(&world.client);
                tokio::spawn(async move { keeper.run(Leadership::always()).await })
            })
            .collect();
        world.quiet(0).await;
        for round in 0..3 {
            exactly_what_fits_is_started(&world, round).await;
            lowering_a_limit_touches_nothing(&world).await;
            all_stop(&world).await;
        }
        a_late_write_is_fenced(&world).await;
        the_dead_leave_nothing(&world).await;
        Box::pin(a_new_kind_is_counted_once_it_is_served(&world)).await;
        for leader in leaders {
            leader.abort();
        }
        who_stood_by_need_not_wait_again(&world).await;
        Box::pin(a_first_count_never_looks_at_an_older_view_than_the_quota(
            &world,
        ))
        .await;
        many_namespaces_are_not_listed_one_by_one(&world).await;
        Box::pin(session_jobs_count_once_their_clusters_are_known(&world)).await;
        one_leads_and_another_takes_over(&world.client).await;
        let world = Arc::into_inner(world).unwrap();
        drop(world.replicas);
        world.cluster.stop().await.unwrap();
    });
}

async fn nothing_starts_before_the_first_count(world: &World) {
    let object = world.get("c0").await;
    let verdict = world
        .replica(0)
        .ask(world.quotas.clone(), World::rise(&object, 1))
        .await
        .unwrap();
    let Verdict::Refused(refusal) = verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!(
        (refusal.reason, refusal.quota.to_string()),
        (
            Reason::NotInitialised,
            "ClusterCpuQuota \"everybody\"".into()
        )
    );
}

async fn exactly_what_fits_is_started(world: &Arc<World>, round: usize) {
    let starts: Vec<_> = (0..CLUSTERS)
        .map(|index| {
            let world = Arc::clone(world);
            tokio::spawn(async move { world.start(&format!("c{index}"), index).await })
        })
        .collect();
    let crashes = {
        let world = Arc::clone(world);
        tokio::spawn(async move {
            for crash in 0..6 {
                tokio::time::sleep(Duration::from_millis(40 + 60 * (crash + round as u64))).await;
                assert!(world.running().await <= ROOM);
                world.crash((crash as usize + round) % 3);
            }
        })
    };
    let ends: Vec<_> = join_all(starts)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    crashes.await.unwrap();
    let started = ends
        .iter()
        .filter(|end| matches!(end, Start::Running))
        .count();
    assert_eq!(started, ROOM, "round {round}");
    assert!(
        ends.iter()
            .all(|end| !matches!(end, Start::Refused(reason) if *reason != Reason::OverLimit))
    );
    world.quiet(ROOM).await;
}

async fn lowering_a_limit_touches_nothing(world: &World) {
    let quotas: Api<CpuQuota> = Api::namespaced(world.client.clone(), NAMESPACE);
    let limit = async |cpu: usize| {
        let patch = json!({"spec": {"hard": {"cpu": cpu}}});
        quotas
            .patch("default", &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap()
    };
    let generation = limit(10).await.metadata.generation;
    let status = until("the new limit is observed", async || {
        let status = world.statuses().await.remove(0);
        (status.observed_generation == generation, status)
    })
    .await;
    let exceeded = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "QuotaExceeded")
        .unwrap();
    assert_eq!(exceeded.status, "True");
    assert_eq!(
        exceeded.message,
        "50 of 10 CPU are in use, 40 over the limit. What runs is left alone; nothing starts."
    );
    assert_eq!(
        (status.used.as_deref(), status.free.as_deref()),
        (Some("50"), Some("0"))
    );
    assert_eq!(world.running().await, ROOM);
    let stopped = world.sessions().list(&ListParams::default()).await.unwrap();
    let stopped = stopped
        .items
        .iter()
        .find(|object| charge(&serde_json::to_value(object).unwrap()) == MilliCpu::ZERO)
        .unwrap();
    let verdict = world
        .replica(0)
        .ask(vec![world.quotas[0].clone()], World::rise(stopped, 2))
        .await
        .unwrap();
    let Verdict::Refused(refusal) = verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!(
        refusal.message("sessioncluster", "x"),
        "CpuQuota \"team-a/default\": starting sessioncluster \"x\" needs 2 CPU; 0 of 10 are free (50 in use, 0 reserved). \
         Stop a workload or ask for 42 more CPU. [quota/cpu]"
    );
    let generation = limit(ROOM).await.metadata.generation;
    until("the old limit is back", async || {
        let status = world.statuses().await.remove(0);
        (status.observed_generation == generation, status)
    })
    .await;
}

async fn all_stop(world: &World) {
    let all = world.sessions().list(&ListParams::default()).await.unwrap();
    let running = all
        .items
        .iter()
        .filter(|object| charge(&serde_json::to_value(object).unwrap()) > MilliCpu::ZERO);
    for stopped in join_all(running.map(|object| world.put(object, "STOPPED", 1))).await {
        stopped.unwrap();
    }
    world.quiet(0).await;
}

async fn a_late_write_is_fenced(world: &World) {
    let object = world.get("c7").await;
    let verdict = world
        .replica(0)
        .ask(world.quotas.clone(), World::rise(&object, 9))
        .await
        .unwrap();
    assert_eq!(verdict, Verdict::Admitted { over: vec![] });
    world.quiet(0).await;
    let fenced = world.get("c7").await;
    assert!(
        fenced
            .metadata
            .annotations
            .unwrap()
            .contains_key("sluice.dev/fence")
    );
    let Err(kube::Error::Api(status)) = world.put(&object, "RUNNING", 9).await else {
        panic!("the late write went through")
    };
    assert_eq!(status.code, 409);
}

async fn the_dead_leave_nothing(world: &World) {
    let object = world.get("c8").await;
    let absent = Reserve {
        uid: "00000000-0000-0000-0000-000000000000".into(),
        base: Revision::NONE,
        ..World::rise(&object, 5)
    };
    for reserve in [World::rise(&object, 4), absent] {
        let verdict = world
            .replica(1)
            .ask(world.quotas.clone(), reserve)
            .await
            .unwrap();
        assert_eq!(verdict, Verdict::Admitted { over: vec![] });
    }
    world.crash(1);
    world.quiet(0).await;
    // A hold whose object is deleted goes with it.
    let verdict = world
        .replica(1)
        .ask(world.quotas.clone(), World::rise(&world.get("c9").await, 4))
        .await
        .unwrap();
    assert_eq!(verdict, Verdict::Admitted { over: vec![] });
    world
        .sessions()
        .delete("c9", &DeleteParams::default())
        .await
        .unwrap();
    world.quiet(0).await;
}

async fn who_stood_by_need_not_wait_again(world: &World) {
    let mut keeper = keeper(&world.client);
    keeper.settings.undecided = Duration::from_secs(15);
    let absent = Reserve {
        uid: "00000000-0000-0000-0000-000000000001".into(),
        base: Revision::NONE,
        ..World::rise(&world.get("c8").await, 5)
    };
    let verdict = world
        .replica(0)
        .ask(world.quotas.clone(), absent)
        .await
        .unwrap();
    assert_eq!(verdict, Verdict::Admitted { over: vec![] });
    let stood_by = keeper.sightings.gather(&world.client);
    let stood_by = tokio::time::timeout(Duration::from_secs(16), stood_by).await;
    assert!(stood_by.is_err(), "nobody leads, so it goes on");
    let leads = Instant::now();
    let undecided = keeper.settings.undecided;
    let leader = tokio::spawn(async move { keeper.run(Leadership::always()).await });
    world.quiet(0).await;
    assert!(leads.elapsed() < undecided, "it began to count anew");
    leader.abort();
}

async fn a_new_kind_is_counted_once_it_is_served(world: &World) {
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "flinkdeployments.flink.apache.org"},
        "spec": {"group": "flink.apache.org", "scope": "Namespaced",
            "names": {"kind": "FlinkDeployment", "plural": "flinkdeployments", "singular": "flinkdeployment"},
            "versions": [{"name": "v1beta1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]},
    });
    let crds: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    crds.create(
        &PostParams::default(),
        &serde_json::from_value(crd).unwrap(),
    )
    .await
    .unwrap();
    let resource = kube::api::ApiResource::from_gvk_with_plural(
        &kube::core::GroupVersionKind::gvk("flink.apache.org", "v1beta1", "FlinkDeployment"),
        "flinkdeployments",
    );
    let api: Api<kube::api::DynamicObject> =
        Api::namespaced_with(world.client.clone(), NAMESPACE, &resource);
    let object = kube::api::DynamicObject::new("f", &resource)
        .data(json!({"spec": {"state": "RUNNING", "numberOfTaskManagers": 3}}));
    until("the kind is served", async || {
        (
            api.create(&PostParams::default(), &object).await.is_ok(),
            (),
        )
    })
    .await;
    let statuses = used(world, 3).await;
    assert!(statuses.iter().all(|status| {
        status
            .snapshot
            .contains_key("flinkdeployments.flink.apache.org")
    }));
    Box::pin(what_is_only_not_served_lives_on(world, &crds, &api)).await;
    crds.delete(
        "flinkdeployments.flink.apache.org",
        &DeleteParams::default(),
    )
    .await
    .unwrap();
    used(world, 0).await;
    // Other kinds are counted on.
    world
        .put(&world.get("c3").await, "RUNNING", 2)
        .await
        .unwrap();
    used(world, 2).await;
    world
        .put(&world.get("c3").await, "STOPPED", 2)
        .await
        .unwrap();
    used(world, 0).await;
}

/// Waits until usage is this many CPUs, and tells the statuses.
async fn used(world: &World, cpu: u64) -> Vec<QuotaStatus> {
    until("usage follows", async || {
        let statuses = world.statuses().await;
        (
            statuses
                .iter()
                .all(|status| status.confirmed_milli == Some(cpu * 1000)),
            statuses,
        )
    })
    .await
}

/// What is only not served lives on, and so do its pods. A hold for it is not dropped, however long it stays undecided; a quota that is made
/// meanwhile is not counted without it.
async fn what_is_only_not_served_lives_on(
    world: &World,
    crds: &Api<CustomResourceDefinition>,
    api: &Api<kube::api::DynamicObject>,
) {
    let serve = async |served: bool| {
        let path = "/spec/versions/0/served";
        let change = json!([{"op": "replace", "path": path, "value": served}]);
        let change = Patch::Json::<()>(serde_json::from_value(change).unwrap());
        crds.patch(
            "flinkdeployments.flink.apache.org",
            &PatchParams::default(),
            &change,
        )
        .await
        .unwrap();
        until("it is as it was told", async || {
            (api.get("f").await.is_ok() == served, ())
        })
        .await;
    };
    let f = api.get("f").await.unwrap();
    let growth = Reserve {
        object: ObjectKey {
            resource: "flinkdeployments.flink.apache.org".into(),
            namespace: NAMESPACE.into(),
            name: "f".into(),
        },
        uid: f.metadata.uid.unwrap(),
        base: Revision::parse(f.metadata.resource_version.as_deref().unwrap()).unwrap(),
        from: MilliCpu(3000),
        to: MilliCpu(4000),
        ..World::rise(&world.get("c4").await, 1)
    };
    let verdict = world.replica(0).ask(world.quotas.clone(), growth).await;
    assert_eq!(verdict, Some(Verdict::Admitted { over: vec![] }));
    serve(false).await;
    let late: Api<CpuQuota> = Api::namespaced(world.client.clone(), NAMESPACE);
    let object = quota("CpuQuota", "late", json!({"hard": {"cpu": 10}}));
    let object = serde_json::from_value(object).unwrap();
    late.create(&PostParams::default(), &object).await.unwrap();
    let late_counted = async || {
        let status = late.get("late").await.unwrap().status.unwrap_or_default();
        status.confirmed_milli
    };
    // The leader has to count for the new number of another workload.
    let object = world.get("c4").await;
    world.put(&object, "RUNNING", 1).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    for status in world.statuses().await {
        assert!(status.confirmed_milli >= Some(3000), "{status:?}");
        assert_eq!(status.pending.len(), 1, "{status:?}");
    }
    assert_eq!(late_counted().await, None, "counted without what runs");
    world
        .put(&world.get("c4").await, "STOPPED", 1)
        .await
        .unwrap();
    serve(true).await;
    used(world, 3).await;
    until("the new quota is counted with what runs", async || {
        let counted = late_counted().await;
        (counted == Some(3000), counted)
    })
    .await;
    late.delete("late", &DeleteParams::default()).await.unwrap();
}

/// A client some of whose requests get no answer until told otherwise; everything else works.
fn held_back(
    client: Client,
    open: tokio::sync::watch::Receiver<bool>,
    which: fn(&axum::http::Uri) -> bool,
) -> Client {
    let service = tower::service_fn(move |request: axum::http::Request<kube::client::Body>| {
        let (client, mut open) = (client.clone(), open.clone());
        async move {
            if which(request.uri()) {
                open.wait_for(|open| *open).await.unwrap();
            }
            client.send(request).await
        }
    });
    Client::new(service, NAMESPACE)
}

fn is_watch(uri: &axum::http::Uri) -> bool {
    uri.query()
        .is_some_and(|query| query.contains("watch=true"))
}

/// A new quota, and one that comes to count a further namespace, has no count that a leader's view could be held against. What started
/// there has no hold in it, so a leader whose watch stands still would find nothing and give the room away.
async fn a_first_count_never_looks_at_an_older_view_than_the_quota(world: &World) {
    const LATE: &str = "team-late";
    let (open, opened) = tokio::sync::watch::channel(false);
    let wide: Api<ClusterCpuQuota> = Api::all(world.client.clone());
    let spec =
        |namespaces: &[&str]| json!({"spec": {"hard": {"cpu": 10}, "namespaces": namespaces}});
    let object = quota(
        "ClusterCpuQuota",
        "wide",
        spec(&["elsewhere"])["spec"].clone(),
    );
    let object = serde_json::from_value(object).unwrap();
    wide.create(&PostParams::default(), &object).await.unwrap();
    let leader = {
        let keeper = keeper(&held_back(world.client.clone(), opened, |uri| {
            is_watch(uri) && uri.path().ends_with("/sessionclusters")
        }));
        tokio::spawn(async move { keeper.run(Leadership::always()).await })
    };
    let counted = async || {
        let status = wide.get("wide").await.unwrap().status.unwrap_or_default();
        (status.confirmed_milli, status.observed_generation)
    };
    until("the quota is counted in its first scope", async || {
        let seen = counted().await;
        (seen.0 == Some(0), seen)
    })
    .await;

    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": LATE}})).unwrap();
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    let object = quota(
        "SessionCluster",
        "runs",
        json!({"state": "RUNNING", "numberOfTaskManagers": 8, "flinkVersion": "1.20"}),
    );
    let sessions: Api<SessionCluster> = Api::namespaced(world.client.clone(), LATE);
    sessions
        .create(
            &PostParams::default(),
            &serde_json::from_value(object).unwrap(),
        )
        .await
        .unwrap();
    let fresh: Api<CpuQuota> = Api::namespaced(world.client.clone(), LATE);
    let object = quota("CpuQuota", "fresh", json!({"hard": {"cpu": 10}}));
    fresh
        .create(
            &PostParams::default(),
            &serde_json::from_value(object).unwrap(),
        )
        .await
        .unwrap();
    let change = Patch::Merge(spec(&["elsewhere", LATE]));
    wide.patch("wide", &PatchParams::default(), &change)
        .await
        .unwrap();
    // The leader knows of both within milliseconds, and tries again and again.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let status = fresh.get("fresh").await.unwrap().status.unwrap_or_default();
    assert_eq!(status.confirmed_milli, None, "counted without what runs");
    assert_eq!(
        counted().await,
        (Some(0), Some(1)),
        "counted without what runs"
    );

    open.send(true).unwrap();
    until("both are counted with what runs", async || {
        let status = fresh.get("fresh").await.unwrap().status.unwrap_or_default();
        let seen = (status.confirmed_milli, counted().await);
        (seen == (Some(8000), (Some(8000), Some(2))), seen)
    })
    .await;
    leader.abort();
}

/// A quota over many namespaces is counted in time, and without a burst of lists.
async fn many_namespaces_are_not_listed_one_by_one(world: &World) {
    static LISTS: AtomicUsize = AtomicUsize::new(0);
    let names: Vec<String> = (0..60)
        .map(|index| format!("many-{index}"))
        .chain([NAMESPACE.to_owned()])
        .collect();
    let object = quota(
        "ClusterCpuQuota",
        "many",
        json!({"hard": {"cpu": 10}, "namespaces": names}),
    );
    let many: Api<ClusterCpuQuota> = Api::all(world.client.clone());
    let object = serde_json::from_value(object).unwrap();
    many.create(&PostParams::default(), &object).await.unwrap();
    let running = world.get("c5").await;
    let running = world.put(&running, "RUNNING", 1).await.unwrap();
    let (_open, opened) = tokio::sync::watch::channel(true);
    let keeper = keeper(&held_back(world.client.clone(), opened, |uri| {
        if uri.path().contains("/namespaces/many-") {
            LISTS.fetch_add(1, Ordering::SeqCst);
        }
        false
    }));
    let leader = tokio::spawn(async move { keeper.run(Leadership::always()).await });
    until("it is counted with what runs", async || {
        let status = many.get("many").await.unwrap().status.unwrap_or_default();
        (status.confirmed_milli == Some(1000), status)
    })
    .await;
    assert_eq!(LISTS.load(Ordering::SeqCst), 0);
    leader.abort();
    world.put(&running, "STOPPED", 1).await.unwrap();
}

/// What jobs cost depends on the cluster that they run on. Jobs that are listed before it are not counted by Flink's defaults meanwhile:
/// the first count of a new leader is the right one.
async fn session_jobs_count_once_their_clusters_are_known(world: &World) {
    let kinds = [
        ("FlinkDeployment", "flinkdeployments"),
        ("FlinkSessionJob", "flinksessionjobs"),
    ];
    let crds: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    for (kind, plural) in kinds {
        let crd = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.flink.apache.org")},
            "spec": {"group": "flink.apache.org", "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
                "versions": [{"name": "v1beta1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]},
        });
        let crd = serde_json::from_value(crd).unwrap();
        until("the kind of before is gone", async || {
            let made = crds.create(&PostParams::default(), &crd).await;
            (made.is_ok(), made.err())
        })
        .await;
    }
    let cluster = json!({"flinkVersion": "v1_20", "serviceAccount": "flink", "jobManager": {"resource": {"memory": "2048m", "cpu": 1}},
        "taskManager": {"resource": {"memory": "2048m", "cpu": 8}}});
    let job = json!({"deploymentName": "c", "job": {"jarURI": "https://example.com/a.jar", "parallelism": 3, "state": "running"}});
    for ((kind, plural), (name, spec)) in kinds.iter().zip([("c", cluster), ("j", job)]) {
        let kind = kube::core::GroupVersionKind::gvk("flink.apache.org", "v1beta1", kind);
        let resource = kube::api::ApiResource::from_gvk_with_plural(&kind, plural);
        let api: Api<kube::api::DynamicObject> =
            Api::namespaced_with(world.client.clone(), NAMESPACE, &resource);
        let object = kube::api::DynamicObject::new(name, &resource).data(json!({"spec": spec}));
        until("the kind is served", async || {
            let made = api.create(&PostParams::default(), &object).await;
            (made.is_ok(), made.err())
        })
        .await;
    }
    let quota = quota(
        "ClusterCpuQuota",
        "jobs",
        json!({"hard": {"cpu": 100}, "namespaces": [NAMESPACE]}),
    );
    let all: Api<ClusterCpuQuota> = Api::all(world.client.clone());
    let quota = serde_json::from_value(quota).unwrap();
    all.create(&PostParams::default(), &quota).await.unwrap();

    let (open, opened) = tokio::sync::watch::channel(false);
    let resources: Vec<Resource> = kinds
        .iter()
        .map(|(_, plural)| Resource {
            group: "flink.apache.org".into(),
            version: "v1beta1".into(),
            plural: (*plural).into(),
        })
        .collect();
    let facts = Arc::new(Facts::of(&resources));
    let charging = Arc::clone(&facts);
    let client = held_back(world.client.clone(), opened, |uri| {
        !is_watch(uri) && uri.path().ends_with("/flinkdeployments")
    });
    let keeper = LedgerKeeper {
        resources,
        charge: Arc::new(move |resource, object| charging.charge(resource, object)),
        facts: Some(facts),
        ..keeper(&client)
    };
    let leader = tokio::spawn(async move { keeper.run(Leadership::always()).await });
    tokio::time::sleep(Duration::from_secs(1)).await; // the jobs are listed
    open.send(true).unwrap();
    let first = until("it is counted", async || {
        let confirmed = all
            .get("jobs")
            .await
            .unwrap()
            .status
            .unwrap_or_default()
            .confirmed_milli;
        (confirmed.is_some(), confirmed)
    })
    .await;
    assert_eq!(first, Some(1000 + 3 * 8000));
    leader.abort();
}

async fn one_leads_and_another_takes_over(client: &Client) {
    let times = Times {
        lease: Duration::from_secs(2),
        renew: Duration::from_millis(1500),
        retry: Duration::from_millis(200),
    };
    let elect = |identity: &str| {
        let (elector, leadership) = Elector::new(
            client.clone(),
            "default",
            "sluice-controller",
            identity,
            times,
        );
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let task = tokio::spawn(elector.run(async move {
            let _ = stopped.await;
        }));
        (leadership, stop, task)
    };
    let (mut a, _stop_a, task_a) = elect("a");
    a.acquired().await;
    let (mut b, stop_b, task_b) = elect("b");
    let early = tokio::time::timeout(Duration::from_millis(2500), b.acquired()).await;
    assert!(early.is_err() && a.leads() && !b.leads(), "two leaders");
    // Killed: nothing is given back, so b waits for the Lease to run out, and a must know that it no longer leads by then.
    task_a.abort();
    b.acquired().await;
    assert!(
        !a.leads(),
        "the old leader believes in itself for longer than the Lease"
    );
    a.lost().await;
    let (mut c, _stop_c, task_c) = elect("c");
    stop_b.send(()).unwrap();
    task_b.await.unwrap();
    let given_back = Instant::now();
    c.acquired().await;
    assert!(
        given_back.elapsed() < Duration::from_millis(1500),
        "a Lease that was given back is free at once"
    );
    task_c.abort();
}
