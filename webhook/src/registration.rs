//! What is registered with the API server, as pure functions: the two webhook configurations, and the policy that
//! guards the namespaces' labels. Whoever installs Sluice (the chart, `sluice up`) applies the objects; the webhook
//! itself writes nothing but their `caBundle`.
//!
//! * [`conditions`]: which requests never leave the API server.
//! * [`guard`]: the ValidatingAdmissionPolicy on namespaces.

pub mod conditions;
pub mod guard;

use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations,
    ServiceReference, ValidatingWebhook, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector, LabelSelectorRequirement, ObjectMeta,
};
use sluice_policy::KindInfo;
use sluice_policy::dialect::dialects;
use std::collections::BTreeMap;

/// Name of both configurations.
pub const NAME: &str = "sluice";

/// Name of the entry in the mutating configuration.
pub const MUTATING: &str = "mutate.sluice.dev";

/// Name of the entry in the validating configuration.
pub const VALIDATING: &str = "validate.sluice.dev";

/// How the API server reaches the webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// By a URL without a path, `https://127.0.0.1:9443` (`sluice up`).
    Url(String),
    /// By a Service.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its port.
        port: u16,
    },
}

impl Address {
    fn client_config(&self, path: &str) -> WebhookClientConfig {
        match self {
            Address::Url(base) => WebhookClientConfig {
                url: Some(format!("{}{path}", base.trim_end_matches('/'))),
                ..WebhookClientConfig::default()
            },
            Address::Service {
                namespace,
                name,
                port,
            } => WebhookClientConfig {
                service: Some(ServiceReference {
                    namespace: namespace.clone(),
                    name: name.clone(),
                    path: Some(path.to_owned()),
                    port: Some(i32::from(*port)),
                }),
                ..WebhookClientConfig::default()
            },
        }
    }

    /// The names that the leaf must carry, the one that the API server asks for first.
    pub fn names(&self) -> Vec<String> {
        match self {
            Address::Url(base) => vec![host_of(base).to_owned()],
            Address::Service {
                namespace, name, ..
            } => vec![
                format!("{name}.{namespace}.svc"),
                format!("{name}.{namespace}.svc.cluster.local"),
                format!("{name}.{namespace}"),
            ],
        }
    }
}

/// The host of a URL, without scheme, port and brackets.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    if let Some(inner) = authority.strip_prefix('[') {
        return inner.split(']').next().unwrap_or(inner);
    }
    authority.split(':').next().unwrap_or(authority)
}

/// What differs between installations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// How the API server reaches the webhook.
    pub address: Address,
    /// Namespaces that are never judged, besides kube-system and kube-node-lease: our own.
    pub excluded_namespaces: Vec<String>,
}

impl Registration {
    /// The mutating configuration: defaults. `failurePolicy: Ignore`, since the validating one checks that the
    /// final object is complete.
    pub fn mutating(&self) -> MutatingWebhookConfiguration {
        let kinds = kinds();
        MutatingWebhookConfiguration {
            metadata: metadata(),
            webhooks: Some(vec![MutatingWebhook {
                name: MUTATING.to_owned(),
                admission_review_versions: vec!["v1".to_owned()],
                client_config: self.address.client_config("/mutate"),
                failure_policy: Some("Ignore".to_owned()),
                match_conditions: Some(conditions(conditions::mutating())),
                match_policy: Some("Equivalent".to_owned()),
                namespace_selector: Some(self.namespace_selector()),
                object_selector: Some(LabelSelector::default()),
                reinvocation_policy: Some("IfNeeded".to_owned()),
                rules: Some(rules(&kinds)),
                side_effects: "None".to_owned(),
                timeout_seconds: Some(2),
            }]),
        }
    }

    /// The validating configuration: rules, immutability, quota. `failurePolicy: Fail`.
    pub fn validating(&self) -> ValidatingWebhookConfiguration {
        let kinds = kinds();
        ValidatingWebhookConfiguration {
            metadata: metadata(),
            webhooks: Some(vec![ValidatingWebhook {
                name: VALIDATING.to_owned(),
                admission_review_versions: vec!["v1".to_owned()],
                client_config: self.address.client_config("/validate"),
                failure_policy: Some("Fail".to_owned()),
                match_conditions: Some(conditions(conditions::validating())),
                match_policy: Some("Equivalent".to_owned()),
                namespace_selector: Some(self.namespace_selector()),
                object_selector: Some(LabelSelector::default()),
                rules: Some(rules(&kinds)),
                side_effects: "NoneOnDryRun".to_owned(),
                timeout_seconds: Some(3),
            }]),
        }
    }

