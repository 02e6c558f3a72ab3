//! Raw arguments: the subcommands and what they share. What an argument means is decided by its subcommand.

use crate::{
    check, controller, convert, doctor, emergency, export, fetch, image, manifests, quota, render,
    replay, rules, shell, testing, up, webhook,
};
use clap::{Parser, Subcommand};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "sluice",
    version,
    about = "The admission gate for Apache Flink on Kubernetes: defaults, frozen session clusters, CPU quota.",
    after_help = "Exit codes: 0 all is well, 1 refused (or changed), 2 bad usage or unreadable input, 3 cluster \
                  unreachable, 5 internal error.",
    disable_help_subcommand = true,
    max_term_width = 110
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands, one module each.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Judge manifests as the webhook would, without a cluster.
    Check(check::CheckArgs),
    /// Play suites of requests and compare the decisions, without a cluster.
    Test(testing::TestArgs),
    /// Say what settings would have refused of recorded requests, without a cluster.
    Replay(replay::ReplayArgs),
    /// Turn manifests of Ververica Platform and REST bodies of sessions into Sluice's kinds.
    Convert(convert::ConvertArgs),
    /// Show manifests as the webhook would store them: normalised, with defaults filled in.
    Render(render::RenderArgs),
    /// Print what an installation needs: CRDs, RBAC, Deployment, Service and registration.
    Manifests(manifests::ManifestsArgs),
    /// List the rules: their ids, codes and the namespace label that softens them.
    Rules(rules::RulesArgs),
    /// Explain a rule: what is judged, why, and the way out.
    Explain(rules::ExplainArgs),
    /// Build container images (Flink, Sluice itself) without a container engine.
    Image(image::ImageArgs),
    /// Start a local control plane with Sluice in front of it, in the foreground.
    Up(up::UpArgs),
    /// Say what is wrong first with an installation, and the remedy.
    Doctor(doctor::DoctorArgs),
    /// Show quotas, what is in use and who holds it; or whether more would fit.
    Quota(quota::QuotaArgs),
    /// Let every Flink workload pass while no webhook answers, and undo it.
    Emergency(emergency::EmergencyArgs),
    /// Print what Sluice decides in the words of other tools.
    Export(export::ExportArgs),
    /// Print a completion script for a shell.
    Completion(shell::CompletionArgs),
    /// Write man pages.
    Man(shell::ManArgs),
    /// Run the admission webhook until SIGTERM.
    Webhook(webhook::WebhookArgs),
    /// Fetch jars into a folder: the work of a Flink pod's init container.
    Fetch(fetch::FetchArgs),
    /// Run the controller until SIGTERM.
    Controller(controller::ControllerArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifests::IMAGE;
    use crate::manifests::installation::{Choices, read};

    /// Arguments of a container as the chart renders them, and further ones.
    fn parsed(container: usize, further: &[&str]) -> Command {
        let choices = Choices {
            image: IMAGE,
            namespace: "sluice-system",
            replicas: 2,
            operator: None,
        };
        let workload = read(&choices).unwrap().workload;
        let deployment = workload
            .iter()
            .find(|object| object["kind"] == "Deployment");
        let args =
            &deployment.unwrap()["spec"]["template"]["spec"]["containers"][container]["args"];
        let args: Vec<&str> = args
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|arg| arg.as_str())
            .collect();
        let all = [&["sluice"], args.as_slice(), &args[1..], further].concat();
        Cli::try_parse_from(all).unwrap().command
    }

    #[test]
    fn what_comes_after_the_charts_own_arguments_wins() {
        let further = [
            "--shutdown-grace=3",
            "--log=debug",
            "--client-ca=ca.pem",
            "--client-name=a",
            "--client-name=b",
        ];
        let Command::Webhook(webhook) = parsed(0, &further) else {
            panic!("no webhook")
        };
        assert_eq!((webhook.shutdown_grace, &*webhook.log), (3, "debug"));
        assert_eq!(
            webhook.client_name,
            ["a", "b"],
            "what may be given several times is collected"
        );
        let further = ["--metrics-listen=[::]:9", "--ledger-only", "--ledger-only"];
        let Command::Controller(controller) = parsed(1, &further) else {
            panic!("no controller")
        };
        let listen = controller.metrics_listen.map(|address| address.to_string());
        assert_eq!(listen.as_deref(), Some("[::]:9"));
        assert!(controller.ledger_only);
    }
}
