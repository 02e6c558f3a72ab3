//! What is kept of a made object: enough to decide, a few hundred bytes each.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::Value;
use sluice_api::names::{annotations, labels};

use super::going::Going;
use crate::objects::{MadeKind, Role};

/// What is known of one made object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its kind.
    pub kind: MadeKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The role that it is part of, if of one.
    pub role: Option<Role>,
    /// Name of the Job object of the run that it is part of, if of one.
    pub job: Option<Box<str>>,
    /// Hash of what it was made from.
    pub input: Option<Box<str>>,
    /// Hash of the object as it was made.
    pub built: Option<Box<str>>,
    /// Of everything that users could alter, as it is stored now. Comparable within this process only.
    pub digest: u64,
    /// What is known of it while it is being deleted.
    pub going: Option<Box<Going>>,
    /// What the kind has to say.
    pub detail: Detail,
}

/// What a kind has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    Plain,
    /// A Service's address.
    Service {
        /// `None` until it has one.
        cluster_ip: Option<Box<str>>,
    },
    /// A Deployment.
    Workload(Workload),
    /// A Job.
    Batch(Batch),
    /// A pod.
    Pod(Pod),
}

/// A Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// Pods asked for.
    pub replicas: u32,
    /// Pods that it has; only while `observed`.
    pub existing: u32,
    /// Pods of the newest template among them.
    pub updated: u32,
    /// Whether its controller has seen what is asked for now.
    pub observed: bool,
    /// Whether it makes nothing new, and only looks after what it has.
    pub paused: bool,
    /// Why pods cannot be made.
    pub failure: Option<Box<str>>,
}

/// A Job: something that runs once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Batch {
    /// It has not ended.
    #[default]
    Runs,
    /// It ended well.
    Complete,
    /// Its pod failed, or is gone.
    Failed,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Ready, as its probe says.
    pub ready: bool,
    /// Whether it has ended for good: evicted, shut down with its node, or refused by it. Only its record stands, until somebody
    /// removes that; it runs nothing and holds no CPU, and its Deployment has made another.
    pub ended: bool,
    /// What keeps it from running.
    pub trouble: Option<Trouble>,
    /// Times that Flink's container was started again.
    pub restarts: u32,
    /// What a container said last that ended with an error and is not started again.
    pub last_words: Option<Box<str>>,
}

/// What keeps a pod from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What sort of trouble.
    pub kind: TroubleKind,
    /// In a sentence.
    pub message: Box<str>,
}

/// Sorts of trouble, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TroubleKind {
    /// Its image cannot be pulled.
    Image,
    /// A container cannot be made, or keeps ending.
    Container,
    /// No node takes it.
    Unschedulable,
}

/// Longest text taken over from the cluster, in characters.
const LONGEST: usize = 400;
/// Reasons of a waiting container that mean an image.
const IMAGE_REASONS: [&str; 6] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
];
/// Reasons of a waiting container that mean the container.
const CONTAINER_REASONS: [&str; 7] = [
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CrashLoopBackOff",
    "PreCreateHookError",
    "PostStartHookError",
    "StartError",
];

impl Made {
    /// Reads a stored object; `None` if it is not marked as made by Sluice.
    pub fn read(kind: MadeKind, object: &DynamicObject) -> Option<(Mark, Self)> {
        let metadata = &object.metadata;
        let label = |key: &str| {
            let labels = metadata.labels.as_ref()?;
            labels.get(key).filter(|text| !text.is_empty()).cloned()
        };
        let annotation = |key: &str| {
            let annotations = metadata.annotations.as_ref()?;
            annotations.get(key).map(|text| text.as_str().into())
        };
        let mark = Mark {
            owner_kind: label(labels::OWNER_KIND)?,
            owner_namespace: label(labels::OWNER_NAMESPACE)?,
            owner_name: label(labels::OWNER_NAME)?,
            owner_uid: label(labels::OWNER_UID)?,
        };
        let made = Self {
            kind,
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            role: label(labels::COMPONENT).and_then(|word| Role::of_word(&word)),
            job: label(labels::JOB).map(Into::into),
            input: annotation(annotations::INPUT),
            built: annotation(annotations::BUILT),
            digest: if kind == MadeKind::Pod {
                0
            } else {
                digest(object)
            },
            going: Going::read(object).map(Box::new),
            detail: detail(kind, object),
        };
        Some((mark, made))
    }

    /// Whether it is being deleted.
    pub const fn is_going(&self) -> bool {
        self.going.is_some()
    }

