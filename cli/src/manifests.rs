//! `sluice manifests`: everything that an installation needs, for `kubectl apply --server-side -f -`.
//!
//! Nothing random and no certificate is in it, so that GitOps tools see no drift: the webhook makes its certificates and
//! fills in `caBundle` itself. [`rbac`] says who may do what, [`chart`] gives that and all else that this binary knows to the
//! Helm chart; [`installation`] is the chart as helm renders it, changed to fit.

pub mod chart;
pub(crate) mod installation;
mod rbac;

use crate::exit::{Failure, Outcome};
use crate::offline::names;
use crate::operator::OperatorConfig;
use crate::yaml::{Node, write};
use clap::{Args, ValueEnum};
use installation::Choices;
use serde::Serialize;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;

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
    #[arg(long, default_value = "sluice-system", value_parser = names::namespace)]
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
    /// Write the parts of the chart in this folder that are generated from this program, and print nothing.
    #[arg(long, value_name = "DIR", hide = true)]
    chart: Option<PathBuf>,
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

/// The image of this version.
pub(crate) const IMAGE: &str = concat!("ghcr.io/sluice-dev/sluice:", env!("CARGO_PKG_VERSION"));
pub(crate) use rbac::LEASE;

/// Name of everything that has only one.
pub(crate) const NAME: &str = "sluice";
/// Port of the Service.
const SERVICE_PORT: u16 = 443;

/// The service account and its rights, as they are printed: `sluice up` runs its servers with these and no more.
pub(crate) fn rights(namespace: &str, operator: Option<&OperatorConfig>) -> Vec<Value> {
    rbac::objects(namespace, operator)
}

/// Prints the manifests, or writes the chart's generated parts.
///
/// # Errors
/// [`Failure::Input`] if the chart's folder cannot be written, [`Failure::Closed`] if nobody reads the output.
pub fn run(args: &ManifestsArgs) -> Result<Outcome, Failure> {
    if let Some(chart) = &args.chart {
        chart::write_to(chart)?;
        return Ok(Outcome::Fine);
    }
    let installed = installation::read(&Choices {
        image: &args.image,
        namespace: &args.namespace,
        replicas: args.replicas,
        operator: args.operator_config.as_ref(),
    })?;
    let mut objects = Vec::new();
    if args.only != Part::Gate {
        objects.extend(installed.crds);
        for crd in args
            .confluent
            .then(sluice_api::optional_crds)
            .unwrap_or_default()
        {
            objects.push(typed(&crd)?);
        }
    }
    if args.only != Part::Crds {
        objects.extend(installed.workload);
        objects.extend(installed.registration);
    }
    let nodes: Vec<Node> = objects.iter().map(Node::from).collect();
    std::io::stdout()
        .lock()
        .write_all(write::write_all(&nodes).as_bytes())?;
    Ok(Outcome::Fine)
}

fn typed(object: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(object)
        .map_err(|error| Failure::Internal(anyhow::Error::new(error).context("writing a manifest")))
}

/// Labels of the account of `sluice up`.
fn labels() -> Value {
    json!({"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": NAME})
}
