//! Metrics, alerts and dashboard, as a real Prometheus sees them: what the chart ships is loaded, evaluated over what a running Sluice tells,
//! and fires when something is broken.
//!
//! * [`listed`]: every metric, and that alerts, dashboard and documentation speak of these;
//! * [`prometheus`]: the program itself;
//! * [`picture`]: the dashboard drawn, for the documentation.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test; clippy exempts only functions marked #[test], not their helpers"
)]

mod listed;
mod picture;
mod prometheus;

use nix::sys::signal::Signal;
use prometheus::Prometheus;
use serde_json::Value;
use sluice_cluster::{Assets, Binary};
use sluice_tests::{Gate, eventually};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Generous, for a machine that compiles at the same time.
const SOON: Duration = Duration::from_mins(2);

/// What `sluice up` without a node cannot have: nobody reconciles, and no Event has to be.
const MAY_BE_EMPTY: [&str; 3] = [
    "sluice_controller_reconciliations",
    "sluice_controller_reconcile_duration",
    "sluice_events",
];

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn needed() -> Option<Assets> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let needed = [
        Binary::ALL,
        &[Binary::Helm, Binary::Prometheus, Binary::Promtool],
    ]
    .concat();
    runtime.block_on(Assets::for_tests(&needed)).unwrap()
}

/// The alerts as an installed chart brings them.
fn rendered_rules(assets: &Assets) -> Value {
    let output = Command::new(assets.path(Binary::Helm))
        .args(["template", "sluice"])
        .arg(repository().join("charts/sluice"))
        .args([
            "--set",
            "monitoring.prometheusRule.enabled=true,crds.enabled=false",
        ])
        .args(["--show-only", "templates/monitoring.yaml"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let text = text.trim_start_matches("---\n");
    let rule: Value = serde_saphyr::from_str(text).unwrap();
    assert_eq!(rule["kind"], "PrometheusRule", "{rule}");
    rule["spec"].clone()
}

/// The same, without the patience that people want and a test has not.
fn at_once(rules: &Value) -> Value {
    let mut rules = rules.clone();
    for rule in rules["groups"][0]["rules"].as_array_mut().unwrap() {
        rule["for"] = "0s".into();
    }
    rules
}

fn session_cluster(name: &str, task_managers: u32) -> String {
    format!(
        "{{apiVersion: sluice.dev/v1alpha1, kind: SessionCluster, metadata: {{name: {name}}}, spec: {{state: RUNNING, \
         flinkVersion: '1.20', numberOfTaskManagers: {task_managers}, resources: {{jobmanager: {{cpu: 1}}, taskmanager: {{cpu: 1}}}}}}}}"
    )
}

#[test]
fn alerts_over_days_by_series_of_our_own() {
    let Some(assets) = needed() else { return };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("rules.json"),
        rendered_rules(&assets).to_string(),
    )
    .unwrap();
    std::fs::write(dir.path().join("series.yaml"), include_str!("series.yaml")).unwrap();
    let output = Command::new(assets.path(Binary::Promtool))
        .current_dir(dir.path())
        .args(["test", "rules", "series.yaml"])
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{said}");
    // Every alert is among them.
    for rule in rendered_rules(&assets)["groups"][0]["rules"]
        .as_array()
        .unwrap()
    {
        let name = rule["alert"].as_str().unwrap();
        assert!(
            include_str!("series.yaml").contains(&format!("alertname: {name}")),
            "series.yaml says nothing of {name}"
        );
    }
}

#[test]
fn a_real_prometheus_sees_all_of_it_and_alerts_when_something_breaks() {
    let Some(assets) = needed() else { return };
    let gate = Gate::up(&["--replicas", "2", "--restart", "never"]).unwrap();
    let targets = gate.kubeconfig().with_file_name("prometheus-targets.json");
    let prometheus =
        Prometheus::start(&assets, &targets, &at_once(&rendered_rules(&assets))).unwrap();

    // Two webhooks, the controller, and Prometheus itself.
    eventually(SOON, || prometheus.expect("sum(up)", 4.0)).unwrap();
    let team = gate.kubectl().in_namespace("team-a");
    let traffic = |round: u32| {
        let name = format!("a-{round}");
        team.create(&session_cluster(&name, 2))
            .unwrap()
            .admitted()
            .unwrap();
        team.create(&session_cluster("greedy", 200))
            .unwrap()
            .refused()
            .unwrap();
        team.run(&["delete", "sessioncluster", &name, "--wait=false"])
            .unwrap();
    };
    // Rates need two looks with a difference in between.
    let mut round = 0;
    eventually(SOON, || {
        round += 1;
        traffic(round);
        let expr = "sum(rate(sluice_admission_requests_total{verdict=\"denied\"}[30s])) > bool 0";
        prometheus.expect(expr, 1.0)
    })
    .unwrap();
    every_panel_answers(&prometheus);
    all_is_well(&prometheus);
    if std::env::var_os("SLUICE_UPDATE_PICTURE").is_some() {
        picture::draw(&prometheus, &mut || {
            round += 1;
            traffic(round);
        });
    }

    // 100 CPU are team-a's.
    team.create(&session_cluster("large", 97))
        .unwrap()
        .admitted()
        .unwrap();
    eventually(SOON, || prometheus.firing("SluiceQuotaNearlyFull")).unwrap();
    let limit = "max(sluice_quota_limit_cores{quota_namespace=\"team-a\",quota=\"default\"})";
    prometheus.expect(limit, 100.0).unwrap();
    eventually(SOON, || {
        prometheus.expect("max(sluice_quota_used_cores)", 98.0)
    })
    .unwrap();

    for pid in gate.children("controller").unwrap() {
        gate.signal(pid, Signal::SIGKILL).unwrap();
    }
    eventually(SOON, || prometheus.firing("SluiceNoController")).unwrap();
    // Whoever is gone tells nothing of quotas any more, true or not.
    eventually(SOON, || prometheus.quiet("SluiceQuotaNearlyFull")).unwrap();
    prometheus.quiet("SluiceNoWebhookReady").unwrap();
    for pid in gate.children("webhook").unwrap() {
        gate.signal(pid, Signal::SIGKILL).unwrap();
    }
    eventually(SOON, || prometheus.firing("SluiceNoWebhookReady")).unwrap();
    prometheus.no_failures().unwrap();
}

fn every_panel_answers(prometheus: &Prometheus) {
    let mut empty = Vec::new();
    let mut full = 0;
    for (panel, expr) in listed::panels() {
        let series = prometheus
            .query(&expr)
            .unwrap_or_else(|error| panic!("panel {panel}: {error:#}"));
        if series.is_empty() {
            empty.push(format!("{panel}: {expr}"));
        } else {
            full += 1;
        }
    }
    let unexpected: Vec<_> = empty
        .iter()
        .filter(|line| !MAY_BE_EMPTY.iter().any(|metric| line.contains(metric)))
        .collect();
    assert!(unexpected.is_empty(), "no data: {unexpected:#?}");
    assert!(full > 25, "{full}");
    // The check itself can fail.
    assert!(prometheus.query("sum(").is_err());
    assert!(prometheus.query("sluice_nothing").unwrap().is_empty());
}

fn all_is_well(prometheus: &Prometheus) {
    eventually(SOON, || {
        let alerts = prometheus.query("ALERTS")?;
        anyhow::ensure!(alerts.is_empty(), "{alerts:?}");
        Ok(())
    })
    .unwrap();
    prometheus.no_failures().unwrap();
}
