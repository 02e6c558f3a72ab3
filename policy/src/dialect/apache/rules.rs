//! The rules of Apache's kinds. Each refuses what the operator's own validator refuses, before anything is stored.

use crate::finding::Code;
use crate::rule::{Family, Rule};

const UPSTREAM: &str = "flink-kubernetes-operator 6e9caeb4, DefaultValidator";

const fn upstream(id: &'static str, summary: &'static str, explain: &'static str) -> Rule {
    Rule {
        id,
        family: Family::Validation,
        code: Code::Forbidden,
        summary,
        explain,
        source: UPSTREAM,
    }
}

const fn malformed(
    id: &'static str,
    summary: &'static str,
    explain: &'static str,
    source: &'static str,
) -> Rule {
    Rule {
        id,
        family: Family::Validation,
        code: Code::Invalid,
        summary,
        explain,
        source,
    }
}

pub(crate) static SHAPE: Rule = malformed(
    "flink/shape",
    "fields have the type and the words that the operator can read",
    "A field of the wrong type, or a word outside a fixed list, makes the operator fail with a stack trace. The message \
     names the field and what it takes. Fields that the operator does not know are ignored, as it ignores them.",
    "flink-kubernetes-operator 6e9caeb4, CRDs",
);
pub(crate) static CONFIGURATION: Rule = malformed(
    "flink/configuration-value",
    "configuration values that are needed for a decision can be read",
    "The operator reads some keys of flinkConfiguration when it judges a resource; a value that it cannot read makes it \
     fail with an error of its own. The message names the key and what it takes.",
    UPSTREAM,
);
pub(crate) static LINES: Rule = malformed(
    "flink/configuration-lines",
    "before Flink 2.0 what is written into the configuration file is one line an entry",
    "The operator writes flinkConfiguration, job.args, job.entryClass and job.initialSavepointPath into a file of lines key: value, \
     as they are, and Flink before 2.0 reads it line by line: # begins a comment, blanks around a key do not count. A line \
     break in a value, or a blank behind a key, sets options that no rule has seen. So keys have neither, further lines of a value, \
     of entryClass and of initialSavepointPath are no key: value, and those of job.args, such as a text in SQL, contradict no option that is set \
     elsewhere. What is stored alike already may stay, and what an Environment imposes is only told; Flink 2 reads real YAML and \
     is not concerned.",
    "flink-kubernetes-operator 6e9caeb4, FlinkConfMountDecorator; Flink 1.20, GlobalConfiguration",
);
pub(crate) static CPU: Rule = malformed(
    "flink/cpu",
    "the CPU that the resource will ask for can be computed",
    "CPU is charged from resources.requests, then resources.limits, then resource.cpu, then configuration. A figure that \
     cannot be read cannot be charged, nor could Kubernetes schedule it. The same holds for a native JobManager's \
     kubernetes.jobmanager.entrypoint.args and its kubernetes.taskmanager.entrypoint.args, whose -D go over the configuration: \
     they may hold nothing but -Dkey=value, and what an Environment imposes there is only told.",
    "semantics.md, CPU charge",
);
pub(crate) static NAME: Rule = upstream(
    "flink/name",
    "names have at most 45 characters: lower case letters, digits and dashes, starting with a letter",
    "The operator derives the names of Services and Deployments from it, which Kubernetes limits. It applies to a \
     FlinkDeployment's name and to a FlinkSessionJob's deploymentName.",
);
pub(crate) static VERSION: Rule = upstream(
    "flink/version",
    "flinkVersion is given and supported by the operator",
    "The operator runs v1_15 and later. The version decides which defaults and which client it uses.",
);
pub(crate) static VERSION_AFTER_SUSPEND: Rule = upstream(
    "flink/version-after-suspend",
    "flinkVersion does not change after a last-state suspend",
    "A job that was suspended with upgradeMode last-state keeps its state in checkpoints that belong to that version. \
     Restore it with the version it had and change the version afterwards, or start stateless.",
);
pub(crate) static FORBIDDEN_KEY: Rule = upstream(
    "flink/forbidden-configuration",
    "configuration keys that the operator owns are not set",
    "kubernetes.namespace, kubernetes.cluster-id and high-availability.cluster-id are set by the operator from the \
     resource's own namespace and name.",
);
pub(crate) static ROLLBACK: Rule = upstream(
    "flink/rollback-needs-ha",
    "automatic rollback needs high availability",
    "kubernetes.operator.deployment.rollback.enabled rolls back from the metadata that high availability keeps. Set \
     high-availability.type and high-availability.storageDir.",
);
pub(crate) static HEALTH_CHECK: Rule = upstream(
    "flink/health-check-needs-recovery",
    "the job health check needs JobManager recovery",
    "kubernetes.operator.cluster.health-check.enabled restarts unhealthy clusters by way of \
     kubernetes.operator.jm-deployment-recovery.enabled, which must not be switched off.",
);
pub(crate) static INGRESS: Rule = upstream(
    "flink/ingress",
    "an ingress has a template that makes a URL",
    "spec.ingress.template is a host and path such as {{name}}.{{namespace}}.example.org or example.org/{{name}}, of at most \
     4,096 bytes; a port must be a number.",
);
pub(crate) static LOG_CONFIGURATION: Rule = upstream(
    "flink/log-configuration",
    "log configuration has the file names that Flink reads",
    "Only log4j-console.properties and logback-console.xml are mounted; any other key would be ignored silently.",
);
pub(crate) static CHECKPOINT_DIRECTORY: Rule = upstream(
    "flink/checkpoint-directory",
    "upgradeMode savepoint and last-state need a checkpoint directory",
    "Both restore from checkpoints when the job is unhealthy. Set execution.checkpointing.dir (formerly \
     state.checkpoints.dir), or choose upgradeMode stateless.",
);
pub(crate) static SAVEPOINT_DIRECTORY: Rule = upstream(
    "flink/savepoint-directory",
    "whatever takes savepoints needs a savepoint directory",
    "upgradeMode savepoint, savepointTriggerNonce, periodic savepoints and the maximum checkpoint age take savepoints. \
     Set execution.checkpointing.savepoint-dir (formerly state.savepoints.dir).",
);
pub(crate) static PARALLELISM: Rule = upstream(
    "flink/parallelism",
    "a job has a parallelism of at least 1, or a number of TaskManagers",
    "Without taskManager.replicas the number of TaskManagers follows from job.parallelism, so it must be at least 1.",
);
pub(crate) static TASK_MANAGER_REPLICAS: Rule = upstream(
    "flink/taskmanager-replicas",
    "a number of TaskManagers is at least 1",
    "taskManager.replicas, where given, replaces job.parallelism. To stop a job set job.state suspended.",
);
pub(crate) static JOB_MANAGER_REPLICAS: Rule = upstream(
    "flink/jobmanager-replicas",
    "there is at least one JobManager, and several only with high availability",
    "Standby JobManagers take over through the metadata that high availability keeps. Set high-availability.type and \
     high-availability.storageDir, or leave jobManager.replicas at 1.",
);
pub(crate) static MEMORY: Rule = upstream(
    "flink/memory",
    "the memory of JobManager and TaskManagers is given and can be read",
    "Memory stands in resources.requests.memory, resources.limits.memory or resource.memory, or follows from Flink's own \
     memory options. Sizes are Flink's (2048m, 2g: binary) or Kubernetes' (2Gi) and whole bytes.",
);
pub(crate) static RESOURCES: Rule = upstream(
    "flink/resources",
    "requests and limits are quantities above zero, and no request is above its limit",
    "CPU and memory must be positive, other resources not negative; Kubernetes would refuse the pods otherwise.",
);
pub(crate) static SERVICE_ACCOUNT: Rule = upstream(
    "flink/service-account",
    "a service account is named",
    "Flink's pods make and delete pods by themselves and need spec.serviceAccount; the operator's chart makes one \
     called flink in each watched namespace.",
);
pub(crate) static AUTOSCALER: Rule = upstream(
    "flink/autoscaler",
    "options of the autoscaler lie within their bounds",
    "Checked while job.autoscaler.enabled is true; options of a feature of its own only while that feature is on.",
);
pub(crate) static EXCLUDED_PERIODS: Rule = upstream(
    "flink/autoscaler-excluded-periods",
    "excluded periods are daily ranges, Quartz cron expressions, or one of each",
    "job.autoscaler.excluded.periods lists expressions between semicolons: 9:30-11:00 (start before end, same day), \
     a cron expression with 6 or 7 fields such as * * * ? * 2-6, or one of each joined by &&.",
);
pub(crate) static METRICS_WINDOW: Rule = upstream(
    "flink/autoscaler-metrics-window",
    "the autoscaler's metrics window is not shorter than the reconcile interval",
    "The autoscaler takes one sample a reconcile and needs two of them in job.autoscaler.metrics.window, or it never \
     scales. The reconcile interval is kubernetes.operator.reconcile.interval, 60 s by default.",
);
pub(crate) static CLUSTER_TYPE: Rule = upstream(
    "flink/cluster-type",
    "an application does not become a session cluster, nor the reverse",
    "spec.job decides which of the two a FlinkDeployment is, once and for all. Make another FlinkDeployment.",
);
pub(crate) static DEPLOYMENT_MODE: Rule = upstream(
    "flink/deployment-mode",
    "a deployed cluster does not switch between native and standalone",
    "spec.mode (native if absent) decides how pods are made, once and for all. Make another FlinkDeployment.",
);
pub(crate) static SAVEPOINT_REDEPLOY: Rule = upstream(
    "flink/savepoint-redeploy",
    "a changed savepointRedeployNonce comes with a savepoint",
    "job.savepointRedeployNonce starts the job anew from job.initialSavepointPath, which must then be given.",
);
pub(crate) static SESSION_JOB: Rule = upstream(
    "flink/session-job",
    "a FlinkSessionJob has a job and a session cluster, and stays on it",
    "spec.deploymentName names a FlinkDeployment without spec.job in the same namespace. It cannot change once the job \
     was submitted: make another FlinkSessionJob.",
);
pub(crate) static JAR_URI: Rule = upstream(
    "flink/jar-uri",
    "the operator fetches a session job's jar only from where it may",
    "The operator itself downloads the jar, so schemes outside kubernetes.operator.user.artifacts.allowed-schemes \
     (https) and addresses that are loopback, link-local, private, wildcard or multicast are refused. Names are not \
     resolved here; the operator does that when it fetches.",
);
pub(crate) static SNAPSHOT: Rule = upstream(
    "flink/snapshot",
    "a FlinkStateSnapshot is one of savepoint and checkpoint, of a job that exists",
    "Exactly one of spec.savepoint and spec.checkpoint, and spec.jobReference unless the savepoint already exists.",
);
pub(crate) static FROZEN: Rule = Rule {
    id: "immutable/flink-session-cluster",
    family: Family::Immutability,
    code: Code::Forbidden,
    summary: "a deployed session FlinkDeployment is not changed, as its jobs would be lost",
    explain: "The Apache operator deletes and recreates a session cluster for nearly any change, and its jobs with it. \
              Free to change: labels, annotations, and configuration under kubernetes.operator, job.autoscaler and \
              parallelism.default. taskManager.replicas (standalone) and restartNonce may change with a warning. The \
              annotation sluice.dev/allow-recreate: \"true\" in the same request admits the rest.",
    source: "decisions.md 18; flink-kubernetes-operator 6e9caeb4, SessionReconciler",
};

