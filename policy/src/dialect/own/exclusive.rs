//! Fields of which an object may have only one, so that no default gives another.

use crate::path::FieldPath;

/// Groups of an own workload: target by name or by id (below `spec`), pods or pod templates (below `cluster`).
pub(crate) fn groups(spec: &FieldPath, cluster: &FieldPath) -> Vec<Vec<FieldPath>> {
    let kubernetes = cluster.key("kubernetes");
    let pods = kubernetes.key("pods");
    vec![
        vec![
            spec.key("deploymentTargetName"),
            spec.key("deploymentTargetId"),
        ],
        vec![pods.clone(), kubernetes.key("jobManagerPodTemplate")],
        vec![pods, kubernetes.key("taskManagerPodTemplate")],
    ]
}
