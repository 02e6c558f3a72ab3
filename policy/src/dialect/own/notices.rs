//! Warnings about what an admitted object does not do.

use crate::defaults::record::Record;
use crate::finding::Findings;
use crate::json;
use crate::path::FieldPath;
use crate::review::{Operation, Review};
use serde_json::Value;

/// A create that says nothing about its state starts nothing (decision 27).
pub(crate) fn nothing_is_started(review: &Review<'_>, absent: &str, findings: &mut Findings) {
    // Without a spec it is refused for that, and there is no word to say about one of its fields.
    let has_spec = review.object.get("spec").is_some_and(Value::is_object);
    if review.operation != Operation::Create || !has_spec {
        return;
    }
    let path = FieldPath::of("spec.state");
    let given = json::present(review.object, &["spec", "state"]);
    let state = given.and_then(Value::as_str).unwrap_or(absent);
    let is_filled_in = || given.is_none_or(|given| Record::of(review.object).holds(&path, given));
    if state != "RUNNING" && is_filled_in() {
        findings.warn(format!(
            "spec.state is not given, so it is {state} and nothing is started; set it to RUNNING to start {}",
            review.subject()
        ));
    }
}
