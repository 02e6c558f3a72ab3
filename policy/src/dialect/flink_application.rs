//! FlinkApplication of Confluent: `cmf.confluent.io/v1` as a custom resource of our own CRD, and
//! `platform.confluent.io/v1beta1` of Confluent for Kubernetes. Shaped like a FlinkDeployment.

use super::apache::{change, charge, confluent, deployment, freeze, rules, section};
use super::{Dialect, KindInfo, LeafKind, Scope};
use crate::charge::{Desired, Workload};
use crate::finding::{Cause, Findings};
use crate::json;
use crate::path::FieldPath;
use crate::review::{Operation, Review};
use crate::rule::Rule;
use crate::world::{Source, World};
use serde_json::Value;
use std::borrow::Cow;

/// `cmf.confluent.io/v1`: charged as itself; nothing runs it yet.
pub struct CmfApplication;

/// `platform.confluent.io/v1beta1`: CMF makes a FlinkDeployment of it, and that one is charged.
pub struct PlatformApplication;

/// Names of Sluice's own definition of the kind.
pub static CMF_KIND: KindInfo = KindInfo {
    group: "cmf.confluent.io",
    version: "v1",
    kind: "FlinkApplication",
    plural: "flinkapplications",
    singular: "flinkapplication",
    scope: Scope::Namespaced,
    scale: Some(&["spec", "taskManager", "replicas"]),
};

/// Names of the kind of Confluent for Kubernetes.
pub static PLATFORM_KIND: KindInfo = KindInfo {
    group: "platform.confluent.io",
    version: "v1beta1",
    kind: "FlinkApplication",
    plural: "flinkapplications",
    singular: "flinkapplication",
    scope: Scope::Namespaced,
    scale: None,
};

/// The environment of such an application: looked up, never judged.
pub static ENVIRONMENT_KIND: KindInfo = KindInfo {
    group: "platform.confluent.io",
    version: "v1beta1",
    kind: "FlinkEnvironment",
    plural: "flinkenvironments",
    singular: "flinkenvironment",
    scope: Scope::Namespaced,
    scale: None,
};

/// The section of a DeploymentDefaults and an Environment.
const SECTION: &str = "flinkApplication";

impl Dialect for CmfApplication {
    fn kind(&self) -> &'static KindInfo {
        &CMF_KIND
    }

    fn rules(&self) -> Vec<&'static Rule> {
        application_rules()
    }

    fn section(&self) -> Option<&'static str> {
        Some(SECTION)
    }

    fn validate_section(
        &self,
        settings: &Value,
        stored: Option<&Value>,
        at: &FieldPath,
        findings: &mut Findings,
    ) {
        // Confluent's schema is open: fields that we do not know may be its own.
        section::OPEN.judge(&CmfApplication, settings, stored, at, findings);
    }

    fn validate(&self, review: &Review<'_>, world: &dyn World, findings: &mut Findings) {
        deployment::judge(review, review.namespace, world, findings);
    }

    fn spelled(&self) -> Option<FieldPath> {
        Some(section::configuration())
    }

    fn optional(&self) -> Option<FieldPath> {
        Some(FieldPath::of("spec.job"))
    }

    fn held(&self, old: &Value) -> Vec<FieldPath> {
        change::held(old)
    }

    fn exclusive(&self) -> Vec<Vec<FieldPath>> {
        section::exclusive()
    }

    fn levers(&self) -> Vec<FieldPath> {
        vec![FieldPath::of("spec.job.state")]
    }

    fn stops(&self, object: &Value) -> bool {
        charge::wish(object) != Desired::Running
    }

    fn comparable<'o>(&self, object: &'o Value) -> Cow<'o, Value> {
        freeze::comparable(object)
    }

    fn leaf_kind(&self, path: &FieldPath) -> LeafKind {
        freeze::leaf_kind(path)
    }

    fn notices(&self, review: &Review<'_>, _world: &dyn World, findings: &mut Findings) {
        if review.operation == Operation::Create {
            findings.warn(format!(
                "{}: nothing runs FlinkApplications of cmf.confluent.io/v1 in a cluster yet; it is stored and charged, no pods \
                 are made",
                review.subject()
            ));
        }
    }

    fn sources(&self) -> &'static [Source] {
        &[Source::OperatorConfiguration]
    }

    fn workload(&self, object: &Value, world: &dyn World) -> Result<Workload, Vec<Cause>> {
        let operator = world.operator_configuration();
        let demand = charge::of_cluster(object, operator.as_deref());
        charge::workload(object, charge::Kind::Cluster, demand)
    }

    fn unread(&self, object: &Value, world: &dyn World) -> Option<Workload> {
        let operator = world.operator_configuration();
        let demand = charge::of_cluster(object, operator.as_deref());
        charge::unread(object, charge::Kind::Cluster, demand)
    }
}

