//! Before an installation: whether the cluster is new enough, and whether whoever asks may install.

use super::{Found, Place};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::{Api, PostParams};

/// The oldest Kubernetes that we promise, as the chart's kubeVersion has it.
const OLDEST: (u32, u32) = (1, 33);

/// What an installation creates: group, resource, and whether it lies in Sluice's namespace.
const MADE: [(&str, &str, bool); 9] = [
    ("", "namespaces", false),
    ("apiextensions.k8s.io", "customresourcedefinitions", false),
    ("rbac.authorization.k8s.io", "clusterroles", false),
    ("rbac.authorization.k8s.io", "clusterrolebindings", false),
    (
        "admissionregistration.k8s.io",
        "validatingwebhookconfigurations",
        false,
    ),
    (
        "admissionregistration.k8s.io",
        "mutatingwebhookconfigurations",
        false,
    ),
    (
        "admissionregistration.k8s.io",
        "validatingadmissionpolicies",
        false,
    ),
    ("apps", "deployments", true),
    ("", "services", true),
];

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

async fn rights(place: &Place<'_>) -> Found {
    let api: Api<SelfSubjectAccessReview> = Api::all(place.live.client.clone());
    let mut missing = Vec::new();
    for (group, resource, namespaced) in MADE {
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    group: Some(group.to_owned()),
                    resource: Some(resource.to_owned()),
                    verb: Some("create".to_owned()),
                    namespace: namespaced.then(|| place.namespace.to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        match api.create(&PostParams::default(), &review).await {
            Err(error) => return Found::unread("asking for your rights", &error),
            Ok(answer) if answer.status.as_ref().is_some_and(|status| status.allowed) => {}
            Ok(_) => missing.push(resource),
        }
    }
    if missing.is_empty() {
        Found::Well("you may create what an installation needs".to_owned())
    } else {
        Found::wrong(
            format!("you may not create {}", missing.join(", ")),
            "ask for the ClusterRole cluster-admin, or let somebody install who has it",
        )
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
