//! What nobody judges: canaries, and what is being deleted.

use super::Judgement;
use crate::finding::{CauseReason, Code, Findings, Refusal};
use crate::path::FieldPath;
use crate::review::{Operation, Review, is_being_deleted};
use crate::rule::{Family, Rule};
use serde_json::Value;

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

/// Canaries and what is being deleted pass every judgement.
pub(super) fn passes_unseen(review: &Review<'_>) -> bool {
    is_being_deleted(review.object) || is_exempt(review)
}

/// A canary that loses its label is judged, and filled in, as a create: nobody has looked at it before.
pub(super) fn as_judged<'a>(review: &Review<'a>) -> Review<'a> {
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
pub(super) fn looks_exempt(review: &Review<'_>) -> bool {
    let stays = |old: &Value| {
        review
            .dialect
            .is_exempt(&with_status_of(old, review.object))
    };
    review.dialect.is_exempt(review.object) && review.old().is_none_or(stays)
}

/// The object with the stored status, as it will be stored.
pub(super) fn with_status_of(old: &Value, object: &Value) -> Value {
    let mut object = object.clone();
    if let Value::Object(fields) = &mut object {
        match old.get("status") {
            Some(status) => fields.insert("status".to_owned(), status.clone()),
            None => fields.remove("status"),
        };
    }
    object
}

pub(super) fn marked_later(review: &Review<'_>) -> Judgement {
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
