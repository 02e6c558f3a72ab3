//! Defaults and Environments on other people's kinds: what users typed is never lost to a default, whatever form it has, an
//! Environment keeps nobody from stopping, and neither turns an object into another kind of thing.

use super::admins::Admins;
use super::support::*;
use serde_json::{Value, json};
use sluice_policy::*;

/// The same settings for each of the kinds.
fn sections(spec: Value) -> Value {
    json!({"namespaces": ["*"], "flinkDeployment": spec, "flinkApplication": spec, "flinkSessionJob": spec})
}

pub fn environment(spec: Value) -> Admins {
    Admins {
        environments: vec![sections(spec)],
        ..Admins::default()
    }
}

pub fn defaults(spec: Value) -> Admins {
    Admins {
        defaults: vec![sections(spec)],
        ..Admins::default()
    }
}

/// Both calls, as an API server makes them: a second mutation finds nothing to do, the validating call finds nothing missing.
pub fn asked(object: &Value, old: Option<&Value>, world: &Admins) -> (Value, Judgement) {
    let operation = old.map_or(Operation::Create, |old| Operation::Update { old });
    let mutation = mutate(&review(object, operation), world);
    assert_eq!(mutation.refusal, None);
    let mut made = mutation.object.into_owned();
    let again = mutate(&review(&made, operation), world);
    assert_eq!(again.patch, Vec::new(), "{made:#}");
    if let Some(old) = old
        && old["spec"] != made["spec"]
    {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
        made["metadata"]["generation"] = json!(generation + 1);
    }
    let judgement = validate(&review(&made, operation), world);
    (made, judgement)
}

pub fn admitted(object: &Value, old: Option<&Value>, world: &Admins) -> Value {
    let (made, judgement) = asked(object, old, world);
    assert_eq!(judgement.refusal, None, "{made:#}");
    made
}

pub fn spec(object: &Value, spec: Value) -> Value {
    merged(object, &json!({ "spec": spec }))
}

pub fn configuration_of(object: &Value) -> &Value {
    &object["spec"]["flinkConfiguration"]
}

#[test]
fn no_environment_keeps_a_job_from_being_suspended() {
    let running = deployed(&application());
    let suspended = spec(&running, json!({"job": {"state": "suspended"}}));
    for settings in [
        json!({"mode": "standalone"}),
        json!({"flinkVersion": "v1_19", "jobManager": {"replicas": 2}}),
    ] {
        let made = admitted(&suspended, Some(&running), &environment(settings));
        assert_eq!(made["spec"], suspended["spec"]);
    }
}

/// `kubectl apply` sends again what an Environment has replaced.
#[test]
fn a_manifest_that_an_environment_overrides_can_suspend_its_job() {
    let own = spec(&application(), json!({"serviceAccount": "mine"}));
    let running = deployed(&admitted(
        &own,
        None,
        &environment(json!({"serviceAccount": "theirs"})),
    ));
    let world = environment(json!({"jobManager": {"replicas": 2}, "serviceAccount": "others"}));
    let suspended = spec(
        &running,
        json!({"serviceAccount": "mine", "job": {"state": "suspended"}}),
    );
    let made = admitted(&suspended, Some(&running), &world);
    assert_eq!(made["spec"]["serviceAccount"], "theirs", "as it runs");
    assert_eq!(made["spec"]["job"]["state"], "suspended");
    // Whoever changes anything else meanwhile meets the Environment.
    let world = environment(json!({"serviceAccount": "others"}));
    let sneaking = spec(&suspended, json!({"image": "other"}));
    let made = admitted(&sneaking, Some(&running), &world);
    assert_eq!(made["spec"]["serviceAccount"], "others");
    // And so does whoever starts it again.
    let mut stopped = admitted(&suspended, Some(&running), &world);
    record(&mut stopped, &suspended["spec"]);
    let resumed = spec(&stopped, json!({"job": {"state": "running"}}));
    let made = admitted(&resumed, Some(&stopped), &world);
    assert_eq!(made["spec"]["serviceAccount"], "others");
}

