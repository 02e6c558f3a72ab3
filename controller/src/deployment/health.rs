//! How a running job fares: restarts within windows of time, and the conditions that tell of them (`vvp-deployments.txt`,
//! Deployment Conditions; decision 25).

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sluice_api::conditions::running::{
    CLUSTER_UNREACHABLE, FAILING_WINDOW_MINUTES, JOB_FAILING, JOB_UNSTABLE, RESTARTS,
    UNSTABLE_WINDOW_MINUTES,
};
use sluice_api::events::EventReason;
use sluice_api::{JobStatus, RunningCondition};

use super::draft::Draft;
use crate::runtime::conditions::Truth;

/// Restarts whose times are kept; more than these change no condition.
const MOST: usize = 20;

/// Counts restarts since Flink was last asked. A counter that falls is that of a new JobManager, whose start counts as one.
pub fn count(draft: &mut Draft<'_>, counter: Option<i64>) {
    let now = draft.now();
    let run = &mut draft.run;
    if let Some(counter) = counter {
        let known = run.last_restart_count.unwrap_or(0);
        let more = if counter >= known {
            counter - known
        } else {
            counter.saturating_add(1)
        };
        run.last_restart_count = Some(counter);
        if more > 0 {
            let more_32 = i32::try_from(more).unwrap_or(i32::MAX);
            run.restarts = Some(run.restarts.unwrap_or(0).saturating_add(more_32));
            let new = usize::try_from(more).unwrap_or(MOST).min(MOST);
            run.restart_times.extend((0..new).map(|_| Time(now)));
        }
    }
    let oldest = now - SignedDuration::from_mins(UNSTABLE_WINDOW_MINUTES);
    run.restart_times.retain(|time| time.0 > oldest);
    let too_many = run.restart_times.len().saturating_sub(MOST);
    run.restart_times.drain(..too_many);
}

/// Restarts within so many minutes.
fn within(run: &JobStatus, minutes: i64, now: Timestamp) -> usize {
    let oldest = now - SignedDuration::from_mins(minutes);
    run.restart_times
        .iter()
        .filter(|time| time.0 > oldest)
        .count()
}

/// Writes the conditions of a running job. `silent`: why its state is not known, if it is not.
pub fn tell(draft: &mut Draft<'_>, silent: Option<&str>) {
    let now = draft.now();
    let failing = within(&draft.run, FAILING_WINDOW_MINUTES, now);
    let unstable = within(&draft.run, UNSTABLE_WINDOW_MINUTES, now);
    let restarts = |number: usize, minutes: i64| {
        format!("Flink has restarted the job {number} times within the last {minutes} minutes.")
    };
    let rows = [
        (
            CLUSTER_UNREACHABLE,
            silent.is_some(),
            EventReason::ClusterUnreachable,
            match silent {
                Some(why) => format!("The state of the job is not known: {why}"),
                None => "Flink answers.".to_owned(),
            },
        ),
        (
            JOB_FAILING,
            failing >= RESTARTS,
            EventReason::JobFailing,
            restarts(failing, FAILING_WINDOW_MINUTES),
        ),
        (
            JOB_UNSTABLE,
            unstable >= RESTARTS,
            EventReason::JobUnstable,
            restarts(unstable, UNSTABLE_WINDOW_MINUTES),
        ),
    ];
    let Some(mut conditions) = draft
        .next
        .running
        .as_ref()
        .map(|all| all.conditions.clone())
    else {
        return;
    };
    for (kind, holds, event, message) in rows {
        let known = conditions.iter().find(|condition| condition.type_ == kind);
        let was = known.is_some_and(|known| known.status == Truth::True.word());
        if holds && !was {
            draft.note(event, message.clone());
        }
        let reason = if holds { kind } else { "AsExpected" };
        set(
            &mut conditions,
            kind,
            Truth::of(holds),
            reason,
            message,
            now,
        );
    }
    if let Some(running) = &mut draft.next.running {
        running.conditions = conditions;
    }
}

fn set(
    conditions: &mut Vec<RunningCondition>,
    kind: &str,
    truth: Truth,
    reason: &str,
    message: String,
    now: Timestamp,
) {
    let mut next = RunningCondition {
        type_: kind.to_owned(),
        status: truth.word().to_owned(),
        message: Some(message),
        reason: Some(reason.to_owned()),
        last_transition_time: Some(Time(now)),
        last_update_time: Some(Time(now)),
    };
    match conditions.iter_mut().find(|known| known.type_ == kind) {
        None => conditions.push(next),
        Some(known) => {
            if known.status == next.status {
                next.last_transition_time
                    .clone_from(&known.last_transition_time);
            }
            let is_same = known.status == next.status
                && known.message == next.message
                && known.reason == next.reason;
            if !is_same {
                *known = next;
            }
        }
    }
}
