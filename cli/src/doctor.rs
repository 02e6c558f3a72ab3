//! `sluice doctor`: looks at an installation from below upwards and names the first thing that is wrong, with the remedy.
//!
//! Order matters: each check rests on those before it, so the first complaint is the one to mend. [`before`] is what is looked at
//! before an installation, [`stored`] what the API server holds, [`running`] what answers, [`certificate`] by which certificate,
//! [`controller`] who leads.

mod backstop;
mod before;
mod certificate;
mod controller;
mod policy;
mod running;
mod stored;
mod tls;

use crate::exit::{self, Failure, Outcome};
use crate::live::{self, ClusterArgs, Live};
use clap::{Args, ValueEnum};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two rounds with `--wait`.
const PACE: Duration = Duration::from_secs(1);

/// Arguments of `sluice doctor`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sluice doctor\n  sluice doctor --pre\n  sluice doctor --wait --timeout 300\n\nExit codes: 0 all is well, 1 \
                  something is wrong, 3 the cluster does not answer."
)]
pub struct DoctorArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The namespace that Sluice runs in.
    #[arg(short, long, value_name = "NAMESPACE", default_value = "sluice-system")]
    namespace: String,
    /// A namespace in which admission is tried, by dry-runs.
    #[arg(long = "in", value_name = "NAMESPACE", default_value = "default")]
    tried_in: String,
    /// Before an installation: whether this cluster can carry Sluice, and whether you may install it.
    #[arg(long)]
    pre: bool,
    /// Look again until all is well.
    #[arg(long, conflicts_with = "pre")]
    wait: bool,
    /// With --wait: seconds until giving up.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u64,
    /// Only this check.
    #[arg(long, value_enum, value_name = "CHECK", conflicts_with = "pre")]
    only: Option<Check>,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line a check, up to the first complaint.
    #[default]
    Table,
    /// An array, an element a check, all of them.
    Json,
}

/// What is looked at, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Check {
    /// The API server is new enough.
    Version,
    /// The CRDs are there, served, and of this version.
    Crds,
    /// Both registrations are there and of this version.
    Registration,
    /// Nobody has opened the gate.
    Closed,
    /// The guards that the API server judges by itself are there.
    Guards,
    /// What was exported for the time without a webhook is whole and of this version.
    Backstop,
    /// Somebody answers where the registration points.
    Webhook,
    /// The caBundles accept what is served, and it does not end soon.
    Certificate,
    /// A controller leads.
    Controller,
    /// Every quota has been counted.
    Quotas,
    /// One dry-run is completed, another refused.
    Admission,
}

/// What a check comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// All is well; in a few words.
    Well(String),
    /// It works as it was told to, which not everybody expects.
    Note {
        /// What does not happen.
        what: String,
        /// What to do if it shall.
        remedy: String,
    },
    /// It is not.
    Wrong {
        /// What.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// It cannot be seen from here; why.
    Unseen(String),
}

impl Found {
    /// A complaint.
    pub(crate) fn wrong(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Found::Wrong {
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// What the API server said instead of an answer.
    pub(crate) fn unread(what: &str, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if matches!(status.code, 401 | 403) => {
                Found::Unseen(status.message.clone())
            }
            kube::Error::Api(status) => Found::wrong(
                format!("{what}: {}", status.message),
                "see whether `kubectl get --raw /readyz?verbose` says what the API server lacks",
            ),
            error => Found::wrong(
                format!("{what}: {error}"),
                "see whether `kubectl version` answers",
            ),
        }
    }
}

/// The arguments of each container.
fn arguments(deployment: &Deployment) -> impl Iterator<Item = &Vec<String>> {
    let spec = deployment.spec.as_ref();
    let pod = spec.and_then(|spec| spec.template.spec.as_ref());
    pod.into_iter()
        .flat_map(|pod| &pod.containers)
        .filter_map(|container| container.args.as_ref())
}

/// Where everything is looked for.
#[allow(missing_debug_implementations)] // a client has none
pub(crate) struct Place<'a> {
    live: &'a Live,
    namespace: &'a str,
    tried_in: &'a str,
}

