//! Dialects: what policy needs to know of a kind. One implementation per kind, chosen by group and kind.
//!
//! A new dialect is one new file beside the others and one line in [`dialects`].

mod apache;
pub mod config;
pub mod deployment;
pub mod flink_application;
pub mod flink_deployment;
pub mod flink_session_job;
pub mod flink_state_snapshot;
#[allow(dead_code)] // the kinds that use the rest follow
pub(crate) mod own;
pub mod session_cluster;
pub mod session_job;

pub use apache::operator;

use crate::charge::Workload;
use crate::draft::Draft;
use crate::finding::{Cause, Findings};
use crate::immutability::parts::Part;
use crate::json;
use crate::path::{FieldPath, Step};
use crate::review::Review;
use crate::rule::Rule;
use crate::world::{Source, World};
use serde_json::Value;
use std::borrow::Cow;

/// How a kind is called, and where its replica count stands.
#[derive(Debug, PartialEq, Eq)]
pub struct KindInfo {
    /// API group, `flink.apache.org`.
    pub group: &'static str,
    /// The version that is served and watched.
    pub version: &'static str,
    /// `FlinkDeployment`.
    pub kind: &'static str,
    /// `flinkdeployments`: the resource in URLs and in reviews.
    pub plural: &'static str,
    /// `flinkdeployment`: the word in messages.
    pub singular: &'static str,
    /// Whether objects live in namespaces.
    pub scope: Scope,
    /// Where `/scale` puts its replicas, if the kind has that subresource.
    pub scale: Option<&'static [&'static str]>,
}

/// Where objects of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// Beside all namespaces.
    Cluster,
}

/// What a kind is to Sluice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Something that runs and may cost CPU.
    Workload,
    /// Something that configures Sluice; judged when it is written, never defaulted or charged.
    Configuration,
}

/// A value that follows from other fields, such as numberOfTaskManagers from parallelism and slots.
#[derive(Clone, Debug, PartialEq)]
pub struct Derived {
    /// Which field.
    pub path: FieldPath,
    /// Its value if the user says nothing.
    pub value: Value,
}

/// How two values of a field are compared: `1Gi` and `1024Mi` are the same memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafKind {
    /// As JSON.
    Exact,
    /// As JSON, and a map that is empty is something: in what Kubernetes defines, `securityContext: {}` says more than none.
    Verbatim,
    /// As CPU.
    Cpu,
    /// As Flink memory.
    Memory,
    /// By spelling: `2` and `"2"` are the same.
    Text,
}

/// Whether fewer replicas, or as many, through `/scale` can cost more than what is stored: a job that has come to its end by itself
/// costs nothing though its spec says that it runs, and with its next spec it starts again, with however few replicas. What
/// cannot cost more never leaves the API server, so that it works with every webhook dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleDown {
    /// It may, or nothing tells: always asked about. The Apache operator, say, leaves its number of TaskManagers when a job has ended.
    Judged,
    /// It cannot while the Scale's `status.replicas` is above 0.
    UnseenWhileItRuns,
    /// It never can: the kind does not end by itself.
    Unseen,
}

/// What policy needs to know of a kind. All functions are pure and must accept any JSON whatever.
pub trait Dialect: Send + Sync {
    /// Names of the kind.
    fn kind(&self) -> &'static KindInfo;

    /// What the kind is to Sluice.
    fn class(&self) -> Class {
        Class::Workload
    }

    /// The rules that only this dialect uses (and those it shares), for `sluice rules`.
    fn rules(&self) -> Vec<&'static Rule>;

    /// Objects that pass every judgement unseen, like the Apache operator's canaries.
    fn is_exempt(&self, _object: &Value) -> bool {
        false
    }

