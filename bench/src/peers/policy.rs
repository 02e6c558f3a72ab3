//! The policies of the comparison, from `bench/peers/`: the same rules, defaults and limit for each peer.

use anyhow::Context as _;
use serde_json::{Value, json};

/// ValidatingAdmissionPolicy and MutatingAdmissionPolicy.
pub const CEL: &str = include_str!("../../peers/policies.yaml");
const RULES: &str = include_str!("../../peers/gatekeeper.yaml");
const DEFAULTS: &str = include_str!("../../peers/gatekeeper-defaults.yaml");
const QUOTA: &str = include_str!("../../peers/gatekeeper-quota.yaml");
const KYVERNO_RULES: &str = include_str!("../../peers/kyverno.yaml");
const KYVERNO_DEFAULTS: &str = include_str!("../../peers/kyverno-defaults.yaml");
const KYVERNO_QUOTA: &str = include_str!("../../peers/kyverno-quota.yaml");
const SLUICE: &str = include_str!("../../peers/sluice.yaml");

/// The documents of a YAML file, empty ones left out.
pub fn documents(yaml: &str) -> anyhow::Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).context("reading YAML")?;
    Ok(documents
        .into_iter()
        .filter(|document| !document.is_null())
        .collect())
}

/// Sluice's: DeploymentDefaults, and a CpuQuota where there is a limit.
pub fn sluice(namespace: &str, cpu: Option<u32>) -> anyhow::Result<Vec<Value>> {
    let mut all = documents(SLUICE)?;
    for document in &mut all {
        set(document, "/metadata", "namespace", json!(namespace));
    }
    all.extend(cpu.map(|cpu| {
        json!({
            "apiVersion": "sluice.dev/v1alpha1", "kind": "CpuQuota",
            "metadata": {"name": "bench", "namespace": namespace}, "spec": {"hard": {"cpu": cpu}},
        })
    }));
    Ok(all)
}

/// Gatekeeper's rules, mutators, and the sum where there is a limit.
pub fn gator(cpu: Option<u32>) -> anyhow::Result<Vec<Value>> {
    let mut all = documents(RULES)?;
    all.extend(documents(DEFAULTS)?);
    if let Some(cpu) = cpu {
        all.extend(gatekeeper_quota(cpu, None)?);
    }
    Ok(all)
}

/// Gatekeeper's sum alone, with the copy that it needs; in one namespace, or in all.
pub fn gatekeeper_quota(cpu: u32, namespace: Option<&str>) -> anyhow::Result<Vec<Value>> {
    let mut all = documents(QUOTA)?;
    for document in &mut all {
        if document.get("kind").and_then(Value::as_str) == Some("BenchCpuQuota") {
            set(document, "/spec", "parameters", json!({"cpu": cpu}));
            if let Some(namespace) = namespace {
                set(document, "/spec/match", "namespaces", json!([namespace]));
            }
        }
    }
    Ok(all)
}

/// Kyverno's rules, defaults, and the sum where there is a limit.
pub fn kyverno(cpu: Option<u32>) -> anyhow::Result<Vec<Value>> {
    let mut all = documents(KYVERNO_DEFAULTS)?;
    all.extend(documents(KYVERNO_RULES)?);
    if let Some(cpu) = cpu {
        all.extend(documents(KYVERNO_QUOTA)?);
        for document in &mut all {
            let limit = "/spec/rules/0/validate/deny/conditions/any/0";
            if document.pointer("/metadata/name") == Some(&json!("bench-quota")) {
                set(document, limit, "value", json!(cpu));
            }
        }
    }
    Ok(all)
}

/// What `kyverno apply` is told of stored objects: for a policy and an object's name, a variable of the request.
pub fn kyverno_values(old: &[Value]) -> Value {
    // Not its operation: were it UPDATE, the old object would be laid over the new one, and not lack what it lacks.
    let resources: Vec<Value> = old
        .iter()
        .map(|old| json!({"name": old.pointer("/metadata/name"), "values": {"request.oldObject": old}}))
        .collect();
    json!({
        "apiVersion": "cli.kyverno.io/v1alpha1", "kind": "Values", "metadata": {"name": "stored"},
        "policies": [{"name": "bench-rules", "resources": resources}],
    })
}

/// Puts a value into a map within.
pub fn set(document: &mut Value, pointer: &str, key: &str, value: Value) {
    let place = document.pointer_mut(pointer).and_then(Value::as_object_mut);
    if let Some(map) = place {
        map.insert(key.to_owned(), value);
    }
}
