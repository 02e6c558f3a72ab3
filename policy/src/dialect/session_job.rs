//! `SessionJob`: one Flink job on a session cluster. Costs nothing, since the cluster has paid.

use super::own::at::At;
use super::own::check::{self, Judge, Unknown};
use super::own::job_options::job_configuration;
use super::own::rules::{OwnRules, own_rules};
use super::own::shape;
use super::own::strategies::stateful_without_restore;
use super::own::{
    jars, job_options, name, normalise, notices, references, status, strategies, tables,
};
use super::{Derived, Dialect, KindInfo, LeafKind, Scope};
use crate::charge::{Desired, Workload};
use crate::defaults::record::Record;
use crate::draft::Draft;
use crate::finding::{Cause, CauseReason, Findings};
use crate::json;
use crate::path::FieldPath;
use crate::review::Review;
use crate::rule::Rule;
use crate::world::{Source, World};
use serde_json::{Value, json};

/// Names of the kind.
pub static KIND: KindInfo = KindInfo {
    group: "sluice.dev",
    version: "v1alpha1",
    kind: "SessionJob",
    plural: "sessionjobs",
    singular: "sessionjob",
    scope: Scope::Namespaced,
    scale: None,
};

/// Its shared rules.
pub(crate) static RULES: OwnRules = own_rules!("session-job");

static STATEFUL: &Rule = stateful_without_restore!("session-job");
static JOB_CONFIGURATION: &Rule = job_configuration!("session-job");

/// The dialect of session jobs.
#[derive(Clone, Copy, Debug)]
pub struct SessionJob;

impl Dialect for SessionJob {
    fn kind(&self) -> &'static KindInfo {
        &KIND
    }

    fn rules(&self) -> Vec<&'static Rule> {
        vec![
            RULES.field,
            RULES.spellings,
            RULES.name,
            RULES.jar,
            STATEFUL,
            JOB_CONFIGURATION,
        ]
    }

    fn normalise(&self, draft: &mut Draft<'_>, old: Option<&Value>, findings: &mut Findings) {
        let base = FieldPath::of("spec");
        normalise::spec(
            draft,
            &base,
            tables::SESSION_JOB,
            old,
            RULES.spellings,
            findings,
        );
    }

    fn section(&self) -> Option<&'static str> {
        Some("sessionJob")
    }

    fn built_in(&self, _object: &Value) -> Value {
        json!({"spec": {
            "state": "RUNNING",
            "restoreStrategy": {"kind": "LATEST_STATE", "allowNonRestoredState": false},
        }})
    }

    fn derived(&self, object: &Value) -> Vec<Derived> {
        vec![strategies::upgrade(object)]
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
        let cluster = references::session_cluster(spec, review.namespace, world, &at, &mut judge);
        let named = json::present(spec, &["sessionClusterName"]);
        if named.is_none_or(|name| name.as_str() == Some("")) {
            judge.findings.warn(
                "spec.sessionClusterName: names no session cluster; nothing starts until one is named",
            );
        }
        job_options::judge(
            spec.get("flinkConfiguration"),
            &Record::of(review.object),
            cluster.as_deref(),
            JOB_CONFIGURATION,
            &at.key("flinkConfiguration"),
            &mut judge,
        );
        program(spec, &at, &mut judge);
    }

    fn levers(&self) -> Vec<FieldPath> {
        vec![FieldPath::of("spec.state")]
    }

    fn stops(&self, object: &Value) -> bool {
        status::desired(object, "RUNNING") != Desired::Running
    }

    fn leaf_kind(&self, path: &FieldPath) -> LeafKind {
        shape::leaf_kind(tables::SESSION_JOB, path)
    }

    fn notices(&self, review: &Review<'_>, _world: &dyn World, findings: &mut Findings) {
        notices::nothing_is_started(review, "RUNNING", findings);
        if let (Some(owner), Some(old)) = (deployment(review.object), review.old())
            && old.get("spec") != review.object.get("spec")
        {
            findings.warn(format!(
                "{} is made by Deployment {owner}, which takes changes of its spec back; change the Deployment",
                review.subject()
            ));
        }
    }

    fn sources(&self) -> &'static [Source] {
        const { &[Source::Objects(&super::session_cluster::KIND)] }
    }

    fn workload(&self, object: &Value, _world: &dyn World) -> Result<Workload, Vec<Cause>> {
        Ok(Workload {
            desired: status::desired(object, "RUNNING"),
            ..Workload::FREE
        })
    }
}

/// The Deployment whose job it is (`sessionClusterName`), if one's.
fn deployment(object: &Value) -> Option<&str> {
    let owners = json::get(object, &["metadata", "ownerReferences"])?.as_array()?;
    let owner = owners.iter().find(|owner| {
        let text = |key| json::text(owner, &[key]).unwrap_or_default();
        text("kind") == "Deployment"
            && text("apiVersion").starts_with("sluice.dev/")
            && owner.get("controller") == Some(&Value::Bool(true))
    })?;
    json::text(owner, &["name"])
}

/// Judges a spec, or a part of one in somebody's defaults.
pub(crate) fn part(spec: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    check::fields(spec, tables::SESSION_JOB, at, judge);
    strategies::judge(spec, STATEFUL, at, judge);
    if let Some(jar) = json::present(spec, &["job", "jarUri"]) {
        jars::judge_handed(jar, &at.key("job").key("jarUri"), judge);
    }
}

/// A program is a jar, or a class in the session cluster's jars.
fn program(spec: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    let has = |key: &str| {
        json::present(spec, &["job", key]).is_some_and(|value| value.as_str() != Some(""))
    };
    if !has("entryClass") && !has("jarUri") {
        judge.refuse(
            RULES.jar,
            &at.key("job").key("entryClass"),
            CauseReason::Required,
            "names the main class in the session cluster's jars; write it, or job.jarUri",
        );
    }
}

#[cfg(test)]
mod tests;
