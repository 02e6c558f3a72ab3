//! What is on its way out, and what keeps it.

use std::time::Duration;

use jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::Value;

/// How long after its own grace something may still stand before it is told: a node and the API server take their time.
const PATIENCE: Duration = Duration::from_secs(30);

/// An object that is being deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Going {
    /// When its grace ends; a pod's is its `terminationGracePeriodSeconds`.
    due: Timestamp,
    /// What is to be done before it may go.
    finalizers: Box<[Box<str>]>,
    /// The node that a pod is on.
    node: Option<Box<str>>,
}

impl Going {
    /// Reads a stored object; `None` if it stays.
    pub fn read(object: &DynamicObject) -> Option<Self> {
        let metadata = &object.metadata;
        let due = metadata.deletion_timestamp.as_ref()?.0;
        // The garbage collector takes these off by itself, once what the object owns has gone.
        let finalizers = metadata.finalizers.iter().flatten();
        let finalizers =
            finalizers.filter(|name| !matches!(name.as_str(), "foregroundDeletion" | "orphan"));
        let node = object.data.pointer("/spec/nodeName");
        Some(Self {
            due,
            finalizers: finalizers.map(|name| name.as_str().into()).collect(),
            node: node.and_then(Value::as_str).map(Into::into),
        })
    }

    /// When its grace ends, or ended.
    pub const fn due(&self) -> Timestamp {
        self.due
    }

    /// Until it is late; zero once it is.
    pub fn late_in(&self, now: Timestamp) -> Duration {
        let left = self.due.duration_since(now);
        (left + PATIENCE.try_into().unwrap_or_default())
            .try_into()
            .unwrap_or_default()
    }

    /// One of a pod on a node.
    #[cfg(test)]
    pub fn from_node(node: &str, due: Timestamp) -> Self {
        Self {
            due,
            finalizers: Box::default(),
            node: Some(node.into()),
        }
    }

    /// What keeps it, in a clause, and the way out.
    pub fn kept_by(&self) -> String {
        if !self.finalizers.is_empty() {
            return format!(
                "has the finalizer{} {}, which whoever has set it takes off",
                if self.finalizers.len() == 1 { "" } else { "s" },
                self.finalizers.join(", ")
            );
        }
        match &self.node {
            Some(node) => format!(
                "node {node} has not said that its processes have ended; if the node is lost for good, \"kubectl delete node {node}\" lets go of \
                 its pods"
            ),
            None => "what it owns has to go first".to_owned(),
        }
    }
}
