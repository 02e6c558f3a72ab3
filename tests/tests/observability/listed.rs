//! Every metric of webhook and controller, read from the programs' own output; and who speaks of them.

use crate::repository;
use serde_json::Value;
use sluice_policy::MilliCpu;
use sluice_policy::ledger::{Account, Book, QuotaKey};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

/// What is told of a metric.
#[derive(Debug, Default)]
pub struct Metric {
    pub help: String,
    pub kind: String,
    pub labels: BTreeSet<String>,
    pub of: &'static str,
}

/// By name. A family shows itself only once it has counted something, so all do here.
pub fn metrics() -> BTreeMap<String, Metric> {
    let mut all = BTreeMap::new();
    read(&webhook(), "webhook", &mut all);
    read(&controller(), "controller", &mut all);
    all
}

fn webhook() -> String {
    let metrics = sluice_webhook::metrics::Metrics::default();
    let now = k8s_openapi::jiff::Timestamp::now();
    metrics.certificate("leaf", now);
    let resource = "sessionclusters.sluice.dev".into();
    metrics.heard(&resource, now);
    metrics.cache(&resource, true, 1);
    metrics.event("written");
    metrics.answered(&sluice_webhook::metrics::Answered {
        endpoint: sluice_webhook::gate::Endpoint::Validate,
        kind: "SessionCluster",
        verb: sluice_webhook::gate::Verb::Create,
        raw: None,
        denied: false,
        took: Duration::from_millis(1),
        ledger: None,
    });
    metrics.encode()
}

fn controller() -> String {
    let metrics = sluice_controller::metrics::Metrics::default();
    metrics.quota(&Account {
        key: QuotaKey::Cluster {
            name: "all".to_owned(),
        },
        generation: 1,
        hard: MilliCpu(1),
        on_growth: sluice_api::quota::OnGrowth::default(),
        book: Book::default(),
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let look = metrics.reconciling("Deployment", async { Ok::<_, ()>(()) });
    runtime.block_on(look).unwrap();
    metrics.encode()
}

fn read(text: &str, of: &'static str, all: &mut BTreeMap<String, Metric>) {
    for line in text.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", "HELP", name, help] => {
                let metric = all.entry((*name).to_owned()).or_default();
                help.trim_end_matches('.').clone_into(&mut metric.help);
                metric.of = of;
            }
            ["#", "TYPE", name, kind] => {
                let metric = all.entry((*name).to_owned()).or_default();
                (*kind).clone_into(&mut metric.kind);
            }
            _ => sample(line, all),
        }
    }
}

fn sample(line: &str, all: &mut BTreeMap<String, Metric>) {
    let Some((name, rest)) = line.split_once('{') else {
        return;
    };
    let Some(metric) = all.get_mut(base(name)) else {
        return;
    };
    let labels = rest.split_once('}').unwrap().0;
    metric.labels.extend(
        labels
            .split(',')
            .filter_map(|pair| Some(pair.split_once('=')?.0.to_owned()))
            .filter(|label| label != "le"),
    );
}

fn base(word: &str) -> &str {
    ["_bucket", "_total", "_info", "_count", "_sum"]
        .iter()
        .find_map(|suffix| word.strip_suffix(suffix))
        .unwrap_or(word)
}

/// Panel and expression of every query of the dashboard.
pub fn panels() -> Vec<(String, String)> {
    let path = repository().join("charts/sluice/files/dashboard.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(panel["description"].is_string(), "{title} is not explained");
        for target in panel["targets"].as_array().unwrap() {
            found.push((
                title.to_owned(),
                target["expr"].as_str().unwrap().to_owned(),
            ));
        }
    }
    found
}

fn alerts() -> Vec<Value> {
    let path = repository().join("charts/sluice/files/alerts.yaml");
    let groups: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    groups["groups"][0]["rules"].as_array().unwrap().clone()
}

#[test]
fn alerts_and_dashboard_name_metrics_that_exist() {
    let metrics = metrics();
    let mut named = BTreeSet::new();
    let alerts = alerts().into_iter().map(|rule| {
        assert!(rule["annotations"]["description"].is_string(), "{rule}");
        let text = |key: &str| rule[key].as_str().unwrap().to_owned();
        (text("alert"), text("expr"))
    });
    for (place, expr) in alerts.chain(panels()) {
        let words = expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with("sluice_")) {
            let metric = metrics
                .get(word)
                .or_else(|| metrics.get(base(word)))
                .unwrap_or_else(|| panic!("{place}: {word} is no metric of Sluice"));
            let spelt = if metric.kind == "counter" {
                word.ends_with("_total")
            } else {
                true
            };
            assert!(spelt, "{place}: {word} is a counter, which ends in _total");
            named.insert(base(word).to_owned());
        }
    }
    assert!(named.len() > 15, "{named:?}");
}

/// The tables of docs/observability.md are made of the programs' own words: `SLUICE_UPDATE_MANIFESTS=1` writes them anew.
#[test]
fn the_page_lists_every_metric_and_every_alert() {
    let mut table = "| metric | labels | of | what it tells |\n|---|---|---|---|\n".to_owned();
    for (name, metric) in metrics() {
        let suffix = match metric.kind.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let labels: Vec<String> = metric
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        writeln!(
            table,
            "| `{name}{suffix}` ({}) | {} | {} | {} |",
            metric.kind,
            labels.join(" "),
            metric.of,
            metric.help
        )
        .unwrap();
    }
    let mut told =
        "| alert | after | severity | meaning | what to do |\n|---|---|---|---|---|\n".to_owned();
    for rule in alerts() {
        let text = |pointer: &str| {
            rule.pointer(pointer)
                .and_then(Value::as_str)
                .unwrap()
                .to_owned()
        };
        writeln!(
            told,
            "| `{}` | {} | {} | {} | {} |",
            text("/alert"),
            text("/for"),
            text("/labels/severity"),
            text("/annotations/summary"),
            text("/annotations/description"),
        )
        .unwrap();
    }
    let path = repository().join("docs/observability.md");
    let stored = std::fs::read_to_string(&path).unwrap();
    let wanted = between(&between(&stored, "metrics", &table), "alerts", &told);
    if std::env::var_os("SLUICE_UPDATE_MANIFESTS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
        return;
    }
    assert!(
        stored == wanted,
        "docs/observability.md is stale; run this test with SLUICE_UPDATE_MANIFESTS=1"
    );
}

/// The page with another text between two marks.
fn between(page: &str, what: &str, text: &str) -> String {
    let (begin, end) = (
        format!("<!-- {what} -->\n"),
        format!("<!-- end of {what} -->"),
    );
    let (head, rest) = page.split_once(&begin).unwrap();
    let (_, tail) = rest.split_once(&end).unwrap();
    format!("{head}{begin}\n{text}\n{end}{tail}")
}
