//! What the operator's validator refuses of a FlinkDeployment, all of it at once.

use super::conf::{Conf, Opt};
use super::resources::{self, Role};
use super::rules::{
    FORBIDDEN_KEY, HEALTH_CHECK, JOB_MANAGER_REPLICAS, LOG_CONFIGURATION, ROLLBACK,
    SERVICE_ACCOUNT, TASK_MANAGER_REPLICAS, VERSION,
};
use super::shape::{self, whole};
use super::version::FlinkVersion;
use super::{Mode, autoscaler, change, charge, ingress, job, lines, names};
use crate::defaults::Imposed;
use crate::finding::{CauseReason, Findings};
use crate::json;
use crate::path::FieldPath;
use crate::review::Review;
use crate::world::World;
use serde_json::Value;

const ROLLBACK_ENABLED: Opt = Opt::new("kubernetes.operator.deployment.rollback.enabled", &[]);
const HEALTH_CHECK_ENABLED: Opt = Opt::new("kubernetes.operator.cluster.health-check.enabled", &[]);
const RECOVERY_ENABLED: Opt = Opt::new(
    "kubernetes.operator.jm-deployment-recovery.enabled",
    &["kubernetes.operator.reconciler.jm-deployment-recovery.enabled"],
);

/// Judges a FlinkDeployment, or a FlinkApplication of the same shape. `namespace`: where its pods will be.
pub(crate) fn judge(
    review: &Review<'_>,
    namespace: &str,
    world: &dyn World,
    findings: &mut Findings,
) {
    let object = review.object;
    shape::check(object, &[shape::DEPLOYMENT, shape::JOB], findings);
    let Some(spec) = object.get("spec").filter(|spec| spec.is_object()) else {
        return;
    };
    let operator = world.operator_configuration();
    let operator = operator.as_deref();
    let imposed = Imposed::on(review, world);
    let conf = effective(object, namespace, operator);
    let name = super::name_of(review);
    names::judge(FieldPath::of("metadata.name"), &name, findings);
    version(object, findings);
    configuration(&conf, findings);
    lines::judge(review, namespace, operator, &conf, &imposed, findings);
    ingress::judge(object, &name, namespace, findings);
    log_configuration(object, findings);
    let replicas = whole(object, &["spec", "taskManager", "replicas"]);
    job::judge(object, replicas, &conf, findings);
    for role in [Role::JobManager, Role::TaskManager] {
        resources::judge(spec, role, &conf, findings);
    }
    job_managers(object, &conf, findings);
    if let Some(replicas) = replicas.filter(|replicas| *replicas < 1)
        && json::present(object, &["spec", "job"]).is_none()
    {
        findings.refuse(
            &TASK_MANAGER_REPLICAS,
            FieldPath::of("spec.taskManager.replicas"),
            CauseReason::Invalid,
            format!("{replicas} must be at least 1; leave it out to have Flink decide"),
        );
    }
    change::judge(object, &super::recorded_of(review), findings);
    if json::present(object, &["spec", "serviceAccount"]).is_none() {
        findings.refuse(
            &SERVICE_ACCOUNT,
            FieldPath::of("spec.serviceAccount"),
            CauseReason::Required,
            "name the service account for Flink's pods; the operator's chart makes one called flink",
        );
    }
    autoscaler::judge(&conf, findings);
    if autoscaler::is_enabled(&conf) {
        charge::judge_quota(&conf, findings);
        charge::warn_of_quota(review, namespace, operator, findings);
    }
    let is_session = json::present(object, &["spec", "job"]).is_none();
    if super::mode(object) == Mode::Native {
        charge::judge_arguments(review, &conf, &imposed, findings);
        if is_session {
            charge::judge_for_jobs(&conf, findings);
        }
    }
}