    /// How long until it should have gone long ago, while it is being deleted; zero once it should have.
    pub fn late_in(&self, now: Timestamp) -> Option<Duration> {
        self.going.as_ref().map(|going| going.late_in(now))
    }

    /// Whether it is being deleted and should have gone long ago: what runs of it may be lost with its node.
    pub fn is_late(&self, now: Timestamp) -> bool {
        self.late_in(now).is_some_and(|left| left.is_zero())
    }

    /// The Deployment that it is.
    pub fn workload(&self) -> Option<&Workload> {
        match &self.detail {
            Detail::Workload(workload) => Some(workload),
            _ => None,
        }
    }

    /// The Job that it is.
    pub const fn batch(&self) -> Option<Batch> {
        match self.detail {
            Detail::Batch(batch) => Some(batch),
            _ => None,
        }
    }

    /// The pod that it is.
    pub fn pod(&self) -> Option<&Pod> {
        match &self.detail {
            Detail::Pod(pod) => Some(pod),
            _ => None,
        }
    }

    /// The pod that it is, unless that has ended.
    pub fn living_pod(&self) -> Option<&Pod> {
        self.pod().filter(|pod| !pod.ended)
    }
}

/// For whom an object was made, as its labels say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    /// Kind in lower case.
    pub owner_kind: String,
    /// Namespace.
    pub owner_namespace: String,
    /// Name.
    pub owner_name: String,
    /// Uid.
    pub owner_uid: String,
}

/// Of all that somebody could alter, but for the number of replicas, which is compared by itself.
pub fn digest(object: &DynamicObject) -> u64 {
    let mut hasher = DefaultHasher::new();
    object.metadata.labels.hash(&mut hasher);
    for (key, value) in object.metadata.annotations.iter().flatten() {
        if key == annotations::INPUT || key == annotations::BUILT {
            (key, value).hash(&mut hasher);
        }
    }
    for owner in object.metadata.owner_references.iter().flatten() {
        owner.uid.hash(&mut hasher);
    }
    for (key, value) in object.data.as_object().into_iter().flatten() {
        if key != "status" {
            key.hash(&mut hasher);
            feed(value, key == "spec", &mut hasher);
        }
    }
    hasher.finish()
}

fn feed(value: &Value, is_spec: bool, hasher: &mut DefaultHasher) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if !(is_spec && key == "replicas") {
                    key.hash(hasher);
                    feed(value, false, hasher);
                }
            }
            0xff_u8.hash(hasher);
        }
        Value::Array(items) => {
            for item in items {
                feed(item, false, hasher);
            }
            0xfe_u8.hash(hasher);
        }
        Value::String(text) => text.hash(hasher),
        Value::Number(number) => number.to_string().hash(hasher),
        Value::Bool(flag) => flag.hash(hasher),
        Value::Null => 0xfd_u8.hash(hasher),
    }
}

fn detail(kind: MadeKind, object: &DynamicObject) -> Detail {
    let data = &object.data;
    match kind {
        MadeKind::Service => Detail::Service {
            cluster_ip: text(data, "/spec/clusterIP")
                .filter(|ip| !ip.is_empty() && *ip != "None")
                .map(Into::into),
        },
        MadeKind::Deployment => Detail::Workload(Workload {
            replicas: count(data, "/spec/replicas").unwrap_or(1),
            existing: count(data, "/status/replicas").unwrap_or(0),
            updated: count(data, "/status/updatedReplicas").unwrap_or(0),
            observed: object.metadata.generation.is_some()
                && data
                    .pointer("/status/observedGeneration")
                    .and_then(Value::as_i64)
                    == object.metadata.generation,
            paused: data.pointer("/spec/paused") == Some(&Value::Bool(true)),
            failure: condition(data, "ReplicaFailure")
                .filter(|condition| text(condition, "/status") == Some("True"))
                .and_then(|condition| text(condition, "/message"))
                .map(short),
        }),
        MadeKind::Job => Detail::Batch(batch(data)),
        MadeKind::Pod => Detail::Pod(pod(data)),
        _ => Detail::Plain,
    }
}

fn batch(data: &Value) -> Batch {
    let is =
        |kind| condition(data, kind).is_some_and(|found| text(found, "/status") == Some("True"));
    // `FailureTarget` comes before the pods are gone; nothing is started any more from then on.
    if is("Failed") || is("FailureTarget") {
        Batch::Failed
    } else if is("Complete") {
        Batch::Complete
    } else {
        Batch::Runs
    }
}

