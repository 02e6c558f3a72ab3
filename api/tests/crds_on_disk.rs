//! The generated files: as the types make them, and as Kubernetes and our own design want them.

#![allow(
    clippy::unwrap_used,
    reason = "a test; clippy exempts only functions marked #[test], not their helpers"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// Files below a folder, by their path from it.
fn files(root: &Path, folder: &Path, into: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(root, &path, into);
        } else {
            let name = path
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            into.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn files_are_what_the_types_make() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let mut on_disk = BTreeMap::new();
    files(&root, &root, &mut on_disk);
    let made: BTreeMap<_, _> = sluice_api::manifests()
        .unwrap()
        .into_iter()
        .map(|m| (m.path, m.yaml))
        .collect();
    let names = |all: &BTreeMap<String, String>| all.keys().cloned().collect::<Vec<_>>();
    let regenerate = "run `cargo run -p sluice-api --example crds` and commit api/crds";
    assert_eq!(names(&on_disk), names(&made), "{regenerate}");
    for (name, yaml) in &made {
        assert!(
            on_disk[name] == *yaml,
            "api/crds/{name} is out of date: {regenerate}"
        );
    }
}

#[test]
fn the_yaml_reads_back_as_the_crd() {
    let crds = sluice_api::crds()
        .into_iter()
        .chain(sluice_api::optional_crds());
    for (crd, manifest) in crds.zip(sluice_api::manifests().unwrap()) {
        let read: Value = serde_saphyr::from_str(&manifest.yaml).unwrap();
        let read = numbers_as_floats(read);
        let made = numbers_as_floats(serde_json::to_value(&crd).unwrap());
        assert_eq!(read, made, "{}", manifest.path);
    }
}

/// `1` and `1.0` are one number to YAML and JSON schema, two to `serde_json`.
fn numbers_as_floats(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::from(number.as_f64().unwrap()),
        Value::Array(items) => items.into_iter().map(numbers_as_floats).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| (key, numbers_as_floats(value)))
            .collect(),
        other => other,
    }
}

/// Calls `visit` with the path and every schema node of every CRD.
fn each_node(visit: &mut dyn FnMut(&str, &Value)) {
    fn walk(path: &str, node: &Value, visit: &mut dyn FnMut(&str, &Value)) {
        visit(path, node);
        for (name, child) in node["properties"].as_object().into_iter().flatten() {
            walk(&format!("{path}.{name}"), child, visit);
        }
        if node["items"].is_object() {
            walk(&format!("{path}[]"), &node["items"], visit);
        }
    }
    for crd in sluice_api::crds()
        .into_iter()
        .chain(sluice_api::optional_crds())
    {
        for version in &crd.spec.versions {
            let schema = version
                .schema
                .as_ref()
                .unwrap()
                .open_api_v3_schema
                .as_ref()
                .unwrap();
            walk(
                &crd.spec.names.kind,
                &serde_json::to_value(schema).unwrap(),
                visit,
            );
        }
    }
}

#[test]
fn every_field_is_described() {
    let mut seen = 0;
    each_node(&mut |path, node| {
        if path.split('.').nth(1) == Some("metadata") {
            return; // Kubernetes describes it, and refuses a CRD that does.
        }
        seen += 1;
        // Items are described by the list that they stand in.
        let text = node["description"].as_str().unwrap_or_default();
        assert!(
            !text.is_empty() || path.ends_with("[]"),
            "{path} has no description"
        );
        assert!(
            text.is_empty() || text.ends_with(['.', ')']),
            "{path}: {text:?} is no sentence"
        );
        assert!(
            !text.contains('`') && !text.contains("[`"),
            "{path}: {text:?} is written for Rust, not for kubectl explain"
        );
    });
    assert!(seen > 200, "only {seen} nodes seen");
}

#[test]
fn nothing_is_defaulted_before_admission_and_nothing_is_nullable() {
    each_node(&mut |path, node| {
        assert!(
            node.get("default").is_none(),
            "{path} has a default: it would look like the user's own words"
        );
        assert!(
            node.get("nullable").is_none(),
            "{path} is nullable: a forgotten value would be stored as null"
        );
    });
}

/// Server-side apply answers 500 where a number meets `type: string`, before any webhook runs.
#[test]
fn what_yaml_makes_a_number_is_not_typed_as_text() {
    let lenient = [
        "flinkVersion",
        "flinkImageTag",
        "cpu",
        "memory",
        "ephemeralStorage",
        "mainArgs",
        "value",
        "args[]",
    ];
    let maps = [
        "flinkConfiguration",
        "log4jLoggers",
        "logConfiguration",
        "labels",
        "annotations",
        "nodeSelector",
    ];
    let mut seen = BTreeMap::new();
    each_node(&mut |path, node| {
        let name = path.rsplit('.').next().unwrap();
        if path.contains(".status.") {
            return;
        }
        if lenient.contains(&name) {
            *seen.entry(name.to_owned()).or_insert(0) += 1;
            assert_eq!(node.get("type"), None, "{path}");
            assert_eq!(node["x-kubernetes-preserve-unknown-fields"], true, "{path}");
        }
        if maps.contains(&name) {
            *seen.entry(name.to_owned()).or_insert(0) += 1;
            assert_eq!(node["type"], "object", "{path}");
            assert_eq!(node["x-kubernetes-preserve-unknown-fields"], true, "{path}");
            assert_eq!(node.get("additionalProperties"), None, "{path}");
        }
    });
    assert_eq!(
        seen.len(),
        lenient.len() + maps.len(),
        "a name is not met any more: {seen:?}"
    );
}

#[test]
fn kinds_have_their_short_names_and_the_category() {
    let crds = sluice_api::crds();
    let names: Vec<_> = crds
        .iter()
        .map(|crd| {
            let names = &crd.spec.names;
            assert_eq!(
                names.categories.as_deref(),
                Some(&["flink".to_owned()][..]),
                "{}",
                names.kind
            );
            (
                names.kind.as_str(),
                names.short_names.as_ref().unwrap()[0].as_str(),
                crd.spec.scope.as_str(),
            )
        })
        .collect();
    for expected in [
        ("SessionCluster", "fsc", "Namespaced"),
        ("SessionJob", "fsj", "Namespaced"),
        ("Deployment", "fdep", "Namespaced"),
        ("Job", "fjob", "Namespaced"),
        ("Savepoint", "fsp", "Namespaced"),
        ("DeploymentTarget", "ftgt", "Namespaced"),
        ("DeploymentDefaults", "fdd", "Namespaced"),
        ("ClusterDeploymentDefaults", "cfdd", "Cluster"),
        ("Environment", "fenv", "Cluster"),
    ] {
        assert!(
            names.contains(&expected),
            "{expected:?} is not among {names:?}"
        );
    }
}
