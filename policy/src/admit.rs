//! The order of steps of one decision: normalise, default, then validate, hold against what is frozen, charge.
//!
//! The verdict is computed first; the namespace's mode is applied to it in one place, [`settle`].

use crate::charge::{Desired, Workload};
use crate::defaults::{self, Filled, Layers};
use crate::dialect::Class;
use crate::draft::Draft;
use crate::finding::{CAUSES, Cause, CauseReason, Code, Findings, Refusal};
use crate::immutability;
use crate::mode::{Mode, Modes};
use crate::path::FieldPath;
use crate::quantity::MilliCpu;
use crate::review::{Operation, Part, Review, is_being_deleted, next_generation};
use crate::rule::{Family, Rule};
use crate::world::{Layer, World};
use json_patch::PatchOperation;
use serde_json::Value;
use std::borrow::Cow;

/// The object reached validation without its defaults.
pub static INCOMPLETE: Rule = Rule {
    id: "defaults/incomplete",
    family: Family::Validation,
    code: Code::Unavailable,
    summary: "the object reached validation before its defaults were filled in",
    explain: "The mutating call was skipped or timed out, so the object would be stored without its defaults or past \
              an Environment. Nothing is wrong with the manifest: send it again. If it persists, the mutating \
              webhook is not reached; `sluice doctor` and the API server's metrics tell why.",
    source: "decisions.md 6",
};

/// Whoever judges has only just begun.
pub static TOO_EARLY: Rule = Rule {
    id: "request/too-early",
    family: Family::Validation,
    code: Code::Unavailable,
    summary: "the webhook does not know everything yet",
    explain: "A webhook that starts first reads what exists: namespaces, admins' defaults and environments, the objects that \
              others name, the Apache operator's configuration. Until it has read what a kind is judged by, it could leave out \
              defaults or charge too little, so of that kind it admits nothing but what only lowers; of other kinds it admits \
              what it always does. Send it again. If it lasts, the message names what cannot be read and why; so does the \
              webhook's /readyz, and `sluice doctor` tells whether the installation is whole.",
    source: "decisions.md 6",
};

/// A mark that lets an object pass was put on one that has been judged.
pub static MARKED_LATER: Rule = Rule {
    id: "request/marked-later",
    family: Family::Validation,
    code: Code::Forbidden,
    summary: "an object is a canary from the beginning or not at all",
    explain: "The Apache operator starts nothing for an object with the label `flink.apache.org/canary: \"true\"`, so a canary is \
              not judged and costs nothing. It looks at the label only when it begins with an object: one that gets the label \
              later may be on its way already, and would run without being charged. Make another object that has the label.",
    source: "CanaryResourceManager of the Apache operator",
};

/// Rules of the pipeline itself.
pub static RULES: &[&Rule] = &[
    &INCOMPLETE,
    &TOO_EARLY,
    &MARKED_LATER,
    &defaults::OTHER_FORM,
];

/// What the mutating call answers.
#[derive(Debug)]
pub struct Mutation<'o> {
    /// The object with everything filled in.
    pub object: Cow<'o, Value>,
    /// The minimal patch that leads there.
    pub patch: Vec<PatchOperation>,
    /// Admission warnings.
    pub warnings: Vec<String>,
    /// A refusal, if the object cannot even be brought into form.
    pub refusal: Option<Refusal>,
    /// What was set and from where.
    pub filled: Vec<Filled>,
}

/// What the validating call answers, before the ledger.
#[derive(Debug, Default, PartialEq)]
pub struct Judgement {
    /// A refusal, with the mode already applied.
    pub refusal: Option<Refusal>,
    /// What was refused before the mode was applied; for metrics.
    pub raw: Option<&'static Rule>,
    /// Admission warnings.
    pub warnings: Vec<String>,
    /// CPU to reserve, if the charge rises.
    pub demand: Option<Demand>,
}

/// A charge that rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Charge of the stored object, 0 on a create.
    pub from: MilliCpu,
    /// Charge of the new object.
    pub to: MilliCpu,
    /// Why it rises.
    pub rise: Rise,
}

/// Why a charge rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rise {
    /// The desired state becomes RUNNING.
    Start,
    /// What runs grows; `onGrowth` decides.
    Growth,
}

