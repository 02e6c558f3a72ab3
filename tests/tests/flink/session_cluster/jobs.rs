//! Session jobs on the cluster of this test: what a user does to them, and what Flink itself then says.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sluice_tests::{Gate, Kubectl};

use super::{STEP, Steps};

/// What the tests' failing job fails with.
const CAUSE: &str = "FailingJob fails on purpose: account 4711 has no owner";

/// A folder of this machine that all pods share, for checkpoints and savepoints.
pub fn state_folder(gate: &Gate, name: &str) -> Result<PathBuf> {
    let folder = gate.scratch().join(name);
    std::fs::create_dir(&folder)?;
    // Flink's user in the pods is nobody here.
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o1777))?;
    Ok(folder)
}

/// The session jobs of a namespace, on its session cluster `analytics`.
pub struct Jobs<'a> {
    pub team: &'a Kubectl,
    pub jar: String,
}

impl Jobs<'_> {
    fn apply(&self, name: &str, class: &str, args: &[&str]) -> Result<()> {
        let job = json!({
            "apiVersion": "sluice.dev/v1alpha1", "kind": "SessionJob", "metadata": {"name": name},
            "spec": {"sessionClusterName": "analytics", "state": "RUNNING",
                "job": {"entryClass": format!("dev.sluice.jobs.{class}"), "jarUri": self.jar, "args": args}}});
        self.team.apply(&job.to_string())?.admitted()?;
        Ok(())
    }

    pub fn count(&self, name: &str) -> Result<()> {
        self.apply(
            name,
            "CountingJob",
            &["--rate", "50", "--checkpoint", "1000"],
        )
    }

    pub fn ask(&self, name: &str, state: &str) -> Result<()> {
        let spec = json!({"spec": {"state": state}});
        self.team
            .merge(&format!("sessionjobs/{name}"), &spec)?
            .admitted()?;
        Ok(())
    }

    /// Waits for a state of the newest spec; returns the status.
    pub fn becomes(&self, name: &str, state: &str) -> Result<Value> {
        self.team.eventually(STEP, || {
            let job = self.team.get(&format!("sessionjob/{name}"))?;
            let status = &job["status"];
            ensure!(
                status["state"] == state
                    && status["observedGeneration"] == job["metadata"]["generation"],
                "{name}: {status:#}"
            );
            Ok(status.clone())
        })
    }

    /// What Flink says at a path.
    fn flink(&self, path: &str) -> Result<Value> {
        let path = format!(
            "/api/v1/namespaces/{}/services/analytics-sc-jobmanager:8081/proxy{path}",
            self.team.namespace()
        );
        let answer = self.team.run(&["get", "--raw", &path])?;
        let answer = answer.admitted().with_context(|| path.clone())?;
        Ok(serde_json::from_str(&answer.stdout)?)
    }

    /// A counter of a run.
    fn counter(&self, run: &str, name: &str) -> Result<i64> {
        let all = self.flink(&format!("/jobs/{run}/accumulators"))?;
        let all = all["user-task-accumulators"]
            .as_array()
            .context("no list")?;
        let found = all.iter().find(|counter| counter["name"] == name);
        let value = found.and_then(|counter| counter["value"].as_str()?.parse().ok());
        Ok(value.unwrap_or_default())
    }

    /// Waits until a job runs anew; returns the run.
    pub fn runs_again(&self, name: &str, before: &str) -> Result<String> {
        self.team.eventually(STEP, || {
            let run = run_of(&self.becomes(name, "RUNNING")?)?;
            ensure!(run != before, "{name} is said to be in its old run");
            Ok(run)
        })
    }

    /// What a run has counted, as far as Flink has told.
    pub fn has_counted(&self, run: &str) -> Result<i64> {
        self.counter(run, "count")
    }

    /// What a run began with, when it was started last.
    pub fn was_restored(&self, run: &str) -> Result<i64> {
        self.counter(run, "restored")
    }

    /// Waits until a run has counted so far.
    pub fn counted(&self, run: &str, at_least: i64) -> Result<()> {
        self.team.eventually(STEP, || {
            let count = self.counter(run, "count")?;
            ensure!(count >= at_least, "{count} of {at_least}");
            Ok(())
        })
    }

    /// The count of a run that has ended, once Flink's caches say so.
    fn count_at_the_end(&self, run: &str) -> Result<i64> {
        self.team.eventually(STEP, || {
            let state = self.flink(&format!("/jobs/{run}"))?["state"].clone();
            ensure!(state == "FINISHED", "{state}");
            Ok(())
        })?;
        self.counter(run, "count")
    }

    /// Ids of the jobs that Flink has and that have not ended.
    pub fn running(&self) -> Result<Vec<String>> {
        let all = self.flink("/jobs/overview")?;
        let jobs = all["jobs"].as_array().context("no list")?;
        let ended = |job: &&Value| {
            !["FINISHED", "CANCELED", "FAILED"].contains(&job["state"].as_str().unwrap_or_default())
        };
        let ids = jobs.iter().filter(ended);
        Ok(ids
            .filter_map(|job| Some(job["jid"].as_str()?.to_owned()))
            .collect())
    }

    /// Suspends a job that runs, lets it go on, and proves by its counter that nothing is lost. `meanwhile` happens right after
    /// each of the two is asked for.
    pub fn goes_on_from_its_savepoint(
        &self,
        name: &str,
        state: &Path,
        mut meanwhile: impl FnMut() -> Result<()>,
    ) -> Result<i64> {
        let first = run_of(&self.becomes(name, "RUNNING")?)?;
        self.counted(&first, 20)?;
        self.ask(name, "SUSPENDED")?;
        meanwhile()?;
        let suspended = self.becomes(name, "SUSPENDED")?;
        let count = self.count_at_the_end(&first)?;
        let location = suspended["snapshotLocation"].as_str().unwrap_or_default();
        is_on_disk(location, state)?;
        let object = suspended["latestSavepointName"]
            .as_str()
            .context("no object")?;
        let savepoint = self.team.get(&format!("savepoint/{object}"))?;
        ensure!(
            savepoint["spec"]["origin"] == "SUSPEND" && savepoint["status"]["location"] == location,
            "{savepoint:#}"
        );
        self.ask(name, "RUNNING")?;
        meanwhile()?;
        let second = run_of(&self.becomes(name, "RUNNING")?)?;
        ensure!(first != second, "it is the same run");
        self.counted(&second, count + 1)?;
        let restored = self.counter(&second, "restored")?;
        ensure!(restored == count, "{restored} of {count} were restored");
        Ok(count)
    }
}

