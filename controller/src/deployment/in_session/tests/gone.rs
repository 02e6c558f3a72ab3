//! What is not forgotten with a SessionJob, nor gone over before somebody has been told.

use sluice_api::SavepointOrigin;

use super::*;

/// A snapshot that is kept, in this folder.
fn kept(folder: &str, origin: SavepointOrigin) -> Stored {
    Stored {
        name: format!("d-{folder}"),
        location: format!("s3://b/sp/{folder}/x"),
        completed: now(),
        origin,
    }
}

/// Its SessionJob is gone, and these are the Deployment's snapshots.
fn alone(deployment: &Deployment, savepoints: &[Stored]) -> Plan {
    decide(&Observed {
        deployment,
        now: now(),
        found: Found::Nothing,
        savepoints,
    })
}

/// As it was told last, asked for this at this generation.
fn asked(generation: i64, state: &str, status: &Value) -> Deployment {
    let mut one = deployment(
        &json!({"metadata": {"generation": generation}, "spec": {"state": state},
        "status": {"sessionJob": {"hasRun": true}}}),
    );
    let mut all = serde_json::to_value(&one.status).unwrap();
    merge(&mut all, status);
    one.status = serde_json::from_value(all).unwrap();
    one
}

/// The same, with the status that was written.
fn then(generation: i64, state: &str, plan: &Plan) -> Deployment {
    asked(
        generation,
        state,
        &serde_json::to_value(&plan.status).unwrap(),
    )
}

fn going(mut job: SessionJob) -> SessionJob {
    job.metadata.deletion_timestamp = Some(super::super::decide::stored(now()));
    job
}

fn failure(plan: &Plan) -> (Option<DeploymentState>, Option<&str>) {
    let failure = plan.status.failure.as_ref();
    (
        plan.status.state,
        failure.map(|failure| failure.reason.as_str()),
    )
}

const UNCLEAR: (Option<DeploymentState>, Option<&str>) =
    (Some(DeploymentState::Failed), Some("StopUnclear"));

#[test]
fn a_job_that_came_to_its_end_does_not_run_again_because_its_session_job_was_deleted() {
    let older = [kept("old", SavepointOrigin::Suspend)];
    let one = asked(3, "RUNNING", &json!({"state": "FINISHED"}));
    let ended = going(job(
        &one,
        DesiredState::Running,
        says("FINISHED", "FINISHED"),
    ));
    let plan = decided(&one, Found::Ours(&ended));
    assert_eq!(plan.status.state, Some(DeploymentState::Finished));
    let one = then(3, "RUNNING", &plan);
    let plan = alone(&one, &older);
    assert_eq!(
        (step(&plan).as_str(), plan.again, &plan.notes),
        ("-", Again::OnNews, &vec![])
    );
    assert_eq!(Some(plan.status), one.status);
    // Nobody had looked before it was deleted.
    let one = asked(3, "RUNNING", &json!({"state": "RUNNING"}));
    let plan = decided(&one, Found::Ours(&ended));
    assert_eq!(plan.status.state, Some(DeploymentState::Finished));
    assert_eq!(
        plan.status.observed_generation,
        Some(3),
        "a change is still to be seen"
    );
    // Somebody changes the Deployment.
    let one = then(4, "RUNNING", &plan);
    assert_eq!(step(&alone(&one, &older)), "create RUNNING");
    // It is to go on in a cluster of its own.
    let mut leaves = one.clone();
    leaves.spec.session_cluster_name = None;
    let plan = decided(&leaves, Found::Ours(&ended));
    assert_eq!(plan.status.state, Some(DeploymentState::Transitioning));
    leaves.status = Some(plan.status);
    assert_eq!(alone(&leaves, &older).status.session_job, None);
}