/// Brings an object into form and fills in defaults.
pub fn mutate<'o>(review: &Review<'o>, world: &dyn World) -> Mutation<'o> {
    let mut findings = Findings::default();
    let object: &'o Value = review.object;
    if review.part == Part::Scale {
        review.dialect.notices(review, world, &mut findings);
    }
    let passes_unseen = passes_unseen(review);
    let review = &as_judged(review);
    if passes_unseen || review.part == Part::Scale || is_same_as_stored(review) {
        return Mutation {
            object: Cow::Borrowed(object),
            patch: Vec::new(),
            warnings: findings.warnings,
            refusal: None,
            filled: Vec::new(),
        };
    }
    let (draft, filled) = shape(review, world, &mut findings);
    let refusal = too_early(review, world)
        .or_else(|| Refusal::of(&review.subject(), std::mem::take(&mut findings.causes)))
        .filter(|_| !lets_go(&about(review, draft.object()), world));
    if refusal.is_none() {
        review
            .dialect
            .notices(&about(review, draft.object()), world, &mut findings);
    }
    let (object, mut patch) = draft.finish();
    if !patch.is_empty() && *object == *review.object {
        patch.clear(); // a spelling that was brought into form, and then kept as it is stored, since it is frozen
    }
    Mutation {
        object,
        patch,
        warnings: findings.warnings,
        refusal,
        filled,
    }
}

/// Judges an object as it would be stored.
pub fn validate(review: &Review<'_>, world: &dyn World) -> Judgement {
    if passes_unseen(review) {
        return Judgement::default();
    }
    if looks_exempt(review) {
        return marked_later(review);
    }
    let review = &as_judged(review);
    let old = review.old();
    let is_unchanged = old.is_some_and(|old| old.get("spec") == review.object.get("spec"));
    if is_unchanged && old.is_none_or(|old| !is_new_generation(old, review.object)) {
        return Judgement::default();
    }
    let modes = world.modes(review.namespace);
    let mut findings = Findings::default();
    // What is stored and cannot be read cannot run, so it counts as nothing.
    let before = old.and_then(|old| read_workload(review, old, world).ok().flatten());
    let (after, unreadable) = match read_workload(review, review.object, world) {
        Ok(after) => (after, Vec::new()),
        Err(causes) => (None, causes),
    };
    if only_lowers(review, before.as_ref(), after.as_ref()) {
        return Judgement::default();
    }
    let too_early = too_early(review, world);
    let refusal = if scales_down(review, before.as_ref(), after.as_ref()) {
        // That it is frozen may be softened by what is not known yet.
        immutability::judge(review, &mut findings).map(|refusal| too_early.unwrap_or(refusal))
    } else if too_early.is_some() {
        too_early
    } else if is_unchanged {
        None // there is nothing to judge but what a new generation may start
    } else {
        judge(review, world, &unreadable, &mut findings)
    };
    let raw = refusal.as_ref().map(|refusal| refusal.rule);
    let refusal = refusal.and_then(|refusal| settle(modes, refusal, &mut findings.warnings));
    let demand = after
        .filter(|_| refusal.is_none())
        .and_then(|after| demand(before.as_ref(), &after));
    Judgement {
        refusal,
        raw,
        warnings: findings.warnings,
        demand,
    }
}

/// Applies the namespace's mode to a refusal: enforce keeps it, warn turns it into a warning, off drops it.
pub fn settle(modes: Modes, refusal: Refusal, warnings: &mut Vec<String>) -> Option<Refusal> {
    let mode = match refusal.family() {
        Family::Validation => Mode::Enforce,
        Family::Immutability => modes.immutability,
        Family::Quota => modes.quota,
        Family::Defaults => modes.defaults,
    };
    match mode {
        Mode::Enforce => Some(refusal),
        Mode::Warn => {
            warnings.push(crate::finding::one_line(&format!(
                "would be refused: {}",
                refusal.message
            )));
            None
        }
        Mode::Off => None,
    }
}

/// The charge of a stored object, as the ledger counts it; unreadable objects cost nothing, since they cannot run.
pub fn charge(dialect: &dyn crate::Dialect, object: &Value, world: &dyn World) -> MilliCpu {
    if dialect.class() == Class::Configuration || dialect.is_exempt(object) {
        return MilliCpu::ZERO;
    }
    dialect
        .workload(object, world)
        .map(|workload| workload.charge())
        .unwrap_or_default()
}

fn read_workload(
    review: &Review<'_>,
    object: &Value,
    world: &dyn World,
) -> Result<Option<Workload>, Vec<Cause>> {
    match review.dialect.class() {
        Class::Configuration => Ok(None),
        Class::Workload => review.dialect.workload(object, world).map(Some),
    }
}

