//! The caches before an API server that fails in ways that a real one cannot be made to.

use super::super::Caches;
use super::super::kinds::Single;
use crate::metrics::Metrics;
use axum::body::Body;
use axum::http::{Request, Response};
use futures::StreamExt;
use serde_json::{Value, json};
use sluice_policy::dialect::{flink_deployment, flink_session_job, session_cluster};
use sluice_policy::world::World;
use sluice_policy::{Modes, dialects};
use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch::Sender;
use tokio_util::sync::CancellationToken;

const FLINK: &str = "/apis/flink.apache.org/";
const CONFIG_MAPS: &str = "/api/v1/namespaces/flink-operator/configmaps";
const STREAMED: &str = "sendInitialEvents";
/// Quotas are compared with this, and filled anew with that.
const COMPARED: &str = "/cpuquotas?limit=500";
const LISTED_ANEW: &str = "/cpuquotas?limit=100";

/// What requests get whose target holds this; the first that fits counts. Otherwise everything is there, and empty.
type Rules = Vec<(&'static str, u16)>;

/// In a rule: no answer at all.
const SILENT: u16 = 0;

/// An API server.
#[derive(Clone, Default)]
struct Server {
    rules: Arc<Mutex<Rules>>,
    asked: Arc<Mutex<Vec<String>>>,
    /// What watches of CRDs bring.
    crds: Sender<Vec<String>>,
    /// The only ConfigMap.
    configuration: Arc<Mutex<Option<Value>>>,
    /// What the first, second, ... comparison of quotas finds, of which no watch tells (any more).
    quotas: Option<fn(usize) -> Vec<Value>>,
    /// Namespaces, each of a megabyte.
    large: usize,
}

impl Server {
    fn fails(&self, rules: &[(&'static str, u16)]) {
        *self.rules.lock().unwrap() = rules.to_vec();
    }

    fn asked(&self, part: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|target| target.contains(part)).count()
    }

    fn installs(&self, name: &str) {
        self.crds.send_modify(|crds| crds.push(name.to_owned()));
    }

    fn client(&self) -> kube::Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let answer = server.answer(&request.uri().to_string());
            async move {
                match answer {
                    Some(answer) => Ok::<_, Infallible>(answer),
                    None => std::future::pending().await,
                }
            }
        });
        kube::Client::new(service, "default")
    }

    fn answer(&self, target: &str) -> Option<Response<Body>> {
        self.asked.lock().unwrap().push(target.to_owned());
        let rules = self.rules.lock().unwrap();
        let failure = rules.iter().find(|(part, _)| target.contains(part));
        if let Some((_, code)) = failure {
            if *code == SILENT {
                return None;
            }
            let status =
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code});
            let answer = Response::builder().status(*code);
            return Some(answer.body(Body::from(status.to_string())).unwrap());
        }
        let configuration = self.configuration.lock().unwrap().clone();
        let items = configuration.filter(|_| target.starts_with(CONFIG_MAPS));
        let metadata = json!({"resourceVersion": "1"});
        Some(Response::new(if target.contains(STREAMED) {
            let mut all: String = items.iter().map(added).collect();
            let end = json!({"resourceVersion": "1", "annotations": {"k8s.io/initial-events-end": "true"}});
            all += &line("BOOKMARK", &json!({ "metadata": end }));
            Body::from(all)
        } else if target.contains("/customresourcedefinitions?watch=1") {
            let news = self.crds.subscribe();
            let events = futures::stream::unfold(news, |mut news| async move {
                news.changed().await.ok()?;
                let crds = news.borrow_and_update().clone();
                let events: String = crds
                    .iter()
                    .map(|name| added(&json!({"metadata": {"name": name, "resourceVersion": "2"}})))
                    .collect();
                Some((Ok::<_, Infallible>(events), news))
            });
            Body::from_stream(events)
        } else if target.contains("watch=1") {
            Body::from_stream(futures::stream::pending::<Result<String, Infallible>>().boxed())
        } else if target.starts_with("/api/v1/namespaces?") {
            self.namespaces(target)
        } else if let Some(quotas) = self.quotas.filter(|_| target.contains(COMPARED)) {
            let items = quotas(self.asked(COMPARED));
            Body::from(json!({"metadata": metadata, "items": items}).to_string())
        } else {
            let items: Vec<Value> = items.into_iter().collect();
            Body::from(json!({"metadata": metadata, "items": items}).to_string())
        }))
    }
}