/// What a container that failed for good has said: its termination message, or how it ended.
fn last_words(status: &Value) -> Option<Box<str>> {
    let ended = status.pointer("/state/terminated")?;
    let code = ended.get("exitCode").and_then(Value::as_i64)?;
    if code == 0 {
        return None;
    }
    let said = text(ended, "/message").unwrap_or_default().trim();
    let reason = text(ended, "/reason").unwrap_or("Error");
    let name = text(status, "/name").unwrap_or_default();
    let mut words = format!("container {name} ended with exit code {code} ({reason})");
    if !said.is_empty() {
        // The end says why; what comes before is how it got there.
        let from = said.char_indices().rev().nth(1500).map_or(0, |(at, _)| at);
        words.push_str(": ");
        words.push_str(said.get(from..).unwrap_or_default());
    }
    Some(words.into())
}

fn pod(data: &Value) -> Pod {
    let statuses = ["initContainerStatuses", "containerStatuses"]
        .iter()
        .filter_map(|key| data.pointer("/status")?.get(key)?.as_array())
        .flatten();
    let mut trouble: Option<Trouble> = None;
    let mut restarts = 0;
    let mut said = None;
    for status in statuses {
        said = said.or_else(|| last_words(status));
        restarts += count(status, "/restartCount").unwrap_or(0);
        if let Some(found) = container_trouble(status)
            && trouble.as_ref().is_none_or(|known| found.kind < known.kind)
        {
            trouble = Some(found);
        }
    }
    let unscheduled = condition(data, "PodScheduled").filter(|condition| {
        text(condition, "/status") == Some("False")
            && text(condition, "/reason") == Some("Unschedulable")
    });
    let trouble = trouble.or_else(|| {
        unscheduled.map(|condition| Trouble {
            kind: TroubleKind::Unschedulable,
            message: short(text(condition, "/message").unwrap_or("no node takes it")),
        })
    });
    let ended = matches!(text(data, "/status/phase"), Some("Failed" | "Succeeded"));
    Pod {
        // What its conditions said last of a pod that has ended need not have been taken back.
        ready: !ended
            && condition(data, "Ready")
                .is_some_and(|condition| text(condition, "/status") == Some("True")),
        ended,
        trouble: trouble.filter(|_| !ended),
        restarts,
        last_words: said,
    }
}

fn container_trouble(status: &Value) -> Option<Trouble> {
    let reason = text(status, "/state/waiting/reason")?;
    let message = text(status, "/state/waiting/message").unwrap_or_default();
    let image = text(status, "/image").unwrap_or_default();
    let container = text(status, "/name").unwrap_or_default();
    if IMAGE_REASONS.contains(&reason) {
        // Kubernetes takes turns between the fault and its own waiting; what is told must not.
        let cause = message
            .split_once(": ErrImagePull: ")
            .map_or(message, |(_, cause)| cause);
        return Some(Trouble {
            kind: TroubleKind::Image,
            message: short(&format!(
                "image {image} cannot be pulled: {}",
                without_local_addresses(cause)
            )),
        });
    }
    if !CONTAINER_REASONS.contains(&reason) {
        return None;
    }
    let ended = count(status, "/lastState/terminated/exitCode");
    let message = match ended {
        Some(code) => {
            let why = text(status, "/lastState/terminated/reason").unwrap_or("Error");
            format!("container {container} ended with exit code {code} ({why}); see its log")
        }
        None => format!("container {container} cannot be started ({reason}): {message}"),
    };
    Some(Trouble {
        kind: TroubleKind::Container,
        message: short(&message),
    })
}

/// Go tells of a failed exchange from where it came, `read udp 10.1.0.7:46712->10.1.0.1:53: i/o timeout`, and that port is another at each
/// try: the status would be written at each, to say the same.
fn without_local_addresses(cause: &str) -> String {
    let words = cause.split(' ').map(|word| match word.split_once("->") {
        Some((from, to)) if from.parse::<SocketAddr>().is_ok() => to,
        _ => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

fn condition<'v>(data: &'v Value, kind: &str) -> Option<&'v Value> {
    let conditions = data.pointer("/status/conditions")?.as_array()?;
    conditions
        .iter()
        .find(|condition| text(condition, "/type") == Some(kind))
}

fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer)?.as_str()
}

fn count(value: &Value, pointer: &str) -> Option<u32> {
    u32::try_from(value.pointer(pointer)?.as_u64()?).ok()
}

