//! `sluice render`, `rules`, `explain` and what all commands share, by the real binary.

#![allow(clippy::expect_used, clippy::panic)] // tests

mod support;

use std::collections::BTreeMap;
use support::{Folder, seed, sluice, sluice_with};

const SHORT: &str = "apiVersion: sluice.dev/v1alpha1\nkind: SessionCluster\nmetadata:\n  name: a\nspec:\n  state: running\n  flinkVersion: 1.12\n  \
                     resources:\n    jobManager: {cpu: 1.50, memory: 2g}\n";

#[test]
fn what_is_filled_in_and_from_where() {
    let folder = Folder::new();
    let policy = folder.file(
        "policy.yaml",
        "apiVersion: sluice.dev/v1alpha1\nkind: DeploymentDefaults\nmetadata: {name: default, namespace: team-a}\nspec: {sessionCluster: \
         {numberOfTaskManagers: 3}}\n---\napiVersion: sluice.dev/v1alpha1\nkind: Environment\nmetadata: {name: prod}\nspec: {namespaces: \
         ['*'], sessionCluster: {flinkImageRegistry: registry.example.org}}\n",
    );
    let args = ["render", "-f", "-", "-n", "team-a", "--policy", &policy];
    let run = sluice_with(SHORT.as_bytes(), &args).expect_code(1);
    insta::assert_snapshot!("render", run.stdout);
    let diff =
        sluice_with(SHORT.as_bytes(), &[args.as_slice(), &["--diff"]].concat()).expect_code(1);
    insta::assert_snapshot!("render_diff", diff.stdout);

    // What is rendered stays as it is, to the letter.
    let again = sluice_with(run.stdout.as_bytes(), &args).expect_code(0);
    assert_eq!(again.stdout, run.stdout);
    assert_eq!(
        sluice_with(
            run.stdout.as_bytes(),
            &[args.as_slice(), &["--diff"]].concat()
        )
        .expect_code(0)
        .stdout,
        ""
    );
}

#[test]
fn what_the_gate_leaves_alone_keeps_its_spelling() {
    let manifest =
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  a: 1.0\n  b: \"on\"\n";
    let run = sluice_with(manifest.as_bytes(), &["render", "-f", "-"]).expect_code(0);
    assert_eq!(run.stdout, manifest);
}

#[test]
fn what_cannot_be_brought_into_form_is_bad_input() {
    let both = SHORT.replace(
        "    jobManager:",
        "    jobmanager: {cpu: 9}\n    jobManager:",
    );
    let run = sluice_with(both.as_bytes(), &["render", "-f", "-"]).expect_code(2);
    assert_eq!(run.stdout, "");
    assert!(
        run.stderr
            .contains("standard input: line 1, column 1: sessioncluster \"a\": "),
        "{}",
        run.stderr
    );
    assert!(
        sluice_with(b"a: [", &["render", "-f", "-"])
            .expect_code(2)
            .stderr
            .contains("line 1, column")
    );
}

#[test]
fn every_seed_renders_to_itself_after_the_first_time() {
    for name in [
        "apache-application.yaml",
        "apache-session-job.yaml",
        "confluent-flink-application.yaml",
    ] {
        let Some(path) = seed(name) else { return };
        let first = sluice(&["render", "-f", &path]);
        assert!(first.code <= 1, "{name}: {}", first.stderr);
        assert_eq!(
            sluice_with(first.stdout.as_bytes(), &["render", "-f", "-"])
                .expect_code(0)
                .stdout,
            first.stdout,
            "{name}"
        );
    }
    for (name, args) in [
        ("vvp-deployment.yaml", ["--name", "a"]),
        ("vvp-session-cluster.yaml", ["--name", "b"]),
        ("rest-create-session.json", ["--name", "c"]),
    ] {
        let path = seed(name).expect("fixtures");
        let converted = sluice(&["convert", "-f", &path, args[0], args[1]])
            .expect_code(0)
            .stdout;
        let first = sluice_with(converted.as_bytes(), &["render", "-f", "-"]);
        assert!(first.code <= 1, "{name}: {}", first.stderr);
        assert_eq!(
            sluice_with(first.stdout.as_bytes(), &["render", "-f", "-"])
                .expect_code(0)
                .stdout,
            first.stdout,
            "{name}"
        );
    }
}

#[test]
fn rules_are_listed_and_explained() {
    let rules = sluice(&["rules", "-o", "json"]).expect_code(0).json();
    let rules = rules.as_array().expect("one array");
    let quota = rules
        .iter()
        .find(|rule| rule["id"] == "quota/cpu")
        .expect("the ledger's rule is among them");
    assert_eq!(
        (&quota["code"], &quota["modeLabel"]),
        (&403.into(), &"sluice.dev/quota".into())
    );
    let table = sluice(&["rules"]).expect_code(0).stdout;
    for rule in rules {
        let id = rule["id"].as_str().expect("an id");
        assert!(
            table
                .lines()
                .any(|line| line.split_whitespace().next() == Some(id)),
            "{id} is not in the table:\n{table}"
        );
        for field in ["summary", "explain", "source"] {
            assert!(
                !rule[field].as_str().expect("a text").is_empty(),
                "{id} has no {field}"
            );
        }
        let explained = sluice(&["explain", id]).expect_code(0).stdout;
        assert!(explained.starts_with(&format!("{id}: ")), "{explained}");
    }
    // As it stands at the end of a refusal, too.
    assert!(
        sluice(&["explain", "[quota/cpu]"])
            .expect_code(0)
            .stdout
            .contains("sluice.dev/quota")
    );
}

