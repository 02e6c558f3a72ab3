//! The live cluster that a kubeconfig leads to, for the commands that look at one.
//!
//! [`canary`] asks admission itself by dry-runs, [`snapshot`] reads everything that decisions need.

#[cfg(test)]
mod answering;
pub mod canary;
pub mod snapshot;

use crate::exit::Failure;
use anyhow::anyhow;
use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::path::PathBuf;
use std::time::Duration;

/// How long the API server may take to answer at all.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// Which cluster, in kubectl's words; before a subcommand or after it, as kubectl takes them.
#[derive(Clone, Debug, Args)]
pub struct ClusterArgs {
    /// Kubeconfig file; without it KUBECONFIG, ~/.kube/config, or the pod's service account
    #[arg(long, value_name = "FILE", global = true)]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; without it the current one
    #[arg(long, value_name = "NAME", global = true)]
    pub context: Option<String>,
}

/// A cluster that has answered.
#[allow(missing_debug_implementations)] // a client has none
pub struct Live {
    /// A client, which hears 429, 503 and 504 instead of resending by itself for minutes.
    pub client: Client,
    /// The API server's address.
    pub server: String,
    /// Its version, such as `1.33`.
    pub version: (u32, u32),
    /// The namespace of the context.
    pub namespace: String,
}

/// Connects, and asks for the version.
///
/// # Errors
/// [`Failure::Input`] for a kubeconfig or context that cannot be read, [`Failure::Unreachable`] if nothing answers there, or not to
/// this user.
pub async fn connect(args: &ClusterArgs) -> Result<Live, Failure> {
    let mut config = config(args).await?;
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    let server = config.cluster_url.to_string();
    let namespace = config.default_namespace.clone();
    let unreachable = |said: String| {
        Failure::Unreachable(anyhow!(
            "{server} does not answer: {said}. `kubectl version` should"
        ))
    };
    let client = Client::try_from(config).map_err(|error| unreachable(error.to_string()))?;
    let version = match tokio::time::timeout(ANSWER_WITHIN, client.apiserver_version()).await {
        Ok(Ok(version)) => version,
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 401 | 403) => {
            return Err(Failure::Unreachable(anyhow!(
                "{server} answers, but not to you: {}. Log in again, or use another context",
                status.message
            )));
        }
        Ok(Err(error)) => return Err(unreachable(error.to_string())),
        Err(_) => {
            return Err(unreachable(format!(
                "nothing came within {ANSWER_WITHIN:?}"
            )));
        }
    };
    // Some vendors write 33+.
    let number = |text: &str| {
        text.trim_end_matches(|c: char| !c.is_ascii_digit())
            .parse()
            .unwrap_or_default()
    };
    Ok(Live {
        client,
        server,
        version: (number(&version.major), number(&version.minor)),
        namespace,
    })
}

async fn config(args: &ClusterArgs) -> Result<Config, Failure> {
    if args.kubeconfig.is_none() && args.context.is_none() {
        return Config::infer().await.map_err(|error| {
            Failure::Input(format!(
                "no cluster to talk to: {error}; give --kubeconfig, set KUBECONFIG, or run in a pod"
            ))
        });
    }
    let read = match &args.kubeconfig {
        Some(path) => Kubeconfig::read_from(path)
            .map_err(|error| Failure::Input(format!("--kubeconfig {}: {error}", path.display())))?,
        None => Kubeconfig::read().map_err(|error| {
            Failure::Input(format!(
                "--context: no kubeconfig to look it up in: {error}"
            ))
        })?,
    };
    let options = KubeConfigOptions {
        context: args.context.clone(),
        ..KubeConfigOptions::default()
    };
    Config::from_custom_kubeconfig(read, &options)
        .await
        .map_err(|error| {
            let context = args.context.as_deref().unwrap_or("the current one");
            Failure::Input(format!("--context {context}: {error}"))
        })
}

/// Runs something that talks to a cluster.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Internal(error.into()))?
        .block_on(work)
}

/// What the API server said, where the command cannot go on without.
pub(crate) fn failed(doing: &str, error: &kube::Error) -> Failure {
    match error {
        kube::Error::Api(status) if matches!(status.code, 401 | 403) => {
            Failure::Unreachable(anyhow!(
                "{doing}: {}. Ask for that right, or use another context",
                status.message
            ))
        }
        kube::Error::Api(status) => Failure::Unreachable(anyhow!("{doing}: {}", status.message)),
        error => Failure::Unreachable(anyhow!("{doing}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use answering::{Answering, refusal};

    #[tokio::test]
    async fn who_is_turned_away_is_not_told_that_nobody_answers() {
        let server = Answering::with(|_| refusal(401, "Unauthorized"));
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, server.kubeconfig()).unwrap();
        let args = ClusterArgs {
            kubeconfig: Some(kubeconfig),
            context: None,
        };
        let Err(Failure::Unreachable(error)) = connect(&args).await else {
            panic!("exit code 3 is what is documented");
        };
        assert_eq!(
            error.to_string(),
            format!(
                "{}/ answers, but not to you: Unauthorized. Log in again, or use another context",
                server.url
            )
        );
    }
}
