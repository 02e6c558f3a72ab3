//! What a file of lines says to Flink before 2.0 beside the entries that it is made of.

use crate::support::*;
use serde_json::{Value, json};
use sluice_policy::world::EmptyWorld;

const RULE: &str = "flink/configuration-lines";

/// A stored object costs what it runs with, whatever would be refused today.
#[test]
fn options_in_further_lines_do_not_walk_round_a_quota() {
    const CORES: &str = "x\ntaskmanager.cpu.cores: 64\n";
    for spec in [
        json!({"flinkConfiguration": {"env.java.opts.all": CORES}}),
        json!({"flinkConfiguration": {"env.java.opts.all": "x\r  taskmanager.cpu.cores :  64 # y"}}),
        json!({"flinkConfiguration": {"taskmanager.cpu.cores ": "64"}}),
        json!({"flinkConfiguration": {"a: b\ntaskmanager.cpu.cores": "64"}}),
        json!({"flinkConfiguration": {"a: b\ntaskmanager": {"cpu": {"cores": 64}}}}),
        json!({"flinkConfiguration": {" external-resources": "more", "external-resource.more.amount": "64",
            "external-resource.more.kubernetes.config-key": "cpu#x"}}),
        json!({"job": {"args": ["--sql", CORES]}}),
        json!({"job": {"args": ["--sql", "it's\ntaskmanager.cpu.cores: 64\n;", "x"]}}),
        json!({"job": {"entryClass": CORES}}),
        json!({"job": {"initialSavepointPath": CORES}}),
        json!({"job": {"args": ["\nkubernetes.taskmanager.cpu.amount: 64"]}}),
        json!({"flinkVersion": "v1_16", "job": {"args": ["\nkubernetes.taskmanager.cpu: 64"]}}),
    ] {
        for (version_and_mode, task_manager) in [
            (json!({}), 64_000),
            (json!({"mode": "standalone"}), 1500),
            (json!({"flinkVersion": "v2_0"}), 1500),
        ] {
            let spec = merged(&spec, &version_and_mode);
            assert_eq!(
                milli(application(), spec.clone()),
                1000 + 2 * task_manager,
                "{spec}"
            );
        }
    }
    for (args, task_managers) in [
        ("\nparallelism.default: 40", 20),
        ("\ntaskmanager.numberOfTaskSlots: 1", 4),
        ("\ntaskmanager.numberOfTaskSlots: 100", 2),
        (
            "\nkubernetes.taskmanager.entrypoint.args: -Dtaskmanager.numberOfTaskSlots=1",
            4,
        ),
        ("SELECT a\nFROM b: -- parallelism.default: 40", 2),
    ] {
        let spec = json!({"job": {"args": [args]}});
        assert_eq!(
            milli(application(), spec),
            1000 + task_managers * 1500,
            "{args}"
        );
    }
    // The command line goes over the file.
    let both = json!({"flinkConfiguration": {"kubernetes.jobmanager.entrypoint.args": "-Dtaskmanager.numberOfTaskSlots=1"},
        "job": {"args": ["\ntaskmanager.cpu.cores: 8"]}});
    assert_eq!(milli(application(), both), 1000 + 4 * 8000);
    let cluster = merged(
        &session(),
        &json!({"spec": {"flinkConfiguration": {"parallelism.default.note": CORES}}}),
    );
    let world = Known {
        objects: vec![cluster],
        ..Known::default()
    };
    assert_eq!(workload_in(&session_job(), &world).charge().0, 2 * 64_000);
}

#[test]
fn entries_that_are_more_than_they_seem_are_refused_before_flink_2() {
    for (key, text, piece) in [
        ("taskmanager.cpu.cores ", "1", "reads another key here"),
        (
            "security.ssl.internal.enabled\t",
            "false",
            "reads another key here",
        ),
        ("a#", "1", "reads another key here"),
        ("a: b", "1", "reads another key here"),
        ("a\nb", "1", "reads another key here"),
        (
            "a",
            "x\nsecurity.ssl.internal.enabled: false",
            "as the option \"security.ssl.internal.enabled\"",
        ),
        ("a", "\r b : c", "as the option \"b\""),
    ] {
        let object = configured(json!({ key: text }));
        let field = format!("spec.flinkConfiguration[{key}]");
        let refusal = created(&object, &EmptyWorld).refusal.unwrap();
        let causes: Vec<_> = refusal
            .causes
            .iter()
            .map(|cause| (cause.rule.id, cause.field.to_string()))
            .collect();
        let shown = causes.iter().map(|(rule, _)| *rule).collect::<Vec<_>>();
        assert_eq!(shown, [RULE], "{field}: {causes:?}");
        assert!(
            refusal.causes[0].message.contains(piece),
            "{}",
            refusal.message
        );
        let newer = merged(&object, &json!({"spec": {"flinkVersion": "v2_0"}}));
        assert_eq!(created(&newer, &EmptyWorld).refusal, None, "{field}");
        assert_eq!(
            updated(&newer, &object, &EmptyWorld)
                .refusal
                .unwrap()
                .rule
                .id,
            RULE,
            "nobody has judged it there"
        );
        // What is stored alike may stay, and what only lowers passes anyway.
        let wider = merged(&object, &json!({"spec": {"job": {"parallelism": 6}}}));
        assert_eq!(
            updated(&object, &wider, &EmptyWorld).refusal,
            None,
            "{field}"
        );
        let suspended = merged(&newer, &json!({"spec": {"job": {"state": "suspended"}}}));
        assert_eq!(
            updated(&newer, &suspended, &EmptyWorld).refusal,
            None,
            "{field}"
        );
    }
    for (key, text) in [
        ("env.java.opts.all", "-XX:+UseG1GC\n-Da=b\n"),
        ("env.java.opts.all", "a: b # c: d"),
        ("s3.secret", "a#b"),
        ("a:b", " c "),
        ("env.java.opts.all", "x\n# a: b\n:\na:\n"),
    ] {
        admits(&configured(json!({ key: text })));
    }
}

