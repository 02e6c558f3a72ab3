//! The order of steps of one decision: normalise, default, then validate, hold against what is frozen, charge.
//!
//! The verdict is computed first; the namespace's mode is applied to it in one place, [`settle`].

mod change;
mod exempt;
mod shape;
mod welcome;

pub use exempt::MARKED_LATER;

use crate::charge::Workload;
use crate::defaults::{self, Filled};
use crate::dialect::Class;
use crate::finding::{CAUSES, Cause, CauseReason, Code, Findings, Refusal};
use crate::immutability;
use crate::mode::{Mode, Modes};
use crate::path::FieldPath;
use crate::quantity::MilliCpu;
use crate::review::{Part, Review};
use crate::rule::{Family, Rule};
use crate::world::World;
use json_patch::PatchOperation;
use serde_json::Value;
use std::borrow::Cow;

use change::{demand, is_new_generation, is_same_as_stored, lets_go, only_lowers, scales_down};
use exempt::{as_judged, looks_exempt, marked_later, passes_unseen};
use shape::shape;

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
              webhook's log, and `sluice doctor` tells whether the installation is whole.",
    source: "decisions.md 6",
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
    let before = old.and_then(|old| stored_workload(review.dialect, old, world));
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

/// The charge of a stored object, as the ledger counts it. One that cannot be read starts nothing, and costs what its pods hold
/// where its status tells.
pub fn charge(dialect: &dyn crate::Dialect, object: &Value, world: &dyn World) -> MilliCpu {
    if dialect.is_exempt(object) {
        return MilliCpu::ZERO;
    }
    stored_workload(dialect, object, world)
        .map(|workload| workload.charge())
        .unwrap_or_default()
}

/// The count and the judgement of an update must see the same, or to correct what cannot be read would be a start of what runs.
fn stored_workload(
    dialect: &dyn crate::Dialect,
    object: &Value,
    world: &dyn World,
) -> Option<Workload> {
    match dialect.class() {
        Class::Configuration => None,
        Class::Workload => dialect
            .workload(object, world)
            .ok()
            .or_else(|| dialect.unread(object, world)),
    }
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
    let environments = defaults::imposing(review, world);
    defaults::judge_form(review, &environments, findings);
    let mut causes = std::mem::take(&mut findings.causes);
    name_environments(&defaults::Imposed::on(review, world), &mut causes);
    Refusal::of(&subject, causes).or_else(|| immutability::judge(review, findings))
}

/// Tells users which Environment has set what they are refused for, as they may never have written it.
fn name_environments(imposed: &defaults::Imposed<'_>, causes: &mut [Cause]) {
    for cause in causes.iter_mut().take(CAUSES) {
        if let Some(source) = imposed.by(&cause.field) {
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
         webhook's log and `sluice doctor` tell more"
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

/// The same request about another form of its object.
fn about<'a>(review: &Review<'a>, object: &'a Value) -> Review<'a> {
    Review { object, ..*review }
}
