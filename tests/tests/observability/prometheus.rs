//! A real Prometheus on loopback: scrapes every second, evaluates the rules every second, and is asked by promtool.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sluice_cluster::{Assets, Binary, Process, ProcessSpec, free_loopback_port};
use sluice_tests::eventually;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

pub struct Prometheus {
    process: Process,
    promtool: PathBuf,
    url: String,
    _dir: TempDir,
}

/// Labels, and the value at each moment in time (seconds since 1970).
#[derive(Debug, Clone)]
pub struct Series {
    pub labels: Value,
    pub points: Vec<(f64, f64)>,
}

impl Prometheus {
    pub fn start(assets: &Assets, targets: &Path, rules: &Value) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let port = free_loopback_port()?;
        let rules_file = dir.path().join("rules.json");
        std::fs::write(&rules_file, rules.to_string())?;
        let promtool = assets.path(Binary::Promtool);
        let checked = Command::new(&promtool)
            .args(["check", "rules", "--lint=all"])
            .arg(&rules_file)
            .output()?;
        ensure!(
            checked.status.success(),
            "{}",
            String::from_utf8_lossy(&checked.stderr)
        );
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [rules_file],
            "scrape_configs": [
                {"job_name": "sluice", "file_sd_configs": [{"files": [targets]}]},
                {"job_name": "prometheus", "static_configs": [{"targets": [format!("127.0.0.1:{port}")]}]},
            ],
        });
        let config_file = dir.path().join("prometheus.json");
        std::fs::write(&config_file, config.to_string())?;
        let spec = ProcessSpec::new(
            "prometheus",
            assets.path(Binary::Prometheus),
            dir.path().join("prometheus.log"),
        )
        .arg(format!("--config.file={}", config_file.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            dir.path().join("data").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let started = Self {
            process: Process::spawn(spec)?,
            promtool,
            url: format!("http://127.0.0.1:{port}"),
            _dir: dir,
        };
        eventually(Duration::from_mins(1), || started.query("up").map(drop))
            .with_context(|| started.process.log_tail())?;
        Ok(started)
    }

    /// The series of an expression now. `$__rate_interval` is Grafana's.
    pub fn query(&self, expr: &str) -> Result<Vec<Series>> {
        self.ask(&["query", "instant", "--format=json", &self.url, &short(expr)])
    }

    /// The series of an expression, a point each second from `start` to `end` (seconds since 1970).
    pub fn range(&self, expr: &str, start: u64, end: u64) -> Result<Vec<Series>> {
        let (start, end) = (format!("--start={start}"), format!("--end={end}"));
        self.ask(&[
            "query",
            "range",
            "--format=json",
            "--step=1s",
            &start,
            &end,
            &self.url,
            &short(expr),
        ])
    }

    fn ask(&self, arguments: &[&str]) -> Result<Vec<Series>> {
        let output = Command::new(&self.promtool).args(arguments).output()?;
        ensure!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let result: Value = serde_json::from_slice(&output.stdout).with_context(|| {
            format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stdout))
        })?;
        let all = result.as_array().cloned().unwrap_or_default();
        Ok(all.iter().map(series).collect())
    }

    /// One series of this value.
    pub fn expect(&self, expr: &str, value: f64) -> Result<()> {
        let found = self.query(expr)?;
        let values: Vec<f64> = found
            .iter()
            .filter_map(|series| Some(series.points.last()?.1))
            .collect();
        ensure!(
            matches!(values.as_slice(), [found] if (found - value).abs() < 1e-9),
            "{expr} is {values:?} and not {value}"
        );
        Ok(())
    }

    pub fn firing(&self, alert: &str) -> Result<()> {
        let found = self.query(&format!(
            "ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}"
        ))?;
        ensure!(!found.is_empty(), "{alert} does not fire");
        Ok(())
    }

    pub fn quiet(&self, alert: &str) -> Result<()> {
        let found = self.query(&format!("ALERTS{{alertname=\"{alert}\"}}"))?;
        ensure!(found.is_empty(), "{alert}: {found:?}");
        Ok(())
    }

    /// No rule failed to be evaluated, no scrape to be read, and there are rules.
    pub fn no_failures(&self) -> Result<()> {
        self.expect("sum(prometheus_rule_evaluation_failures_total)", 0.0)?;
        self.expect("sum(prometheus_rule_group_rules) > bool 5", 1.0)?;
        self.expect(
            "sum(prometheus_target_scrapes_sample_duplicate_timestamp_total)",
            0.0,
        )
    }
}

fn short(expr: &str) -> String {
    expr.replace("$__rate_interval", "15s")
}

fn series(found: &Value) -> Series {
    let point = |pair: &Value| {
        let value = pair[1].as_str()?.parse().ok()?;
        Some((pair[0].as_f64()?, value))
    };
    let points = match found.get("values").and_then(Value::as_array) {
        Some(all) => all.iter().filter_map(point).collect(),
        None => point(&found["value"]).into_iter().collect(),
    };
    Series {
        labels: found["metric"].clone(),
        points,
    }
}
