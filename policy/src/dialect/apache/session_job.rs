//! What the operator's validator refuses of a FlinkSessionJob.

use super::address::{self, Host};
use super::conf::{Conf, Opt};
use super::recorded::Recorded;
use super::rules::{JAR_URI, SESSION_JOB};
use super::{autoscaler, charge, deployment, java, java_uri, job, names, shape};
use crate::finding::{CauseReason, Findings};
use crate::json;
use crate::path::FieldPath;
use crate::review::Review;
use crate::world::{Lookup, World};
use serde_json::Value;

const SCHEMES: Opt = Opt::new("kubernetes.operator.user.artifacts.allowed-schemes", &[]);
const NO_RESTRICTED_HOSTS: Opt = Opt::new(
    "kubernetes.operator.user.artifacts.disallow-restricted-hosts",
    &[],
);

/// The session cluster of a FlinkSessionJob, as far as it is known.
pub(crate) fn cluster(object: &Value, namespace: &str, world: &dyn World) -> Lookup {
    match json::text(object, &["spec", "deploymentName"]) {
        Some(name) => world.lookup(&crate::dialect::flink_deployment::KIND, namespace, name),
        None => Lookup::Unknown,
    }
}

/// Judges a FlinkSessionJob.
pub(crate) fn judge(review: &Review<'_>, world: &dyn World, findings: &mut Findings) {
    let object = review.object;
    shape::check(object, &[shape::SESSION_JOB, shape::JOB], findings);
    if !object.get("spec").is_some_and(Value::is_object) {
        return;
    }
    let operator = world.operator_configuration();
    let name_field = FieldPath::of("spec.deploymentName");
    match json::present(object, &["spec", "deploymentName"]) {
        None => findings.refuse(
            &SESSION_JOB,
            name_field.clone(),
            CauseReason::Required,
            "name the session FlinkDeployment to submit the job to",
        ),
        Some(name) => names::judge(name_field.clone(), name.as_str().unwrap_or(""), findings),
    }
    if json::present(object, &["spec", "job"]).is_none() {
        findings.refuse(
            &SESSION_JOB,
            FieldPath::of("spec.job"),
            CauseReason::Required,
            "a session job needs a job",
        );
    }
    moved(review, findings);
    let own = Conf::operator(operator.as_deref(), "", None);
    jar(object, &own, findings);
    let cluster = cluster(object, review.namespace, world);
    quota(review, cluster.found(), operator.as_deref(), findings);
    match cluster {
        Lookup::Found(cluster) => {
            with_cluster(review, &cluster, operator.as_deref(), findings);
        }
        Lookup::Absent => findings.warn(format!(
            "{}: there is no FlinkDeployment {} in this namespace yet; the job waits for it",
            review.subject(),
            json::text(object, &["spec", "deploymentName"]).unwrap_or("")
        )),
        Lookup::Unknown => {}
    }
}

/// What an Environment leaves alone: see [`moved`].
pub(crate) fn held(old: &Value) -> Vec<FieldPath> {
    match Recorded::of(old) {
        Recorded::Object(_) => vec![FieldPath::of("spec.deploymentName")],
        Recorded::Nothing | Recorded::Unreadable => Vec::new(),
    }
}

/// A submitted job stays on its cluster.
fn moved(review: &Review<'_>, findings: &mut Findings) {
    let recorded = super::recorded_of(review);
    let Recorded::Object(old) = &recorded else {
        return;
    };
    let name = |object| json::text(object, &["spec", "deploymentName"]);
    if name(old) != name(review.object) {
        findings.refuse(
            &SESSION_JOB,
            FieldPath::of("spec.deploymentName"),
            CauseReason::Forbidden,
            format!(
                "the job was submitted to {} and cannot move; make another FlinkSessionJob",
                name(old).unwrap_or("another cluster")
            ),
        );
    }
}