pub fn run_of(status: &Value) -> Result<String> {
    Ok(status["jobId"].as_str().context("no jobId")?.to_owned())
}

/// Pods see the folder `state` as /state.
fn is_on_disk(location: &str, state: &Path) -> Result<()> {
    let inside = location.strip_prefix("file:").unwrap_or(location);
    let inside = inside.trim_start_matches('/').strip_prefix("state/");
    let here = state.join(inside.with_context(|| location.to_owned())?);
    ensure!(
        here.join("_metadata").is_file(),
        "nothing is at {}",
        here.display()
    );
    Ok(())
}

/// Two jobs share a cluster, one of them is suspended and goes on; a third fails and says why; a savepoint is taken on demand.
pub fn of_a_user(jobs: &Jobs<'_>, state: &Path, steps: &mut Steps) -> Result<()> {
    let team = jobs.team;
    jobs.count("counting")?;
    jobs.count("beside")?;
    jobs.apply("failing", "FailingJob", &["--after", "2"])?;
    let counting = run_of(&jobs.becomes("counting", "RUNNING")?)?;
    let beside = run_of(&jobs.becomes("beside", "RUNNING")?)?;
    jobs.counted(&counting, 1)?;
    jobs.counted(&beside, 1)?;
    let mut both = vec![counting, beside.clone()];
    both.sort();
    steps.done("two session jobs run on one cluster");
    let failed = jobs.becomes("failing", "FAILED")?;
    let message = failed["failure"]["message"].as_str().unwrap_or_default();
    ensure!(
        message.contains(CAUSE) && !message.contains("\tat "),
        "{failed:#}"
    );
    steps.done(&format!("a third says: {message}"));
    jobs.team.eventually(STEP, || {
        let mut running = jobs.running()?;
        running.sort();
        ensure!(running == both, "{running:?} run, not {both:?}");
        Ok(())
    })?;
    let count = jobs.goes_on_from_its_savepoint("counting", state, || Ok(()))?;
    steps.done(&format!(
        "suspended with a savepoint at {count}, and gone on from there"
    ));
    team.apply(
        r#"{"apiVersion": "sluice.dev/v1alpha1", "kind": "Savepoint", "metadata": {"name": "now"}, "spec": {"sessionJobName": "beside"}}"#,
    )?
    .admitted()?;
    team.run(&[
        "wait",
        "--for=condition=Ready",
        "savepoint/now",
        "--timeout=120s",
    ])?
    .admitted()?;
    let savepoint = team.get("savepoint/now")?;
    ensure!(
        savepoint["status"]["state"] == "COMPLETED" && savepoint["status"]["jobId"] == *beside,
        "{savepoint:#}"
    );
    is_on_disk(
        savepoint["status"]["location"].as_str().unwrap_or_default(),
        state,
    )?;
    steps.done("a savepoint was taken on demand");
    team.run(&[
        "delete",
        "sessionjob/beside",
        "sessionjob/failing",
        "--timeout=120s",
    ])?
    .admitted()?;
    let kept = team.get("savepoint/now")?;
    ensure!(kept["status"]["state"] == "COMPLETED", "{kept:#}");
    steps.done("deleted: cancelled first, and the user's savepoint stays");
    Ok(())
}
