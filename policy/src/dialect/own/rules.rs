//! Rules that every own kind has, under the kind's own prefix: `session-cluster/cpu`, `deployment/cpu`.

use crate::rule::Rule;

/// The rules of one kind that shared checks report.
#[derive(Debug)]
pub(crate) struct OwnRules {
    /// A value has the wrong type, is no known word or cannot be read.
    pub field: &'static Rule,
    /// Two spellings of one field disagree.
    pub spellings: &'static Rule,
    /// Flink's version.
    pub version: &'static Rule,
    /// Too little CPU.
    pub cpu: &'static Rule,
    /// Less memory than Flink needs.
    pub memory: &'static Rule,
    /// Values of Flink's own options.
    pub configuration: &'static Rule,
    /// Pods that Kubernetes would refuse.
    pub pods: &'static Rule,
    /// CPU or memory of Flink's container in a pod template.
    pub container: &'static Rule,
    /// The object's name.
    pub name: &'static Rule,
    /// Both ways to name a deployment target.
    pub target: &'static Rule,
    /// Where jars may come from.
    pub jar: &'static Rule,
}

impl OwnRules {
    /// All of them.
    pub(crate) fn all(&self) -> Vec<&'static Rule> {
        vec![
            self.field,
            self.spellings,
            self.version,
            self.cpu,
            self.memory,
            self.configuration,
            self.pods,
            self.container,
            self.name,
            self.target,
            self.jar,
        ]
    }
}

/// A rule in one line each: id, code, summary, explanation, source.
macro_rules! rule {
    ($id:expr, $code:ident, $summary:expr, $explain:expr, $source:expr) => {{
        static RULE: $crate::rule::Rule = $crate::rule::Rule {
            id: $id,
            family: $crate::rule::Family::Validation,
            code: $crate::finding::Code::$code,
            summary: $summary,
            explain: $explain,
            source: $source,
        };
        &RULE
    }};
}

/// The shared rules under a kind's prefix.
macro_rules! own_rules {
    ($prefix:literal) => {
        $crate::dialect::own::rules::OwnRules {
            field: $crate::dialect::own::rules::rule!(
                concat!($prefix, "/field"),
                Invalid,
                "Every field has its type, its words and its bounds",
                "A field of the wrong type, an unknown word or a number out of bounds cannot be acted upon. Words are \
                 taken in any case. Numbers and booleans in maps of texts become texts; elsewhere write what the \
                 message asks for.",
                "semantics.md, Normalisation and Validation; decision 4"
            ),
            spellings: $crate::dialect::own::rules::rule!(
                concat!($prefix, "/two-spellings"),
                Invalid,
                "Two spellings of one field do not disagree",
                "resources.jobManager is another spelling of resources.jobmanager (and taskManager of taskmanager), and \
                 a nested map under flinkConfiguration another spelling of dotted keys. With two values nobody can tell \
                 which one is meant: keep one spelling. On an update, the one that differs from the stored object wins.",
                "decision 3"
            ),
            version: $crate::dialect::own::rules::rule!(
                concat!($prefix, "/flink-version"),
                Invalid,
                "flinkVersion is a version of Flink that is supported, in quotes where YAML would cut it",
                "YAML reads 1.20 as the number 1.2 and 1.10 as 1.1, so these must be quoted; 1.12 and 2.1 can only mean \
                 one thing and become texts. Flink 1.8 and later are supported. A cluster that shall run needs a version.",
                "decision 4; vvp-deployments.txt"
            ),
            cpu: $crate::dialect::own::rules::rule!(
                concat!($prefix, "/cpu"),
                Forbidden,
                "JobManager and TaskManagers have at least 0.1 CPU each",
                "With less than a tenth of a CPU Flink's processes miss their heartbeats and never become ready. Write \
                 a decimal (0.5, 2) or thousandths (\"500m\").",
                "semantics.md, Normalisation"
            ),
            memory: $crate::dialect::own::rules::rule!(
                concat!($prefix, "/memory"),
                Forbidden,
                "Memory suffices for what Flink's own memory model takes from it",
                "Flink divides a process's memory into metaspace, JVM overhead, framework, network, managed and heap \
                 memory before it starts, and does not start if the sum is larger. The least that suffices follows \
                 from flinkConfiguration; without options it is 577 MiB for a JobManager and 982 MiB for a TaskManager.",
                "decision 23; Flink's ProcessMemoryUtils"
            ),
            configuration: $crate::dialect::own::rules::rule!(
                concat!($prefix, "/configuration"),
                Invalid,
                "Options of Flink that Sluice reads itself have values that Flink could read",
                "Slots, memory options and the scheduler decide how many pods there are and whether they start. Flink \
                 would fail on a value that it cannot read; here it is refused with the option's key. Sluice asks Flink's \
                 REST API without TLS, so what puts it behind TLS (security.ssl.rest.enabled) is refused too.",
                "Flink's configuration reference; decision 23"
            ),
            pods: $crate::dialect::own::rules::rule!(
                concat!($prefix, "/pods"),
                Invalid,
                "Pod settings are what Kubernetes would accept",
                "Kubernetes would refuse the pods long after the object was accepted: unnamed or doubled volumes, \
                 mounts without a path, names of environment variables, quantities, pods next to pod templates.",
                "semantics.md, Pods; Kubernetes' validation of pods"
            ),
            container: $crate::dialect::own::rules::rule!(
                concat!($prefix, "/main-container"),
                Forbidden,
                "CPU and memory of Flink's own container stand in resources",
                "A pod template may add containers, whose requests are charged too. CPU and memory of \
                 flink-main-container itself, or of the pod as a whole, would walk round a quota: use spec.resources.",
                "decision 20"
            ),
            name: $crate::dialect::own::rules::rule!(
                concat!($prefix, "/name"),
                Invalid,
                "Names are DNS labels that start with a letter, of at most 45 characters",
                "Pods, services and labels are named after the object, with something appended. Lower-case letters, \
                 digits and '-', a letter first, no '-' last, at most 45 characters.",
                "decision 27; RFC 1035"
            ),
            target: $crate::dialect::own::rules::rule!(
                concat!($prefix, "/deployment-target"),
                Invalid,
                "A deployment target is named once, by name or by id",
                "deploymentTargetName and deploymentTargetId name the same thing. Keep one. A job on a session cluster \
                 runs where that cluster runs and has no target of its own.",
                "semantics.md, Kinds and Validation"
            ),
            jar: $crate::dialect::own::rules::rule!(
                concat!($prefix, "/jar"),
                Invalid,
                "Jars come from where they can be fetched",
                "A jar is a URI that can be fetched before Flink starts (http, https, s3 and the like) or, where the pods are the \
                 object's own, a path in the Flink image (/opt/flink/usrlib/a.jar, local:///opt/flink/usrlib/a.jar). A session cluster is \
                 handed the jars of its jobs, and no image is read for that: put such a jar into spec.jars of the session cluster, and \
                 name only the job's entryClass.",
                "decision 26; rest-sessions-and-session-jobs.txt"
            ),
        }
    };
}

pub(crate) use {own_rules, rule};
