//! Before an installation: whether the cluster is new enough, and whether whoever asks may install.

use super::{Found, Place};
use crate::exit::Failure;
use crate::manifests::IMAGE;
use crate::manifests::installation::{self, Choices};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::{Api, ApiResource, GroupVersionKind, PostParams};
use serde_json::Value;

/// The oldest Kubernetes that we promise, as the chart's kubeVersion has it.
const OLDEST: (u32, u32) = (1, 33);

/// A kind of which an installation creates objects.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Made {
    group: String,
    resource: String,
    /// In which namespace; `None` for kinds that live beside all namespaces.
    namespace: Option<String>,
}

/// All of it.
pub(super) async fn all(place: &Place<'_>) -> Vec<(String, Found)> {
    vec![
        ("version".to_owned(), version(place)),
        ("rights".to_owned(), rights(place).await),
        ("name".to_owned(), name(place).await),
    ]
}

/// Whether the API server is new enough.
pub(super) fn version(place: &Place<'_>) -> Found {
    let (major, minor) = place.live.version;
    let words = format!("Kubernetes {major}.{minor}");
    if (major, minor) >= OLDEST {
        Found::Well(words)
    } else {
        Found::wrong(
            format!(
                "{words} is older than {}.{}, the oldest that this version of Sluice is made for",
                OLDEST.0, OLDEST.1
            ),
            "upgrade the cluster, or install an older Sluice",
        )
    }
}

/// What an installation creates, in the order in which `sluice manifests` prints it. helm creates the same, and keeps its own record in a
/// Secret beside it.
fn made(namespace: &str) -> Result<Vec<Made>, Failure> {
    let installed = installation::read(&Choices {
        image: IMAGE,
        namespace,
        replicas: 1,
        operator: None,
    })?;
    let mut all = Vec::new();
    for object in [installed.workload, installed.crds, installed.registration].concat() {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let (group, version) = text("/apiVersion")
            .and_then(|api_version| api_version.split_once('/'))
            .unwrap_or_default();
        let kind = GroupVersionKind::gvk(group, version, text("/kind").unwrap_or_default());
        let made = Made {
            group: group.to_owned(),
            // Kubernetes' own kinds have no plurals that cannot be guessed.
            resource: ApiResource::from_gvk(&kind).plural,
            namespace: text("/metadata/namespace").map(str::to_owned),
        };
        if !all.contains(&made) {
            all.push(made);
        }
    }
    Ok(all)
}

async fn rights(place: &Place<'_>) -> Found {
    let api: Api<SelfSubjectAccessReview> = Api::all(place.live.client.clone());
    let wanted = match made(place.namespace) {
        Ok(wanted) => wanted,
        Err(failure) => return Found::Unseen(failure.to_string()),
    };
    let mut missing = Vec::new();
    for made in wanted {
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    group: Some(made.group.clone()),
                    resource: Some(made.resource.clone()),
                    verb: Some("create".to_owned()),
                    namespace: made.namespace.clone(),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        match api.create(&PostParams::default(), &review).await {
            Err(error) => return Found::unread("asking for your rights", &error),
            Ok(answer) if answer.status.as_ref().is_some_and(|status| status.allowed) => {}
            Ok(_) => missing.push(made),
        }
    }
    if missing.is_empty() {
        Found::Well("you may create what an installation needs".to_owned())
    } else {
        Found::wrong(
            format!("you may not create {}", listed(&missing, place.namespace)),
            "ask for the ClusterRole cluster-admin, or let somebody install who has it",
        )
    }
}

/// First what lies beside all namespaces, then what lies in Sluice's own.
fn listed(missing: &[Made], namespace: &str) -> String {
    let (own, wide): (Vec<&Made>, Vec<&Made>) =
        missing.iter().partition(|made| made.namespace.is_some());
    let names = |of: &[&Made]| {
        let names: Vec<&str> = of.iter().map(|made| made.resource.as_str()).collect();
        names.join(", ")
    };
    match (wide.is_empty(), own.is_empty()) {
        (_, true) => names(&wide),
        (true, false) => format!("{} in namespace {namespace}", names(&own)),
        (false, false) => format!(
            "{}; nor, in namespace {namespace}, {}",
            names(&wide),
            names(&own)
        ),
    }
}

/// There is one installation a cluster: what it registers has fixed names.
async fn name(place: &Place<'_>) -> Found {
    for registration in crate::emergency::BOTH {
        match registration.read(place.live).await {
            Ok(None) => {}
            Ok(Some(_)) => {
                return Found::Well(format!(
                    "{registration} is there already: this would be an upgrade"
                ));
            }
            Err(failure) => return Found::Unseen(failure.to_string()),
        }
    }
    Found::Well("no Sluice is installed yet".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_installed_is_asked_for() {
        let made = made("flink-gate").unwrap();
        for (group, resource, namespace) in [
            ("", "namespaces", None),
            ("", "serviceaccounts", Some("flink-gate")),
            ("", "secrets", Some("flink-gate")),
            ("", "services", Some("flink-gate")),
            ("apps", "deployments", Some("flink-gate")),
            ("policy", "poddisruptionbudgets", Some("flink-gate")),
            ("coordination.k8s.io", "leases", Some("flink-gate")),
            ("rbac.authorization.k8s.io", "roles", Some("flink-gate")),
            (
                "rbac.authorization.k8s.io",
                "rolebindings",
                Some("flink-gate"),
            ),
            ("rbac.authorization.k8s.io", "clusterroles", None),
            ("rbac.authorization.k8s.io", "clusterrolebindings", None),
            ("apiextensions.k8s.io", "customresourcedefinitions", None),
            (
                "admissionregistration.k8s.io",
                "validatingwebhookconfigurations",
                None,
            ),
            (
                "admissionregistration.k8s.io",
                "mutatingwebhookconfigurations",
                None,
            ),
            (
                "admissionregistration.k8s.io",
                "validatingadmissionpolicies",
                None,
            ),
            (
                "admissionregistration.k8s.io",
                "validatingadmissionpolicybindings",
                None,
            ),
            ("flowcontrol.apiserver.k8s.io", "flowschemas", None),
            (
                "flowcontrol.apiserver.k8s.io",
                "prioritylevelconfigurations",
                None,
            ),
        ] {
            let wanted = Made {
                group: group.to_owned(),
                resource: resource.to_owned(),
                namespace: namespace.map(str::to_owned),
            };
            assert!(made.contains(&wanted), "{wanted:?} is not in {made:?}");
        }
    }

    #[test]
    fn what_is_missing_is_told_with_its_place() {
        let made = made("flink-gate").unwrap();
        let of = |resource: &str| {
            let found = made.iter().find(|made| made.resource == resource);
            found.cloned().unwrap()
        };
        let (roles, leases) = (of("clusterroles"), of("leases"));
        assert_eq!(
            listed(&[leases.clone(), roles.clone()], "flink-gate"),
            "clusterroles; nor, in namespace flink-gate, leases"
        );
        assert_eq!(listed(&[roles], "flink-gate"), "clusterroles");
        assert_eq!(
            listed(&[leases], "flink-gate"),
            "leases in namespace flink-gate"
        );
    }
}