#[test]
fn an_environment_changes_nothing_that_the_operator_lets_nobody_change() {
    let running = deployed(&application());
    let scaled = spec(&running, json!({"job": {"parallelism": 6}}));
    let world = environment(json!({"mode": "standalone", "imagePullPolicy": "Always"}));
    let made = admitted(&scaled, Some(&running), &world);
    assert_eq!(made["spec"].get("mode"), None);
    assert_eq!(made["spec"]["imagePullPolicy"], "Always");
    assert_eq!(
        admitted(&application(), None, &world)["spec"]["mode"],
        "standalone"
    );

    let settings = json!({"upgradeMode": "last-state", "state": "suspended"});
    let mut suspended = spec(
        &running,
        json!({"flinkVersion": "v1_19", "job": settings, "flinkConfiguration": {
            "execution.checkpointing.dir": "s3://b/c", "high-availability.type": "kubernetes", "high-availability.storageDir": "s3://b/h"}}),
    );
    let last = suspended["spec"].clone();
    record(&mut suspended, &last);
    let resumed = spec(&suspended, json!({"job": {"state": "running"}}));
    let world = environment(json!({"flinkVersion": "v1_20"}));
    let made = admitted(&resumed, Some(&suspended), &world);
    assert_eq!(made["spec"]["flinkVersion"], "v1_19");
    // From then on it is an upgrade like any other.
    let mut running = made;
    let last = running["spec"].clone();
    record(&mut running, &last);
    let scaled = spec(&running, json!({"job": {"parallelism": 6}}));
    let made = admitted(&scaled, Some(&running), &world);
    assert_eq!(made["spec"]["flinkVersion"], "v1_20");
    // Who writes another version himself meets the Environment.
    let stateless = spec(
        &suspended,
        json!({"flinkVersion": "v1_18", "job": {"state": "running", "upgradeMode": "stateless"}}),
    );
    let made = admitted(&stateless, Some(&suspended), &world);
    assert_eq!(made["spec"]["flinkVersion"], "v1_20");
}

#[test]
fn a_canary_that_loses_its_label_is_filled_in_like_a_new_object() {
    let canary = merged(
        &application(),
        &json!({"metadata": {"labels": {"flink.apache.org/canary": "true"}}}),
    );
    let world = Admins {
        environments: vec![sections(json!({"serviceAccount": "theirs"}))],
        defaults: vec![sections(json!({"imagePullPolicy": "Always"}))],
        ..Admins::default()
    };
    let made = admitted(&application(), Some(&canary), &world);
    assert_eq!(made["spec"]["serviceAccount"], "theirs");
    assert_eq!(made["spec"]["imagePullPolicy"], "Always");
    // What stays one, and what becomes one, passes unseen.
    let labelled = merged(&canary, &json!({"metadata": {"labels": {"a": "b"}}}));
    assert_eq!(admitted(&labelled, Some(&canary), &world), labelled);
}

#[test]
fn resources_in_the_users_form_rule_out_a_default_in_the_other() {
    let theirs = json!({"cpu": 8, "memory": "2048m"});
    let own = spec(&application(), json!({"taskManager": {"resource": theirs}}));
    let new_form = defaults(json!({
        "taskManager": {"resources": {"requests": {"cpu": "500m"}, "limits": {"memory": "4Gi"}}},
        "jobManager": {"podTemplate": {"metadata": {"name": "p"}}}}));
    let made = admitted(&own, None, &new_form);
    assert_eq!(made["spec"]["taskManager"], json!({ "resource": theirs }));
    assert_eq!(
        made["spec"]["jobManager"]["podTemplate"]["metadata"]["name"],
        "p"
    );

    let theirs = json!({"requests": {"cpu": "500m", "memory": "2Gi"}});
    let own = spec(
        &application(),
        json!({"taskManager": {"resource": null, "resources": theirs}}),
    );
    let old_form = defaults(json!({"taskManager": {"resource": {"cpu": 8, "memory": "4096m"}}}));
    let made = admitted(&own, None, &old_form);
    assert_eq!(made["spec"]["taskManager"]["resources"], theirs);
    assert_eq!(made["spec"]["taskManager"].get("resource"), None);
    // Requests and limits go together.
    let made = admitted(
        &own,
        None,
        &defaults(json!({"taskManager": {"resources": {"limits": {"cpu": "2"}}}})),
    );
    assert_eq!(
        made["spec"]["taskManager"]["resources"],
        json!({"requests": {"cpu": "500m", "memory": "2Gi"}, "limits": {"cpu": "2"}})
    );
}