/// The configuration that a FlinkDeployment's cluster would see.
pub(crate) fn effective<'a>(
    object: &'a Value,
    namespace: &str,
    operator: Option<&'a Value>,
) -> Conf<'a> {
    let version = json::text(object, &["spec", "flinkVersion"]).and_then(FlinkVersion::parse);
    let mut conf = Conf::operator(operator, namespace, version);
    if let Some(configuration) = json::present(object, &["spec", "flinkConfiguration"])
        && configuration.is_object()
    {
        conf.add(configuration);
    }
    conf
}

fn version(object: &Value, findings: &mut Findings) {
    let field = FieldPath::of("spec.flinkVersion");
    match json::present(object, &["spec", "flinkVersion"]) {
        None => findings.refuse(
            &VERSION,
            field,
            CauseReason::Required,
            format!("give one of {}", FlinkVersion::supported_words()),
        ),
        Some(word) => {
            if let Some(version) = word.as_str().and_then(FlinkVersion::parse)
                && version < FlinkVersion::OLDEST_SUPPORTED
            {
                findings.refuse(
                    &VERSION,
                    field,
                    CauseReason::NotSupported,
                    format!(
                        "{} is no longer supported by the operator; use one of {}",
                        version.word(),
                        FlinkVersion::supported_words()
                    ),
                );
            }
        }
    }
}

fn configuration(conf: &Conf<'_>, findings: &mut Findings) {
    for key in [
        "kubernetes.namespace",
        "kubernetes.cluster-id",
        "high-availability.cluster-id",
    ] {
        if conf.has_key(key) {
            findings.refuse(
                &FORBIDDEN_KEY,
                super::conf::path(key),
                CauseReason::Forbidden,
                "the operator sets this key itself; leave it out",
            );
        }
    }
    match conf.flag(ROLLBACK_ENABLED, false) {
        Ok(true) if !conf.is_highly_available() => findings.refuse(
            &ROLLBACK,
            super::conf::path(ROLLBACK_ENABLED.key),
            CauseReason::Invalid,
            "rollback needs high availability; set high-availability.type and high-availability.storageDir, or switch \
             rollback off",
        ),
        Ok(_) => {}
        Err(bad) => autoscaler::unreadable(findings, &bad),
    }
    match conf.flag(HEALTH_CHECK_ENABLED, false) {
        Ok(false) => {}
        Err(bad) => autoscaler::unreadable(findings, &bad),
        Ok(true) => match conf.flag(RECOVERY_ENABLED, true) {
            Ok(true) => {}
            Err(bad) => autoscaler::unreadable(findings, &bad),
            Ok(false) => findings.refuse(
                &HEALTH_CHECK,
                super::conf::path(HEALTH_CHECK_ENABLED.key),
                CauseReason::Invalid,
                format!("the health check needs {} to be true", RECOVERY_ENABLED.key),
            ),
        },
    }
}

fn log_configuration(object: &Value, findings: &mut Findings) {
    const KNOWN: [&str; 2] = ["log4j-console.properties", "logback-console.xml"];
    let Some(Value::Object(files)) = json::get(object, &["spec", "logConfiguration"]) else {
        return;
    };
    for name in files.keys().filter(|name| !KNOWN.contains(&name.as_str())) {
        findings.refuse(
            &LOG_CONFIGURATION,
            FieldPath::of("spec.logConfiguration").key(name),
            CauseReason::NotSupported,
            format!("no such file is read; use {} or {}", KNOWN[0], KNOWN[1]),
        );
    }
}

fn job_managers(object: &Value, conf: &Conf<'_>, findings: &mut Findings) {
    let Some(replicas) = whole(object, &["spec", "jobManager", "replicas"]) else {
        return;
    };
    let problem = if replicas < 1 {
        "must be at least 1"
    } else if replicas > 1 && !conf.is_highly_available() {
        "needs high availability: set high-availability.type and high-availability.storageDir, or have 1 JobManager"
    } else {
        return;
    };
    findings.refuse(
        &JOB_MANAGER_REPLICAS,
        FieldPath::of("spec.jobManager.replicas"),
        CauseReason::Invalid,
        format!("{replicas} {problem}"),
    );
}
