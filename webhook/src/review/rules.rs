//! What the envelope refuses, by id. Beside the rules of policy, for `sluice rules`.

use sluice_policy::{Cause, CauseReason, Code, Family, FieldPath, Refusal, Rule};

/// The body is no AdmissionReview v1 that can be answered.
pub static MALFORMED: Rule = Rule {
    id: "request/malformed",
    family: Family::Validation,
    code: Code::Invalid,
    summary: "the review is no AdmissionReview v1, or its object cannot be read as JSON",
    explain: "The API server sends an AdmissionReview of admission.k8s.io/v1 as application/json. What cannot be read \
              as one is refused, since nothing is known about it: truncated JSON, numbers that no 64-bit float holds, \
              objects nested deeper than 120 levels. The message tells where reading stopped. Correct the manifest; \
              if it looks right, look for a proxy between the API server and Sluice.",
    source: "Kubernetes, Dynamic Admission Control",
};

/// The review is larger than is read.
pub static TOO_LARGE: Rule = Rule {
    id: "request/too-large",
    family: Family::Validation,
    code: Code::TooLarge,
    summary: "the review is larger than 5 MiB, or holds more than 50,000 values, or its object more than 20,000",
    explain: "A review holds the object and, on an update, the stored one, both with managedFields. etcd takes \
              objects of 1.5 MiB, so a review of more than 5 MiB is mostly escaped text or a long managedFields list. \
              Make the object smaller: move large texts into a ConfigMap and refer to it. Values are list entries and \
              fields, wherever they stand; a text is one, however long. A value takes some hundred bytes of memory, \
              however short it is written, and a large FlinkDeployment has some thousand of them. The message tells \
              how many a review holds: shorten lists and maps, or put them into a file or one text. Since an update \
              carries the object twice, one of more than 20,000 values is not admitted: it could be neither changed nor \
              suspended later. What is stored already and is larger may change as long as it hardly grows. And a patch \
              of more than 2 MiB, which makes the object what is stored in the end, is not sent.",
    source: "decisions.md 13",
};

/// The body did not arrive in time.
pub static SLOW: Rule = Rule {
    id: "request/slow",
    family: Family::Validation,
    code: Code::Unavailable,
    summary: "the review did not arrive, or could not be judged, within the API server's time-out",
    explain: "The API server waits a few seconds for an answer. Nothing is wrong with the manifest: send it again. If \
              it persists, the network between the API server and Sluice or the machine that Sluice runs on is \
              overloaded; the metric sluice_admission_duration_seconds tells which. Reviews share 48 MiB of memory: \
              while more are on their way at once, some are refused so, and one that comes slowly makes room for others. \
              Long answers share 16 MiB until they are taken.",
    source: "practice.md, the webhook registration",
};

/// The parent of a `/scale` request has changed meanwhile.
pub static STALE_PARENT: Rule = Rule {
    id: "request/stale-parent",
    family: Family::Validation,
    code: Code::Conflict,
    summary: "the object of a /scale request changed while it was being judged",
    explain: "A /scale request carries only a number, so its object is read before it is judged. If that object is no \
              longer at the revision that the request was made for, the answer would be about something else. Nothing \
              is wrong: scale again.",
    source: "decisions.md 7",
};

/// A create of what exists.
pub static NAME_TAKEN: Rule = Rule {
    id: "request/name-taken",
    family: Family::Validation,
    code: Code::AlreadyExists,
    summary: "an object is to be created that exists already",
    explain: "The API server refuses a create whose name is taken, but only after it has asked for admission. A workload \
              that starts would take hold of CPU for it until the hold runs out, so Sluice refuses it at once, where it \
              knows of the object and finds it still there. Apply the manifest instead of creating it, choose another \
              name, or wait until the old object is gone.",
    source: "quota-ledger.md, Admit",
};

/// All of them.
pub static RULES: &[&Rule] = &[&MALFORMED, &TOO_LARGE, &SLOW, &STALE_PARENT, &NAME_TAKEN];

/// A refusal by one of these rules, with one cause. `message` ends without the rule's id and says what to do.
pub fn refusal(rule: &'static Rule, field: &str, message: impl Into<String>) -> Refusal {
    let message = message.into();
    let shown = if field.is_empty() {
        message.clone()
    } else {
        format!("{field}: {message}")
    };
    let retry_after = matches!(rule.code, Code::Unavailable | Code::TooManyRequests).then_some(1);
    Refusal {
        rule,
        code: rule.code,
        message: format!("{shown} [{}]", rule.id),
        causes: vec![Cause {
            rule,
            field: FieldPath::of(field),
            reason: CauseReason::Invalid,
            message,
        }],
        retry_after,
    }
}