    /// Brings spellings into the canonical form. `old` is the stored object on an update. Must be idempotent. What
    /// cannot be brought into form is left as it is and refused by [`Dialect::validate`]; only what would be lost by
    /// a change (two spellings with different values) is refused here.
    fn normalise(&self, _draft: &mut Draft<'_>, _old: Option<&Value>, _findings: &mut Findings) {}

    /// Under which key of a `DeploymentDefaults` and an `Environment` this kind's settings stand; `None`: this kind
    /// is never defaulted.
    fn section(&self) -> Option<&'static str> {
        None
    }

    /// Whether this very object may be defaulted; an object that another controller writes again and again may not.
    fn takes_defaults(&self, _object: &Value) -> bool {
        true
    }

    /// The kind's part of the spec of a `DeploymentDefaults` or `Environment`; shaped like this kind's own spec.
    fn section_of<'s>(&self, settings: &'s Value) -> Option<Cow<'s, Value>> {
        settings.get(self.section()?).map(Cow::Borrowed)
    }

    /// Judges a part of this kind's spec that stands in a `DeploymentDefaults` or an `Environment` at `at`. What such a part
    /// lacks may come from elsewhere; what stands in it must be right. `stored`: what stood there before, on an update. Sluice's own
    /// kinds are judged by their tables ([`config`]), so this is for other people's.
    fn validate_section(
        &self,
        _settings: &Value,
        _stored: Option<&Value>,
        _at: &FieldPath,
        _findings: &mut Findings,
    ) {
    }

    /// Built-in defaults: a tree shaped like the object. May depend on the object (after normalisation).
    fn built_in(&self, _object: &Value) -> Value {
        Value::Null
    }

    /// Defaults that follow from other fields, computed after all others were filled in.
    fn derived(&self, _object: &Value) -> Vec<Derived> {
        Vec::new()
    }

    /// Judges the object by itself and its references; on an update also what upstream refuses of a change.
    fn validate(&self, review: &Review<'_>, world: &dyn World, findings: &mut Findings);

    /// Fields that may change although the stored object is running and frozen; `None`: nothing is frozen now.
    fn frozen(&self, _old: &Value) -> Option<Frozen> {
        None
    }

    /// Groups of fields of which an object may have only one: where the user gave one, no default gives another.
    fn exclusive(&self) -> Vec<Vec<FieldPath>> {
        Vec::new()
    }

    /// A map whose keys may be nested or dotted and mean the same, where normalisation leaves them as they are written.
    fn spelled(&self) -> Option<FieldPath> {
        None
    }

    /// A map that makes the object something else by being there: where the user has none, nothing is filled into it.
    fn optional(&self) -> Option<FieldPath> {
        None
    }

    /// Fields of the stored object that upstream lets nobody change now: as long as the user leaves them alone, so do Environments, or
    /// no other change could be made.
    fn held(&self, _old: &Value) -> Vec<FieldPath> {
        Vec::new()
    }

    /// The fields by which people start, stop and scale. A change of nothing else that lowers the charge is always
    /// let go, however wrong the rest of the stored object may be.
    fn levers(&self) -> Vec<FieldPath> {
        Vec::new()
    }

    /// Whether the object is asked to stand still, by a lever: what can be told even where its charge cannot be read.
    fn stops(&self, _object: &Value) -> bool {
        false
    }

    /// Which requests for fewer replicas through `/scale`, or as many, are never asked about.
    fn scale_down(&self) -> ScaleDown {
        ScaleDown::Judged
    }

    /// The object in the form in which changes are sought, where that is not its own (flattened configuration).
    fn comparable<'o>(&self, object: &'o Value) -> Cow<'o, Value> {
        Cow::Borrowed(object)
    }

    /// How values of a field compare when changes are sought.
    fn leaf_kind(&self, _path: &FieldPath) -> LeafKind {
        LeafKind::Exact
    }

    /// The fields of the spec and how each is compared, for kinds that are ever frozen: what [`Dialect::comparable`] and
    /// [`Dialect::leaf_kind`] do, and what normalisation evens out, as data.
    fn parts(&self) -> Vec<Part> {
        Vec::new()
    }

    /// Warnings about an admitted change: jobs that end, applications that restart. Issued by the mutating call.
    fn notices(&self, _review: &Review<'_>, _world: &dyn World, _findings: &mut Findings) {}

    /// The workload that the object is. An error names the field that cannot be read.
    fn workload(&self, object: &Value, world: &dyn World) -> Result<Workload, Vec<Cause>>;

    /// A stored workload that cannot be read, as far as its status tells: what runs may run on. `None`: nothing is told, so it
    /// costs nothing.
    fn unread(&self, _object: &Value, _world: &dyn World) -> Option<Workload> {
        None
    }

    /// What [`Dialect::validate`] and [`Dialect::workload`] look at beside the object. Whoever does not know that yet admits nothing of
    /// this kind but what only lowers.
    fn sources(&self) -> &'static [Source] {
        &[]
    }

    /// The part of a stored object that other objects' judgement looks up; keeps caches small. `None`: never looked up.
    fn facts(&self, _object: &Value) -> Option<Value> {
        None
    }
}

