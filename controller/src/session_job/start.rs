//! Beginning a run: whether it can, what from, and what follows from Flink's answer.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Map, Value};
use sluice_api::Attempts;
use sluice_api::conditions::reasons;
use sluice_api::events::EventReason;
use sluice_policy::flink::FlinkVersion;
use sluice_policy::json;

use super::draft::{Draft, operations, waiting_for};
use super::identity;
use super::sight::{Answer, Plan, Ready, Step, Submission, Target};
use super::snapshot::{Restore, choose};
use super::unanswered;
use crate::flink::{JarRun, JobId};

/// Submissions that Flink refuses before the start has failed.
pub const MOST_ATTEMPTS: i32 = 4;
/// From this version on a job is submitted with options of its own.
const OPTIONS_SINCE: FlinkVersion = FlinkVersion::new(1, 17);
/// Between looks at a session cluster that does not run; its changes are heard as well.
const WAIT: Duration = Duration::from_secs(30);
/// Between attempts at a jar that is waited for: each may take one of the few places for it.
const JAR_AGAIN: Duration = Duration::from_secs(30);
/// `status.failure.reason` while a jar is waited for.
const NOT_FETCHED: &str = "JarNotFetched";
/// After something has been asked for.
pub const SOON: Duration = Duration::from_secs(1);

/// How long to wait after so many failures.
pub fn backoff(failures: i32) -> Duration {
    let exponent = u32::try_from(failures.clamp(0, 6)).unwrap_or_default();
    Duration::from_secs(2_u64.saturating_pow(exponent).min(60))
}

/// Begins a new run, as soon as its session cluster takes one.
pub fn start(mut draft: Draft<'_>, reason: &str) -> Plan {
    let observed = draft.observed;
    let ready = match &observed.target {
        Target::Ready(ready) => ready.clone(),
        other => {
            let (why, message) = waiting_for(other);
            draft.moving(why, &message);
            return draft.plan(None, Some(WAIT));
        }
    };
    let restore = choose(&draft);
    let Some(run) = described(&mut draft, &ready, &restore) else {
        return draft.plan(None, None);
    };
    let number = draft.next.run.unwrap_or_default().saturating_add(1);
    let uid = observed.job.metadata.uid.clone().unwrap_or_default();
    let id = identity::job_id(&uid, number);
    let next = &mut draft.next;
    next.run = Some(number);
    next.job_id = Some(id.to_string());
    next.session_cluster_uid = Some(ready.uid.clone());
    next.started_with = Some(identity::fingerprint(observed.job));
    next.restart_nonce = observed.job.spec.restart_nonce;
    next.flink_state = None;
    next.attempts = None;
    let namespace = observed
        .job
        .metadata
        .namespace
        .as_deref()
        .unwrap_or_default();
    next.ui = Some(format!(
        "kubectl port-forward -n {namespace} service/{}-sc-jobmanager 8081:8081; then http://localhost:8081/#/job/{id}",
        ready.name
    ));
    if let Restore::From { location, name } = &restore {
        next.snapshot_location = Some(location.clone());
        next.latest_savepoint_name.clone_from(name);
        if let Some(stored) = observed
            .savepoints
            .iter()
            .find(|stored| stored.location == *location)
        {
            next.snapshot_time = Some(Time(stored.completed));
        }
    }
    let text = match &restore {
        Restore::From { location, .. } => {
            format!("The job is submitted, with the state of {location}.")
        }
        _ => "The job is submitted, without state.".to_owned(),
    };
    draft.note(EventReason::Starting, text);
    draft.begin(operations::START);
    attempt(draft, reason, run, id)
}

/// Submits the run that is pending (again).
pub fn again(mut draft: Draft<'_>) -> Plan {
    // What the last try has written into the status brings the job here at once.
    let failures = draft.next.operation.as_ref().and_then(|all| all.failures);
    let failure = draft.next.failure.as_ref();
    let pause = if failure.is_some_and(|failure| failure.reason == NOT_FETCHED) {
        JAR_AGAIN
    } else {
        backoff(failures.unwrap_or(1))
    };
    let left = pause.saturating_sub(draft.operation_age());
    if !left.is_zero() {
        return draft.plan(None, Some(left.max(Duration::from_millis(100))));
    }
    let Target::Ready(ready) = draft.observed.target.clone() else {
        return draft.plan(None, Some(WAIT));
    };
    let restore = choose(&draft);
    let id = draft.next.job_id.as_deref().and_then(JobId::parse);
    let (Some(run), Some(id)) = (described(&mut draft, &ready, &restore), id) else {
        return draft.plan(None, None);
    };
    if let Some(operation) = &mut draft.next.operation {
        operation.started_at = Some(Time(crate::runtime::conditions::whole_second(
            draft.observed.now,
        )));
    }
    attempt(draft, reasons::STARTING, run, id)
}

fn attempt(mut draft: Draft<'_>, reason: &str, run: JarRun, id: JobId) -> Plan {
    let begun = draft
        .next
        .attempts
        .as_ref()
        .and_then(|all| all.job_creation);
    draft.next.attempts = Some(Attempts {
        job_creation: Some(begun.unwrap_or_default().saturating_add(1)),
        ..Attempts::default()
    });
    let failure = draft.next.failure.clone();
    draft.moving(reason, "The job is being submitted.");
    // Until it goes well, what went wrong last stays to be read.
    draft.next.failure = failure.filter(|_| begun.is_some());
    let task = draft.observed.job.spec.job.clone().unwrap_or_default();
    let submission = Submission {
        name: identity::jar_name(&id),
        jar: task.jar_uri,
        run: JarRun {
            job_id: Some(id),
            ..run
        },
    };
    draft.plan(Some(Step::Submit(Box::new(submission))), Some(SOON))
}