/// In a file whose lines have no order nobody can tell which of two counts; an Environment's are among them.
#[test]
fn lines_of_a_jobs_fields_may_say_what_stands_nowhere_else() {
    const SQL: &str = "INSERT INTO a\nSELECT 'x: y',\n  key: b -- c\nFROM d";
    admits(&with(
        json!({"job": {"args": ["--sql", SQL, "one: two"], "entryClass": "a.B"}}),
    ));
    admits(&with(
        json!({"job": {"args": ["a\nname: x\nparallelism.default.x: 40"]}}),
    ));
    let slots = "x\ntaskmanager.numberOfTaskSlots: 100\n";
    let elsewhere = "it is also set elsewhere, so leave that line out";
    for (job, field, piece) in [
        (json!({"args": [slots]}), "args", elsewhere),
        (
            json!({"args": ["\nkubernetes.taskmanager.cpu.amount: 64"]}),
            "args",
            elsewhere,
        ),
        (
            json!({"entryClass": "a.B\nc: d"}),
            "entryClass",
            "as the option \"c\"; write it in one line",
        ),
        (
            json!({"initialSavepointPath": "s3://b\nc: d"}),
            "initialSavepointPath",
            "as the option \"c\"; write it in one line",
        ),
    ] {
        let object = with(json!({ "job": job }));
        refuses(&object, RULE, &format!("spec.job.{field}"), 422, piece);
        let newer = merged(&object, &json!({"spec": {"flinkVersion": "v2_0"}}));
        assert_eq!(created(&newer, &EmptyWorld).refusal, None, "{field}");
        let older = updated(&newer, &object, &EmptyWorld).refusal;
        assert_eq!(older.unwrap().rule.id, RULE, "nobody has judged it there");
        let wider = merged(&object, &json!({"spec": {"job": {"parallelism": 6}}}));
        let wider = updated(&object, &wider, &EmptyWorld).refusal;
        assert_eq!(wider, None, "{field} is stored alike");
    }
    let many = |lines: usize| with(json!({"job": {"args": ["taskmanager.x: b\n".repeat(lines)]}}));
    admits(&many(10_000));
    refuses(
        &many(50_000),
        RULE,
        "spec.job.args",
        422,
        "more than 10000 lines",
    );
    admits(&with(
        json!({"job": {"args": ["\ntaskmanager.numberOfTaskSlots: 2\n"]}}),
    ));
    let object = with(json!({"job": {"args": ["\nsecurity.ssl.internal.enabled: false"]}}));
    admits(&object);
    let operator = Known {
        operator: Some(json!({"security.ssl.internal.enabled": "true"})),
        ..Known::default()
    };
    refuses_in(
        &object,
        &operator,
        RULE,
        "spec.job.args",
        422,
        "\"security.ssl.internal.enabled\"",
    );
    let stored = with(json!({"job": {"args": ["\nb: 1"]}}));
    let changed = merged(&stored, &json!({"spec": {"flinkConfiguration": {"b": 2}}}));
    assert_eq!(
        updated(&stored, &changed, &EmptyWorld)
            .refusal
            .unwrap()
            .rule
            .id,
        RULE
    );
}

/// What is wrong in them would show in everybody's objects.
#[test]
fn admins_settings_are_refused_when_they_are_written() {
    let dialect = dialect_of(&application());
    let judged = |settings: Value| {
        let mut findings = sluice_policy::Findings::default();
        let at = sluice_policy::FieldPath::of("spec.flinkDeployment");
        dialect.validate_section(&settings, None, &at, &mut findings);
        let causes = findings.causes.iter();
        causes
            .map(|cause| format!("{} {}", cause.rule.id, cause.field))
            .collect::<Vec<_>>()
    };
    let settings = json!({"flinkConfiguration": {"a ": "1", "b": "x\nc: d"}, "job": {"entryClass": "x\nc: d"}});
    let for_version = |word: &str| judged(merged(&settings, &json!({ "flinkVersion": word })));
    let of_key = format!("{RULE} spec.flinkDeployment.flinkConfiguration[a ]");
    assert_eq!(
        for_version("v1_20"),
        [
            of_key.clone(),
            format!("{RULE} spec.flinkDeployment.flinkConfiguration.b"),
            format!("{RULE} spec.flinkDeployment.job.entryClass"),
        ]
    );
    assert_eq!(for_version("v2_0"), [""; 0]);
    assert_eq!(
        judged(settings.clone()),
        [of_key],
        "a text may be meant for Flink 2"
    );
}
