//! The object as it is to be stored: brought into form, with its defaults.

use super::about;
use super::change::lets_go;
use super::exempt::with_status_of;
use crate::defaults::{self, Filled, Layers};
use crate::dialect::Class;
use crate::draft::Draft;
use crate::finding::Findings;
use crate::mode::Mode;
use crate::path::FieldPath;
use crate::review::{Review, next_generation};
use crate::world::World;
use serde_json::Value;

/// Normalises and fills in, as the namespace's mode says.
pub(super) fn shape<'o>(
    review: &Review<'o>,
    world: &dyn World,
    findings: &mut Findings,
) -> (Draft<'o>, Vec<Filled>) {
    let object: &'o Value = review.object;
    let mut draft = Draft::new(object);
    if review.dialect.class() == Class::Workload
        && !object.get("spec").is_some_and(Value::is_object)
    {
        return (draft, Vec::new()); // nothing to bring into form; validation says what is missing
    }
    review.dialect.normalise(&mut draft, review.old(), findings);
    if review.dialect.class() == Class::Configuration || !findings.is_clean() {
        return (draft, Vec::new());
    }
    let mode = world.modes(review.namespace).defaults;
    if mode == Mode::Off {
        return (draft, Vec::new());
    }
    let layers = defaults::layers(review.dialect, world, review.namespace, draft.object());
    let (mut with_defaults, filled, left_out) = fill_acceptably(review, world, draft, layers);
    // Settings and stored objects may have been written while nobody brought them into form.
    let from_elsewhere = |filled: &Filled| {
        ![defaults::BUILT_IN, defaults::DERIVED].contains(&filled.source.as_str())
    };
    if review.old().is_some() || filled.iter().any(from_elsewhere) {
        review
            .dialect
            .normalise(&mut with_defaults, review.old(), findings);
    }
    for source in left_out {
        findings.warn(format!(
            "{}: values of {source} were left out, as they would make it refused",
            review.subject()
        ));
    }
    if mode == Mode::Warn {
        if !filled.is_empty() {
            let names: Vec<String> = filled
                .iter()
                .map(|filled| filled.path.to_string())
                .collect();
            findings.warn(format!(
                "{}: defaults are not filled in here: {}",
                review.subject(),
                names.join(", ")
            ));
        }
        return (normalised(review), Vec::new());
    }
    (with_defaults, filled)
}

/// An object with defaults, what was filled in, and the layers whose values were left out.
type Shaped<'o> = (Draft<'o>, Vec<Filled>, Vec<String>);

/// No default may make an object that the rules would then refuse: where an admin's layer does, it is left out.
fn fill_acceptably<'o>(
    review: &Review<'o>,
    world: &dyn World,
    draft: Draft<'o>,
    layers: Layers,
) -> Shaped<'o> {
    if let Some((lowered, filled)) = fill_lowering(review, world, &draft, &layers) {
        return (lowered, filled, Vec::new());
    }
    let (first, filled, is_refused) = attempt(review, world, draft, &layers);
    if !is_refused {
        return (first, filled, Vec::new());
    }
    let Some(mut shaped) = leave_out(review, world, &normalised(review), &layers) else {
        return (first, filled, Vec::new()); // wrong by itself: it is refused as it is
    };
    // What is built in stands now where a layer that was left out would have had its own value, so the rest of that layer may be
    // welcome. The validating call finds it so and would miss it; the mutating one goes on until nothing is missing.
    for _ in 0..ROUNDS {
        let mut draft = shaped.0.clone();
        review
            .dialect
            .normalise(&mut draft, review.old(), &mut Findings::default());
        let (again, more, is_refused) = attempt(review, world, draft.clone(), &layers);
        let (again, more) = if is_refused {
            match leave_out(review, world, &draft, &layers) {
                Some((again, more, _)) => (again, more),
                None => break,
            }
        } else {
            (again, more)
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

/// Each round fills in fields that were missing; one is enough but for layers that stand in each other's way.
const ROUNDS: usize = 4;

/// Fills in the layers, and tells whether values of admins make an object that the rules refuse.
fn attempt<'o>(
    review: &Review<'o>,
    world: &dyn World,
    mut draft: Draft<'o>,
    layers: &Layers,
) -> (Draft<'o>, Vec<Filled>, bool) {
    let filled = defaults::fill(&mut draft, review.dialect, review.old(), layers);
    let from_admin = filled.iter().any(|filled| {
        let mut admins = layers.defaults.iter();
        admins.any(|layer| layer.source == filled.source)
    });
    // What is stored already is not refused, whatever it is, so no default makes it so.
    let is_as_stored = review
        .old()
        .is_some_and(|old| old.get("spec") == draft.object().get("spec"));
    let is_refused = from_admin && !is_as_stored && !is_valid(review, world, &draft);
    (draft, filled, is_refused)
}

fn is_valid(review: &Review<'_>, world: &dyn World, draft: &Draft<'_>) -> bool {
    let mut findings = Findings::default();
    review
        .dialect
        .validate(&about(review, draft.object()), world, &mut findings);
    findings.is_clean()
}

/// Leaves out one layer of defaults after the other until the rules accept the object; `None` if that does not help.
fn leave_out<'o>(
    review: &Review<'o>,
    world: &dyn World,
    draft: &Draft<'o>,
    layers: &Layers,
) -> Option<Shaped<'o>> {
    let mut layers = layers.clone();
    let mut left_out = Vec::new();
    while !layers.defaults.is_empty() {
        left_out.push(layers.defaults.remove(0).source);
        let (draft, filled, is_refused) = attempt(review, world, draft.clone(), &layers);
        if !is_refused && is_valid(review, world, &draft) {
            return Some((draft, filled, left_out));
        }
    }
    None
}

/// A change of nothing but levers that only lowers, filled in without Environments: they keep nobody from stopping. What an Environment
/// has replaced, and the user's manifest says again, is no change.
fn fill_lowering<'o>(
    review: &Review<'o>,
    world: &dyn World,
    draft: &Draft<'o>,
    layers: &Layers,
) -> Option<(Draft<'o>, Vec<Filled>)> {
    let old = review.old()?;
    let levers = review.dialect.levers();
    let pulls_a_lever = |object: &Value| levers.iter().any(|l| l.get(old) != l.get(object));
    if layers.environments.is_empty() || !pulls_a_lever(draft.object()) {
        return None;
    }
    let layers = Layers {
        only_levers: true,
        ..layers.clone()
    };
    let mut draft = draft.clone();
    let filled = defaults::fill(&mut draft, review.dialect, Some(old), &layers);
    if !pulls_a_lever(draft.object()) {
        return None;
    }
    // Both calls must come to the same, whatever status and generation were sent.
    let stored = with_status_of(old, draft.object());
    let mut stored = Draft::new(&stored);
    stored.set(&FieldPath::of("metadata.generation"), next_generation(old));
    lets_go(&about(review, stored.object()), world).then_some((draft, filled))
}

/// The object in form and without defaults, once more: only where they turn out to be unwelcome.
fn normalised<'o>(review: &Review<'o>) -> Draft<'o> {
    let mut draft = Draft::new(review.object);
    review
        .dialect
        .normalise(&mut draft, review.old(), &mut Findings::default());
    draft
}
