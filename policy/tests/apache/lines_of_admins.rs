//! What admins set, beside lines of a job's arguments and with lines in it: it neither goes as a whole nor holds anybody up.

use super::filling::{admitted, asked, configuration_of, defaults, environment, spec};
use super::support::*;
use serde_json::{Value, json};
use sluice_policy::world::EmptyWorld;
use sluice_policy::*;

const RULE: &str = "flink/configuration-lines";

/// Flink 2 reads it as a list.
const KRYO: &str = "- org.example.A: {type: pojo}\n- org.example.B: {type: kryo}\n";

/// An application whose program is handed its own configuration as a text.
fn with_lines() -> Value {
    let text = "name: orders\nexecution.checkpointing.interval: 10s\nstate.backend.type: hashmap\n";
    with(json!({"job": {"args": ["--config", text]}}))
}

/// The whole layer was thrown away, or the create refused.
#[test]
fn a_line_of_arguments_costs_a_layer_of_defaults_no_more_than_the_values_that_it_contradicts() {
    let object = spec(&with_lines(), json!({"serviceAccount": null}));
    let world = defaults(json!({"serviceAccount": "flink", "flinkConfiguration": {
        "execution.checkpointing.interval": "60s", "state": {"backend.type": "rocksdb", "checkpoints.dir": "s3://c"}}}));
    let made = admitted(&object, None, &world);
    assert_eq!(made["spec"]["serviceAccount"], "flink");
    assert_eq!(
        configuration_of(&made),
        &json!({"taskmanager.numberOfTaskSlots": "2", "state.checkpoints.dir": "s3://c"})
    );
    let warnings = mutate(&review(&object, Operation::Create), &world).warnings;
    let left_out = |key: &str, value: &str| {
        format!(
            "flinkdeployment \"orders\": spec.flinkConfiguration[{key}] \"{value}\" of DeploymentDefaults 0 was left out, as it would make it \
             refused"
        )
    };
    assert_eq!(
        warnings,
        [
            left_out("execution.checkpointing.interval", "60s"),
            left_out("state.backend.type", "rocksdb")
        ]
    );
    // The CPU of TaskManagers has a field of its own.
    let object = with(json!({"taskManager": {"resource": {"cpu": null}},
        "job": {"args": ["\nkubernetes.taskmanager.cpu.amount: 4"]}}));
    let world = defaults(
        json!({"taskManager": {"resource": {"cpu": 2}}, "flinkConfiguration": {"state.checkpoints.dir": "s3://c"}}),
    );
    let made = admitted(&object, None, &world);
    assert_eq!(made["spec"]["taskManager"], object["spec"]["taskManager"]);
    assert_eq!(configuration_of(&made)["state.checkpoints.dir"], "s3://c");
}

/// Applications that ran could only be suspended any more.
#[test]
fn an_environment_that_contradicts_stored_arguments_holds_nobody_up() {
    let stored = deployed(&with_lines());
    let world =
        environment(json!({"flinkConfiguration": {"execution.checkpointing.interval": "60s"}}));
    for change in [
        json!({"job": {"parallelism": 2}}),
        json!({"job": {"parallelism": 6}}),
        json!({"job": {"state": "suspended"}}),
    ] {
        admitted(&spec(&stored, change), Some(&stored), &world);
    }
    let changed = spec(&stored, json!({"image": "flink:1.20.1"}));
    let (made, judgement) = asked(&changed, Some(&stored), &world);
    assert_eq!(
        configuration_of(&made)["execution.checkpointing.interval"],
        "60s"
    );
    assert_eq!(judgement.refusal, None);
    assert_eq!(
        judgement.warnings,
        [
            "flinkdeployment \"orders\": Environment 0 sets spec.flinkConfiguration[execution.checkpointing.interval], and a line of \
             spec.job.args says otherwise: nobody can tell which of the two counts [flink/configuration-lines]"
        ]
    );
    let later = deployed(&made);
    let again = spec(&later, json!({"image": "flink:1.20.2"}));
    let (_, judgement) = asked(&again, Some(&later), &world);
    assert_eq!((judgement.refusal, judgement.warnings), (None, vec![]));
    // What the user contradicts himself is refused, and so are new arguments, with a word about who says otherwise.
    let own = json!({"flinkConfiguration": {"state.backend.type": "rocksdb"}});
    let (_, judgement) = asked(&spec(&stored, own), Some(&stored), &world);
    let causes = judgement.refusal.unwrap().causes;
    let fields: Vec<_> = causes.iter().map(|cause| cause.field.to_string()).collect();
    assert_eq!(
        fields,
        [
            "spec.job.args",
            "spec.flinkConfiguration[state.backend.type]"
        ]
    );
    let lines = json!({"job": {"args": ["\nexecution.checkpointing.interval: 5s"]}});
    for (object, old) in [(with_lines(), None), (spec(&stored, lines), Some(&stored))] {
        let (_, judgement) = asked(&object, old, &world);
        let message = judgement.refusal.unwrap().message;
        let told = "spec.flinkConfiguration[execution.checkpointing.interval]: a line of spec.job.args says otherwise, and before Flink 2.0 \
                    nobody can tell which of the two counts (Environment 0 sets it). [flink/configuration-lines]";
        assert!(message.ends_with(told), "{message}");
    }
}

