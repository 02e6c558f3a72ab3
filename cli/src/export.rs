//! `sluice export`: what Sluice decides, in the words of other tools.

use crate::exit::{Failure, Outcome};
use crate::yaml::{Node, write};
use anyhow::anyhow;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;
use sluice_webhook::registration::{Address, Registration, guard::backstop};
use std::io::Write;

/// Arguments of `sluice export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print ValidatingAdmissionPolicies that keep running session clusters frozen while no webhook answers.
    Vap(VapArgs),
}

/// Arguments of `sluice export vap`.
#[derive(Debug, Args)]
#[command(
    after_help = "Needs Kubernetes 1.30 or later.\n\nExample: sluice export vap | kubectl apply --server-side -f -"
)]
struct VapArgs {
    /// The namespace that Sluice runs in, which is not judged.
    #[arg(long, default_value = "sluice-system")]
    namespace: String,
    /// Another namespace that is not judged, as in the chart's webhook.excludedNamespaces. May be repeated.
    #[arg(long, value_name = "NAMESPACE")]
    exclude: Vec<String>,
}

/// Prints what is asked for.
///
/// # Errors
/// [`Failure::Closed`] if nobody reads the output.
pub fn run(args: &ExportArgs) -> Result<Outcome, Failure> {
    let What::Vap(args) = &args.what;
    let registration = Registration {
        // Nobody is called.
        address: Address::Url(String::new()),
        excluded_namespaces: std::iter::once(&args.namespace)
            .chain(&args.exclude)
            .cloned()
            .collect(),
    };
    let mut nodes = Vec::new();
    for (policy, bindings) in backstop::policies(&registration) {
        nodes.push(node(&policy)?);
        for binding in bindings {
            nodes.push(node(&binding)?);
        }
    }
    std::io::stdout()
        .lock()
        .write_all(write::write_all(&nodes).as_bytes())?;
    Ok(Outcome::Fine)
}

fn node(object: &impl Serialize) -> Result<Node, Failure> {
    let value: Value = serde_json::to_value(object)
        .map_err(|error| Failure::Internal(anyhow!("writing a policy: {error}")))?;
    Ok(Node::from(&value))
}