#[test]
fn a_default_goes_when_the_user_says_the_same_in_another_form_later() {
    let world = defaults(json!({
        "flinkConfiguration": {"state.checkpoints.dir": "s3://default", "a.b": "default"},
        "taskManager": {"resources": {"requests": {"cpu": "500m", "memory": "2Gi"}}}}));
    let first = spec(&application(), json!({"taskManager": null}));
    let before = admitted(&first, None, &world);
    assert_eq!(
        configuration_of(&before)["state.checkpoints.dir"],
        "s3://default"
    );
    let edit = json!({
        "taskManager": {"resource": {"cpu": 8, "memory": "4096m"}},
        "flinkConfiguration": {"state": {"checkpoints.dir": "s3://mine"}}});
    // A patch sends what is stored along; `kubectl replace` sends the manifest alone.
    for sent in [spec(&before, edit.clone()), spec(&first, edit.clone())] {
        let made = admitted(&sent, Some(&before), &world);
        assert_eq!(
            workload(&made).demand,
            MilliCpu(1000 + 2 * 8000),
            "{made:#}"
        );
        assert_eq!(
            configuration_of(&made),
            &json!({"taskmanager.numberOfTaskSlots": "2", "a.b": "default", "state": {"checkpoints.dir": "s3://mine"}})
        );
        let third = admitted(&spec(&made, json!({"image": "new"})), Some(&made), &world);
        assert_eq!(third["spec"]["taskManager"], made["spec"]["taskManager"]);
        assert_eq!(configuration_of(&third), configuration_of(&made));
    }
}

#[test]
fn a_default_never_wins_over_the_same_key_spelled_otherwise() {
    for (theirs, default) in [
        (
            json!({"taskmanager": {"numberOfTaskSlots": 4}}),
            json!({"taskmanager.numberOfTaskSlots": "2"}),
        ),
        (
            json!({"taskmanager.numberOfTaskSlots": "4"}),
            json!({"taskmanager": {"numberOfTaskSlots": 2}}),
        ),
    ] {
        let mut own = application();
        own["spec"]["flinkConfiguration"] = theirs.clone();
        let made = admitted(
            &own,
            None,
            &defaults(json!({ "flinkConfiguration": default })),
        );
        assert_eq!(configuration_of(&made), &theirs);
        assert_eq!(workload(&made).demand, MilliCpu(1000 + 1500));
        // On an update likewise, whether it is left in place or left out for a moment.
        let mut without = made.clone();
        without["spec"]["flinkConfiguration"] = json!({});
        let world = defaults(json!({ "flinkConfiguration": default }));
        let later = admitted(&without, Some(&made), &world);
        assert_eq!(
            configuration_of(&later)["taskmanager.numberOfTaskSlots"]
                .to_string()
                .replace('"', ""),
            "2",
            "the user's own that is left out gets today's default"
        );
        assert_eq!(admitted(&later, Some(&later), &world), later);
    }
}

#[test]
fn an_environment_wins_over_every_spelling_of_its_keys() {
    for settings in [
        json!({"state": {"checkpoints.dir": "s3://audited"}}),
        json!({"state.checkpoints": {"dir": "s3://audited"}}),
        json!({"state.checkpoints.dir": "s3://audited"}),
    ] {
        for theirs in [
            json!({"state.checkpoints.dir": "s3://mine", "a": "b"}),
            json!({"state": {"checkpoints.dir": "s3://mine", "savepoints.dir": "s3://s"}, "a": "b"}),
            json!({"state": {"checkpoints": {"dir": "s3://mine"}}, "state.checkpoints.dir": "s3://mine"}),
            json!({"state": "odd", "a": "b"}),
            json!({"state": {"checkpoints.dir": null}}),
            json!({}),
        ] {
            let mut own = application();
            own["spec"]["flinkConfiguration"] = theirs.clone();
            let world = environment(json!({ "flinkConfiguration": settings }));
            let made = admitted(&own, None, &world);
            let text = configuration_of(&made).to_string();
            assert!(
                text.contains("s3://audited") && !text.contains("s3://mine"),
                "{text}"
            );
            assert!(!text.contains("null"), "{text}");
            for kept in ["s3://s\"", "\"a\":\"b\"", "odd"] {
                assert_eq!(
                    text.contains(kept),
                    theirs.to_string().contains(kept),
                    "{text}"
                );
            }
            // Nobody gets round it later.
            let mut evading = made.clone();
            evading["spec"]["flinkConfiguration"]["state.checkpoints.dir"] = json!("s3://mine");
            let after = admitted(&evading, Some(&made), &world);
            assert!(!after.to_string().contains("s3://mine"), "{after:#}");
        }
    }
}

