//! What an update changes: nothing, something that only lowers, or a charge that rises.

use super::{Demand, Rise, read_workload, stored_workload};
use crate::charge::{Desired, Workload};
use crate::defaults;
use crate::draft::Draft;
use crate::finding::Findings;
use crate::immutability;
use crate::quantity::MilliCpu;
use crate::review::{Part, Review};
use crate::world::World;
use serde_json::Value;

/// Whether the API server has found the specs different, also where they look equal here: `1.0` beside a stored `1` is a new
/// generation, which starts a job again that has come to its end.
pub(super) fn is_new_generation(old: &Value, new: &Value) -> bool {
    let generation = |object| crate::json::get(object, &["metadata", "generation"]);
    generation(old) != generation(new)
}

/// Whether an update leaves the spec and the record of defaults as they are stored.
pub(super) fn is_same_as_stored(review: &Review<'_>) -> bool {
    let record = |object| {
        crate::json::get(
            object,
            &["metadata", "annotations", defaults::record::ANNOTATION],
        )
    };
    review.old().is_some_and(|old| {
        old.get("spec") == review.object.get("spec") && record(old) == record(review.object)
    })
}

/// Whether an update is let through whatever is wrong with the object: what was stored while nobody judged it, and would be
/// refused today, can still be stopped.
pub(super) fn lets_go(review: &Review<'_>, world: &dyn World) -> bool {
    let before = review
        .old()
        .and_then(|old| stored_workload(review.dialect, old, world));
    let after = read_workload(review, review.object, world).ok().flatten();
    only_lowers(review, before.as_ref(), after.as_ref())
}

/// A change of nothing but levers that lowers the charge, or leaves it, and starts nothing; or one that stops what has a charge that cannot
/// be read.
pub(super) fn only_lowers(
    review: &Review<'_>,
    before: Option<&Workload>,
    after: Option<&Workload>,
) -> bool {
    let Some(old) = review.old() else {
        return false;
    };
    let levers = review.dialect.levers();
    let lowers = match (before, after) {
        (Some(before), Some(after)) => {
            let starts = after.desired == Desired::Running && before.desired != Desired::Running;
            !starts && after.charge() <= before.charge()
        }
        _ => review.dialect.stops(review.object),
    };
    if levers.is_empty() || !lowers || becomes_another(review, old) {
        return false;
    }
    let within_levers = |old: &Value| {
        immutability::spec_changes(review.dialect, old, review.object)
            .iter()
            .all(|change| levers.iter().any(|lever| change.path.is_within(lever)))
    };
    // What was stored while nobody brought it into form is held against the new one in form too.
    within_levers(old) || {
        let mut draft = Draft::new(old);
        let unjudged = &mut Findings::default();
        review.dialect.normalise(&mut draft, None, unjudged);
        !draft.is_untouched() && within_levers(draft.object())
    }
}

/// Whether the map comes or goes that makes the object something else: no change of a lever in it, however it looks.
fn becomes_another(review: &Review<'_>, old: &Value) -> bool {
    let map = review.dialect.optional();
    map.is_some_and(|map| {
        let is_there = |object| map.get(object).is_some_and(|value| !value.is_null());
        is_there(old) != is_there(review.object)
    })
}

/// `/scale` of what costs no more afterwards. Whatever else is wrong with the object was stored before, and is no reason to keep it large.
pub(super) fn scales_down(
    review: &Review<'_>,
    before: Option<&Workload>,
    after: Option<&Workload>,
) -> bool {
    let (Some(before), Some(after)) = (before, after) else {
        return false;
    };
    review.part == Part::Scale && after.charge() <= before.charge()
}

pub(super) fn demand(before: Option<&Workload>, after: &Workload) -> Option<Demand> {
    let from = before.map(Workload::charge).unwrap_or_default();
    let to = after.charge();
    if to <= from || after.desired != Desired::Running {
        return None;
    }
    // What has come to its end, or runs where somebody else has paid (a session cluster), has no pods of its own to go on with.
    let runs =
        before.is_some_and(|before| before.desired == Desired::Running) && from > MilliCpu::ZERO;
    Some(Demand {
        from,
        to,
        rise: if runs { Rise::Growth } else { Rise::Start },
    })
}
