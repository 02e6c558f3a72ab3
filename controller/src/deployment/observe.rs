//! The first half of a turn: what is read of a Deployment, its newest run and Flink. Nothing is written here.

use jiff::Timestamp;
use kube::ResourceExt;
use sluice_api::{Deployment, Job};
use sluice_policy::MilliCpu;

use super::act::owner;
use super::decide::decide;
use super::frozen::Frozen;
use super::identity;
use super::place::demand;
use super::reconcile::{Context, Knowledge};
use super::settle::is_over;
use super::sight::{Answer, Decision, Flink, Observed, Told};
use crate::flink::{FlinkClient, FlinkError, Snapshot, TriggerId};
use crate::objects::{Application, FlinkCluster, Role, build};
use crate::runtime::made::{Detail, Made};
use crate::session_cluster::target::Target;
use crate::session_job::read::report;

/// What is read once a turn.
pub(super) struct Read {
    pub(super) demand: Result<MilliCpu, String>,
    pub(super) target: Target,
    pub(super) spoilt: Option<String>,
    pub(super) frozen: Frozen,
    pub(super) flink: Flink,
    pub(super) stop: Option<Snapshot>,
}

impl Read {
    pub(super) fn decide(
        &self,
        deployment: &Deployment,
        run: Option<&Job>,
        known: &Knowledge,
        answer: Option<Answer>,
    ) -> Decision {
        decide(&Observed {
            deployment,
            now: Timestamp::now(),
            demand: self.demand.clone(),
            target: self.target.clone(),
            spoilt: self.spoilt.clone(),
            gate: known.gate.clone(),
            run,
            version: self.frozen.version,
            task_managers: self.frozen.task_managers,
            folder: self.frozen.folder.clone(),
            made: &known.made,
            proof: known.proof,
            flink: self.flink.clone(),
            stop: self.stop.clone(),
            savepoints: known.savepoints.as_deref(),
            answer,
        })
    }
}

impl Context {
    pub(super) async fn read(
        &self,
        deployment: &Deployment,
        run: Option<&Job>,
        made: &[Made],
        target: Target,
    ) -> Read {
        let (flink, stop) = self.ask(deployment, run, made).await;
        Read {
            demand: demand(deployment),
            spoilt: self.spoilt(deployment, &target),
            target,
            frozen: run.map(Frozen::of).unwrap_or_default(),
            flink,
            stop,
        }
    }

    /// Why no objects can be made of the spec, if so: it is tried with a run that does not exist.
    fn spoilt(&self, deployment: &Deployment, target: &Target) -> Option<String> {
        let template = deployment.spec.template.as_ref();
        let template = template
            .and_then(|all| all.spec.clone())
            .unwrap_or_default();
        let namespace = match target {
            Target::At(namespace) => namespace.as_str(),
            _ => "default",
        };
        let mut tried = Job::new(&deployment.name_any(), sluice_api::JobSpec::default());
        tried.metadata.uid = deployment.uid();
        let application = Application::of(&tried, &template);
        if application.jar.is_none() {
            return Some(
                "spec.template.spec.artifact.jarUri: is needed to run; write where the jar is"
                    .to_owned(),
            );
        }
        let built = FlinkCluster::of_run(owner(deployment), namespace, &template, application);
        let built = built.and_then(|cluster| build(&cluster, &self.build));
        built.err().map(|error| error.to_string())
    }

    pub(super) fn client_of(
        &self,
        made: &[Made],
        run: &Job,
    ) -> Option<Result<FlinkClient, FlinkError>> {
        let name = run.name_any();
        let ip = made.iter().find_map(|made| match &made.detail {
            Detail::Service {
                cluster_ip: Some(ip),
            } if made.job.as_deref() == Some(name.as_str()) => Some(ip),
            _ => None,
        })?;
        Some(self.flink.at(&(self.address)(ip)))
    }

    /// What Flink says of the newest run, and of its stop.
    async fn ask(
        &self,
        deployment: &Deployment,
        run: Option<&Job>,
        made: &[Made],
    ) -> (Flink, Option<Snapshot>) {
        let Some((run, id)) = run.and_then(|run| Some((run, identity::job_id(run)?))) else {
            return (Flink::Absent, None);
        };
        let status = run.status.clone().unwrap_or_default();
        let name = run.name_any();
        let is_up = made.iter().any(|made| {
            made.role == Some(Role::JobManager)
                && made.job.as_deref() == Some(name.as_str())
                && made.pod().is_some_and(|pod| pod.ready)
        });
        let is_over = status.state.is_some_and(is_over);
        if is_over || status.jobmanager_uid.is_none() || !(is_up || status.start_time.is_some()) {
            return (Flink::Absent, None);
        }
        let flink = match self.client_of(made, run) {
            None => return (Flink::Absent, None),
            Some(Ok(flink)) => flink,
            Some(Err(error)) => return (Flink::Silent(error.to_string()), None),
        };
        let report = match report(&flink, &id).await {
            Ok(Some(report)) => report,
            Ok(None) => return (Flink::NoSuchJob, None),
            Err(error) => return (Flink::Silent(error.to_string()), None),
        };
        let mut told = Told {
            tasks_run: true,
            restarts: None,
            task_managers: None,
            report,
        };
        if !told.report.state.is_terminal() {
            let (restarts, overview) = tokio::join!(flink.restarts(&id), flink.overview());
            if status.start_time.is_none() {
                told.tasks_run = flink.tasks_run(&id).await.unwrap_or(false);
            }
            told.restarts = restarts.ok().flatten();
            told.task_managers = overview.ok().map(|overview| overview.taskmanagers);
        }
        let operation = deployment.status.as_ref();
        let operation = operation.and_then(|status| status.operation.as_ref());
        let trigger = operation.and_then(|operation| operation.trigger_id.clone());
        let stop = match trigger {
            // Unheard answers are asked for again.
            Some(trigger) => flink.snapshot(&id, &TriggerId(trigger)).await.ok(),
            None => None,
        };
        (Flink::Job(Box::new(told)), stop)
    }
}