fn short(text: &str) -> Box<str> {
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(kind: MadeKind, object: Value) -> Made {
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        Made::read(kind, &object).unwrap().1
    }

    #[allow(clippy::needless_pass_by_value)] // `json!` at the call reads best by value
    fn stored(spec: Value, status: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a", "namespace": "n", "uid": "u", "generation": 2,
            "labels": {"sluice.dev/owner-kind": "sessioncluster", "sluice.dev/owner-namespace": "n",
                "sluice.dev/owner-name": "c", "sluice.dev/owner-uid": "o", "sluice.dev/component": "taskmanager"}},
            "spec": spec, "status": status})
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_told_alike_in_both_of_kubernetes_moods() {
        let waiting = |reason: &str, message: &str| {
            let made = read(
                MadeKind::Pod,
                stored(
                    json!({}),
                    json!({"containerStatuses": [{"name": "flink-main-container", "image": "x:1",
                        "state": {"waiting": {"reason": reason, "message": message}}}]}),
                ),
            );
            made.pod().unwrap().trouble.clone().unwrap()
        };
        let fault = waiting("ErrImagePull", "not found");
        assert_eq!(fault.kind, TroubleKind::Image);
        assert_eq!(&*fault.message, "image x:1 cannot be pulled: not found");
        let waits = "Back-off pulling image \"x:1\": ErrImagePull: not found";
        assert_eq!(waiting("ImagePullBackOff", waits), fault);
    }

    #[test]
    fn a_cause_is_told_alike_at_each_try_whatever_port_it_came_from() {
        let cause = |from: &str| {
            without_local_addresses(&format!(
                "lookup r.example on 10.1.0.1:53: read udp {from}->10.1.0.1:53: i/o timeout"
            ))
        };
        assert_eq!(
            cause("10.1.0.7:46712"),
            "lookup r.example on 10.1.0.1:53: read udp 10.1.0.1:53: i/o timeout"
        );
        assert_eq!(cause("[fd00::7]:9"), cause("10.1.0.7:46712"));
        assert_eq!(without_local_addresses("a->b, and  c"), "a->b, and  c");
    }

    #[test]
    fn a_container_that_keeps_ending_says_with_what() {
        let made = read(
            MadeKind::Pod,
            stored(
                json!({}),
                json!({"conditions": [{"type": "Ready", "status": "False"}],
                    "containerStatuses": [{"name": "flink-main-container", "restartCount": 3,
                        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                        "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}),
            ),
        );
        let pod = made.pod().unwrap();
        assert_eq!((pod.ready, pod.restarts), (false, 3));
        assert_eq!(
            &*pod.trouble.as_ref().unwrap().message,
            "container flink-main-container ended with exit code 1 (Error); see its log"
        );
    }

    #[test]
    fn a_pod_that_has_ended_is_neither_ready_nor_in_trouble() {
        let read = |phase: &str| {
            let status = json!({"phase": phase, "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "flink-main-container", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]});
            let made = read(MadeKind::Pod, stored(json!({}), status));
            let pod = made.pod().unwrap();
            (pod.ended, pod.ready, pod.trouble.is_some())
        };
        for phase in ["Failed", "Succeeded"] {
            assert_eq!(read(phase), (true, false, false), "{phase}");
        }
        for phase in ["Pending", "Running", "Unknown"] {
            assert_eq!(read(phase), (false, true, true), "{phase}");
        }
    }

    #[test]
    fn replicas_are_no_part_of_the_digest_and_everything_else_is() {
        let digest =
            |spec: Value| read(MadeKind::Deployment, stored(spec, json!({"replicas": 7}))).digest;
        let one = digest(json!({"replicas": 1, "template": {"replicas": 1}}));
        assert_eq!(
            one,
            digest(json!({"replicas": 2, "template": {"replicas": 1}}))
        );
        assert_ne!(
            one,
            digest(json!({"replicas": 1, "template": {"replicas": 2}}))
        );
    }

    #[test]
    fn what_a_deployment_has_counts_only_once_its_controller_has_seen_it() {
        let of = |observed: i64| {
            let status = json!({"observedGeneration": observed, "replicas": 3, "updatedReplicas": 2,
                "conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]});
            read(MadeKind::Deployment, stored(json!({"replicas": 5}), status))
        };
        assert_eq!(
            of(2).workload(),
            Some(&Workload {
                replicas: 5,
                existing: 3,
                updated: 2,
                observed: true,
                paused: false,
                failure: Some("exceeded quota".into())
            })
        );
        assert!(!of(1).workload().unwrap().observed);
    }
}