#[test]
fn an_unknown_rule_suggests_the_nearest() {
    for near in ["quota/cpus", "quota/cup", "Quota/Cpu ", "quotacpu"] {
        let run = sluice(&["explain", near]);
        assert!(
            run.code == 0 || run.stderr.contains("quota/cpu"),
            "{near}: {}",
            run.stderr
        );
    }
    assert_eq!(
        sluice(&["explain", "zzzzzzzzzzzzzzzzzzz"])
            .expect_code(2)
            .stderr,
        "sluice: there is no rule \"zzzzzzzzzzzzzzzzzzz\"; `sluice rules` lists all of them\n"
    );
}

#[test]
fn version_and_help() {
    assert_eq!(
        sluice(&["--version"]).expect_code(0).stdout,
        format!("sluice {}\n", env!("CARGO_PKG_VERSION"))
    );
    assert!(
        sluice(&["--help"])
            .expect_code(0)
            .stdout
            .contains("Exit codes: 0 all is well, 1 refused")
    );
    for command in ["check", "render", "convert", "rules", "explain"] {
        let help = sluice(&[command, "--help"]).expect_code(0).stdout;
        assert!(
            help.contains("Example") && help.contains(&format!("sluice {command}")),
            "{command}: {help}"
        );
    }
    assert!(sluice(&[]).expect_code(2).stderr.contains("Usage: sluice"));
}

#[test]
fn the_chart_holds_what_this_program_knows() {
    let chart = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/sluice");
    let folder = Folder::new();
    std::fs::write(folder.file("Chart.yaml", ""), "").expect("a chart's folder");
    let nowhere = Folder::new();
    assert!(
        sluice(&["manifests", "--chart", &nowhere.path()])
            .expect_code(2)
            .stderr
            .contains("there is no Chart.yaml in it")
    );
    sluice(&["manifests", "--chart", &folder.path()]).expect_code(0);
    if std::env::var_os("SLUICE_UPDATE_MANIFESTS").is_some() {
        let _ = std::fs::remove_dir_all(chart.join("generated"));
        let chart = chart.display().to_string();
        sluice(&["manifests", "--chart", &chart]).expect_code(0);
    }
    let made = files_below(&std::path::Path::new(&folder.path()).join("generated"));
    assert!(made.len() > 12, "{made:?}");
    let on_disk = files_below(&chart.join("generated"));
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(&on_disk),
        names(&made),
        "SLUICE_UPDATE_MANIFESTS=1 writes them"
    );
    for (name, text) in made {
        assert!(
            on_disk.get(&name) == Some(&text),
            "charts/sluice/generated/{name} is stale; run this test with SLUICE_UPDATE_MANIFESTS=1, then the test chart"
        );
        // Templates are run over none of it, but namespaces are put into place.
        assert!(!text.contains("{{"), "{name}");
    }
}

/// Every file below a folder, by its path there.
fn files_below(folder: &std::path::Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path
                    .strip_prefix(folder)
                    .expect("below")
                    .display()
                    .to_string();
                found.insert(name, std::fs::read_to_string(&path).expect("a file"));
            }
        }
    }
    found
}

#[test]
fn the_manifests_hold_what_an_installation_needs() {
    let printed = sluice(&[
        "manifests",
        "--image",
        "registry.example.org/s:1",
        "--namespace",
        "gate",
        "--confluent",
    ])
    .expect_code(0)
    .stdout;
    let kinds: Vec<&str> = printed
        .lines()
        .filter_map(|line| line.strip_prefix("kind: "))
        .collect();
    let count = |kind: &str| kinds.iter().filter(|found| **found == kind).count();
    assert_eq!(
        count("CustomResourceDefinition"),
        sluice_api::crds().len() + 1
    );
    for kind in [
        "Namespace",
        "ServiceAccount",
        "ClusterRole",
        "Role",
        "Deployment",
        "Service",
        "PodDisruptionBudget",
        "ValidatingAdmissionPolicy",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
    ] {
        assert!(count(kind) >= 1, "{kind}: {kinds:?}");
    }
    assert_eq!(
        kinds.last(),
        Some(&"ValidatingWebhookConfiguration"),
        "nobody is asked before somebody can answer"
    );
    assert!(
        printed.contains("image: registry.example.org/s:1\n") && printed.contains("name: gate\n")
    );
    assert!(
        !printed.contains("sluice-system"),
        "the namespace is the one that was given"
    );
}
