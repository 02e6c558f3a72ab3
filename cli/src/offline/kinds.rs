//! Kinds that are known by name: our own, those of others that the gate judges, and what else the operators of Flink have.

use crate::rules::distance;
use sluice_policy::dialect::dialects;

/// The group of the Apache operator.
pub(super) const APACHE: &str = "flink.apache.org";

/// Kinds that nobody judges: ours that the controller writes, and other kinds of the operators. Said here, not asked of the CRDs, since to
/// make these takes longer than to judge an object.
const UNJUDGED: [Served; 4] = [
    Served {
        group: sluice_api::GROUP,
        version: sluice_api::VERSION,
        kind: "Job",
        who: Who::Controller,
    },
    Served {
        group: sluice_api::GROUP,
        version: sluice_api::VERSION,
        kind: "Savepoint",
        who: Who::Controller,
    },
    Served {
        group: APACHE,
        version: "v1beta1",
        kind: "FlinkBlueGreenDeployment",
        who: Who::Operator,
    },
    Served {
        group: "platform.confluent.io",
        version: "v1beta1",
        kind: "FlinkEnvironment",
        who: Who::Operator,
    },
];

/// As many letters may an operator's kind be off and still be a typing error; what is further off may be a kind that is newer than this.
const TYPING_ERROR: usize = 4;

/// A kind that API servers serve.
#[derive(Clone, Copy, Debug)]
pub(super) struct Served {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub who: Who,
}

/// Who has to do with a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// The gate judges it.
    Gate,
    /// It is ours, and written by the controller.
    Controller,
    /// An operator alone; its versions are not known here.
    Operator,
}

fn all() -> impl Iterator<Item = Served> {
    let judged = dialects().iter().map(|dialect| {
        let known = dialect.kind();
        Served {
            group: known.group,
            version: known.version,
            kind: known.kind,
            who: Who::Gate,
        }
    });
    judged.chain(UNJUDGED)
}

/// A kind of a group.
pub(super) fn served(group: &str, kind: &str) -> Option<Served> {
    all().find(|served| served.group == group && served.kind == kind)
}

/// Whether kinds of this group are known.
pub(super) fn is_group(group: &str) -> bool {
    all().any(|served| served.group == group)
}

/// The right kind in the wrong group: what to write instead. The controller's kinds are called as others' are (`Job`), so that their names
/// do not tell the group.
pub(super) fn elsewhere(kind: &str) -> Option<String> {
    let all: Vec<String> = all()
        .filter(|served| served.kind == kind && served.who != Who::Controller)
        .map(|served| format!("apiVersion: {}/{}", served.group, served.version))
        .collect();
    (!all.is_empty()).then(|| format!("write {}", all.join(" or ")))
}

/// The kind of a group that a misspelt one is meant for.
pub(super) fn nearest(group: &str, kind: &str) -> Option<&'static str> {
    let (distance, nearest) = all()
        .filter(|served| served.group == group)
        .map(|served| (distance(kind, served.kind), served.kind))
        .min_by_key(|(distance, _)| *distance)?;
    let is_own = group == sluice_api::GROUP;
    (distance <= nearest.len() / 3 && (is_own || distance <= TYPING_ERROR)).then_some(nearest)
}

/// The kind whose group is misspelt. A fifth of a group's letters is less than lies between any two that exist.
pub(super) fn misspelt_group(group: &str, kind: &str) -> Option<Served> {
    let group = group.to_ascii_lowercase();
    all().find(|served| {
        served.kind == kind && distance(&group, served.group) <= served.group.len() / 5
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_ours_is_known() {
        for crd in sluice_api::crds() {
            let kind = crd.spec.names.kind;
            let known = served(sluice_api::GROUP, &kind).map(|known| known.version);
            assert_eq!(known, Some(sluice_api::VERSION), "{kind}");
        }
    }
}
