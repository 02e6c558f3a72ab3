//! `Deployment`: one Flink application and the cluster made for it. Never frozen: a change is an upgrade.

use super::own::at::At;
use super::own::check::{self, Judge, Unknown};
use super::own::job_options::job_configuration;
use super::own::rules::{OwnRules, own_rules, rule};
use super::own::shape;
use super::own::strategies::stateful_without_restore;
use super::own::{
    demand, exclusive, image, jars, job_options, logging, name, normalise, notices, pods,
    references, resources, status, strategies, tables, version,
};
use super::{Derived, Dialect, KindInfo, LeafKind, ScaleDown, Scope};
use crate::charge::{Desired, Workload};
use crate::defaults::record::Record;
use crate::draft::Draft;
use crate::finding::{Cause, CauseReason, Findings};
use crate::flink::Scheduler;
use crate::json;
use crate::path::FieldPath;
use crate::quantity::MilliCpu;
use crate::review::Review;
use crate::rule::Rule;
use crate::world::{Source, World};
use serde_json::{Value, json};
use std::borrow::Cow;

/// Names of the kind.
pub static KIND: KindInfo = KindInfo {
    group: "sluice.dev",
    version: "v1alpha1",
    kind: "Deployment",
    plural: "deployments",
    singular: "deployment",
    scope: Scope::Namespaced,
    scale: Some(&["spec", "template", "spec", "numberOfTaskManagers"]),
};

/// Its shared rules.
pub(crate) static RULES: OwnRules = own_rules!("deployment");

static STATEFUL: &Rule = stateful_without_restore!("deployment");
static JOB_CONFIGURATION: &Rule = job_configuration!("deployment");
static SLOTS: &Rule = rule!(
    "deployment/slots",
    Forbidden,
    "There are slots for every parallel instance",
    "With Flink's default scheduler a job waits for parallelism slots, in vain if numberOfTaskManagers x \
     taskmanager.numberOfTaskSlots are fewer. Leave numberOfTaskManagers out and it follows from parallelism. The \
     adaptive scheduler runs with what there is, so it only gives a warning.",
    "semantics.md, Validation; decision 22"
);

/// States in which no transition is in progress.
const AT_REST: &[&str] = &["RUNNING", "CANCELLED", "SUSPENDED", "FINISHED", "FAILED"];
/// Where the description of the cluster stands.
const CLUSTER: [&str; 3] = ["spec", "template", "spec"];

/// What a session cluster decides for all its jobs.
const NO_EFFECT_IN_SESSION: [&[&str]; 8] = [
    &["artifact", "flinkVersion"],
    &["artifact", "flinkImageRegistry"],
    &["artifact", "flinkImageRepository"],
    &["artifact", "flinkImageTag"],
    &["numberOfTaskManagers"],
    &["resources"],
    &["logging"],
    &["kubernetes"],
];

/// The dialect of Deployments.
#[derive(Clone, Copy, Debug)]
pub struct Deployment;

