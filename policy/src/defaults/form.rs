//! An Environment that speaks in one form of what an object says in another: of the two the reader takes one, so one of them would go
//! unheard, and nobody would be told.

use super::fill;
use super::leaves::{each_leaf, given};
use super::record::Record;
use super::settings::Settings;
use super::spelling::{Spellings, other_names};
use crate::finding::{CauseReason, Code, Findings};
use crate::json::scalar_text;
use crate::path::FieldPath;
use crate::review::Review;
use crate::rule::{Family, Rule};
use crate::world::Layer;
use std::collections::BTreeSet;

/// An object says in one form what an Environment sets in another.
pub static OTHER_FORM: Rule = Rule {
    id: "defaults/other-form",
    family: Family::Validation,
    code: Code::Forbidden,
    summary: "an object says nothing in a form that hides what an Environment sets, or is hidden by it",
    explain: "The Apache operator reads nothing of a JobManager's or TaskManager's `resource` where `resources` says anything, and of \
              the names that an option has had in Flink's versions (`execution.checkpointing.dir`, once `state.checkpoints.dir`) the \
              newest is read. If an Environment sets the one and the object the other, either the Environment would be evaded or the \
              user's words would be lost, without a sign of it. Write the form that the Environment has, or leave the field out.",
    source: "semantics.md, Defaults: Environment > the object",
};

/// Refuses it, field by field. What is frozen is not set by Environments, and an object of before has changed nothing.
pub(crate) fn judge(review: &Review<'_>, environments: &[Layer], findings: &mut Findings) {
    if environments.is_empty() {
        return;
    }
    let groups = review.dialect.exclusive();
    let frozen = review
        .old()
        .and_then(|old| fill::frozen(review.dialect, old, &Record::of(old), review.object));
    let is_frozen = |path: &FieldPath| frozen.as_ref().is_some_and(|frozen| !frozen.lets(path));
    let spellings = &Spellings::of(review.dialect.spelled());
    let settings = Settings::of(review.dialect, spellings, review.object);
    let mut imposed = BTreeSet::new();
    for layer in environments {
        settings.each(layer, &mut |path, _| {
            imposed.insert(path.clone());
        });
    }
    for layer in environments {
        settings.each(layer, &mut |path, value| {
            if value.as_str() == Some("") || is_frozen(path) {
                return;
            }
            let others = groups
                .iter()
                .filter(|group| group.iter().any(|member| path.is_within(member)))
                .flatten()
                .filter(|member| !path.is_within(member) && says_something(review, member, &imposed))
                .cloned();
            let renamed = other_names(path).filter(|name| {
                !imposed.contains(name)
                    && spellings
                        .leaf(review.object, name)
                        .is_some_and(|said| scalar_text(said) != scalar_text(value) && said.as_str() != Some(""))
            });
            for other in others.chain(renamed) {
                if findings.causes.iter().any(|cause| cause.field == other) {
                    continue;
                }
                let message = format!(
                    "{} sets {path}, which is another form of this, and only one of the two is read; write the form that it has, or \
                     leave this out",
                    layer.source
                );
                findings.refuse(&OTHER_FORM, other, CauseReason::Forbidden, message);
            }
        });
    }
}

/// Whether the object says something there that no Environment has put there: if Environments differ, no user can mend it.
fn says_something(review: &Review<'_>, field: &FieldPath, imposed: &BTreeSet<FieldPath>) -> bool {
    let mut says = false;
    if let Some(value) = given(review.object, field) {
        each_leaf(field.clone(), value, &mut |path, value| {
            let is_blank = value.is_null() || value.as_str() == Some("");
            says = says || !is_blank && !imposed.contains(path);
        });
    }
    says
}