#[test]
fn settings_of_a_job_make_no_job() {
    let settings =
        json!({"serviceAccount": "theirs", "job": {"parallelism": 2, "upgradeMode": "savepoint"}});
    let own = spec(&session(), json!({"serviceAccount": null}));
    for api_version in [
        "flink.apache.org/v1beta1",
        "cmf.confluent.io/v1",
        "platform.confluent.io/v1beta1",
    ] {
        let kind = if api_version.starts_with("flink") {
            "FlinkDeployment"
        } else {
            "FlinkApplication"
        };
        let own = merged(&own, &json!({"apiVersion": api_version, "kind": kind}));
        for world in [defaults(settings.clone()), environment(settings.clone())] {
            let made = admitted(&own, None, &world);
            assert_eq!(made["spec"].get("job"), None, "{api_version}");
            assert_eq!(made["spec"]["serviceAccount"], "theirs");
        }
        let application = merged(
            &application(),
            &json!({"apiVersion": api_version, "kind": kind, "spec": {"job": {"parallelism": null}}}),
        );
        let world = defaults(json!({"job": {"parallelism": 2}}));
        let made = admitted(&application, None, &world);
        assert_eq!(made["spec"]["job"]["parallelism"], 2);
        // Who takes the job out gets a session cluster, not a job of defaults.
        let gone = spec(&made, json!({"job": null}));
        let after = admitted(&gone, Some(&made), &world);
        assert!(after["spec"]["job"].is_null());
    }
}

#[test]
fn a_refusal_names_the_environment_that_sets_the_field() {
    let own = spec(&application(), json!({"serviceAccount": ""}));
    let world =
        environment(json!({"job": {"parallelism": 0}, "flinkConfiguration": {"a": {"b": 1}}}));
    let (_, judgement) = asked(&own, None, &world);
    let refusal = judgement.refusal.unwrap();
    assert_eq!(refusal.causes.len(), 1, "{}", refusal.message);
    assert_eq!(refusal.causes[0].field.to_string(), "spec.job.parallelism");
    let message = &refusal.causes[0].message;
    assert!(message.ends_with(" (Environment 0 sets it)"), "{message}");
    let (_, judgement) = asked(
        &spec(&own, json!({"job": {"parallelism": 0}})),
        None,
        &defaults(json!({})),
    );
    assert!(!judgement.refusal.unwrap().message.contains("sets it"));
}

/// The way out that the refusal names leads there with an Environment too.
#[test]
fn a_session_cluster_that_is_made_anew_meets_its_environment() {
    let running = deployed(&spec(&session(), json!({"flinkVersion": "v1_19"})));
    let world = environment(json!({"flinkVersion": "v1_20", "serviceAccount": "audited"}));
    let anew = |edit: Value| {
        let annotated = merged(
            &running,
            &json!({"metadata": {"annotations": {"sluice.dev/allow-recreate": "true"}}}),
        );
        spec(&annotated, edit)
    };
    for edit in [
        json!({"flinkVersion": "v1_20"}),
        json!({"image": "flink:1.20.1"}),
    ] {
        let made = admitted(&anew(edit), Some(&running), &world);
        assert_eq!(made["spec"]["flinkVersion"], "v1_20");
        assert_eq!(made["spec"]["serviceAccount"], "audited");
    }
    // Who changes nothing that is frozen asks for nothing to be made anew.
    let made = admitted(&anew(json!({"restartNonce": 7})), Some(&running), &world);
    assert_eq!(made["spec"]["flinkVersion"], "v1_19");
    assert_eq!(made["spec"]["serviceAccount"], "flink");
}