impl Dialect for PlatformApplication {
    fn kind(&self) -> &'static KindInfo {
        &PLATFORM_KIND
    }

    fn rules(&self) -> Vec<&'static Rule> {
        application_rules()
    }

    fn section(&self) -> Option<&'static str> {
        Some(SECTION)
    }

    fn validate(&self, review: &Review<'_>, world: &dyn World, findings: &mut Findings) {
        let name = json::text(review.object, &["spec", "flinkEnvironment"]);
        let environment = name.map(|name| world.lookup(&ENVIRONMENT_KIND, review.namespace, name));
        let Some(environment) = environment.as_ref().and_then(crate::Lookup::found) else {
            let mut without = Findings::default();
            deployment::judge(review, review.namespace, world, &mut without);
            if let Some(name) = name {
                may_be_mended(review, name, without, findings);
            } else {
                findings.causes.extend(without.causes);
                for warning in without.warnings {
                    findings.warn(warning);
                }
            }
            return;
        };
        let namespace =
            json::text(environment, &["spec", "kubernetesNamespace"]).unwrap_or(review.namespace);
        let object = confluent::with_environment(review.object, environment);
        let review = Review {
            object: &object,
            ..*review
        };
        deployment::judge(&review, namespace, world, findings);
    }

    fn spelled(&self) -> Option<FieldPath> {
        Some(section::configuration())
    }

    fn optional(&self) -> Option<FieldPath> {
        Some(FieldPath::of("spec.job"))
    }

    fn held(&self, old: &Value) -> Vec<FieldPath> {
        change::held(old)
    }

    fn exclusive(&self) -> Vec<Vec<FieldPath>> {
        section::exclusive()
    }

    fn levers(&self) -> Vec<FieldPath> {
        vec![FieldPath::of("spec.job.state")]
    }

    fn stops(&self, object: &Value) -> bool {
        charge::wish(object) != Desired::Running
    }

    fn comparable<'o>(&self, object: &'o Value) -> Cow<'o, Value> {
        freeze::comparable(object)
    }

    fn leaf_kind(&self, path: &FieldPath) -> LeafKind {
        freeze::leaf_kind(path)
    }

    fn sources(&self) -> &'static [Source] {
        const {
            &[
                Source::OperatorConfiguration,
                Source::Objects(&ENVIRONMENT_KIND),
            ]
        }
    }

    fn workload(&self, object: &Value, _world: &dyn World) -> Result<Workload, Vec<Cause>> {
        // The FlinkDeployment that CMF makes of it is charged; whether it is started or stopped shows here.
        Ok(Workload {
            desired: charge::wish(object),
            ..Workload::FREE
        })
    }
}

/// What was found without the environment that is named: it may come with the same `kubectl apply`, and then its settings go over the
/// application's. So only what settings cannot change is refused, and the FlinkDeployment that CMF makes of both is judged in any case.
fn may_be_mended(review: &Review<'_>, name: &str, found: Findings, findings: &mut Findings) {
    let subject = review.subject();
    findings.warn(format!(
        "{subject}: FlinkEnvironment {name} is not known here; judged without it"
    ));
    for warning in found.warnings {
        findings.warn(warning);
    }
    for cause in found.causes {
        // They add keys and replace values; a key that may not be there stays.
        let stays = [
            &rules::SHAPE,
            &rules::FORBIDDEN_KEY,
            &rules::LOG_CONFIGURATION,
        ]
        .iter()
        .any(|rule| rule.id == cause.rule.id)
            || !cause.field.is_below("spec");
        if stays {
            findings.causes.push(cause);
        } else {
            findings.warn(format!(
                "{subject}: unless {name} says otherwise, {}: {}",
                cause.field,
                cause.full_message()
            ));
        }
    }
}

fn application_rules() -> Vec<&'static Rule> {
    rules::DEPLOYMENT
        .into_iter()
        .filter(|rule| rule.id != rules::FROZEN.id)
        .collect()
}
