//! A submission that Flink has not answered. Its program's main method runs first and may take longer than an answer is waited for, so the same is
//! not submitted again before it could have come out; that it has not is a failed attempt like any other.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sluice_api::Failure;
use sluice_api::conditions::reasons;

use super::draft::Draft;
use super::sight::Plan;
use super::start;

/// How long a submission that was not answered may still be under way: Flink runs the program's main method first.
pub const UNDER_WAY: Duration = Duration::from_secs(90);
/// Between looks whether it has come out.
const LOOK: Duration = Duration::from_secs(2);
/// `status.failure.reason` of one.
const REASON: &str = "SubmissionUnanswered";

/// No answer has come.
pub fn tell(mut draft: Draft<'_>, reason: &str) -> Plan {
    // Flink may be at it still, however long the jar took to come before it was asked.
    let now = draft.now();
    if let Some(operation) = &mut draft.next.operation {
        operation.started_at = Some(Time(now));
    }
    let message = format!(
        "{reason}; the program's main method may still run, so the job is submitted again only if Flink does not have it after {} s.",
        UNDER_WAY.as_secs()
    );
    draft.moving(reasons::UNREACHABLE, &message);
    draft.next.failure = Some(Failure {
        reason: REASON.to_owned(),
        message: reason.to_owned(),
        failed_at: Some(Time(now)),
    });
    waited_for(draft)
}

/// Whether the newest attempt has had no answer. One that was cut short with this process is none of these: it may never have been sent.
pub fn is(draft: &Draft<'_>) -> bool {
    let attempts = draft.next.attempts.as_ref();
    let made = attempts.and_then(|all| all.job_creation);
    let operation = draft.next.operation.as_ref();
    let failed = operation.and_then(|operation| operation.failures);
    let since = operation.and_then(|operation| operation.started_at.as_ref());
    let failure = draft.next.failure.as_ref();
    let of_it = failure.filter(|failure| {
        failure.reason == REASON
            && failure.failed_at.as_ref().map(|at| at.0) >= since.map(|since| since.0)
    });
    of_it.is_some() && made.unwrap_or_default() > failed.unwrap_or_default()
}

/// It may still come out.
pub fn waited_for(draft: Draft<'_>) -> Plan {
    draft.plan(None, Some(LOOK))
}

/// It has not come out.
pub fn count(draft: Draft<'_>) -> Plan {
    let failure = draft.next.failure.as_ref();
    let why = failure.map_or("Flink has not answered", |failure| failure.message.as_str());
    let message = format!(
        "{why}, and {} s later Flink does not have the job. If the program's main method takes longer than that, make it shorter, or raise \
         spec.maxJobCreationAttempts: one that has begun is waited for as long as there are attempts.",
        UNDER_WAY.as_secs()
    );
    start::failed(draft, &message)
}