/// With the annotation still there, a manifest that does not repeat a default is no wish to be made anew.
#[test]
fn leaving_a_default_out_makes_nothing_anew() {
    let annotated = merged(
        &session(),
        &json!({"metadata": {"annotations": {"sluice.dev/allow-recreate": "true"}}, "spec": {"serviceAccount": null}}),
    );
    let made = admitted(
        &annotated,
        None,
        &defaults(json!({"serviceAccount": "theirs"})),
    );
    assert_eq!(made["spec"]["serviceAccount"], "theirs");
    let running = deployed(&made);
    let replaced = spec(&annotated, json!({"restartNonce": 7}));
    let world = environment(json!({"flinkVersion": "v2_0"}));
    let made = admitted(&replaced, Some(&running), &world);
    assert_eq!(
        made["spec"]["flinkVersion"],
        running["spec"]["flinkVersion"]
    );
    assert_eq!(made["spec"]["serviceAccount"], "theirs");
}

/// Found by fuzzing: what came back made nothing anew for the second call, which then kept what the first had taken out.
#[test]
fn leaving_out_what_a_default_gives_back_makes_nothing_anew() {
    let world =
        defaults(json!({"serviceAccount": "flink", "flinkConfiguration": {"a.b": [{"c": 1}]}}));
    let made = admitted(&session(), None, &world);
    assert_eq!(made["spec"]["serviceAccount"], "flink");
    let running = deployed(&made);
    let sent = merged(
        &running,
        &json!({"metadata": {"annotations": {"sluice.dev/allow-recreate": "true"}}, "spec": {"serviceAccount": null}}),
    );
    let nested = json!({"b": [{"c": 1, "": null}]});
    let mut sent = sent;
    sent["spec"]["flinkConfiguration"]["a"] = nested;
    let made = admitted(&sent, Some(&running), &world);
    assert_eq!(made["spec"]["serviceAccount"], "flink");
    assert_eq!(made["spec"]["flinkConfiguration"]["a.b"], json!([{"c": 1}]));
}

/// Flink reads the newest name of an option, so an older one beside it would go unheard.
#[test]
fn an_option_is_one_by_all_its_names() {
    let old = json!({"flinkConfiguration": {"state.checkpoints.dir": "s3://admin/c"}});
    let new = json!({"flinkConfiguration": {"execution.checkpointing.dir": "s3://mine/c"}});
    for (admins, mine) in [(&old, &new), (&new, &old)] {
        let object = spec(&application(), mine.clone());
        let (_, judgement) = asked(&object, None, &environment(admins.clone()));
        let refusal = judgement.refusal.unwrap();
        assert_eq!(refusal.rule.id, "defaults/other-form");
        assert!(
            refusal.message.contains("Environment 0 sets"),
            "{}",
            refusal.message
        );
        // The same by another name evades nothing.
        let same = admins["flinkConfiguration"]
            .as_object()
            .unwrap()
            .values()
            .next();
        let mut agreeing = object.clone();
        for value in agreeing["spec"]["flinkConfiguration"]
            .as_object_mut()
            .unwrap()
            .values_mut()
        {
            if value.as_str() == Some("s3://mine/c") || value.as_str() == Some("s3://admin/c") {
                *value = same.unwrap().clone();
            }
        }
        admitted(&agreeing, None, &environment(admins.clone()));
        // A default says nothing where the user has spoken, at first and later.
        let key = |settings: &Value| {
            let keys = settings["flinkConfiguration"].as_object().unwrap();
            keys.keys().next().unwrap().clone()
        };
        let world = defaults(admins.clone());
        let made = admitted(&object, None, &world);
        assert_eq!(made["spec"]["flinkConfiguration"].get(key(admins)), None);
        let plain = admitted(&application(), None, &world);
        assert!(
            plain["spec"]["flinkConfiguration"]
                .get(key(admins))
                .is_some()
        );
        let made = admitted(&spec(&plain, mine.clone()), Some(&plain), &world);
        assert_eq!(made["spec"]["flinkConfiguration"].get(key(admins)), None);
    }
}

/// A name of an option may be the beginning of others' names.
#[test]
fn what_a_user_has_nested_below_an_environments_option_stays() {
    let nested = json!({"flinkConfiguration": {"restart-strategy": {"fixed-delay": {"attempts": "3", "delay": "1 s"}}}});
    let object = spec(&application(), nested);
    let world = environment(json!({"flinkConfiguration": {"restart-strategy": "fixed-delay"}}));
    let made = admitted(&object, None, &world);
    let configuration = &made["spec"]["flinkConfiguration"];
    assert_eq!(configuration["restart-strategy"], "fixed-delay");
    assert_eq!(configuration["restart-strategy.fixed-delay.attempts"], "3");
    assert_eq!(configuration["restart-strategy.fixed-delay.delay"], "1 s");
}