#[test]
fn an_unclear_stop_is_not_forgotten_with_its_session_job() {
    let older = [kept("old", SavepointOrigin::Suspend)];
    let mut status = says("FAILED", "");
    merge(
        &mut status,
        &json!({"flinkState": null, "failure": {"reason": "StopUnclear", "message": "in s3://b/sp"}}),
    );
    for state in ["RUNNING", "SUSPENDED"] {
        // Told before it was deleted, or while it goes.
        let told = asked(
            3,
            state,
            &json!({"state": "FAILED", "failure": {"reason": "StopUnclear", "message": "in s3://b/sp"}}),
        );
        let untold = asked(3, state, &json!({}));
        for one in [told, untold] {
            let ended = going(job(&one, DesiredState::Suspended, status.clone()));
            let plan = decided(&one, Found::Ours(&ended));
            assert_eq!((step(&plan).as_str(), failure(&plan)), ("-", UNCLEAR));
            let one = then(3, state, &plan);
            let plan = alone(&one, &older);
            assert_eq!((step(&plan).as_str(), failure(&plan)), ("-", UNCLEAR));
            assert_eq!(Some(&plan.status), one.status.as_ref());
            // Whoever changes it has been told.
            let next = then(4, "RUNNING", &plan);
            assert_eq!(step(&alone(&next, &older)), "create RUNNING");
            let mut leaves = next.clone();
            leaves.spec.session_cluster_name = None;
            assert_eq!(alone(&leaves, &older).status.session_job, None);
        }
    }
    // Off the session cluster it does not go unasked either.
    let mut leaves = asked(3, "RUNNING", &json!({}));
    let ended = going(job(&leaves, DesiredState::Suspended, status));
    leaves.spec.session_cluster_name = None;
    let plan = decided(&leaves, Found::Ours(&ended));
    assert_eq!(failure(&plan), UNCLEAR);
    leaves.status = Some(plan.status);
    let plan = alone(&leaves, &older);
    assert_eq!(failure(&plan), UNCLEAR);
    assert!(plan.status.session_job.is_some());
}

/// Its SessionJob is deleted while the job is being stopped with a savepoint.
#[test]
fn a_stop_whose_end_nobody_has_seen_is_unclear() {
    let stop = json!({"kind": "Suspend", "startedAt": "2026-11-21T11:59:50Z", "triggerId": "t",
        "targetDirectory": "s3://b/sp/team-a-d-t"});
    let mut halted = stop.clone();
    halted["kind"] = json!("Cancel");
    let others = [
        kept("team-a-d-old", SavepointOrigin::Suspend),
        kept("team-a-d-t", SavepointOrigin::RetainedCheckpoint),
    ];
    let own = [kept("team-a-d-t", SavepointOrigin::Suspend)];
    for operation in [&stop, &halted] {
        for state in ["RUNNING", "SUSPENDED"] {
            // Whoever has changed it meanwhile has not known.
            for generation in [3, 4] {
                let stopping = asked(
                    generation,
                    state,
                    &json!({"state": "TRANSITIONING", "operation": operation}),
                );
                let plan = alone(&stopping, &others);
                assert_eq!((step(&plan).as_str(), failure(&plan)), ("-", UNCLEAR));
                let message = plan.status.failure.clone().unwrap().message;
                for part in ["in s3://b/sp/team-a-d-t ", "spec.deploymentName d"] {
                    assert!(message.contains(part), "{part}: {message}");
                }
                assert_eq!(plan.notes.len(), 1);
                let told = then(generation, state, &plan);
                let plan = alone(&told, &others);
                assert_eq!(
                    (Some(&plan.status), plan.notes.len()),
                    (told.status.as_ref(), 0)
                );
                let next = then(generation + 1, "RUNNING", &plan);
                assert_eq!(step(&alone(&next, &others)), "create RUNNING");
                // What it has left is known.
                let plan = alone(&stopping, &own);
                let expected = if state == "RUNNING" {
                    ("create RUNNING", DeploymentState::Transitioning)
                } else {
                    ("-", DeploymentState::Suspended)
                };
                assert_eq!((step(&plan).as_str(), plan.status.state.unwrap()), expected);
            }
        }
    }
    // Nobody goes on from it.
    let cancelled = asked(4, "CANCELLED", &json!({"operation": stop}));
    let plan = alone(&cancelled, &others);
    assert_eq!(plan.status.state, Some(DeploymentState::Cancelled));
    // A cancellation leaves no savepoint that anybody has asked for.
    let cancelling = asked(3, "RUNNING", &json!({"operation": {"kind": "Cancel"}}));
    assert_eq!(step(&alone(&cancelling, &others)), "create RUNNING");
    // Where Flink has chosen the folder, the time tells.
    let elsewhere = |at: &str| {
        let stopping = json!({"operation": {"kind": "Suspend", "startedAt": at, "triggerId": "t"}});
        step(&alone(&asked(3, "RUNNING", &stopping), &others))
    };
    assert_eq!(elsewhere("2026-11-21T11:59:50Z"), "create RUNNING");
    assert_eq!(elsewhere("2026-11-21T12:30:00Z"), "-");
}