/// Rules of a FlinkDeployment.
pub(crate) static DEPLOYMENT: [&Rule; 27] = [
    &SHAPE,
    &CONFIGURATION,
    &LINES,
    &CPU,
    &NAME,
    &VERSION,
    &VERSION_AFTER_SUSPEND,
    &FORBIDDEN_KEY,
    &ROLLBACK,
    &HEALTH_CHECK,
    &INGRESS,
    &LOG_CONFIGURATION,
    &CHECKPOINT_DIRECTORY,
    &SAVEPOINT_DIRECTORY,
    &PARALLELISM,
    &TASK_MANAGER_REPLICAS,
    &JOB_MANAGER_REPLICAS,
    &MEMORY,
    &RESOURCES,
    &SERVICE_ACCOUNT,
    &AUTOSCALER,
    &EXCLUDED_PERIODS,
    &METRICS_WINDOW,
    &CLUSTER_TYPE,
    &DEPLOYMENT_MODE,
    &SAVEPOINT_REDEPLOY,
    &FROZEN,
];

/// Rules of a FlinkSessionJob.
pub(crate) static SESSION_JOBS: [&Rule; 12] = [
    &SHAPE,
    &CONFIGURATION,
    &CPU,
    &NAME,
    &CHECKPOINT_DIRECTORY,
    &SAVEPOINT_DIRECTORY,
    &PARALLELISM,
    &AUTOSCALER,
    &EXCLUDED_PERIODS,
    &METRICS_WINDOW,
    &SESSION_JOB,
    &JAR_URI,
];