/// Looks, and tells.
///
/// # Errors
/// [`Failure::Unreachable`] if the API server does not answer.
pub fn run(args: &DoctorArgs) -> Result<Outcome, Failure> {
    live::block_on(async {
        let deadline = Instant::now() + Duration::from_secs(args.timeout);
        let mut told = String::new();
        loop {
            let round = match live::connect(&args.cluster).await {
                Ok(live) => {
                    let place = Place {
                        live: &live,
                        namespace: &args.namespace,
                        tried_in: &args.tried_in,
                    };
                    Ok((
                        format!("{} answers", live.server),
                        round(args, &place).await,
                    ))
                }
                Err(failure @ Failure::Unreachable(_)) if args.wait => Err(failure),
                Err(failure) => return Err(failure),
            };
            let complaint = match &round {
                Err(failure) => Some(failure.to_string()),
                Ok((_, found)) => found.iter().find_map(|(_, found)| match found {
                    Found::Wrong { what, .. } => Some(what.clone()),
                    _ => None,
                }),
            };
            let over = !args.wait || Instant::now() >= deadline;
            match (complaint, round) {
                (Some(complaint), _) if !over => {
                    if told != complaint {
                        crate::note(format_args!("waiting: {complaint}"));
                        told = complaint;
                    }
                    sleep(PACE).await;
                }
                (_, Err(failure)) => return Err(failure),
                (complaint, Ok((server, found))) => {
                    let outcome = match complaint {
                        None => Outcome::Fine,
                        Some(_) => Outcome::Negative,
                    };
                    return exit::told(outcome, report(args.output, &server, &found));
                }
            }
        }
    })
}

async fn round(args: &DoctorArgs, place: &Place<'_>) -> Vec<(String, Found)> {
    if args.pre {
        return before::all(place).await;
    }
    let checks = match &args.only {
        Some(check) => std::slice::from_ref(check),
        None => Check::value_variants(),
    };
    let mut found = Vec::new();
    for &check in checks {
        let result = one(check, place).await;
        let wrong = matches!(result, Found::Wrong { .. });
        let name = check
            .to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned());
        found.push((name, result));
        // What rests on it would only repeat the complaint.
        if wrong && args.output == Format::Table {
            break;
        }
    }
    found
}

async fn one(check: Check, place: &Place<'_>) -> Found {
    match check {
        Check::Version => before::version(place),
        Check::Crds => stored::crds(place).await,
        Check::Registration => stored::registration(place).await,
        Check::Closed => stored::closed(place).await,
        Check::Guards => stored::guards(place).await,
        Check::Backstop => backstop::backstop(place).await,
        Check::Webhook => running::webhook(place).await,
        Check::Certificate => certificate::certificate(place).await,
        Check::Controller => controller::controller(place).await,
        Check::Quotas => running::quotas(place).await,
        Check::Admission => running::admission(place).await,
    }
}

fn report(format: Format, server: &str, found: &[(String, Found)]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if format == Format::Json {
        let all: Vec<Value> = found
            .iter()
            .map(|(check, found)| {
                let (verdict, message, remedy) = match found {
                    Found::Well(words) => ("well", words, None),
                    Found::Note { what, remedy } => ("note", what, Some(remedy)),
                    Found::Wrong { what, remedy } => ("wrong", what, Some(remedy)),
                    Found::Unseen(why) => ("unseen", why, None),
                };
                json!({"check": check, "verdict": verdict, "message": message, "remedy": remedy})
            })
            .collect();
        writeln!(out, "{:#}", Value::from(all))?;
        return Ok(());
    }
    writeln!(out, "ok       api-server    {server}")?;
    for (check, found) in found {
        match found {
            Found::Well(words) => writeln!(out, "ok       {check:<13} {words}")?,
            Found::Unseen(why) => writeln!(out, "unseen   {check:<13} {why}")?,
            Found::Note { what, remedy } => {
                writeln!(out, "note     {check:<13} {what}")?;
                writeln!(out, "         remedy:       {remedy}")?;
            }
            Found::Wrong { what, remedy } => {
                writeln!(out, "WRONG    {check:<13} {what}")?;
                writeln!(out, "         remedy:       {remedy}")?;
            }
        }
    }
    Ok(())
}
