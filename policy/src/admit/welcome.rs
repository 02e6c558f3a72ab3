//! No default may make an object that the rules would then refuse: what is unwelcome in an admin's layers is left out.

use super::about;
use super::shape::normalised;
use crate::defaults::{self, Filled, Layers};
use crate::draft::Draft;
use crate::finding::{Cause, Findings};
use crate::json;
use crate::path::FieldPath;
use crate::review::Review;
use crate::world::World;

/// An object with defaults, what was filled in, and what was left out, for people.
pub(super) type Shaped<'o> = (Draft<'o>, Vec<Filled>, Vec<String>);

/// How often what is missing is filled in once more, and how often more values are left out. One round is enough but for values that
/// stand in each other's way.
const ROUNDS: usize = 8;

/// Fills in what is welcome of the layers.
pub(super) fn fill<'o>(
    review: &Review<'o>,
    world: &dyn World,
    draft: Draft<'o>,
    layers: &Layers,
) -> Shaped<'o> {
    let first = attempt(review, world, draft, layers);
    if first.causes.is_empty() {
        return (first.draft, first.filled, Vec::new());
    }
    let Some(mut shaped) = leave_out(review, world, &normalised(review), layers, &first) else {
        return (first.draft, first.filled, Vec::new()); // wrong by itself: it is refused as it is
    };
    // What is built in may stand now where a value was left out, and others are welcome beside it. The validating call finds them so
    // and would miss them; the mutating one goes on until nothing is missing.
    for _ in 0..ROUNDS {
        let mut draft = shaped.0.clone();
        let unjudged = &mut Findings::default();
        review.dialect.normalise(&mut draft, review.old(), unjudged);
        let again = attempt(review, world, draft.clone(), layers);
        let (again, more) = if again.causes.is_empty() {
            (again.draft, again.filled)
        } else {
            match leave_out(review, world, &draft, layers, &again) {
                Some((again, more, _)) => (again, more),
                None => break,
            }
        };
        if again.object() == shaped.0.object() {
            break;
        }
        let is_refilled = |filled: &Filled| more.iter().any(|more| more.path == filled.path);
        shaped.1.retain(|filled| !is_refilled(filled));
        shaped.1.extend(more);
        shaped.0 = again;
    }
    shaped
}

struct Attempt<'o> {
    draft: Draft<'o>,
    filled: Vec<Filled>,
    /// What the rules refuse about an object that admins' values are filled into.
    causes: Vec<Cause>,
}

fn attempt<'o>(
    review: &Review<'o>,
    world: &dyn World,
    mut draft: Draft<'o>,
    layers: &Layers,
) -> Attempt<'o> {
    let filled = defaults::fill(&mut draft, review.dialect, review.old(), layers);
    // What is stored already is not refused, whatever it is, so no default makes it so.
    let is_as_stored = review
        .old()
        .is_some_and(|old| old.get("spec") == draft.object().get("spec"));
    let causes = if is_as_stored || !filled.iter().any(|filled| is_admins(filled, layers)) {
        Vec::new()
    } else {
        causes(review, world, &draft)
    };
    Attempt {
        draft,
        filled,
        causes,
    }
}

fn is_admins(filled: &Filled, layers: &Layers) -> bool {
    let mut layers = layers.defaults.iter();
    layers.any(|layer| layer.source == filled.source)
}

fn causes(review: &Review<'_>, world: &dyn World, draft: &Draft<'_>) -> Vec<Cause> {
    let mut findings = Findings::default();
    review
        .dialect
        .validate(&about(review, draft.object()), world, &mut findings);
    findings.causes
}

/// The object with what the rules accept of the layers, after a first attempt that they refuse; `None` if nothing helps.
fn leave_out<'o>(
    review: &Review<'o>,
    world: &dyn World,
    draft: &Draft<'o>,
    layers: &Layers,
    first: &Attempt<'o>,
) -> Option<Shaped<'o>> {
    leave_out_values(review, world, draft, layers, first)
        .or_else(|| leave_out_layers(review, world, draft, layers))
}

/// Leaves out the very values that the rules name.
fn leave_out_values<'o>(
    review: &Review<'o>,
    world: &dyn World,
    draft: &Draft<'o>,
    layers: &Layers,
    first: &Attempt<'o>,
) -> Option<Shaped<'o>> {
    let mut layers = layers.clone();
    let mut told = Vec::new();
    let mut unwelcome = named(&first.filled, &first.causes, &layers);
    for _ in 0..ROUNDS {
        if unwelcome.is_empty() {
            return None;
        }
        for filled in unwelcome {
            told.push(format!(
                "{} {} of {} was",
                filled.path,
                json::shown(&filled.value),
                filled.source
            ));
            layers.unwelcome.push((filled.path, filled.value));
        }
        let next = attempt(review, world, draft.clone(), &layers);
        if next.causes.is_empty() && causes(review, world, &next.draft).is_empty() {
            return Some((next.draft, next.filled, told));
        }
        unwelcome = named(&next.filled, &next.causes, &layers);
    }
    None
}

/// The admins' values that the causes speak of.
fn named(filled: &[Filled], causes: &[Cause], layers: &Layers) -> Vec<Filled> {
    let speaks_of = |field: &FieldPath, filled: &FieldPath| {
        *field != FieldPath::default() && (field.is_within(filled) || filled.is_within(field))
    };
    filled
        .iter()
        .filter(|filled| is_admins(filled, layers))
        .filter(|filled| {
            let mut fields = causes.iter().map(|cause| &cause.field);
            fields.any(|field| speaks_of(field, &filled.path))
        })
        .cloned()
        .collect()
}

/// Leaves out one layer, else one after the other: the rules may speak of another field than the one that a layer has set.
fn leave_out_layers<'o>(
    review: &Review<'o>,
    world: &dyn World,
    draft: &Draft<'o>,
    layers: &Layers,
) -> Option<Shaped<'o>> {
    let count = layers.defaults.len();
    let single = (0..count).map(|at| at..at + 1);
    let first_ones = (2..=count).map(|end| 0..end);
    single.chain(first_ones).find_map(|range| {
        let mut fewer = layers.clone();
        let told = fewer
            .defaults
            .drain(range)
            .map(|layer| format!("what {} says was", layer.source))
            .collect();
        let next = attempt(review, world, draft.clone(), &fewer);
        let helps = next.causes.is_empty() && causes(review, world, &next.draft).is_empty();
        helps.then_some((next.draft, next.filled, told))
    })
}
