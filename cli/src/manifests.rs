//! `sluice manifests`: everything that an installation needs, for `kubectl apply --server-side -f -`.
//!
//! Nothing random and no certificate is in it, so that GitOps tools see no drift: the webhook makes its certificates and
//! fills in `caBundle` itself. [`rbac`] says who may do what, [`workload`] what runs; the CRDs are `sluice-api`'s, the
//! registration is `sluice-webhook`'s.

mod rbac;
mod workload;

use crate::exit::{Failure, Outcome};
use crate::operator::OperatorConfig;
use crate::yaml::{Node, write};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};
use sluice_webhook::registration::{Address, Registration, guard};
use std::io::Write;

/// Arguments of `sluice manifests`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: sluice manifests --image registry.example.org/sluice:0.1.0 | kubectl apply --server-side -f -"
)]
pub struct ManifestsArgs {
    /// The image that holds this binary.
    #[arg(long, default_value = IMAGE)]
    image: String,
    /// The namespace that Sluice runs in.
    #[arg(long, default_value = "sluice-system")]
    namespace: String,
    /// Number of pods.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=32))]
    replicas: u16,
    /// ConfigMap with the Apache operator's own configuration, NAMESPACE/NAME; its defaults then count. With the operator's
    /// chart: flink-operator/flink-operator-config
    #[arg(long, value_name = "NAMESPACE/NAME")]
    operator_config: Option<OperatorConfig>,
    /// Which parts to print.
    #[arg(long, value_enum, default_value_t)]
    only: Part,
    /// Add the CRD of cmf.confluent.io/v1 FlinkApplication, which Confluent itself serves over REST only.
    #[arg(long)]
    confluent: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Everything.
    #[default]
    All,
    /// CustomResourceDefinitions: they stay when the rest is removed.
    Crds,
    /// The rest.
    Gate,
}

/// What differs between installations.
pub(crate) struct Installation<'a> {
    image: &'a str,
    namespace: &'a str,
    replicas: u16,
    operator: Option<&'a OperatorConfig>,
}

/// The image of this version.
pub(crate) const IMAGE: &str = concat!("ghcr.io/sluice-dev/sluice:", env!("CARGO_PKG_VERSION"));
/// Name of everything that has only one.
pub(crate) const NAME: &str = "sluice";
/// Port of the Service.
const SERVICE_PORT: u16 = 443;

/// The service account and its rights, as they are printed: `sluice up` runs its servers with these and no more.
pub(crate) fn rights(namespace: &str, operator: Option<&OperatorConfig>) -> Vec<Value> {
    rbac::objects(&Installation {
        image: "",
        namespace,
        replicas: 1,
        operator,
    })
}

/// Prints the manifests.
pub fn run(args: &ManifestsArgs) -> Result<Outcome, Failure> {
    let installation = Installation {
        image: &args.image,
        namespace: &args.namespace,
        replicas: args.replicas,
        operator: args.operator_config.as_ref(),
    };
    let mut objects = Vec::new();
    if args.only != Part::Gate {
        let optional = args
            .confluent
            .then(sluice_api::optional_crds)
            .unwrap_or_default();
        for crd in sluice_api::crds().into_iter().chain(optional) {
            objects.push(typed(&crd)?);
        }
    }
    if args.only != Part::Crds {
        objects.extend(gate(&installation)?);
    }
    let nodes: Vec<Node> = objects.iter().map(Node::from).collect();
    std::io::stdout()
        .lock()
        .write_all(write::write_all(&nodes).as_bytes())?;
    Ok(Outcome::Fine)
}

/// Everything but the CRDs, in the order in which it can be applied.
pub(crate) struct Parts {
    /// Namespace, roles, and what runs.
    pub workload: Vec<Value>,
    /// From these on the API server asks.
    pub registration: Vec<Value>,
}

/// What is printed, in parts, for whoever applies them one after the other.
pub(crate) fn parts(
    image: &str,
    namespace: &str,
    replicas: u16,
    operator: Option<&OperatorConfig>,
) -> Result<Parts, Failure> {
    let installation = Installation {
        image,
        namespace,
        replicas,
        operator,
    };
    Ok(Parts {
        workload: workload_objects(&installation),
        registration: registration(&installation)?,
    })
}

fn gate(installation: &Installation<'_>) -> Result<Vec<Value>, Failure> {
    let mut objects = workload_objects(installation);
    objects.extend(registration(installation)?);
    Ok(objects)
}

fn workload_objects(installation: &Installation<'_>) -> Vec<Value> {
    let mut objects = vec![json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": installation.namespace,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        },
    })];
    objects.extend(rbac::objects(installation));
    objects.extend(workload::objects(installation));
    objects
}

fn registration(installation: &Installation<'_>) -> Result<Vec<Value>, Failure> {
    let registration = Registration {
        address: Address::Service {
            namespace: installation.namespace.to_owned(),
            name: NAME.to_owned(),
            port: SERVICE_PORT,
        },
        excluded_namespaces: vec![installation.namespace.to_owned()],
    };
    let mut objects = Vec::new();
    for (policy, binding) in guard::policies() {
        objects.extend([typed(&policy)?, typed(&binding)?]);
    }
    objects.extend([
        typed(&registration.mutating())?,
        typed(&registration.validating())?,
    ]);
    Ok(objects)
}

fn typed(object: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(object)
        .map_err(|error| Failure::Internal(anyhow::Error::new(error).context("writing a manifest")))
}

/// Labels that every object made here bears.
fn labels() -> Value {
    json!({"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": NAME})
}
