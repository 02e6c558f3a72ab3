//! Submissions that Flink does not answer in time: its program's main method may take longer.

use super::*;

fn pending(spec: &Value, more: Value) -> SessionJob {
    let mut status = json!({"state": "TRANSITIONING", "flinkState": null, "startTime": null,
        "operation": {"kind": "Start", "startedAt": "2026-11-21T09:59:58Z"}, "attempts": {"jobCreation": 1}});
    for (key, value) in more.as_object().unwrap() {
        status[key] = value.clone();
    }
    job(spec.clone(), live(&json!({}), status))
}

fn no_answer(job: &SessionJob, at: Timestamp) -> Plan {
    decide(&Observed {
        answer: Some(Answer::Unclear("no answer within 60 s".into())),
        now: at,
        ..see(job)
    })
}

fn not_there(job: &SessionJob, at: Timestamp) -> Plan {
    decide(&Observed {
        flink: Some(Flink::NoSuchJob),
        now: at,
        ..see(job)
    })
}

fn then(mut job: SessionJob, plan: Plan) -> SessionJob {
    job.status = Some(plan.status);
    job
}

/// Its main method goes on, and the job appears when that has ended.
#[test]
fn a_submission_without_an_answer_is_not_sent_again_before_it_could_have_come_out() {
    let asked = pending(&json!({}), json!({}));
    let plan = no_answer(&asked, now());
    assert_eq!(
        (state(&plan), reason(&plan), told(&plan)),
        (DeploymentState::Transitioning, "Unreachable", Vec::new())
    );
    let waits = then(asked, plan);
    for seconds in [2, 30, 90] {
        let plan = not_there(&waits, now() + SignedDuration::from_secs(seconds));
        assert_eq!(
            (&plan.step, Some(&plan.status)),
            (&None, waits.status.as_ref()),
            "after {seconds} s"
        );
        assert!(plan.again.is_some());
    }
    let plan = decide(&Observed {
        flink: says(JobState::Running),
        now: now() + SignedDuration::from_secs(10),
        ..see(&waits)
    });
    assert_eq!(
        (state(&plan), plan.status.attempts, plan.status.failure),
        (DeploymentState::Running, None, None)
    );
    // A look that Flink does not answer is no reason either.
    let plan = decide(&Observed {
        flink: Some(Flink::Silent("no answer within 5 s".into())),
        now: now() + SignedDuration::from_secs(4),
        ..see(&waits)
    });
    let unseen = then(waits.clone(), plan);
    assert_eq!(
        not_there(&unseen, now() + SignedDuration::from_secs(10)).step,
        None
    );
    // Nobody wants it for a while, and it is still not sent twice.
    let mut cancelled = waits.clone();
    cancelled.spec.state = Some(sluice_api::DesiredState::Cancelled);
    let plan = not_there(&cancelled, now() + SignedDuration::from_secs(5));
    let mut back = then(cancelled, plan);
    back.spec.state = Some(sluice_api::DesiredState::Running);
    assert_eq!(
        not_there(&back, now() + SignedDuration::from_secs(10)).step,
        None
    );
}

#[test]
fn submissions_that_are_never_answered_are_attempts_and_end() {
    let mut waits = pending(&json!({"maxJobCreationAttempts": 2}), json!({}));
    let mut time = now();
    for failures in 1..=2 {
        let plan = no_answer(&waits, time);
        waits = then(waits, plan);
        time += SignedDuration::from_secs(91);
        let plan = not_there(&waits, time);
        assert_eq!(plan.step, None, "counted first");
        if failures == 2 {
            assert_eq!(
                (state(&plan), reason(&plan)),
                (DeploymentState::Failed, "JobCreationFailed")
            );
            let message = plan.status.failure.unwrap().message;
            for part in [
                "in 2 attempts: no answer within 60 s",
                "90 s later Flink does not have the job",
                "spec.maxJobCreationAttempts",
            ] {
                assert!(message.contains(part), "{part}: {message}");
            }
            return;
        }
        assert_eq!(told(&plan), [EventReason::JobCreationFailed]);
        let attempts = plan.status.attempts.clone().unwrap();
        assert_eq!(attempts.job_creation, Some(1));
        waits = then(waits, plan);
        time += SignedDuration::from_secs(2);
        let plan = not_there(&waits, time);
        assert_eq!(
            submission(&plan).run.job_id,
            Some(identity::job_id(UID, 1)),
            "the same id: the one before may come out all the same"
        );
        waits = then(waits, plan);
    }
}

/// Where this process has died before it could tell, nothing may have been sent.
#[test]
fn a_submission_that_was_cut_short_is_no_attempt() {
    let asked = pending(
        &json!({"maxJobCreationAttempts": 1}),
        json!({"operation": {"kind": "Start", "startedAt": "2026-11-21T09:50:00Z"}}),
    );
    let plan = not_there(&asked, now());
    assert_eq!(submission(&plan).run.job_id, Some(identity::job_id(UID, 1)));
}