/// What an admin's default had said, and the user now nests with the same words, is where the Environment leaves it: the validating call
/// finds a default there, so the mutating call says so too.
#[test]
fn a_default_that_a_user_repeats_below_an_environments_option_stays_one() {
    let attempts = "restart-strategy.fixed-delay.attempts";
    let given = json!({"flinkConfiguration": {attempts: "3"}});
    let before = admitted(&application(), None, &defaults(given));
    let nested =
        json!({"flinkConfiguration": {"restart-strategy": {"fixed-delay": {"attempts": "3"}}}});
    let world = environment(json!({"flinkConfiguration": {"restart-strategy": "fixed-delay"}}));
    let made = admitted(&spec(&before, nested), Some(&before), &world);
    assert_eq!(configuration_of(&made)[attempts], "3");
    assert_eq!(configuration_of(&made)["restart-strategy"], "fixed-delay");
}

#[test]
fn an_application_of_confluent_meets_its_environment_when_it_is_started() {
    for api_version in ["cmf.confluent.io/v1", "platform.confluent.io/v1beta1"] {
        let own = merged(
            &application(),
            &json!({"apiVersion": api_version, "kind": "FlinkApplication", "spec": {"job": {"state": "suspended"}}}),
        );
        let world = environment(json!({"serviceAccount": "audited"}));
        let started = spec(&own, json!({"job": {"state": "running"}}));
        let made = admitted(&started, Some(&own), &world);
        assert_eq!(made["spec"]["serviceAccount"], "audited", "{api_version}");
        let made = admitted(&own, Some(&started), &world);
        assert_eq!(made["spec"], own["spec"], "{api_version}");
    }
}

#[test]
fn no_environment_moves_a_submitted_job() {
    let submitted = deployed(&session_job());
    let world = environment(json!({"deploymentName": "theirs"}));
    let changed = spec(&submitted, json!({"job": {"args": ["x"]}}));
    let made = admitted(&changed, Some(&submitted), &world);
    assert_eq!(made["spec"], changed["spec"]);
    let made = admitted(&session_job(), None, &world);
    assert_eq!(made["spec"]["deploymentName"], "theirs");
}

