//! Our judgement against the operator's own validator: the table of its verdicts, and its examples.

use crate::support::*;
use serde_json::{Value, json};
use sluice_policy::world::EmptyWorld;
use sluice_policy::{Findings, Operation, Review};

/// Where we deliberately answer differently, and why. Empty for the validator's own rules: they are the same.
const DIFFERENT: &[(&str, &str)] = &[];

/// Changes that the operator's validator lets through and our freeze of session clusters refuses (decision 18), when
/// they are judged as updates by the whole pipeline.
const FROZEN_RULE: &str = "U6 no other immutability";

struct Case {
    id: String,
    rule: String,
    expect: String,
    object: Value,
    recorded: Option<Value>,
    world: Known,
}

fn cases() -> Option<Vec<Case>> {
    let table = fixture("verdicts.json")?;
    let read = |case: &Value| -> Case {
        let base = &table["bases"][case["base"].as_str().unwrap()];
        let mut object = merged(base, &case["patch"]);
        let recorded = case
            .get("old")
            .filter(|old| !old.is_null())
            .map(|old| merged(base, old));
        if let Some(recorded) = &recorded {
            record(&mut object, &recorded["spec"]);
        }
        let mut world = Known {
            operator: case.get("defaults").cloned(),
            any_name: true,
            ..Known::default()
        };
        if let Some(session) = case.get("session").filter(|session| !session.is_null()) {
            world
                .objects
                .push(merged(&table["bases"]["session"], session));
        }
        if case["target"] == true {
            for kind in ["FlinkDeployment", "FlinkSessionJob"] {
                world.objects.push(
                    json!({"apiVersion": "flink.apache.org/v1beta1", "kind": kind,
                    "metadata": {"name": "any"}}),
                );
            }
        }
        Case {
            id: case["id"].as_str().unwrap().to_owned(),
            rule: case["rule"].as_str().unwrap().to_owned(),
            expect: case["expect"].as_str().unwrap().to_owned(),
            object,
            recorded,
            world,
        }
    };
    Some(
        table["cases"]
            .as_array()
            .unwrap()
            .iter()
            .map(read)
            .collect(),
    )
}

/// The dialect's own rules agree with the operator's validator, case by case. What fails there with an error (HTTP 500,
/// so the request is refused) is refused here with a message.
#[test]
fn every_verdict_of_the_operators_validator() {
    let Some(cases) = cases() else { return };
    let mut wrong = Vec::new();
    for case in &cases {
        let review = review(&case.object, Operation::Create);
        let mut findings = Findings::default();
        if !review.dialect.is_exempt(&case.object) {
            review.dialect.validate(&review, &case.world, &mut findings);
        }
        let admitted = findings.is_clean();
        if admitted != (case.expect == "allow") && !DIFFERENT.iter().any(|(id, _)| *id == case.id) {
            let why: Vec<String> = findings
                .causes
                .iter()
                .map(|cause| format!("{}: {}", cause.field, cause.full_message()))
                .collect();
            wrong.push(format!(
                "{} {} expects {}: {}",
                case.id,
                case.rule,
                case.expect,
                why.join("; ")
            ));
        }
        for cause in &findings.causes {
            assert!(
                !cause.message.is_empty() && !cause.message.contains('\n'),
                "{cause:?}"
            );
        }
    }
    assert!(!cases.is_empty());
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

/// The whole pipeline says the same of creates, so the charge can be computed wherever the operator admits.
#[test]
fn the_pipeline_agrees_on_creates() {
    let Some(cases) = cases() else { return };
    for case in cases.iter().filter(|case| case.recorded.is_none()) {
        let judgement = created(&case.object, &case.world);
        assert_eq!(
            judgement.refusal.is_none(),
            case.expect == "allow",
            "{} {}: {:?}",
            case.id,
            case.rule,
            judgement.refusal.map(|refusal| refusal.message)
        );
    }
}

/// As updates they agree too, but for session clusters: there we refuse what would cost jobs.
#[test]
fn the_pipeline_agrees_on_updates() {
    let Some(cases) = cases() else { return };
    for case in &cases {
        let Some(recorded) = &case.recorded else {
            continue;
        };
        let mut old = recorded.clone();
        record(&mut old, &recorded["spec"]);
        let judgement = updated(&old, &case.object, &case.world);
        let refused = judgement.refusal.as_ref().map(|refusal| refusal.rule.id);
        if case.rule == FROZEN_RULE && case.object["spec"].get("job").is_none() && refused.is_some()
        {
            assert_eq!(
                refused,
                Some("immutable/flink-session-cluster"),
                "{}",
                case.id
            );
            continue;
        }
        assert_eq!(
            refused.is_none(),
            case.expect == "allow",
            "{} {}: {:?}",
            case.id,
            case.rule,
            judgement.refusal
        );
    }
}

#[test]
fn the_operators_own_examples_are_admitted() {
    for name in [
        "autoscaling",
        "basic-checkpoint-ha",
        "basic-reactive",
        "basic-session-deployment-and-job",
        "basic",
        "canary",
        "job-from-savepoint",
        "pod-template",
    ] {
        let Some(text) = fixture_text(&format!("examples/{name}.yaml")) else {
            return;
        };
        for object in documents(&text) {
            let mut findings = Findings::default();
            let review = Review {
                namespace: "default",
                ..review(&object, Operation::Create)
            };
            if !dialect_of(&object).is_exempt(&object) {
                review.dialect.validate(&review, &EmptyWorld, &mut findings);
            }
            assert!(findings.is_clean(), "{name}: {:?}", findings.causes);
        }
    }
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple::<Value>(text)
        .unwrap()
        .into_iter()
        .filter(Value::is_object)
        .collect()
}