/// Environments that were stored before the rules were there refused every object below them.
#[test]
fn what_an_environment_imposes_is_told_and_refuses_nobodys_objects() {
    let arguments = "spec.flinkConfiguration[kubernetes.taskmanager.entrypoint.args]";
    for (settings, rule, field) in [
        (
            json!({"flinkConfiguration": {"kubernetes.taskmanager.entrypoint.args": "-Dfoo='a b'"}}),
            "flink/cpu",
            arguments,
        ),
        (
            json!({"flinkConfiguration": {"kubernetes": {"taskmanager.entrypoint.args": "-Dfoo='a b'"}}}),
            "flink/cpu",
            arguments,
        ),
        (
            json!({"flinkConfiguration": {"pipeline.serialization-config": KRYO}}),
            RULE,
            "spec.flinkConfiguration[pipeline.serialization-config]",
        ),
        (
            json!({"flinkConfiguration": {"a ": "1"}}),
            RULE,
            "spec.flinkConfiguration[a ]",
        ),
        (
            json!({"job": {"entryClass": "a.B\nc: d"}}),
            RULE,
            "spec.job.entryClass",
        ),
        (
            json!({"job": {"args": ["\ntaskmanager.numberOfTaskSlots: 8"]}}),
            RULE,
            "spec.job.args",
        ),
    ] {
        let (_, judgement) = asked(&application(), None, &environment(settings.clone()));
        assert_eq!(judgement.refusal, None, "{settings}");
        let told = format!("flinkdeployment \"orders\": Environment 0 sets {field} [{rule}]: ");
        let warnings = judgement.warnings;
        assert!(
            warnings.len() == 1 && warnings[0].starts_with(&told),
            "{warnings:?}"
        );
        // Whoever writes it himself is refused, whatever an Environment says elsewhere.
        let own = spec(&application(), settings);
        let world = environment(json!({"image": "flink:1.20.1"}));
        let (_, judgement) = asked(&own, None, &world);
        assert_eq!(judgement.refusal.unwrap().rule.id, rule);
    }
    let fewer = json!({"flinkConfiguration": {"kubernetes.taskmanager.entrypoint.args": "-Dtaskmanager.numberOfTaskSlots=1 -Dx='y'"}});
    let (_, judgement) = asked(&application(), None, &environment(fewer));
    assert_eq!(judgement.demand.unwrap().to, MilliCpu(1000 + 4 * 1500));
}

/// What no version of Flink is named for comes to objects of any, and each of them decides.
#[test]
fn settings_for_any_version_are_judged_where_they_come_to() {
    let settings = json!({"flinkConfiguration": {"pipeline.serialization-config": KRYO, "state.checkpoints.dir": "s3://c"}});
    let world = defaults(settings);
    let older = admitted(&application(), None, &world);
    assert_eq!(
        configuration_of(&older),
        &json!({"taskmanager.numberOfTaskSlots": "2", "state.checkpoints.dir": "s3://c"})
    );
    let newer = with(json!({"flinkVersion": "v2_0"}));
    let newer = admitted(&newer, None, &world);
    assert_eq!(
        configuration_of(&newer)["pipeline.serialization-config"],
        KRYO
    );
}

/// Settings that were stored before the rules were there could not be edited any more but by mending them.
#[test]
fn settings_that_are_stored_alike_may_be_edited() {
    for kind in ["Environment", "ClusterDeploymentDefaults"] {
        let settings = |configuration: Value| {
            let mut settings = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": kind, "metadata": {"name": "all", "generation": 1},
                "spec": {"flinkDeployment": {"flinkVersion": "v1_20", "flinkConfiguration": configuration}}});
            if kind == "Environment" {
                settings["spec"]["namespaces"] = json!(["*"]);
            }
            settings
        };
        let stored = json!({"a ": "1", "b": "x\nc: d", "kubernetes.taskmanager.entrypoint.args": "-Dfoo='a b'"});
        let fields = |judgement: Judgement| {
            let causes = judgement.refusal.map_or_else(Vec::new, |it| it.causes);
            let fields = causes.iter().map(|cause| {
                let key = cause.field.last_key().unwrap_or_default();
                format!("{} {key}", cause.rule.id)
            });
            fields.collect::<Vec<_>>()
        };
        let all = [
            format!("{RULE} a "),
            format!("{RULE} b"),
            "flink/cpu kubernetes.taskmanager.entrypoint.args".to_owned(),
        ];
        assert_eq!(fields(created(&settings(stored.clone()), &EmptyWorld)), all);
        let more = merged(&stored, &json!({"d": "e"}));
        let edited = updated(
            &settings(stored.clone()),
            &settings(more.clone()),
            &EmptyWorld,
        );
        assert_eq!(fields(edited), [""; 0]);
        let changed = merged(&stored, &json!({"b": "y\nc: d"}));
        let changed = updated(&settings(stored), &settings(changed), &EmptyWorld);
        assert_eq!(fields(changed), all[1..2]);
    }
}