fn judge(
    review: &Review<'_>,
    world: &dyn World,
    unreadable: &[Cause],
    findings: &mut Findings,
) -> Option<Refusal> {
    let subject = review.subject();
    if review.part == Part::Whole
        && let Some(refusal) = completeness(review, world)
    {
        return Some(refusal);
    }
    review.dialect.validate(review, world, findings);
    for cause in unreadable {
        if !findings
            .causes
            .iter()
            .any(|known| known.field == cause.field)
        {
            findings.causes.push(cause.clone());
        }
    }
    let environments = if world.modes(review.namespace).defaults == Mode::Enforce {
        defaults::environments(review.dialect, world, review.namespace, review.object)
    } else {
        Vec::new()
    };
    defaults::judge_form(review, &environments, findings);
    let mut causes = std::mem::take(&mut findings.causes);
    name_environments(review, &environments, &mut causes);
    Refusal::of(&subject, causes).or_else(|| immutability::judge(review, findings))
}

/// Tells users which Environment has set what they are refused for, as they may never have written it.
fn name_environments(review: &Review<'_>, environments: &[Layer], causes: &mut [Cause]) {
    for cause in causes.iter_mut().take(CAUSES) {
        let imposer = defaults::imposer(review.object, review.dialect, environments, &cause.field);
        if let Some(source) = imposer {
            cause.message = format!("{} ({source} sets it)", cause.message.trim_end_matches('.'));
        }
    }
}

/// Runs the mutation again: with `failurePolicy: Ignore` a mutation that timed out would otherwise go unseen.
fn completeness(review: &Review<'_>, world: &dyn World) -> Option<Refusal> {
    let mut findings = Findings::default();
    let (draft, filled) = shape(review, world, &mut findings);
    if let Some(refusal) = Refusal::of(&review.subject(), findings.causes) {
        return Some(refusal);
    }
    if draft.is_untouched() || draft.object() == review.object {
        return None;
    }
    let mut missing: Vec<String> = filled
        .iter()
        .map(|filled| filled.path.to_string())
        .collect();
    if missing.is_empty() {
        missing = draft
            .operations()
            .iter()
            .map(|operation| FieldPath::from_pointer(operation.path().as_str()).to_string())
            .collect();
    }
    missing.truncate(5);
    let message = format!(
        "defaults were not filled in ({}); nothing is wrong with the manifest, send it again",
        missing.join(", ")
    );
    send_again(&review.subject(), &INCOMPLETE, message)
}

/// A value that was filled in without an admin's defaults would be taken for the user's own by whoever knows them, so the mutating call
/// refuses too.
fn too_early(review: &Review<'_>, world: &dyn World) -> Option<Refusal> {
    let unfilled = world.unfilled(review.dialect)?;
    let message = format!(
        "the webhook does not know yet all that this is judged by: it waits for {unfilled}. Send it again; if this lasts, the \
         webhook's /readyz and `sluice doctor` tell more"
    );
    send_again(&review.subject(), &TOO_EARLY, message)
}

/// A refusal of what may be admitted a moment later; kubectl sends it again by itself.
fn send_again(subject: &str, rule: &'static Rule, message: String) -> Option<Refusal> {
    let mut findings = Findings::default();
    findings.refuse(rule, FieldPath::default(), CauseReason::Required, message);
    let mut refusal = Refusal::of(subject, findings.causes)?;
    refusal.retry_after = Some(1);
    Some(refusal)
}

/// Normalises and fills in, as the namespace's mode says.
fn shape<'o>(
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

/// No default may make an object that the rules would then refuse: where an admin's layer does, it is left out.
fn fill_acceptably<'o>(
    review: &Review<'o>,
    world: &dyn World,
    draft: Draft<'o>,
    mut layers: Layers,
) -> (Draft<'o>, Vec<Filled>, Vec<String>) {
    let attempt = |mut draft: Draft<'o>, layers: &Layers| {
        let filled = defaults::fill(&mut draft, review.dialect, review.old(), layers);
        let refused = {
            let mut findings = Findings::default();
            let from_admin = filled.iter().any(|filled| {
                layers
                    .defaults
                    .iter()
                    .any(|layer| layer.source == filled.source)
            });
            // What is stored already is not refused, whatever it is, so no default makes it so.
            let is_as_stored = review
                .old()
                .is_some_and(|old| old.get("spec") == draft.object().get("spec"));
            if from_admin && !is_as_stored {
                review
                    .dialect
                    .validate(&about(review, draft.object()), world, &mut findings);
            }
            !findings.is_clean()
        };
        (draft, filled, refused)
    };
    if let Some((lowered, filled)) = fill_lowering(review, world, &draft, &layers) {
        return (lowered, filled, Vec::new());
    }
    let (first, filled, refused) = attempt(draft, &layers);
    if !refused {
        return (first, filled, Vec::new());
    }
    let mut left_out = Vec::new();
    while !layers.defaults.is_empty() {
        left_out.push(layers.defaults.remove(0).source);
        let (draft, filled, refused) = attempt(normalised(review), &layers);
        if !refused {
            // Only where leaving them out helps; an object that is wrong by itself is refused as it is.
            let mut findings = Findings::default();
            review
                .dialect
                .validate(&about(review, draft.object()), world, &mut findings);
            if findings.is_clean() {
                return (draft, filled, left_out);
            }
        }
    }
    (first, filled, Vec::new())
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

