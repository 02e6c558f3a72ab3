//! `sluice emergency`: gives the cluster back when no webhook answers, and undoes it.
//!
//! Opening adds a condition that is never true to both registrations: from then on the API server asks nobody, so that dead, hanging
//! and mad webhooks alike stand in nobody's way, and no request waits for one. Everything else of the registrations stays as it is
//! (the `caBundle` too), so restoring is taking that one condition out again. The guards of labels and statuses are the API server's
//! own; they stay.

use crate::exit::{self, Failure, Outcome};
use crate::live::canary::{self, Answer};
use crate::live::{self, ClusterArgs, Live, failed};
use anyhow::anyhow;
use clap::{Args, Subcommand};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};
use sluice_webhook::registration;
use std::io::Write;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Name of the condition that is never true.
pub(crate) const CONDITION: &str = "emergency-open";
/// Who opened it, when and why.
const ANNOTATION: &str = "sluice.dev/emergency";
/// How long an API server may take to hear of a changed registration.
const HEARD_WITHIN: Duration = Duration::from_secs(20);
/// After a restoration: for how long a dry-run may fail while the API server hears of one registration before the other. Longer, and
/// it is the webhook that does not answer, which no waiting mends.
const FAILS_FOR: Duration = Duration::from_secs(5);
/// Writes that may be overtaken by others, the keeper of the `caBundle` among them.
const ATTEMPTS: u32 = 5;

/// Arguments of `sluice emergency`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sluice emergency open --reason 'no webhook answers, INC-7'\n  sluice emergency status\n  sluice \
                  emergency restore\n\nWithout this program, the same by kubectl:\n  kubectl patch \
                  validatingwebhookconfiguration/sluice mutatingwebhookconfiguration/sluice --type=json -p \
                  '[{\"op\":\"add\",\"path\":\"/webhooks/0/matchConditions/-\",\"value\":{\"name\":\"emergency-open\",\"expression\":\"false\"}}]'"
)]
pub struct EmergencyArgs {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Namespace in which the answer of admission is tried, by a dry-run.
    #[arg(
        short,
        long,
        value_name = "NAMESPACE",
        default_value = "default",
        global = true
    )]
    namespace: String,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Let every request pass unjudged, at once.
    Open {
        /// Why, for whoever asks later.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Ask the webhooks again.
    Restore,
    /// Tell which it is; exit code 1 if open.
    Status,
}

/// Opens, restores or tells.
///
/// # Errors
/// [`Failure::Unreachable`] if the API server does not answer or refuses.
pub fn run(args: &EmergencyArgs) -> Result<Outcome, Failure> {
    live::block_on(async {
        let live = live::connect(&args.cluster).await?;
        match &args.what {
            What::Open { reason } => open(&live, reason, &args.namespace).await,
            What::Restore => restore(&live, &args.namespace).await,
            What::Status => status(&live).await,
        }
    })
}

/// One of the two registrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Registration {
    /// Its kind.
    pub kind: &'static str,
    /// Its resource.
    pub plural: &'static str,
}

/// Both.
pub(crate) const BOTH: [Registration; 2] = [
    Registration {
        kind: "ValidatingWebhookConfiguration",
        plural: "validatingwebhookconfigurations",
    },
    Registration {
        kind: "MutatingWebhookConfiguration",
        plural: "mutatingwebhookconfigurations",
    },
];

impl Registration {
    fn api(self, live: &Live) -> Api<DynamicObject> {
        let resource = ApiResource {
            group: "admissionregistration.k8s.io".to_owned(),
            version: "v1".to_owned(),
            api_version: "admissionregistration.k8s.io/v1".to_owned(),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
        };
        // Not the typed object: fields that a newer API server has must survive.
        Api::all_with(live.client.clone(), &resource)
    }

    /// As it is stored.
    pub async fn read(self, live: &Live) -> Result<Option<DynamicObject>, Failure> {
        self.api(live)
            .get_opt(registration::NAME)
            .await
            .map_err(|error| failed(&format!("reading {self}"), &error))
    }

    /// Changes it, unless the change changes nothing; whether it is there.
    async fn edit(self, live: &Live, change: impl Fn(&mut DynamicObject)) -> Result<bool, Failure> {
        for attempt in 1.. {
            let Some(stored) = self.read(live).await? else {
                return Ok(false);
            };
            let mut edited = stored.clone();
            change(&mut edited);
            if edited == stored {
                return Ok(true);
            }
            let params = PostParams {
                field_manager: Some("sluice-emergency".to_owned()),
                ..PostParams::default()
            };
            match self
                .api(live)
                .replace(registration::NAME, &params, &edited)
                .await
            {
                Ok(_) => return Ok(true),
                Err(kube::Error::Api(status)) if status.code == 409 && attempt < ATTEMPTS => {}
                Err(error) => return Err(failed(&format!("writing {self}"), &error)),
            }
        }
        Ok(false)
    }
}

impl std::fmt::Display for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, registration::NAME)
    }
}

/// Whether a registration is open, and who opened it.
pub(crate) fn opened(configuration: &DynamicObject) -> Option<String> {
    let webhooks = configuration.data.get("webhooks")?.as_array()?;
    let open = webhooks
        .iter()
        .any(|webhook| conditions(webhook).any(|condition| condition["name"] == CONDITION));
    let told = configuration
        .metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(ANNOTATION));
    open.then(|| told.cloned().unwrap_or_else(|| "by hand".to_owned()))
}