fn with_cluster(
    review: &Review<'_>,
    cluster: &Value,
    operator: Option<&Value>,
    findings: &mut Findings,
) {
    let object = review.object;
    let name = json::text(object, &["spec", "deploymentName"]);
    let field = FieldPath::of("spec.deploymentName");
    if json::present(cluster, &["spec", "job"]).is_some() {
        findings.refuse(
            &SESSION_JOB,
            field.clone(),
            CauseReason::Invalid,
            format!(
                "FlinkDeployment {} is an application with a job of its own; name a session cluster (one without spec.job)",
                name.unwrap_or("")
            ),
        );
    }
    if let Some(actual) = json::text(cluster, &["metadata", "name"])
        && Some(actual) != name
    {
        findings.refuse(
            &SESSION_JOB,
            field,
            CauseReason::Invalid,
            format!("names another cluster than {actual}, which it is judged against"),
        );
    }
    let its = deployment::effective(cluster, review.namespace, operator);
    let conf = over(its, object);
    job::judge(object, None, &conf, findings);
    autoscaler::judge(&conf, findings);
    if autoscaler::is_enabled(&conf) {
        charge::warn_of_quota_of_job(review, cluster, operator, findings);
    }
}

/// Only what the job says itself: its cluster's is refused there.
fn quota(
    review: &Review<'_>,
    cluster: Option<&Value>,
    operator: Option<&Value>,
    findings: &mut Findings,
) {
    let own = over(Conf::default(), review.object);
    if autoscaler::quota_cpu(&own).is_none() {
        return;
    }
    let its = its(cluster, review.namespace, operator);
    if autoscaler::is_enabled(&over(its, review.object)) {
        charge::judge_quota(&own, findings);
    }
}

/// The configuration of a job's cluster; without one, what the operator gives to all.
pub(crate) fn its<'a>(
    cluster: Option<&'a Value>,
    namespace: &str,
    operator: Option<&'a Value>,
) -> Conf<'a> {
    cluster.map_or_else(
        || Conf::operator(operator, namespace, None),
        |cluster| deployment::effective(cluster, namespace, operator),
    )
}

/// The configuration that a job is submitted with: its own on top of its cluster's.
pub(crate) fn over<'a>(mut cluster: Conf<'a>, object: &'a Value) -> Conf<'a> {
    if let Some(configuration) = json::present(object, &["spec", "flinkConfiguration"])
        && configuration.is_object()
    {
        cluster.add(configuration);
    }
    cluster
}

fn jar(object: &Value, operator: &Conf<'_>, findings: &mut Findings) {
    let Some(uri) = json::text(object, &["spec", "job", "jarURI"]) else {
        return;
    };
    if let Err(message) = check_jar(uri, operator) {
        findings.refuse(
            &JAR_URI,
            FieldPath::of("spec.job.jarURI"),
            CauseReason::Invalid,
            message,
        );
    }
}

fn check_jar(text: &str, operator: &Conf<'_>) -> Result<(), String> {
    let schemes: Vec<String> = operator
        .raw(SCHEMES)
        .and_then(|(_, list)| java::list(list))
        .unwrap_or_else(|| vec!["https".to_owned()])
        .iter()
        .map(|scheme| scheme.to_lowercase())
        .collect();
    let allowed = schemes.join(", ");
    let uri = java_uri::parse(text).map_err(|java_uri::NoUri(why)| {
        format!("is no URI: {why}; write one such as https://repo.example.org/job.jar")
    })?;
    let scheme = uri
        .scheme
        .ok_or_else(|| format!("has no scheme; write one of {allowed} in front"))?
        .to_lowercase();
    if !schemes.contains(&scheme) {
        return Err(format!(
            "the operator fetches jars by {allowed} only, not by {scheme}; an admin may extend {}",
            SCHEMES.key
        ));
    }
    let checks_hosts = operator.flag(NO_RESTRICTED_HOSTS, true).unwrap_or(true);
    if !checks_hosts || !matches!(scheme.as_str(), "http" | "https") {
        return Ok(());
    }
    let host = uri.host.ok_or_else(|| {
        "names no host that can be fetched from; write one such as repo.example.org".to_owned()
    })?;
    match address::classify(host) {
        Host::Open => Ok(()),
        Host::Restricted => Err(format!(
            "{host} is a loopback, link-local, private, wildcard or multicast address, which the operator does not fetch \
             from; use a public host"
        )),
        Host::Zoned => Err(format!(
            "{host} names a network interface; write the address without its zone"
        )),
    }
}

/// A warning for a mode that not every operator knows for session jobs.
pub(crate) fn notices(object: &Value, review: &Review<'_>, findings: &mut Findings) {
    let mode = |object: &Value| job::upgrade_mode(object) == "last-state";
    if mode(object) && !review.old().is_some_and(mode) {
        findings.warn(format!(
            "{}: upgradeMode last-state needs a recent Apache operator for session jobs; older ones refuse it",
            review.subject()
        ));
    }
}