#[test]
fn what_a_session_job_says_of_a_stop_on_its_way_out_is_taken_down() {
    let one = asked(3, "RUNNING", &json!({}));
    let mut status = says("TRANSITIONING", "RUNNING");
    status["operation"] =
        json!({"kind": "Cancel", "triggerId": "t", "startedAt": "2026-11-21T11:59:50Z"});
    let stopping = going(job(&one, DesiredState::Running, status.clone()));
    let plan = decided(&one, Found::Ours(&stopping));
    assert_eq!(
        plan.status.operation,
        stopping.status.as_ref().unwrap().operation
    );
    let one = then(3, "RUNNING", &plan);
    // The cancellation came first: it is known what there is to go on from.
    let status = says("CANCELLED", "CANCELED");
    let ended = going(job(&one, DesiredState::Running, status));
    let plan = decided(&one, Found::Ours(&ended));
    assert_eq!(plan.status.operation, None);
    let left = [kept("chk-7", SavepointOrigin::RetainedCheckpoint)];
    let plan = alone(&then(3, "RUNNING", &plan), &left);
    assert_eq!(step(&plan), "create RUNNING");
}

/// The Deployment was changed while its job was being stopped, in what concerns the job or not: nobody had been told by then.
#[test]
fn an_unclear_stop_is_told_before_it_goes_on() {
    let mut status = says("FAILED", "");
    merge(
        &mut status,
        &json!({"flinkState": null, "failure": {"reason": "StopUnclear", "message": "in s3://b/sp"}}),
    );
    for state in ["RUNNING", "SUSPENDED"] {
        let desired = serde_json::from_value(json!(state)).unwrap();
        let before = asked(3, state, &json!({"state": "TRANSITIONING"}));
        let ended = job(&before, desired, status.clone());
        for parallelism in [2, 3] {
            let alter = |mut one: Deployment| {
                let template = one.spec.template.as_mut().unwrap().spec.as_mut().unwrap();
                template.parallelism = Some(parallelism);
                one
            };
            let one = alter(asked(4, state, &json!({"state": "TRANSITIONING"})));
            let plan = decided(&one, Found::Ours(&ended));
            assert_eq!((step(&plan).as_str(), failure(&plan)), ("-", UNCLEAR));
            let claim = plan.status.session_job.clone().unwrap();
            assert_eq!(claim.recoveries, None, "{parallelism}");
            let told = alter(then(4, state, &plan));
            let again = decided(&told, Found::Ours(&ended));
            assert_eq!((step(&again).as_str(), &again.status), ("-", &plan.status));
            // Whoever changes it now has been told.
            let mut next = alter(then(5, "RUNNING", &plan));
            let mut plan = decided(&next, Found::Ours(&ended));
            if plan.step.is_none() {
                next.status = Some(plan.status);
                plan = decided(&next, Found::Ours(&ended));
            }
            assert_eq!(step(&plan), "replace RUNNING");
        }
    }
    // Nothing is gone on from.
    let cancelled = asked(4, "CANCELLED", &json!({}));
    let ended = job(
        &asked(3, "RUNNING", &json!({})),
        DesiredState::Running,
        status,
    );
    assert_eq!(
        step(&decided(&cancelled, Found::Ours(&ended))),
        "replace CANCELLED"
    );
}
