//! The decision: what is observed of a target goes in, its status and what becomes of its finalizer come out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sluice_api::conditions::{reasons, types};
use sluice_api::events::EventReason;
use sluice_api::names::finalizers;
use sluice_api::{DeploymentTarget, DeploymentTargetStatus};

use super::references::Referrer;
use crate::runtime::conditions::{self, Truth};
use crate::runtime::events::Note;
use crate::session_cluster::target::{self, Target};

/// Referrers that are named; of more only the number is told.
const NAMED: usize = 5;

/// What is observed.
#[derive(Debug)]
pub struct Observed<'a> {
    /// The object.
    pub target: &'a DeploymentTarget,
    /// The time.
    pub now: Timestamp,
    /// Labels of the namespace that it points to; `None`: there is no such namespace.
    pub labels: Option<&'a BTreeMap<String, String>>,
    /// Who refers to it, in order.
    pub referrers: &'a [Referrer],
}

/// What has to be done: status, Events, finalizers.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The status, whether it has changed or not.
    pub status: DeploymentTargetStatus,
    /// What is told, once it is stored.
    pub notes: Vec<Note>,
    /// The finalizers that it should have; `None`: as it has.
    pub finalizers: Option<Vec<String>>,
}

/// Decides.
pub fn decide(observed: &Observed<'_>) -> Plan {
    let target = observed.target;
    let generation = target.metadata.generation;
    let own = target.metadata.namespace.as_deref().unwrap_or_default();
    let namespace = &target.spec.kubernetes.namespace;
    let mut status = target.status.clone().unwrap_or_default();
    let mut set = |kind: &str, truth: Truth, reason: &str, message: &str| {
        conditions::set(
            &mut status.conditions,
            kind,
            truth,
            reason,
            message,
            generation,
            observed.now,
        );
    };
    let accepts = match observed.labels {
        None => Target::Missing(format!(
            "There is no namespace {namespace}; create it, and what refers to this target can start."
        )),
        Some(labels) => target::accepted(namespace, own, Some(labels)),
    };
    match &accepts {
        Target::At(_) => set(
            types::ACCEPTED,
            Truth::True,
            reasons::AS_EXPECTED,
            &format!("Namespace {namespace} takes pods from {own}."),
        ),
        Target::Missing(why) => set(types::ACCEPTED, Truth::False, reasons::NOT_FOUND, why),
        Target::NotAccepted(why) => set(types::ACCEPTED, Truth::False, reasons::NOT_ACCEPTED, why),
    }
    let is_deleted = target.metadata.deletion_timestamp.is_some();
    let number = observed.referrers.len();
    let mut notes = Vec::new();
    if number == 0 {
        set(
            types::REFERENCED,
            Truth::False,
            reasons::NOT_FOUND,
            "Nothing refers to it.",
        );
    } else {
        let who = named(observed.referrers);
        let reason = if is_deleted {
            reasons::DELETION_BLOCKED
        } else {
            reasons::AS_EXPECTED
        };
        let message = if is_deleted {
            format!(
                "It is to be deleted and stays, as {who}. Delete them, or have them name another target."
            )
        } else {
            format!("{}.", capitalised(&who))
        };
        let known = target.status.as_ref();
        let was_told = known
            .and_then(|known| conditions::get(&known.conditions, types::REFERENCED))
            .is_some_and(|known| known.reason == reasons::DELETION_BLOCKED);
        if is_deleted && !was_told {
            notes.push(Note::new(EventReason::DeletionBlocked, message.clone()));
        }
        set(types::REFERENCED, Truth::True, reason, &message);
    }
    status.observed_generation = generation;
    status.references = Some(i32::try_from(number).unwrap_or(i32::MAX));
    Plan {
        status,
        notes,
        finalizers: finalizers(target, number > 0, is_deleted),
    }
}

/// One while something refers to it. None is added to what is being deleted: Kubernetes refuses that.
fn finalizers(
    target: &DeploymentTarget,
    is_referred_to: bool,
    is_deleted: bool,
) -> Option<Vec<String>> {
    let mut all = target.metadata.finalizers.clone().unwrap_or_default();
    let has = all.iter().any(|name| name == finalizers::REFERENCED);
    match (is_referred_to, has) {
        (true, false) if !is_deleted => all.push(finalizers::REFERENCED.to_owned()),
        (false, true) => all.retain(|name| name != finalizers::REFERENCED),
        _ => return None,
    }
    Some(all)
}

/// `SessionCluster a and 3 more refer to it`.
fn named(referrers: &[Referrer]) -> String {
    let mut names: Vec<String> = referrers
        .iter()
        .take(NAMED)
        .map(ToString::to_string)
        .collect();
    if referrers.len() > NAMED {
        names.push(format!("{} more", referrers.len() - NAMED));
    }
    let verb = if referrers.len() == 1 {
        "refers"
    } else {
        "refer"
    };
    let list = match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    };
    format!("{list} {verb} to it")
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