#[test]
fn a_record_that_no_api_server_would_store_is_nobodys() {
    let record = |padding: usize| {
        let mut own = spec(&application(), json!({"serviceAccount": "filled"}));
        let record = json!({"/spec/serviceAccount": "filled", "/spec/x": "x".repeat(padding)});
        own["metadata"]["annotations"] = json!({"sluice.dev/defaults": record.to_string()});
        let (made, _) = asked(&own, None, &defaults(json!({"image": "theirs"})));
        made["metadata"]["annotations"]["sluice.dev/defaults"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert!(record(1024).contains("serviceAccount"));
    assert!(!record(256 * 1024).contains("serviceAccount"));
}

/// Of two forms the operator reads one: the Environment would be evaded, or the user's words lost, and nobody told.
#[test]
fn an_environment_and_an_object_speak_in_one_form() {
    let old_form = application();
    let new_form = spec(
        &application(),
        json!({"taskManager": {"resource": null, "resources": {"requests": {"cpu": 8, "memory": "16Gi"}}}}),
    );
    for (own, settings, field) in [
        (
            &new_form,
            json!({"resource": {"cpu": 1}}),
            "spec.taskManager.resources.requests",
        ),
        (
            &old_form,
            json!({"resources": {"requests": {"cpu": "2"}}}),
            "spec.taskManager.resource",
        ),
    ] {
        let world = environment(json!({"taskManager": settings}));
        let (_, judgement) = asked(own, None, &world);
        let refusal = judgement.refusal.unwrap();
        assert_eq!(refusal.rule.id, "defaults/other-form");
        assert_eq!(refusal.causes.len(), 1, "{}", refusal.message);
        assert_eq!(refusal.causes[0].field.to_string(), field);
        assert!(
            refusal
                .message
                .contains("Environment 0 sets spec.taskManager.resource"),
            "{}",
            refusal.message
        );
        // What was stored before may go down and stay, and is told when it is changed.
        let stored = deployed(own);
        admitted(&stored, Some(&stored), &world);
        let suspended = spec(&stored, json!({"job": {"state": "suspended"}}));
        admitted(&suspended, Some(&stored), &world);
        let changed = spec(&stored, json!({"image": "flink:1.20.1"}));
        let (_, judgement) = asked(&changed, Some(&stored), &world);
        assert_eq!(judgement.refusal.unwrap().rule.id, "defaults/other-form");
    }
    for (own, settings) in [
        (&old_form, json!({"resource": {"cpu": 1}})),
        (&new_form, json!({"resources": {"requests": {"cpu": "1"}}})),
        (&new_form, json!({"replicas": null})),
    ] {
        admitted(own, None, &environment(json!({"taskManager": settings})));
    }
    // Environments that differ are no user's fault.
    let bare = spec(&application(), json!({"taskManager": {"resource": null}}));
    let world = Admins {
        environments: vec![
            sections(json!({"taskManager": {"resource": {"cpu": 1, "memory": "2g"}}})),
            sections(json!({"taskManager": {"resources": {"requests": {"cpu": 1}}}})),
        ],
        ..Admins::default()
    };
    admitted(&bare, None, &world);
}

/// `high-availability` is an older name of `high-availability.type`, and the beginning of other options' names: a map there says those.
#[test]
fn a_map_that_bears_an_options_older_name_does_not_name_the_option() {
    let nested = json!({"high-availability": {"storageDir": "s3://b/ha"}});
    let own = spec(&application(), json!({ "flinkConfiguration": nested }));
    let settings = json!({"flinkConfiguration": {"high-availability.type": "kubernetes"}});
    for world in [environment(settings.clone()), defaults(settings.clone())] {
        let made = admitted(&own, None, &world);
        let configuration = configuration_of(&made);
        assert_eq!(configuration["high-availability.type"], "kubernetes");
        assert_eq!(
            configuration["high-availability"],
            nested["high-availability"]
        );
        // Nor is it taken out again later.
        let running = deployed(&made);
        let suspended = spec(&running, json!({"job": {"state": "suspended"}}));
        let made = admitted(&suspended, Some(&running), &world);
        assert_eq!(configuration_of(&made), configuration);
        let changed = spec(&running, json!({"job": {"parallelism": 6}}));
        let made = admitted(&changed, Some(&running), &world);
        assert_eq!(configuration_of(&made), configuration);
    }
    // Whoever writes the map after the default was filled in keeps the default.
    let world = defaults(settings);
    let plain = admitted(&application(), None, &world);
    let later = spec(&plain, json!({ "flinkConfiguration": nested }));
    let made = admitted(&later, Some(&plain), &world);
    assert_eq!(
        configuration_of(&made)["high-availability.type"],
        "kubernetes"
    );
}

#[test]
fn an_environment_that_says_the_same_as_a_nested_option_refuses_nothing() {
    let nested =
        json!({"restart-strategy": {"type": "fixed-delay", "fixed-delay": {"attempts": 3}}});
    let own = spec(&application(), json!({ "flinkConfiguration": nested }));
    let named = json!({"flinkConfiguration": {"restart-strategy.type": "fixed-delay"}});
    let made = admitted(&own, None, &environment(named));
    assert_eq!(
        configuration_of(&made)["restart-strategy"],
        nested["restart-strategy"]
    );
    // Another word for the option itself is still one, nested or not.
    for theirs in [
        json!({"restart-strategy": "none"}),
        json!({"": {"restart-strategy": "none"}}),
    ] {
        let own = spec(&application(), json!({ "flinkConfiguration": theirs }));
        let named = json!({"flinkConfiguration": {"restart-strategy.type": "fixed-delay"}});
        let (_, judgement) = asked(&own, None, &environment(named));
        assert_eq!(judgement.refusal.unwrap().rule.id, "defaults/other-form");
    }
}

/// The stored dotted key beside a manifest's nested map is one that its user never wrote: `kubectl apply` sends both.
#[test]
fn an_edit_below_an_environments_option_takes_effect() {
    let nested = |attempts: Value| json!({"flinkConfiguration": {"restart-strategy": {"fixed-delay": {"attempts": attempts, "delay": "1 s"}}}});
    let world = environment(json!({"flinkConfiguration": {"restart-strategy": "fixed-delay"}}));
    let attempts =
        |object: &Value| configuration_of(object)["restart-strategy.fixed-delay.attempts"].clone();
    let first = spec(&application(), nested(json!("3")));
    let before = deployed(&admitted(&first, None, &world));
    // The same manifest once more changes nothing.
    let same = spec(&before, nested(json!("3")));
    let after = admitted(&same, Some(&before), &world);
    assert_eq!(after["spec"], before["spec"]);
    for edited in [json!("5"), json!(5)] {
        let sent = spec(&before, nested(edited.clone()));
        let after = admitted(&sent, Some(&before), &world);
        assert_eq!(attempts(&after), edited);
        assert_eq!(configuration_of(&after)["restart-strategy"], "fixed-delay");
        let again = spec(&after, nested(edited.clone()));
        assert_eq!(
            admitted(&again, Some(&after), &world)["spec"],
            after["spec"]
        );
    }
    // Who edits the dotted key instead, beside the map that he wrote before, is heard as well.
    let own = spec(
        &before,
        json!({"flinkConfiguration": {"restart-strategy": {"fixed-delay": {"attempts": "3"}}}}),
    );
    let mut sent = own.clone();
    sent["spec"]["flinkConfiguration"]["restart-strategy.fixed-delay.attempts"] = json!("7");
    assert_eq!(attempts(&admitted(&sent, Some(&before), &world)), "7");
}

/// Where an Environment is not to be heard, the map that stands in its option's place stays the map that it is.
#[test]
fn a_map_below_an_environments_option_is_left_alone_where_the_environment_is() {
    let nested = json!({"restart-strategy": {"fixed-delay": {"attempts": "3"}}});
    let world = environment(json!({"flinkConfiguration": {"restart-strategy": "fixed-delay"}}));
    let running = deployed(&spec(
        &application(),
        json!({ "flinkConfiguration": nested }),
    ));
    let suspended = spec(&running, json!({"job": {"state": "suspended"}}));
    let made = admitted(&suspended, Some(&running), &world);
    assert_eq!(configuration_of(&made), configuration_of(&running));
    let frozen = deployed(&spec(&session(), json!({ "flinkConfiguration": nested })));
    let nonce = spec(&frozen, json!({"restartNonce": 7}));
    let made = admitted(&nonce, Some(&frozen), &world);
    assert_eq!(configuration_of(&made), configuration_of(&frozen));
}

/// An admin who writes an option under the names of two versions of Flink serves both.
#[test]
fn a_default_under_both_names_of_an_option_is_filled_in_under_both() {
    let both = json!({"execution.checkpointing.dir": "s3://c", "state.checkpoints.dir": "s3://c"});
    let world = defaults(json!({ "flinkConfiguration": both }));
    let old_version = spec(&application(), json!({"flinkVersion": "v1_18"}));
    let made = admitted(&old_version, None, &world);
    for key in ["execution.checkpointing.dir", "state.checkpoints.dir"] {
        assert_eq!(configuration_of(&made)[key], "s3://c", "{key}");
    }
    let changed = spec(&made, json!({"image": "new"}));
    let after = admitted(&changed, Some(&made), &world);
    assert_eq!(configuration_of(&after), configuration_of(&made));
    // An earlier layer has said all there is to say, and so has the user, at first and later.
    let world = Admins {
        defaults: vec![
            sections(json!({"flinkConfiguration": {"state.checkpoints.dir": "s3://first"}})),
            sections(json!({ "flinkConfiguration": both })),
        ],
        ..Admins::default()
    };
    let made = admitted(&application(), None, &world);
    assert_eq!(
        configuration_of(&made),
        &json!({"taskmanager.numberOfTaskSlots": "2", "state.checkpoints.dir": "s3://first"})
    );
    let world = defaults(json!({ "flinkConfiguration": both }));
    let mine = json!({"flinkConfiguration": {"state.checkpoints.dir": "s3://mine"}});
    let plain = admitted(&application(), None, &world);
    for (base, old) in [(&application(), None), (&plain, Some(&plain))] {
        let made = admitted(&spec(base, mine.clone()), old, &world);
        assert_eq!(
            configuration_of(&made),
            &json!({"taskmanager.numberOfTaskSlots": "2", "state.checkpoints.dir": "s3://mine"})
        );
    }
}