impl Server {
    /// A page of them.
    fn namespaces(&self, target: &str) -> Body {
        let asked = |key: &str| {
            let mut parts = target.split(['?', '&']);
            parts.find_map(|part| part.strip_prefix(key)?.parse::<usize>().ok())
        };
        let from = asked("continue=").unwrap_or_default();
        let to = self.large.min(from + asked("limit=").unwrap_or(self.large));
        let text = "x".repeat(1 << 20);
        let namespace = |n: usize| json!({"metadata": {"name": format!("n{n}"), "labels": {"number": n.to_string()}, "annotations": {"a": text}}});
        let items: Vec<Value> = (from..to).map(namespace).collect();
        let next = (to < self.large).then(|| to.to_string());
        let metadata = json!({"resourceVersion": "1", "continue": next});
        Body::from(json!({"metadata": metadata, "items": items}).to_string())
    }
}

fn added(object: &Value) -> String {
    line("ADDED", object)
}

fn line(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": kind, "object": object}))
}

/// Caches that are being filled from it.
fn filled_from(server: &Server) -> Arc<Caches> {
    counted_by(&Arc::default(), server)
}

fn counted_by(metrics: &Arc<Metrics>, server: &Server) -> Arc<Caches> {
    let operator = Single {
        namespace: "flink-operator".into(),
        name: "flink-operator-config".into(),
    };
    let caches = Caches::new(dialects(), Modes::default(), Some(operator), metrics);
    let caches = Arc::new(caches);
    let (running, client) = (Arc::clone(&caches), server.client());
    tokio::spawn(async move { running.run(client, CancellationToken::new()).await });
    caches
}

async fn seconds(count: u64) {
    tokio::time::sleep(Duration::from_secs(count)).await;
}

