//! Whether a controller leads, and whether it does more than keep the ledger.

use super::{Found, Place, arguments};
use crate::manifests::{LEASE, NAME};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::Api;
use std::time::Duration;
use tokio::time::sleep;

/// Between two looks at a Lease that seems old: clocks differ, renewing does not.
const RENEWED_WITHIN: Duration = Duration::from_secs(5);

/// What controllers are told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Duty {
    /// All that there is, or nothing else is known: without a Deployment they run outside, as `sluice up` starts them.
    All,
    /// The ledger only, by the arguments of this Deployment.
    LedgerOnly(&'static str),
    /// It cannot be seen; why.
    Unseen(String),
}

/// Whether a controller leads, and what it leaves undone.
pub(super) async fn controller(place: &Place<'_>) -> Found {
    match leader(place).await {
        Ok(leads) => told(&leads, &duty(place).await, place.namespace),
        Err(found) => found,
    }
}

fn told(leads: &str, duty: &Duty, namespace: &str) -> Found {
    match duty {
        Duty::All => Found::Well(leads.to_owned()),
        Duty::LedgerOnly(deployment) => Found::Note {
            what: format!(
                "{leads}, and keeps the quota ledger only (--ledger-only of Deployment {namespace}/{deployment}): quotas are counted, but no \
                 SessionCluster, SessionJob or Deployment of {} is run, and their status stays empty",
                sluice_api::GROUP
            ),
            remedy: "nothing, where only other operators run Flink; else helm upgrade with controller.ledgerOnly=false".to_owned(),
        },
        Duty::Unseen(why) => Found::Well(format!(
            "{leads}; whether it runs anything or keeps the ledger only cannot be seen: {why}"
        )),
    }
}

/// Who leads; the error is what is wrong with that, or why it cannot be seen.
async fn leader(place: &Place<'_>) -> Result<String, Found> {
    let namespace = place.namespace;
    let api: Api<Lease> = Api::namespaced(place.live.client.clone(), namespace);
    let remedy = format!(
        "kubectl -n {namespace} logs deployment/{NAME} -c controller (or deployment/{LEASE})"
    );
    let read = async || match api.get_opt(LEASE).await {
        Ok(Some(lease)) => Ok(lease),
        Ok(None) => Err(Found::wrong(
            format!("Lease {namespace}/{LEASE} is not there: no controller has ever led"),
            remedy.clone(),
        )),
        Err(error) => Err(Found::unread(&format!("Lease {namespace}/{LEASE}"), &error)),
    };
    let lease = read().await?;
    let spec = lease.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.clone().unwrap_or_default();
    if holder.is_empty() {
        return Err(Found::wrong(
            format!("nobody holds Lease {namespace}/{LEASE}: no controller runs"),
            remedy,
        ));
    }
    let lasts = SignedDuration::from_secs(i64::from(spec.lease_duration_seconds.unwrap_or(15)));
    let renewed = spec.renew_time.map(|time| time.0);
    let age = renewed.map(|at| Timestamp::now().duration_since(at));
    if age.is_some_and(|age| age < lasts) {
        return Ok(format!("{holder} leads"));
    }
    // Perhaps only this machine's clock is wrong.
    sleep(RENEWED_WITHIN).await;
    let again = read().await?;
    if again.metadata.resource_version != lease.metadata.resource_version {
        return Ok(format!(
            "{holder} leads; this machine's clock and its differ"
        ));
    }
    let since = renewed.map_or_else(|| "ever".to_owned(), |at| format!("{at:.0}"));
    Err(Found::wrong(
        format!(
            "{holder} has not renewed Lease {namespace}/{LEASE} since {since}: no controller runs"
        ),
        remedy,
    ))
}

/// Beside the webhook, or in a Deployment of its own: `controller.placement` of the chart.
async fn duty(place: &Place<'_>) -> Duty {
    let api: Api<Deployment> = Api::namespaced(place.live.client.clone(), place.namespace);
    for name in [NAME, LEASE] {
        match api.get_opt(name).await {
            Ok(Some(deployment)) if keeps_the_ledger_only(&deployment) => {
                return Duty::LedgerOnly(name);
            }
            Ok(_) => {}
            Err(kube::Error::Api(status)) => return Duty::Unseen(status.message.clone()),
            Err(error) => return Duty::Unseen(error.to_string()),
        }
    }
    Duty::All
}

fn keeps_the_ledger_only(deployment: &Deployment) -> bool {
    arguments(deployment)
        .filter(|args| args.first().is_some_and(|first| first == "controller"))
        .flatten()
        .any(|arg| arg == "--ledger-only")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_controller_that_keeps_the_ledger_only_is_known_by_its_arguments() {
        let deployment = |args: &[&str]| -> Deployment {
            serde_json::from_value(
                json!({"spec": {"selector": {}, "template": {"spec": {"containers": [
                {"name": "webhook", "args": ["webhook", "--ledger-only"]}, {"name": "controller", "args": args}]}}}}),
            )
            .unwrap()
        };
        assert!(keeps_the_ledger_only(&deployment(&[
            "controller",
            "--log=info",
            "--ledger-only"
        ])));
        assert!(!keeps_the_ledger_only(&deployment(&[
            "controller",
            "--log=info"
        ])));
    }

    #[test]
    fn what_is_not_run_is_told_with_the_way_out() {
        let Found::Note { what, remedy } =
            told("a leads", &Duty::LedgerOnly("sluice"), "sluice-system")
        else {
            panic!("is worth a word");
        };
        assert!(
            what.starts_with(
                "a leads, and keeps the quota ledger only (--ledger-only of Deployment sluice-system/sluice)"
            ),
            "{what}"
        );
        assert!(remedy.contains("controller.ledgerOnly=false"), "{remedy}");
        assert_eq!(
            told("a leads", &Duty::All, "sluice-system"),
            Found::Well("a leads".to_owned())
        );
    }
}
