//! `SessionCluster`: a long-lived Flink cluster. Frozen while it runs, but for its state and its number of TaskManagers.

use super::own::at::At;
use super::own::check::{self, Judge, Unknown};
use super::own::rules::{OwnRules, own_rules};
use super::own::shape::{self, canonical_word};
use super::own::{
    demand, exclusive, image, jars, logging, name, normalise, notices, pods, references, resources,
    status, tables, version,
};
use super::{Dialect, Frozen, KindInfo, LeafKind, ScaleDown, Scope};
use crate::charge::{Desired, Workload};
use crate::draft::Draft;
use crate::finding::{Cause, CauseReason, Code, Findings};
use crate::immutability::parts::Part;
use crate::json;
use crate::path::FieldPath;
use crate::quantity::MilliCpu;
use crate::review::{Review, is_being_deleted};
use crate::rule::{Family, Rule};
use crate::world::{Source, World};
use serde_json::{Value, json};

/// Names of the kind.
pub static KIND: KindInfo = KindInfo {
    group: "sluice.dev",
    version: "v1alpha1",
    kind: "SessionCluster",
    plural: "sessionclusters",
    singular: "sessioncluster",
    scope: Scope::Namespaced,
    scale: Some(&["spec", "numberOfTaskManagers"]),
};

/// Its shared rules.
pub(crate) static RULES: OwnRules = own_rules!("session-cluster");

/// What may change while a session cluster is not stopped.
pub static FROZEN: Rule = Rule {
    id: "immutable/session-cluster",
    family: Family::Immutability,
    code: Code::Forbidden,
    summary: "While a session cluster is not stopped only its state and its number of TaskManagers change",
    explain: "A running cluster cannot take another Flink version, other resources or another configuration without \
              ending every job on it. Stopped means: the stored spec.state is STOPPED, status.state is STOPPED (or the \
              cluster never ran), and no CPU is allocated. Values are compared by meaning: 1Gi is 1024Mi. Set \
              spec.state to STOPPED, wait until status.state is STOPPED, then change it.",
    source: "vvp-session-clusters.txt, Changing a Running SessionCluster; decision 8",
};

/// States in which no operation is in progress.
const AT_REST: &[&str] = &["RUNNING", "STOPPED"];

/// The dialect of session clusters.
#[derive(Clone, Copy, Debug)]
pub struct SessionCluster;

impl Dialect for SessionCluster {
    fn kind(&self) -> &'static KindInfo {
        &KIND
    }

    fn rules(&self) -> Vec<&'static Rule> {
        let mut rules = RULES.all();
        rules.extend([&FROZEN, super::config::deployment_target::NOT_ACCEPTED]);
        rules
    }

    fn normalise(&self, draft: &mut Draft<'_>, old: Option<&Value>, findings: &mut Findings) {
        let base = FieldPath::of("spec");
        normalise::spec(
            draft,
            &base,
            tables::SESSION_CLUSTER,
            old,
            RULES.spellings,
            findings,
        );
    }

    fn section(&self) -> Option<&'static str> {
        Some("sessionCluster")
    }

    fn built_in(&self, _object: &Value) -> Value {
        json!({"spec": {
            "state": "STOPPED",
            "numberOfTaskManagers": 1,
            "resources": {
                "jobmanager": {"cpu": 1, "memory": "1Gi"},
                "taskmanager": {"cpu": 1, "memory": "2Gi"},
            },
            "flinkConfiguration": {
                "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
            },
            "logging": {"loggingProfile": "default", "log4jLoggers": {"": "INFO"}},
        }})
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
        part(spec, &at, &mut judge);
        references::target(review, spec, world, &at, &mut judge);
        version::required(
            spec,
            &["flinkVersion"],
            desired_word(review.object) == "RUNNING",
            &at,
            &mut judge,
        );
    }

    fn frozen(&self, old: &Value) -> Option<Frozen> {
        let desired = desired_word(old);
        let observed = status::state(old);
        let holds_cpu = status::allocated(old).is_some_and(|milli| milli > MilliCpu::ZERO);
        let is_stopped = matches!(observed, None | Some("STOPPED"));
        if desired == "STOPPED" && is_stopped && !holds_cpu {
            return None;
        }
        let state = match observed {
            Some(state) if !is_stopped => state,
            _ if desired == "STOPPED" => "STOPPING",
            _ => desired,
        };
        let ask = if desired == "STOPPED" {
            "Wait"
        } else {
            "Set spec.state to STOPPED, wait"
        };
        Some(Frozen {
            rule: &FROZEN,
            why: format!("is {state}: only spec.state and spec.numberOfTaskManagers may change."),
            way_out: format!("{ask} until status.state is STOPPED, then apply again."),
            may_change: vec![
                FieldPath::of("spec.state"),
                FieldPath::of("spec.numberOfTaskManagers"),
            ],
            may_change_keys: Vec::new(),
            override_annotation: None,
        })
    }

    fn exclusive(&self) -> Vec<Vec<FieldPath>> {
        exclusive::groups(&FieldPath::of("spec"), &FieldPath::of("spec"))
    }

    fn scale_down(&self) -> ScaleDown {
        ScaleDown::Unseen
    }

    fn levers(&self) -> Vec<FieldPath> {
        vec![
            FieldPath::of("spec.state"),
            FieldPath::of("spec.numberOfTaskManagers"),
        ]
    }

    fn stops(&self, object: &Value) -> bool {
        desired_word(object) == "STOPPED"
    }

    fn leaf_kind(&self, path: &FieldPath) -> LeafKind {
        shape::leaf_kind(tables::SESSION_CLUSTER, path)
    }

    fn parts(&self) -> Vec<Part> {
        shape::parts(tables::SESSION_CLUSTER)
    }

    fn notices(&self, review: &Review<'_>, _world: &dyn World, findings: &mut Findings) {
        notices::nothing_is_started(review, "STOPPED", findings);
        if let Some(old) = review.old() {
            stop_notice(old, review.object, findings);
            scale_down_notice(old, review.object, findings);
        }
    }

    fn sources(&self) -> &'static [Source] {
        const { &[Source::Objects(&super::config::deployment_target::KIND)] }
    }

    fn workload(&self, object: &Value, _world: &dyn World) -> Result<Workload, Vec<Cause>> {
        let base = FieldPath::of("spec");
        let at = At::Root(&base);
        let spec = object.get("spec").unwrap_or(&Value::Null);
        let demand = demand::count(spec, &["numberOfTaskManagers"], 1, &at, &RULES)
            .and_then(|task_managers| demand::of_cluster(spec, &at, task_managers, &RULES));
        let demand = status::asked(object, demand)?;
        Ok(Workload {
            desired: desired(object),
            demand,
            allocated: status::allocated(object),
            settled: status::is_settled(object, AT_REST),
        })
    }

    fn unread(&self, object: &Value, _world: &dyn World) -> Option<Workload> {
        status::unread(object, desired(object))
    }

    fn facts(&self, object: &Value) -> Option<Value> {
        Some(json!({"spec": {
            "flinkVersion": json::get(object, &["spec", "flinkVersion"]),
        }}))
    }
}