impl Dialect for Deployment {
    fn kind(&self) -> &'static KindInfo {
        &KIND
    }

    fn rules(&self) -> Vec<&'static Rule> {
        let mut rules = RULES.all();
        rules.extend([
            STATEFUL,
            JOB_CONFIGURATION,
            SLOTS,
            super::config::deployment_target::NOT_ACCEPTED,
        ]);
        rules
    }

    fn normalise(&self, draft: &mut Draft<'_>, old: Option<&Value>, findings: &mut Findings) {
        let base = FieldPath::of("spec");
        normalise::spec(
            draft,
            &base,
            tables::DEPLOYMENT,
            old,
            RULES.spellings,
            findings,
        );
    }

    fn section(&self) -> Option<&'static str> {
        Some("deployment")
    }

    fn section_of<'s>(&self, settings: &'s Value) -> Option<Cow<'s, Value>> {
        super::config::sections::of_deployments(settings)
    }

    fn built_in(&self, object: &Value) -> Value {
        let mut defaults = json!({"spec": {
            "state": "CANCELLED",
            "restoreStrategy": {"kind": "LATEST_STATE", "allowNonRestoredState": false},
            "maxSavepointCreationAttempts": 4,
            "maxJobCreationAttempts": 4,
            "template": {"spec": {"artifact": {"kind": "JAR"}, "parallelism": 1}},
        }});
        if !on_session_cluster(object) {
            let cluster = json!({
                "resources": {
                    "jobmanager": {"cpu": 1, "memory": "1Gi"},
                    "taskmanager": {"cpu": 1, "memory": "2Gi"},
                },
                "flinkConfiguration": {
                    "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
                },
                "logging": {"loggingProfile": "default", "log4jLoggers": {"": "INFO"}},
            });
            if let (Some(Value::Object(template)), Value::Object(cluster)) =
                (defaults.pointer_mut("/spec/template/spec"), cluster)
            {
                template.extend(cluster);
            }
        }
        defaults
    }

    fn derived(&self, object: &Value) -> Vec<Derived> {
        let mut derived = vec![strategies::upgrade(object)];
        if !on_session_cluster(object)
            && let Some(number) = task_managers_needed(object)
        {
            derived.push(Derived {
                path: FieldPath::of("spec.template.spec.numberOfTaskManagers"),
                value: json!(number),
            });
        }
        derived
    }

    fn validate(&self, review: &Review<'_>, world: &dyn World, findings: &mut Findings) {
        name::judge(review.name, &RULES, findings);
        let base = FieldPath::of("spec");
        let at = At::Root(&base);
        let mut judge = Judge {
            rules: &RULES,
            unknown: Unknown::Warn,
            findings,
        };
        let Some(spec) = check::spec(review.object, &at, &mut judge) else {
            return;
        };
        part_over(spec, review.old(), &at, &mut judge);
        references::target(review, spec, world, &at, &mut judge);
        let session_cluster =
            references::session_cluster(spec, review.namespace, world, &at, &mut judge);
        whole(
            review.object,
            spec,
            session_cluster.as_deref(),
            &at,
            &mut judge,
        );
    }

    fn exclusive(&self) -> Vec<Vec<FieldPath>> {
        let mut groups =
            exclusive::groups(&FieldPath::of("spec"), &FieldPath::of("spec.template.spec"));
        for target in ["spec.deploymentTargetName", "spec.deploymentTargetId"] {
            groups.push(vec![
                FieldPath::of("spec.sessionClusterName"),
                FieldPath::of(target),
            ]);
        }
        groups
    }

    fn scale_down(&self) -> ScaleDown {
        ScaleDown::UnseenWhileItRuns
    }

    fn levers(&self) -> Vec<FieldPath> {
        vec![
            FieldPath::of("spec.state"),
            FieldPath::of("spec.template.spec.numberOfTaskManagers"),
        ]
    }

    fn stops(&self, object: &Value) -> bool {
        status::desired(object, "CANCELLED") != Desired::Running
    }

    fn leaf_kind(&self, path: &FieldPath) -> LeafKind {
        shape::leaf_kind(tables::DEPLOYMENT, path)
    }

    fn notices(&self, review: &Review<'_>, _world: &dyn World, findings: &mut Findings) {
        notices::nothing_is_started(review, "CANCELLED", findings);
    }

    fn sources(&self) -> &'static [Source] {
        const {
            &[
                Source::Objects(&super::config::deployment_target::KIND),
                Source::Objects(&super::session_cluster::KIND),
            ]
        }
    }

    fn workload(&self, object: &Value, _world: &dyn World) -> Result<Workload, Vec<Cause>> {
        let base = CLUSTER
            .iter()
            .fold(FieldPath::default(), |path, key| path.key(key));
        let at = At::Root(&base);
        let spec = json::get(object, &CLUSTER).unwrap_or(&Value::Null);
        let demand = if on_session_cluster(object) {
            Ok(MilliCpu::ZERO) // the session cluster has paid
        } else {
            let absent = task_managers_needed(object).unwrap_or(1);
            demand::count(spec, &["numberOfTaskManagers"], absent, &at, &RULES)
                .and_then(|number| demand::of_cluster(spec, &at, number, &RULES))
        };
        let demand = status::asked(object, demand)?;
        // A run that is left as it was started is replaced by the spec once it ends, and admission is not asked again.
        let settled = status::is_settled(object, AT_REST)
            && (status::state(object) != Some("RUNNING") || !is_never_upgraded(object));
        Ok(Workload {
            desired: status::desired(object, "CANCELLED"),
            demand,
            allocated: status::allocated_of_job(object, settled),
            settled,
        })
    }

    fn unread(&self, object: &Value, _world: &dyn World) -> Option<Workload> {
        status::unread(object, status::desired(object, "CANCELLED"))
    }
}