fn conditions(webhook: &Value) -> impl Iterator<Item = &Value> {
    webhook
        .get("matchConditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn each_webhook(configuration: &mut DynamicObject, change: impl Fn(&mut Vec<Value>)) {
    let webhooks = configuration
        .data
        .get_mut("webhooks")
        .and_then(Value::as_array_mut);
    for webhook in webhooks.into_iter().flatten() {
        let Some(webhook) = webhook.as_object_mut() else {
            continue;
        };
        let conditions = webhook
            .entry("matchConditions")
            .or_insert_with(|| json!([]));
        if let Some(conditions) = conditions.as_array_mut() {
            change(conditions);
        }
        if webhook.get("matchConditions") == Some(&json!([])) {
            webhook.shift_remove("matchConditions");
        }
    }
}

async fn open(live: &Live, reason: &str, namespace: &str) -> Result<Outcome, Failure> {
    let by = Api::<SelfSubjectReview>::all(live.client.clone())
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await
        .ok()
        .and_then(|review| review.status?.user_info?.username)
        .unwrap_or_else(|| "somebody".to_owned());
    let why = if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    };
    let told = format!("since {:.0} by {by}{why}", Timestamp::now());
    let mut found = false;
    for registration in BOTH {
        found |= registration
            .edit(live, |configuration| {
                if opened(configuration).is_some() {
                    return;
                }
                each_webhook(configuration, |conditions| {
                    conditions.push(json!({"name": CONDITION, "expression": "false"}));
                });
                configuration
                    .metadata
                    .annotations
                    .get_or_insert_default()
                    .insert(ANNOTATION.to_owned(), told.clone());
            })
            .await?;
    }
    let mut out = std::io::stdout().lock();
    if !found {
        writeln!(
            out,
            "nothing to open: no webhook of Sluice is registered with {}",
            live.server
        )?;
        return Ok(Outcome::Fine);
    }
    match heard(live, namespace, &Answer::Open).await {
        Answer::Open => writeln!(
            out,
            "open: {} lets every Flink workload pass, unjudged and without defaults (tried in {namespace}). What starts now is \
             counted by its quotas all the same. To undo it: sluice emergency restore",
            live.server
        )?,
        answer => {
            writeln!(
                out,
                "open, but not heard of by every API server within {HEARD_WITHIN:?}: {}",
                words(&answer)
            )?;
            return Ok(Outcome::Negative);
        }
    }
    Ok(Outcome::Fine)
}

async fn restore(live: &Live, namespace: &str) -> Result<Outcome, Failure> {
    let mut missing = Vec::new();
    for registration in BOTH {
        let there = registration
            .edit(live, |configuration| {
                each_webhook(configuration, |conditions| {
                    conditions.retain(|condition| condition["name"] != CONDITION);
                });
                if let Some(annotations) = &mut configuration.metadata.annotations {
                    annotations.remove(ANNOTATION);
                }
            })
            .await?;
        if !there {
            missing.push(registration.to_string());
        }
    }
    if !missing.is_empty() {
        return Err(Failure::Unreachable(anyhow!(
            "{} is not there, so there is nothing to restore; install it again: helm upgrade, sluice up --context, or sluice manifests",
            missing.join(" and ")
        )));
    }
    let mut out = std::io::stdout().lock();
    match heard(live, namespace, &Answer::Gate).await {
        Answer::Gate => {
            writeln!(
                out,
                "restored: {} asks Sluice again, and it answers (tried in {namespace})",
                live.server
            )?;
            Ok(Outcome::Fine)
        }
        answer => {
            writeln!(
                out,
                "restored, but admission does not answer as it should: {}. sluice doctor says what is wrong",
                words(&answer)
            )?;
            Ok(Outcome::Negative)
        }
    }
}

async fn status(live: &Live) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::Fine;
    let mut lines = Vec::new();
    for registration in BOTH {
        let said = match registration.read(live).await? {
            None => "not registered".to_owned(),
            Some(configuration) => match opened(&configuration) {
                None => "asks the webhooks".to_owned(),
                Some(told) => {
                    outcome = Outcome::Negative;
                    format!("open {told}")
                }
            },
        };
        writeln!(lines, "{registration}: {said}")?;
    }
    let printed = std::io::stdout().lock().write_all(&lines);
    exit::told(outcome, printed.map_err(Failure::from))
}

/// What admission answers once it answers as wanted, or at last.
async fn heard(live: &Live, namespace: &str, wanted: &Answer) -> Answer {
    let began = Instant::now();
    loop {
        let answer = canary::ask(&live.client, namespace).await;
        let patience = match (wanted, &answer) {
            (Answer::Gate, Answer::Trouble(_)) => FAILS_FOR,
            _ => HEARD_WITHIN,
        };
        if answer == *wanted || began.elapsed() >= patience {
            return answer;
        }
        sleep(Duration::from_millis(250)).await;
    }
}

fn words(answer: &Answer) -> &str {
    match answer {
        Answer::Gate => "objects are still judged",
        Answer::Open => "objects still pass unjudged",
        Answer::Trouble(said) => said,
    }
}