fn desired(object: &Value) -> Desired {
    if desired_word(object) == "RUNNING" && !is_being_deleted(object) {
        Desired::Running
    } else {
        Desired::Stopped
    }
}

/// Judges a spec, or a part of one in somebody's defaults.
pub(crate) fn part(spec: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    check::fields(spec, tables::SESSION_CLUSTER, at, judge);
    let version = spec.get("flinkVersion").and_then(version::read);
    resources::judge(spec, version, at, judge);
    image::judge(spec, at, judge);
    logging::judge(spec, at, judge);
    log_files(spec, &at.key("logConfiguration"), judge);
    jars::judge_all(spec.get("jars"), &at.key("jars"), judge);
    plugins(spec, &at.key("plugins"), judge);
    if let Some(kubernetes) = json::present(spec, &["kubernetes"]) {
        pods::judge(kubernetes, &at.key("kubernetes"), judge);
    }
}

/// Files of logging configuration become keys of a ConfigMap.
fn log_files(spec: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    let files = spec.get("logConfiguration").and_then(Value::as_object);
    for (name, _) in files.into_iter().flatten() {
        let is_fit = (1..=253).contains(&name.len())
            && !matches!(name.as_str(), "." | "..")
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        if !is_fit {
            judge.refuse(
                RULES.field,
                &at.key(name),
                CauseReason::Invalid,
                "is no name of a file; write letters, digits, '.', '_' or '-', such as log4j-console.properties",
            );
        }
    }
}

fn plugins(spec: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    let plugins = spec.get("plugins").and_then(Value::as_array);
    let mut names = std::collections::HashSet::new();
    for (index, plugin) in plugins.into_iter().flatten().enumerate() {
        let at = at.index(index);
        let place = at.key("name");
        match json::present(plugin, &["name"]).map(Value::as_str) {
            None => judge.refuse(
                RULES.field,
                &place,
                CauseReason::Required,
                "a plugin needs a name, that of its folder",
            ),
            Some(Some(name)) if name.is_empty() || name.contains('/') || name.starts_with('.') => {
                let message = format!("{} is no name of a folder", json::shown(&name.into()));
                judge.refuse(RULES.field, &place, CauseReason::Invalid, message);
            }
            Some(Some(name)) if !names.insert(name) => judge.refuse(
                RULES.field,
                &place,
                CauseReason::Invalid,
                "another plugin has this name; put the jars of both under one",
            ),
            Some(_) => {}
        }
        jars::judge_all(plugin.get("jars"), &at.key("jars"), judge);
    }
}

/// `spec.state`; STOPPED where nothing is asked for.
fn desired_word(object: &Value) -> &'static str {
    json::text(object, &["spec", "state"])
        .and_then(|word| canonical_word(&["RUNNING", "STOPPED"], word))
        .unwrap_or("STOPPED")
}

fn stop_notice(old: &Value, new: &Value, findings: &mut Findings) {
    if desired_word(old) != "RUNNING" || desired_word(new) != "STOPPED" {
        return;
    }
    match status::count(old, "numberOfJobs") {
        Some(0) => {}
        Some(1) => findings.warn("1 job will be terminated without a grace period"),
        Some(jobs) => findings.warn(format!(
            "{jobs} jobs will be terminated without a grace period"
        )),
        None if status::state(old).is_none_or(|state| state == "STOPPED") => {}
        None => {
            findings
                .warn("jobs on it, if there are any, will be terminated without a grace period");
        }
    }
}

fn scale_down_notice(old: &Value, new: &Value, findings: &mut Findings) {
    let number = |object| json::get(object, &["spec", "numberOfTaskManagers"])?.as_u64();
    if desired_word(old) != "RUNNING" || desired_word(new) != "RUNNING" {
        return;
    }
    if let (Some(before), Some(after)) = (number(old), number(new))
        && after < before
    {
        findings.warn(format!(
            "numberOfTaskManagers {before} -> {after}: applications may restart"
        ));
    }
}

#[cfg(test)]
mod tests;