/// Why an object is frozen and what may still change.
#[derive(Clone, Debug, PartialEq)]
pub struct Frozen {
    /// The rule that freezes it.
    pub rule: &'static Rule,
    /// First sentence after the subject: `is RUNNING: only spec.state and spec.numberOfTaskManagers may change.`
    pub why: String,
    /// Last sentence, the way out.
    pub way_out: String,
    /// Paths that may change, with all that lies below them.
    pub may_change: Vec<FieldPath>,
    /// Prefixes of keys of a map that may change: `(spec.flinkConfiguration, "job.autoscaler")`.
    pub may_change_keys: Vec<(FieldPath, &'static str)>,
    /// Whether this very object lets the change through, with this warning (`sluice.dev/allow-recreate`).
    pub override_annotation: Option<(&'static str, &'static str)>,
}

impl Frozen {
    /// Whether a field may change all the same.
    pub fn lets(&self, path: &FieldPath) -> bool {
        self.may_change.iter().any(|free| path.is_within(free))
            || self.may_change_keys.iter().any(|(map, prefix)| {
                path.is_within(map)
                    && matches!(path.steps().get(map.steps().len()), Some(Step::Key(key)) if key.starts_with(prefix))
            })
    }

    /// Whether the object says that it shall be changed all the same.
    pub fn is_overridden(&self, object: &Value) -> bool {
        self.override_annotation.is_some_and(|(annotation, _)| {
            json::text(object, &["metadata", "annotations", annotation]) == Some("true")
        })
    }
}

/// All dialects.
pub fn dialects() -> &'static [&'static dyn Dialect] {
    &[
        &session_cluster::SessionCluster,
        &deployment::Deployment,
        &session_job::SessionJob,
        &config::deployment_target::DeploymentTarget,
        &config::defaults::Defaults(Scope::Namespaced),
        &config::defaults::Defaults(Scope::Cluster),
        &config::environment::Environment,
        &config::quota::Quota(Scope::Namespaced),
        &config::quota::Quota(Scope::Cluster),
        &flink_deployment::FlinkDeployment,
        &flink_session_job::FlinkSessionJob,
        &flink_state_snapshot::FlinkStateSnapshot,
        &flink_application::CmfApplication,
        &flink_application::PlatformApplication,
    ]
}

/// The dialect of a kind, by group and kind.
pub fn dialect_for(group: &str, kind: &str) -> Option<&'static dyn Dialect> {
    dialects()
        .iter()
        .copied()
        .find(|dialect| dialect.kind().group == group && dialect.kind().kind == kind)
}

/// The dialect of a resource, by group and plural; for reviews of subresources, whose kind is not the parent's.
pub fn dialect_for_resource(group: &str, plural: &str) -> Option<&'static dyn Dialect> {
    dialects()
        .iter()
        .copied()
        .find(|dialect| dialect.kind().group == group && dialect.kind().plural == plural)
}
