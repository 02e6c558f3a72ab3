//! The object as it is to be stored: brought into form, with its defaults.

use super::about;
use super::change::lets_go;
use super::exempt::with_status_of;
use super::welcome::{self, Shaped};
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
    // What is let through all the same is filled in like anything else: once it is in form, the next call finds nothing wrong with it.
    let is_refused = || !findings.is_clean() && !lets_go(&about(review, draft.object()), world);
    if review.dialect.class() == Class::Configuration || is_refused() {
        return (draft, Vec::new());
    }
    let mode = world.modes(review.namespace).defaults;
    if mode == Mode::Off {
        return (draft, Vec::new());
    }
    let (mut with_defaults, mut filled, mut left_out) = fill(review, world, draft);
    let changes_spec = |draft: &Draft<'_>| {
        let old = review.old();
        old.is_none_or(|old| old.get("spec") != draft.object().get("spec"))
    };
    // Settings and stored objects may have been written while nobody brought them into form.
    if filled.iter().any(is_from_elsewhere) {
        let changed = changes_spec(&with_defaults);
        let dialect = review.dialect;
        dialect.normalise(&mut with_defaults, review.old(), findings);
        if !changed && changes_spec(&with_defaults) {
            // What was kept as it is stored is a change once it is in form, and changes are what Environments wait for: the
            // validating call would find that they have not been heard.
            let (again, refilled, left_out_again) = fill(review, world, with_defaults);
            filled.retain(|filled| refilled.iter().all(|again| again.path != filled.path));
            filled.extend(refilled);
            let news = left_out_again.into_iter();
            let news: Vec<String> = news.filter(|what| !left_out.contains(what)).collect();
            left_out.extend(news);
            with_defaults = again;
            dialect.normalise(&mut with_defaults, review.old(), findings);
        }
    }
    for what in left_out {
        findings.warn(format!(
            "{}: {what} left out, as it would make it refused",
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

/// Whether a value comes from where nobody may have brought it into form.
fn is_from_elsewhere(filled: &Filled) -> bool {
    ![defaults::BUILT_IN, defaults::DERIVED].contains(&filled.source.as_str())
}

/// Fills in what is welcome, or only what a change that lowers takes.
fn fill<'o>(review: &Review<'o>, world: &dyn World, draft: Draft<'o>) -> Shaped<'o> {
    let layers = defaults::layers(review.dialect, world, review.namespace, draft.object());
    match fill_lowering(review, world, &draft, &layers) {
        Some((lowered, filled)) => (lowered, filled, Vec::new()),
        None => welcome::fill(review, world, draft, &layers),
    }
}

/// A change of nothing but levers that only lowers, with everything else as it is stored: neither an Environment nor a default that is
/// not there yet keeps anybody from stopping; they reach him when he starts again. What was filled in or replaced, and the user's manifest
/// leaves out or says again, is no change.
fn fill_lowering<'o>(
    review: &Review<'o>,
    world: &dyn World,
    draft: &Draft<'o>,
    layers: &Layers,
) -> Option<(Draft<'o>, Vec<Filled>)> {
    let old = review.old()?;
    let levers = review.dialect.levers();
    let pulls_a_lever = |object: &Value| levers.iter().any(|l| l.get(old) != l.get(object));
    if !pulls_a_lever(draft.object()) {
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
pub(super) fn normalised<'o>(review: &Review<'o>) -> Draft<'o> {
    let mut draft = Draft::new(review.object);
    review
        .dialect
        .normalise(&mut draft, review.old(), &mut Findings::default());
    draft
}