/// What is to be run; `None` if it cannot be, which the status then says.
fn described(draft: &mut Draft<'_>, ready: &Ready, restore: &Restore) -> Option<JarRun> {
    let spec = &draft.observed.job.spec;
    let configuration: Map<String, Value> = spec
        .flink_configuration
        .iter()
        .flatten()
        .filter_map(|(key, value)| {
            json::scalar_text(value).map(|text| (key.clone(), Value::from(text)))
        })
        .collect();
    if let Some(version) = ready.version.filter(|version| *version < OPTIONS_SINCE)
        && !configuration.is_empty()
    {
        let message = format!(
            "spec.flinkConfiguration: configuration of a single job needs Flink {OPTIONS_SINCE}, SessionCluster {} has \
             {version}; set these options on the session cluster, or use one with Flink {OPTIONS_SINCE}.",
            ready.name
        );
        draft.fail(
            "JobConfigurationUnsupported",
            &message,
            EventReason::TransitionFailed,
        );
        return None;
    }
    let location = match restore {
        Restore::Empty => None,
        Restore::From { location, .. } => Some(location.clone()),
        Restore::NoState => {
            let field = match identity::of_deployment(draft.observed.job) {
                Some(_) => "deploymentName",
                None => "sessionJobName",
            };
            let message = format!(
                "The job has run before, and no snapshot of it is known to start from. Bring one in (a Savepoint with {field} and \
                 savepointLocation), or set spec.restoreStrategy.kind to NONE to start it empty."
            );
            draft.fail(reasons::NO_STATE, &message, EventReason::NoState);
            return None;
        }
    };
    let task = spec.job.clone().unwrap_or_default();
    let args = task.args.unwrap_or_default();
    let allow = spec.restore_strategy.as_ref();
    let allow = allow.and_then(|strategy| strategy.allow_non_restored_state);
    Some(JarRun {
        entry_class: task.entry_class.filter(|class| !class.is_empty()),
        args: args
            .iter()
            .filter_map(|argument| argument.text().map(std::borrow::Cow::into_owned))
            .collect(),
        parallelism: task.parallelism,
        job_id: None,
        allow_non_restored_state: allow.filter(|_| location.is_some()),
        savepoint_path: location,
        flink_configuration: configuration,
    })
}

/// What follows from Flink's answer to a submission.
pub fn answered(mut draft: Draft<'_>, answer: &Answer) -> Plan {
    match answer {
        Answer::Submitted => {
            super::settle::accepted(&mut draft);
            draft.moving(reasons::STARTING, "Flink has taken the job.");
            draft.plan(None, Some(Duration::from_millis(500)))
        }
        Answer::SubmitFailed(reason) => failed(draft, reason),
        // Whoever names a wrong server at first hears of it soon.
        Answer::NotFetched(reason) if draft.next.start_time.is_none() => failed(draft, reason),
        Answer::NotFetched(reason) => {
            was_none(&mut draft);
            let message =
                format!("{reason}. The job has run before, so this is tried until it goes well.");
            tell_failure(&mut draft, NOT_FETCHED, reason, &message);
            draft.plan(None, Some(JAR_AGAIN))
        }
        Answer::NotSent(reason) => {
            was_none(&mut draft);
            draft.moving(reasons::STARTING, reason);
            draft.plan(None, Some(backoff(1)))
        }
        Answer::Unclear(reason) => unanswered::tell(draft, reason),
        _ => draft.plan(None, Some(SOON)),
    }
}

/// This attempt was none. One before it may be under way still.
fn was_none(draft: &mut Draft<'_>) {
    let attempts = draft.next.attempts.as_ref();
    let begun = attempts.and_then(|all| all.job_creation);
    draft.next.attempts = Some(Attempts {
        job_creation: Some(begun.unwrap_or_default().saturating_sub(1).max(0)),
        ..Attempts::default()
    });
}

/// What stands in the way of the start, as often as it is something else.
fn tell_failure(draft: &mut Draft<'_>, kind: &str, reason: &str, message: &str) {
    let known = draft.before.failure.as_ref();
    if known.is_none_or(|failure| failure.message != reason) {
        draft.note(EventReason::JobCreationFailed, reason);
    }
    draft.moving(kind, message);
    let now = Time(draft.now());
    draft.next.failure = Some(sluice_api::Failure {
        reason: kind.to_owned(),
        message: reason.to_owned(),
        failed_at: Some(now.clone()),
    });
    if let Some(operation) = &mut draft.next.operation {
        operation.started_at = Some(now);
    }
}

/// One more attempt has failed, and nothing of it is waited for.
pub fn failed(mut draft: Draft<'_>, reason: &str) -> Plan {
    let operation = draft.next.operation.get_or_insert_default();
    let failures = operation.failures.unwrap_or_default().saturating_add(1);
    operation.failures = Some(failures);
    // Nothing is under way any more.
    draft.next.attempts = Some(Attempts {
        job_creation: Some(failures),
        ..Attempts::default()
    });
    let most = draft.observed.job.spec.max_job_creation_attempts;
    let most = most.unwrap_or(MOST_ATTEMPTS).max(1);
    if failures >= most {
        let message = format!("The job could not be started in {failures} attempts: {reason}");
        draft.fail(
            reasons::JOB_CREATION_FAILED,
            &message,
            EventReason::TransitionFailed,
        );
        return draft.plan(None, None);
    }
    let message = format!("Attempt {failures} of {most} failed: {reason}");
    tell_failure(&mut draft, reasons::JOB_CREATION_FAILED, reason, &message);
    draft.plan(None, Some(backoff(failures)))
}