#[cfg(test)]
#[allow(
    clippy::needless_pass_by_value,
    reason = "rows of the table read better with plain values"
)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn target(metadata: Value, status: Value) -> DeploymentTarget {
        let mut object = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "DeploymentTarget",
            "metadata": {"name": "t", "namespace": "team-a", "generation": 1},
            "spec": {"kubernetes": {"namespace": "there"}}, "status": status});
        for (key, value) in metadata.as_object().unwrap() {
            object["metadata"][key] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    fn referrers(number: usize) -> Vec<Referrer> {
        (0..number)
            .map(|index| Referrer {
                kind: "SessionCluster",
                name: format!("c{index}").into(),
            })
            .collect()
    }

    fn plan(
        target: &DeploymentTarget,
        labels: Option<&[(&str, &str)]>,
        referrers: &[Referrer],
    ) -> Plan {
        let labels: Option<BTreeMap<String, String>> = labels.map(|labels| {
            labels
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect()
        });
        decide(&Observed {
            target,
            now: "2026-11-21T10:00:00Z".parse().unwrap(),
            labels: labels.as_ref(),
            referrers,
        })
    }

    fn condition(plan: &Plan, kind: &str) -> (String, String, String) {
        let found = conditions::get(&plan.status.conditions, kind).unwrap();
        (
            found.status.clone(),
            found.reason.clone(),
            found.message.clone(),
        )
    }

    #[test]
    fn whether_its_namespace_takes_pods_is_told() {
        let it = target(json!({}), json!(null));
        let (status, reason, message) = condition(&plan(&it, None, &[]), "Accepted");
        assert_eq!((status.as_str(), reason.as_str()), ("False", "NotFound"));
        assert_eq!(
            message,
            "There is no namespace there; create it, and what refers to this target can start."
        );
        let (status, reason, message) = condition(&plan(&it, Some(&[]), &[]), "Accepted");
        assert_eq!((status.as_str(), reason.as_str()), ("False", "NotAccepted"));
        assert_eq!(
            message,
            "namespace there does not accept pods from team-a; add team-a to its label sluice.dev/accept-from (several names are separated by a dot)"
        );
        let open = [("sluice.dev/accept-from", "team-b.team-a")];
        let (status, _, message) = condition(&plan(&it, Some(&open), &[]), "Accepted");
        assert_eq!(
            (status.as_str(), message.as_str()),
            ("True", "Namespace there takes pods from team-a.")
        );
    }

    #[test]
    fn it_is_kept_while_something_refers_to_it() {
        let free = target(json!({}), json!(null));
        assert_eq!(plan(&free, None, &[]).finalizers, None);
        let used = plan(&free, None, &referrers(2));
        assert_eq!(
            used.finalizers,
            Some(vec!["sluice.dev/referenced".to_owned()])
        );
        assert_eq!(used.status.references, Some(2));
        assert_eq!(
            condition(&used, "Referenced").2,
            "SessionCluster c0 and SessionCluster c1 refer to it."
        );
        assert!(used.notes.is_empty());
        let kept = json!({"finalizers": ["other", "sluice.dev/referenced"]});
        let kept = target(kept, json!(null));
        assert_eq!(plan(&kept, None, &referrers(1)).finalizers, None);
        assert_eq!(
            plan(&kept, None, &[]).finalizers,
            Some(vec!["other".to_owned()])
        );
    }

    #[test]
    fn who_keeps_it_from_being_deleted_is_named_once() {
        let going = json!({"finalizers": ["sluice.dev/referenced"], "deletionTimestamp": "2026-11-21T09:59:00Z"});
        let first = plan(&target(going.clone(), json!(null)), None, &referrers(7));
        let (status, reason, message) = condition(&first, "Referenced");
        assert_eq!(
            (status.as_str(), reason.as_str()),
            ("True", "DeletionBlocked")
        );
        assert_eq!(
            message,
            "It is to be deleted and stays, as SessionCluster c0, SessionCluster c1, SessionCluster c2, SessionCluster c3, \
             SessionCluster c4 and 2 more refer to it. Delete them, or have them name another target."
        );
        assert_eq!(first.finalizers, None);
        assert_eq!(first.notes.len(), 1);
        assert_eq!(first.notes[0].reason, EventReason::DeletionBlocked);
        let stored = serde_json::to_value(&first.status).unwrap();
        let again = plan(&target(going, stored), None, &referrers(7));
        assert_eq!(again.status, first.status, "nothing is written again");
        assert!(again.notes.is_empty());
    }
}