    /// The namespaces that are judged.
    pub fn namespace_selector(&self) -> LabelSelector {
        let mut excluded = vec!["kube-system".to_owned(), "kube-node-lease".to_owned()];
        for namespace in &self.excluded_namespaces {
            if !excluded.contains(namespace) {
                excluded.push(namespace.clone());
            }
        }
        LabelSelector {
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: "kubernetes.io/metadata.name".to_owned(),
                operator: "NotIn".to_owned(),
                values: Some(excluded),
            }]),
            match_labels: None,
        }
    }
}

fn metadata() -> ObjectMeta {
    ObjectMeta {
        name: Some(NAME.to_owned()),
        labels: Some(BTreeMap::from([(
            sluice_api::names::labels::MANAGED_BY.to_owned(),
            sluice_api::names::labels::MANAGED_BY_SLUICE.to_owned(),
        )])),
        ..ObjectMeta::default()
    }
}

fn conditions(conditions: Vec<(&str, String)>) -> Vec<MatchCondition> {
    conditions
        .into_iter()
        .map(|(name, expression)| MatchCondition {
            name: name.to_owned(),
            expression,
        })
        .collect()
}

/// Every kind with a dialect, in both calls: configuration is never defaulted, but what one call brings into form the
/// other expects in form.
fn kinds() -> Vec<&'static KindInfo> {
    let mut kinds: Vec<&'static KindInfo> =
        dialects().iter().map(|dialect| dialect.kind()).collect();
    kinds.sort_by_key(|kind| (kind.group, kind.plural));
    kinds
}

/// One rule for each group and version. Never `*`: what is not ours stays off the wire, and so do status writes.
fn rules(kinds: &[&KindInfo]) -> Vec<RuleWithOperations> {
    let mut by_version: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for kind in kinds {
        let resources = by_version.entry((kind.group, kind.version)).or_default();
        resources.push(kind.plural.to_owned());
        if kind.scale.is_some() {
            resources.push(format!("{}/scale", kind.plural));
        }
    }
    by_version
        .into_iter()
        .map(|((group, version), resources)| RuleWithOperations {
            api_groups: Some(vec![group.to_owned()]),
            api_versions: Some(vec![version.to_owned()]),
            operations: Some(vec!["CREATE".to_owned(), "UPDATE".to_owned()]),
            resources: Some(resources),
            // Some of our kinds live beside all namespaces (decision 11).
            scope: Some("*".to_owned()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leaf_carries_the_name_that_the_api_server_asks_for() {
        for (url, host) in [
            ("https://127.0.0.1:9443", "127.0.0.1"),
            ("https://[::1]:9443/", "::1"),
            ("https://gate.example/base", "gate.example"),
        ] {
            assert_eq!(Address::Url(url.to_owned()).names(), [host]);
        }
        let service = Address::Service {
            namespace: "sluice-system".to_owned(),
            name: "sluice".to_owned(),
            port: 443,
        };
        assert_eq!(
            service.names().first().map(String::as_str),
            Some("sluice.sluice-system.svc")
        );
    }

    #[test]
    fn rules_name_kinds_and_never_status_pods_or_everything() {
        let registration = Registration {
            address: Address::Url("https://127.0.0.1:9443".to_owned()),
            excluded_namespaces: vec!["sluice-system".to_owned()],
        };
        let validating = registration.validating().webhooks.unwrap();
        let mutating = registration.mutating().webhooks.unwrap();
        let rules = [
            mutating[0].rules.clone().unwrap(),
            validating[0].rules.clone().unwrap(),
        ];
        for rule in rules.iter().flatten() {
            assert_eq!(
                rule.operations,
                Some(vec!["CREATE".to_owned(), "UPDATE".to_owned()])
            );
            for resource in rule.resources.iter().flatten() {
                assert!(
                    !resource.contains('*') && !resource.ends_with("/status"),
                    "{resource}"
                );
            }
            for group in rule.api_groups.iter().flatten() {
                assert!(
                    group.contains('.'),
                    "a group of ours or of Flink's, not {group:?}"
                );
            }
        }
        let all: Vec<&String> = rules[1]
            .iter()
            .flat_map(|rule| rule.resources.iter().flatten())
            .collect();
        assert!(all.contains(&&"sessionclusters".to_owned()), "{all:?}");
        assert!(
            all.contains(&&"sessionclusters/scale".to_owned()),
            "{all:?}"
        );
    }
}