/// Whether what runs is left as it is, whatever the spec asks for meanwhile.
fn is_never_upgraded(object: &Value) -> bool {
    json::text(object, &["spec", "upgradeStrategy", "kind"])
        .and_then(|word| shape::canonical_word(&["NONE"], word))
        .is_some()
}

/// Whether the job runs on a session cluster instead of one of its own. An empty name is as good as none: what runs on a cluster of its
/// own is charged.
fn on_session_cluster(object: &Value) -> bool {
    json::get(object, &["spec"]).is_some_and(names_session_cluster)
}

fn names_session_cluster(spec: &Value) -> bool {
    json::present(spec, &["sessionClusterName"]).is_some_and(|name| name.as_str() != Some(""))
}

/// `parallelism / slots`, rounded up; `None` where these cannot be read.
fn task_managers_needed(object: &Value) -> Option<u64> {
    let cluster = json::get(object, &CLUSTER);
    let parallelism = match cluster.and_then(|cluster| json::present(cluster, &["parallelism"])) {
        Some(parallelism) => parallelism.as_u64()?,
        None => 1,
    };
    let slots = resources::options(cluster.unwrap_or(&Value::Null), None)
        .slots()
        .ok()?;
    Some(parallelism.div_ceil(slots))
}

/// Judges a part of a spec in somebody's defaults.
pub(crate) fn part(spec: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    part_over(spec, None, at, judge);
}

/// Judges a spec, or a part of one. `stored`: the object as it is stored, on an update.
fn part_over(spec: &Value, stored: Option<&Value>, at: &At<'_>, judge: &mut Judge<'_>) {
    check::fields(spec, tables::DEPLOYMENT, at, judge);
    strategies::judge(spec, STATEFUL, at, judge);
    if names_session_cluster(spec) {
        for target in ["deploymentTargetName", "deploymentTargetId"] {
            if json::present(spec, &[target]).is_some() {
                judge.refuse(
                    RULES.target,
                    &at.key(target),
                    CauseReason::Forbidden,
                    "sessionClusterName is set too, and the job runs where that cluster runs; keep one of them",
                );
            }
        }
    }
    let template = at.key("template");
    if let Some(metadata) = json::present(spec, &["template", "metadata"]) {
        pods::metadata(metadata, &template.key("metadata"), judge);
    }
    let at = template.key("spec");
    let Some(cluster) = json::present(spec, &["template", "spec"]) else {
        return;
    };
    logging::judge(cluster, &at, judge);
    if let Some(artifact) = json::present(cluster, &["artifact"]) {
        image::judge(artifact, &at.key("artifact"), judge);
    }
    if let Some(jar) = json::present(cluster, &["artifact", "jarUri"]) {
        jars::judge(jar, &at.key("artifact").key("jarUri"), judge);
    }
    if let Some(kubernetes) = json::present(cluster, &["kubernetes"]) {
        pods::judge(kubernetes, &at.key("kubernetes"), judge);
    }
    if !names_session_cluster(spec) {
        let version = json::get(cluster, &["artifact", "flinkVersion"]).and_then(version::read);
        resources::judge(cluster, version, &at, judge);
        slots(cluster, stored, &at, judge);
    }
}