#[tokio::test(start_paused = true)]
async fn the_operators_configuration_may_be_out_of_reach_for_good() {
    for code in [403, 404] {
        let server = Server::default();
        server.fails(&[(CONFIG_MAPS, code)]);
        let caches = filled_from(&server);
        seconds(2).await;
        let unfilled = caches.unfilled(&flink_deployment::FlinkDeployment);
        assert!(
            unfilled.is_some_and(|why| why.starts_with("configmaps (")),
            "{code}: too soon to do without"
        );
        assert_eq!(caches.unfilled(&session_cluster::SessionCluster), None);
        seconds(20).await;
        assert_eq!(caches.obstacles(), Vec::<String>::new(), "{code}");
        assert_eq!(caches.unfilled(&flink_deployment::FlinkDeployment), None);
        // Who fails in between does not take that back.
        server.fails(&[(CONFIG_MAPS, 500)]);
        seconds(20).await;
        assert_eq!(caches.obstacles(), Vec::<String>::new(), "{code}");
        // As soon as it can be read, it counts.
        let configuration = json!({
            "metadata": {"namespace": "flink-operator", "name": "flink-operator-config", "resourceVersion": "1"},
            "data": {"flink-conf.yaml": "taskmanager.numberOfTaskSlots: 2"},
        });
        *server.configuration.lock().unwrap() = Some(configuration);
        server.fails(&[]);
        seconds(15).await;
        assert!(caches.operator_configuration().is_some(), "{code}");
        // And then it is kept, whatever becomes of the Role: the watch falls silent, and nothing can be listed any more.
        let asked = server.asked(CONFIG_MAPS);
        server.fails(&[(CONFIG_MAPS, code)]);
        seconds(700).await;
        assert!(server.asked(CONFIG_MAPS) > asked + 20);
        assert!(caches.operator_configuration().is_some(), "{code}");
        assert_eq!(caches.obstacles(), Vec::<String>::new(), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_for_another_reason_is_waited_for() {
    let server = Server::default();
    server.fails(&[(CONFIG_MAPS, 500)]);
    let caches = filled_from(&server);
    seconds(120).await;
    let unfilled = caches.unfilled(&flink_deployment::FlinkDeployment);
    assert!(unfilled.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_not_installed_stays_so_while_the_api_server_fails() {
    for code in [429, 500] {
        let server = Server::default();
        let absent = [(FLINK, 404)];
        server.fails(&absent);
        let caches = filled_from(&server);
        seconds(1).await;
        assert_eq!(caches.obstacles(), Vec::<String>::new());
        server.fails(&[(FLINK, code)]);
        for _ in 0..60 {
            seconds(1).await;
            assert_eq!(caches.obstacles(), Vec::<String>::new(), "{code}");
        }
        assert!(server.asked(FLINK) > 10, "it was listed, and in vain");
        assert_eq!(caches.unfilled(&flink_session_job::FlinkSessionJob), None);
        // Installed by now: what exists of it must be known first to whom it matters, which is the same in all replicas.
        server.installs("flinkdeployments.flink.apache.org");
        seconds(1).await;
        assert_eq!(
            caches.unfilled(&flink_deployment::FlinkDeployment),
            None,
            "its kind is not what it is judged by"
        );
        let unfilled = caches.unfilled(&flink_session_job::FlinkSessionJob);
        assert!(
            unfilled.is_some_and(|why| why.starts_with("flinkdeployments.flink.apache.org (")),
            "{code}"
        );
        assert_eq!(caches.obstacles(), Vec::<String>::new(), "{code}");
        server.fails(&absent);
        seconds(15).await;
        assert_eq!(caches.unfilled(&flink_session_job::FlinkSessionJob), None);
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_crds_a_kind_whose_list_fails_may_be_installed() {
    let server = Server::default();
    server.fails(&[("/customresourcedefinitions", 403), (FLINK, 404)]);
    let caches = filled_from(&server);
    seconds(1).await;
    let unfilled = || caches.unfilled(&flink_session_job::FlinkSessionJob);
    assert_eq!(unfilled(), None);
    server.fails(&[("/customresourcedefinitions", 403), (FLINK, 500)]);
    seconds(40).await;
    assert!(unfilled().is_some());
}

fn quota(name: &str, uid: usize) -> Value {
    json!({"metadata": {"namespace": "team-a", "name": name, "uid": format!("u-{uid}"), "generation": 1}})
}

#[tokio::test(start_paused = true)]
async fn quotas_that_come_and_go_between_two_lists_are_no_reason_for_doubt() {
    let came_and_went: [fn(usize) -> Vec<Value>; 3] = [
        |list| {
            let one = (list == 1).then(|| quota("q", 1));
            one.into_iter().collect()
        },
        |list| vec![quota(&format!("q{list}"), list)],
        // Deleted and made anew each time.
        |list| vec![quota("q", list)],
    ];
    for quotas in came_and_went {
        let quotas = Some(quotas);
        let server = Server {
            quotas,
            ..Server::default()
        };
        let caches = filled_from(&server);
        seconds(1).await;
        // Longer than a cache counts that is not compared.
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(caches.quotas_of("team-a").is_ok());
            assert_eq!(caches.obstacles(), Vec::<String>::new());
        }
        assert!(server.asked(COMPARED) > 5);
        assert_eq!(server.asked(LISTED_ANEW), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_stays_and_that_no_watch_brings_is_listed_anew() {
    let server = Server {
        quotas: Some(|_| vec![quota("q", 1)]),
        ..Server::default()
    };
    let caches = filled_from(&server);
    seconds(3).await;
    assert!(server.asked(LISTED_ANEW) > 0);
    assert_eq!(caches.obstacles(), Vec::<String>::new());
}

/// Behind a Service nobody would be asked any more, not even by those who stop what runs.
#[tokio::test(start_paused = true)]
async fn who_has_known_the_quotas_stays_ready_while_they_cannot_be_listed() {
    let server = Server::default();
    let caches = filled_from(&server);
    seconds(1).await;
    assert_eq!(caches.obstacles(), Vec::<String>::new());
    server.fails(&[("/cpuquotas", 503)]);
    for second in 1..=60 {
        seconds(1).await;
        assert_eq!(caches.obstacles(), Vec::<String>::new(), "{second}");
        if !(13..20).contains(&second) {
            assert_eq!(caches.quotas_of("team-a").is_err(), second > 13, "{second}");
        }
    }
    server.fails(&[]);
    seconds(15).await;
    assert!(caches.quotas_of("team-a").is_ok());
}

#[tokio::test(start_paused = true)]
async fn other_peoples_kinds_are_waited_for_a_minute() {
    let server = Server::default();
    server.fails(&[(FLINK, 500)]);
    let caches = filled_from(&server);
    seconds(50).await;
    let obstacles = caches.obstacles();
    assert!(
        !obstacles.is_empty()
            && obstacles
                .iter()
                .all(|one| one.contains(".flink.apache.org")),
        "{obstacles:?}"
    );
    seconds(70).await;
    assert_eq!(caches.obstacles(), Vec::<String>::new());
    let unfilled = caches.unfilled(&flink_session_job::FlinkSessionJob);
    assert!(unfilled.is_some());
    assert_eq!(caches.unfilled(&session_cluster::SessionCluster), None);
    // Without our own there is nothing that this pod could do better than the one before it.
    let server = Server::default();
    server.fails(&[("/sessionclusters", 500)]);
    let caches = filled_from(&server);
    seconds(120).await;
    assert_eq!(caches.obstacles().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn that_a_minute_has_passed_is_told() {
    let server = Server::default();
    server.fails(&[(FLINK, SILENT)]);
    let caches = filled_from(&server);
    let changed = caches.changed();
    let ready = async {
        loop {
            let mut change = pin!(changed.notified());
            change.as_mut().enable();
            if caches.obstacles().is_empty() {
                return;
            }
            change.await;
        }
    };
    let within = Duration::from_secs(61);
    tokio::time::timeout(within, ready).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn pages_are_asked_for_where_streams_are_always_turned_away() {
    for code in [429, 503] {
        let server = Server::default();
        server.fails(&[(STREAMED, code)]);
        let caches = filled_from(&server);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(
            server.asked("limit="),
            0,
            "a busy one is not asked for more at once"
        );
        seconds(3).await;
        assert_eq!(caches.obstacles(), Vec::<String>::new(), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_of_large_objects_is_given_up_for_smaller_ones() {
    let server = Server {
        large: 40,
        ..Server::default()
    };
    server.fails(&[(STREAMED, 503)]);
    let caches = filled_from(&server);
    seconds(3).await;
    assert_eq!(caches.obstacles(), Vec::<String>::new());
    assert!(
        server.asked("/api/v1/namespaces?limit=100") == 1
            && server.asked("namespaces?limit=12") > 0
    );
    for number in 0..40 {
        assert!(
            caches.namespace_labels(&format!("n{number}")).is_some(),
            "{number}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn streams_are_tried_again_where_pages_fail_too() {
    let server = Server::default();
    server.fails(&[("/api/v1/namespaces?", 503)]);
    let caches = filled_from(&server);
    seconds(60).await;
    let asked = |way| server.asked(&format!("/api/v1/namespaces?{way}"));
    assert!(asked("limit=") > 2 && asked("watch=1") > 4);
    server.fails(&[("/api/v1/namespaces?limit=", 503)]);
    seconds(25).await;
    assert_eq!(caches.obstacles(), Vec::<String>::new());
}

/// An API server that stands still takes a watch and does not answer it. Another one might.
#[tokio::test(start_paused = true)]
async fn a_watch_that_is_not_answered_is_given_up() {
    let server = Server::default();
    let opened = "/api/v1/namespaces?watch=1&allowWatchBookmarks";
    server.fails(&[(opened, SILENT)]);
    let _caches = filled_from(&server);
    seconds(60).await;
    assert!(server.asked(opened) > 2, "{}", server.asked(opened));
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_uninstalled_is_no_silent_watch() {
    let heard =
        |resource| format!("sluice_cache_last_heard_timestamp_seconds{{resource=\"{resource}\"}}");
    let gone = heard("flinkdeployments.flink.apache.org");
    let there = heard("sessionclusters.sluice.dev");
    let server = Server::default();
    let metrics = Arc::new(Metrics::default());
    let _caches = counted_by(&metrics, &server);
    seconds(1).await;
    let told = metrics.encode();
    assert!(told.contains(&gone) && told.contains(&there), "{told}");
    server.fails(&[(FLINK, 404)]);
    // Until the watch is given up.
    seconds(400).await;
    let told = metrics.encode();
    assert!(!told.contains(&gone) && told.contains(&there), "{told}");
    // Back again, it is heard of again.
    server.fails(&[]);
    seconds(60).await;
    assert!(metrics.encode().contains(&gone));
}

/// Found by tracing the code: whoever could break the CRD of quotas opened the gate, and nothing was said.
#[tokio::test(start_paused = true)]
async fn quotas_that_are_defined_and_not_served_are_not_none() {
    let server = Server::default();
    server.fails(&[("/cpuquotas?", 404)]);
    let caches = filled_from(&server);
    seconds(40).await;
    let quotas = || caches.quotas_of("team-a").map(|quotas| quotas.len());
    assert_eq!(quotas(), Ok(0), "neither served nor defined");
    server.installs("cpuquotas.sluice.dev");
    seconds(2).await;
    let why = quotas().unwrap_err();
    assert!(
        why.starts_with(
            "cache of cpuquotas.sluice.dev: the API server does not serve it although its CRD exists"
        ),
        "{why}"
    );
    assert_eq!(caches.obstacles(), Vec::<String>::new());
    server.fails(&[]);
    seconds(60).await;
    assert_eq!(quotas(), Ok(0), "served, and there are none");
}

#[tokio::test(start_paused = true)]
async fn kinds_of_one_plural_are_told_apart() {
    let server = Server::default();
    server.fails(&[("/apis/cmf.confluent.io/", 404)]);
    let metrics = Arc::new(Metrics::default());
    let _caches = counted_by(&metrics, &server);
    seconds(1).await;
    let told = metrics.encode();
    for (group, synced) in [("platform.confluent.io", 1), ("cmf.confluent.io", 0)] {
        let line =
            format!("sluice_cache_synced{{resource=\"flinkapplications.{group}\"}} {synced}\n");
        assert!(told.contains(&line), "{line} is missing in\n{told}");
    }
}
