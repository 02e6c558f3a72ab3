//! What was deleted and still stands, in words: pods first, for they hold the CPU and what else there is waits for them.

use jiff::Timestamp;

use super::made::Made;
use crate::objects::MadeKind;

/// So many are named.
const NAMED: usize = 3;

/// What is left, by name, and what keeps it once it is late.
pub fn told(made: &[Made], now: Timestamp) -> String {
    let pods = made.iter().filter(|made| made.kind == MadeKind::Pod);
    let pods: Vec<String> = pods.map(|pod| pod.name.clone()).collect();
    let (what, mut names) = if pods.is_empty() {
        let all = made
            .iter()
            .map(|made| format!("{} {}", made.kind, made.name));
        ("object", all.collect())
    } else {
        ("pod", pods)
    };
    names.sort();
    let number = names.len();
    let more = match number.saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    names.truncate(NAMED);
    let (plural, are) = if number == 1 {
        ("", "is")
    } else {
        ("s", "are")
    };
    let mut text = format!(
        "{number} {what}{plural} ({}{more}) {are} still being removed.",
        names.join(", ")
    );
    text.extend(late(made, now).iter().flat_map(|late| [" ", late]));
    text
}

/// What should have gone long ago, what keeps it and the way out; `None` while nothing should have.
pub fn late(made: &[Made], now: Timestamp) -> Option<String> {
    let is_pod = |made: &Made| made.kind == MadeKind::Pod;
    let has_pods = made.iter().any(is_pod);
    let late = made.iter().filter(|made| made.is_late(now));
    let first = late
        // These wait for their pods.
        .filter(|made| !(has_pods && matches!(made.kind, MadeKind::Deployment | MadeKind::Job)))
        .min_by_key(|made| (!is_pod(made), made.name.as_str()))?;
    let going = first.going.as_ref()?;
    Some(format!(
        "{} {}/{} should have gone by {}: {}.",
        first.kind,
        first.namespace,
        first.name,
        going.due(),
        going.kept_by()
    ))
}