fn about<'a>(review: &Review<'a>, object: &'a Value) -> Review<'a> {
    Review { object, ..*review }
}

/// Canaries and what is being deleted pass every judgement.
fn passes_unseen(review: &Review<'_>) -> bool {
    is_being_deleted(review.object) || is_exempt(review)
}

/// A canary that loses its label is judged, and filled in, as a create: nobody has looked at it before.
fn as_judged<'a>(review: &Review<'a>) -> Review<'a> {
    let old = review.old().filter(|old| !review.dialect.is_exempt(old));
    Review {
        operation: old.map_or(Operation::Create, |old| Operation::Update { old }),
        ..*review
    }
}

/// What is exempt has been so from the beginning.
fn is_exempt(review: &Review<'_>) -> bool {
    looks_exempt(review) && review.old().is_none_or(|old| review.dialect.is_exempt(old))
}

/// A PUT need not hold a status, so what became of the object before is told by the stored one.
fn looks_exempt(review: &Review<'_>) -> bool {
    let stays = |old: &Value| {
        review
            .dialect
            .is_exempt(&with_status_of(old, review.object))
    };
    review.dialect.is_exempt(review.object) && review.old().is_none_or(stays)
}

/// The object with the stored status, as it will be stored.
fn with_status_of(old: &Value, object: &Value) -> Value {
    let mut object = object.clone();
    if let Value::Object(fields) = &mut object {
        match old.get("status") {
            Some(status) => fields.insert("status".to_owned(), status.clone()),
            None => fields.remove("status"),
        };
    }
    object
}

fn marked_later(review: &Review<'_>) -> Judgement {
    let mut findings = Findings::default();
    findings.refuse(
        &MARKED_LATER,
        FieldPath::of("metadata.labels"),
        CauseReason::Forbidden,
        "cannot become a canary any more, as its operator may have begun with it; make another object that has the label".to_owned(),
    );
    Judgement {
        refusal: Refusal::of(&review.subject(), findings.causes),
        raw: Some(&MARKED_LATER),
        ..Judgement::default()
    }
}

/// Whether the API server has found the specs different, also where they look equal here: `1.0` beside a stored `1` is a new
/// generation, which starts a job again that has come to its end.
fn is_new_generation(old: &Value, new: &Value) -> bool {
    let generation = |object| crate::json::get(object, &["metadata", "generation"]);
    generation(old) != generation(new)
}

/// Whether an update leaves the spec and the record of defaults as they are stored.
fn is_same_as_stored(review: &Review<'_>) -> bool {
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
fn lets_go(review: &Review<'_>, world: &dyn World) -> bool {
    let read = |object| read_workload(review, object, world).ok().flatten();
    let before = review.old().and_then(read);
    only_lowers(review, before.as_ref(), read(review.object).as_ref())
}

/// A change of nothing but levers that lowers the charge, or leaves it, and starts nothing.
fn only_lowers(review: &Review<'_>, before: Option<&Workload>, after: Option<&Workload>) -> bool {
    let (Some(old), Some(before), Some(after)) = (review.old(), before, after) else {
        return false;
    };
    let starts = after.desired == Desired::Running && before.desired != Desired::Running;
    let levers = review.dialect.levers();
    if starts || levers.is_empty() || after.charge() > before.charge() {
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

/// `/scale` of what costs no more afterwards. Whatever else is wrong with the object was stored before, and is no reason to keep it large.
fn scales_down(review: &Review<'_>, before: Option<&Workload>, after: Option<&Workload>) -> bool {
    let (Some(before), Some(after)) = (before, after) else {
        return false;
    };
    review.part == Part::Scale && after.charge() <= before.charge()
}

fn demand(before: Option<&Workload>, after: &Workload) -> Option<Demand> {
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