/// What can be judged only of a whole Deployment.
fn whole(
    object: &Value,
    spec: &Value,
    session_cluster: Option<&Value>,
    at: &At<'_>,
    judge: &mut Judge<'_>,
) {
    let is_to_run = status::desired(object, "CANCELLED") == Desired::Running;
    let template = at.key("template");
    let at = template.key("spec");
    let cluster = json::present(spec, &["template", "spec"]).unwrap_or(&Value::Null);
    let artifact = at.key("artifact");
    let configuration = at.key("flinkConfiguration");
    let has = |key: &str| {
        json::present(cluster, &["artifact", key]).is_some_and(|value| value.as_str() != Some(""))
    };
    if on_session_cluster(object) {
        job_options::judge(
            cluster.get("flinkConfiguration"),
            &Record::of(object),
            session_cluster,
            JOB_CONFIGURATION,
            &configuration,
            judge,
        );
        for keys in NO_EFFECT_IN_SESSION {
            let place = keys.iter().fold(at.path(), |path, key| path.key(key));
            let given = json::present(cluster, keys);
            if given.is_some_and(|value| is_the_users_own(object, &place, value)) {
                judge.findings.warn(format!(
                    "{place}: has no effect, the session cluster decides"
                ));
            }
        }
        let jar = json::text(cluster, &["artifact", "jarUri"]).unwrap_or_default();
        jars::warn_if_in_image(jar, &artifact.key("jarUri"), judge);
    } else {
        version::required(
            cluster,
            &["artifact", "flinkVersion"],
            is_to_run,
            &at,
            judge,
        );
        strategies::directories(
            spec,
            &resources::options(cluster, None),
            &configuration,
            judge,
        );
    }
    let has_program = has("jarUri") || (on_session_cluster(object) && has("entryClass"));
    if !has_program {
        let place = artifact.key("jarUri");
        if is_to_run {
            judge.refuse(
                RULES.jar,
                &place,
                CauseReason::Required,
                "is needed to run; write where the jar is, such as s3://bucket/job.jar or local:///opt/flink/usrlib/job.jar",
            );
        } else {
            judge
                .findings
                .warn(format!("{}: is needed before it can run", place.path()));
        }
    }
}

/// Whether somebody wrote it, or a part of it: about what was filled in for them users are told nothing.
fn is_the_users_own(object: &Value, path: &FieldPath, value: &Value) -> bool {
    let record = Record::of(object);
    let mut own = false;
    crate::defaults::each_leaf(path.clone(), value, &mut |path, value| {
        own = own || !record.holds(path, value);
    });
    own
}

fn slots(cluster: &Value, stored: Option<&Value>, at: &At<'_>, judge: &mut Judge<'_>) {
    let count = |key| json::present(cluster, &[key]).and_then(Value::as_u64);
    let options = resources::options(cluster, None);
    let (Some(parallelism), Some(task_managers), Ok(slots), Ok(scheduler)) = (
        count("parallelism"),
        count("numberOfTaskManagers"),
        options.slots(),
        options.scheduler(),
    ) else {
        return; // told elsewhere, or not given
    };
    let total = task_managers.saturating_mul(slots);
    if parallelism <= total {
        return;
    }
    let needed = parallelism.div_ceil(slots);
    let place = at.key("parallelism");
    let what = format!(
        "{parallelism} needs more than the {total} slots of {task_managers} TaskManagers with {slots} each"
    );
    match scheduler {
        Scheduler::Default => judge.refuse(
            SLOTS,
            &place,
            CauseReason::Invalid,
            format!(
                "{what}; {} or raise taskmanager.numberOfTaskSlots",
                more_task_managers(needed, stored)
            ),
        ),
        Scheduler::Batch => judge.findings.warn(format!(
            "{}: {what}; a batch job runs its tasks in turns, and one that streams waits for slots",
            place.path()
        )),
        Scheduler::Adaptive | Scheduler::Reactive => judge.findings.warn(format!(
            "{}: {what}; the adaptive scheduler runs it with fewer",
            place.path()
        )),
    }
}

/// How to get so many. On an update the number that is stored may stay where it is left out, so that is no advice.
fn more_task_managers(needed: u64, stored: Option<&Value>) -> String {
    let path = FieldPath::of("spec.template.spec.numberOfTaskManagers");
    let Some(stored) = stored else {
        return format!("set numberOfTaskManagers to {needed} or leave it out,");
    };
    let record = Record::of(stored);
    match path.get(stored).filter(|_| record.has(&path)) {
        Some(number) if !record.holds(&path, number) => {
            format!("it was scaled to {number}; set numberOfTaskManagers to {needed},")
        }
        _ => format!("set numberOfTaskManagers to {needed},"),
    }
}

#[cfg(test)]
mod tests;
