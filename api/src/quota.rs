//! `CpuQuota` and `ClusterCpuQuota`: how much CPU the Flink workloads of a namespace, or of a list of namespaces, may
//! ask for together, and in their status the ledger that makes this exact with many webhook replicas.
//!
//! Here are only the shapes. What they mean is decided in `sluice_policy::ledger`; who writes the status is
//! `sluice_webhook::ledger` (holds) and `sluice_controller::ledger` (confirmed usage).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Most holds that one quota's status keeps at a time; above it requests are asked to come again.
///
/// The list lives in one object of at most about 1.5 MB, and is rewritten whole with every batch.
pub const MAX_PENDING: usize = 1024;

/// Limits the CPU that all Flink workloads of this namespace may ask for together. It is checked at the moment a workload
/// is asked to run, and never stops what runs already.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "sluice.dev",
    version = "v1alpha1",
    kind = "CpuQuota",
    plural = "cpuquotas",
    namespaced,
    status = "QuotaStatus",
    shortname = "fcq",
    category = "flink",
    derive = "PartialEq",
    doc = "Limits the CPU that the Flink workloads of this namespace may ask for together. Checked when a workload is asked to run; nothing that runs is ever stopped for it.",
    printcolumn = r#"{"name":"Hard","type":"string","jsonPath":".spec.hard.cpu","description":"Limit in CPU"}"#,
    printcolumn = r#"{"name":"Used","type":"string","jsonPath":".status.used","description":"CPU that workloads hold"}"#,
    printcolumn = r#"{"name":"Reserved","type":"string","jsonPath":".status.reserved","description":"CPU set aside for admitted requests that are not seen yet"}"#,
    printcolumn = r#"{"name":"Free","type":"string","jsonPath":".status.free","description":"CPU that is left"}"#,
    printcolumn = r#"{"name":"OnGrowth","type":"string","jsonPath":".spec.onGrowth","description":"What happens when a running workload grows past the limit","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct CpuQuotaSpec {
    /// The limit.
    pub hard: HardLimit,
    /// What happens when a workload that already runs grows past the limit. Warn (also when left out): admitted, counted,
    /// with a warning. Enforce: refused. Ignore: admitted and counted without a word. Starting a workload past the limit
    /// is always refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_growth: Option<OnGrowth>,
}

/// Limits the CPU that all Flink workloads of several namespaces may ask for together.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "sluice.dev",
    version = "v1alpha1",
    kind = "ClusterCpuQuota",
    plural = "clustercpuquotas",
    status = "QuotaStatus",
    shortname = "cfcq",
    category = "flink",
    derive = "PartialEq",
    doc = "Limits the CPU that the Flink workloads of several namespaces may ask for together. Checked when a workload is asked to run; nothing that runs is ever stopped for it.",
    printcolumn = r#"{"name":"Hard","type":"string","jsonPath":".spec.hard.cpu","description":"Limit in CPU"}"#,
    printcolumn = r#"{"name":"Used","type":"string","jsonPath":".status.used","description":"CPU that workloads hold"}"#,
    printcolumn = r#"{"name":"Reserved","type":"string","jsonPath":".status.reserved","description":"CPU set aside for admitted requests that are not seen yet"}"#,
    printcolumn = r#"{"name":"Free","type":"string","jsonPath":".status.free","description":"CPU that is left"}"#,
    printcolumn = r#"{"name":"Namespaces","type":"string","jsonPath":".spec.namespaces","description":"Namespaces that share the limit","priority":1}"#,
    printcolumn = r#"{"name":"OnGrowth","type":"string","jsonPath":".spec.onGrowth","description":"What happens when a running workload grows past the limit","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterCpuQuotaSpec {
    /// The limit.
    pub hard: HardLimit,
    /// Namespaces that share the limit, by name; at least one. `['*']` means every namespace. There are no label selectors:
    /// who belongs to a quota must be readable in the quota itself.
    #[schemars(length(min = 1))]
    pub namespaces: Vec<String>,
    /// What happens when a workload that already runs grows past the limit. Warn (also when left out): admitted, counted,
    /// with a warning. Enforce: refused. Ignore: admitted and counted without a word. Starting a workload past the limit
    /// is always refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_growth: Option<OnGrowth>,
}

/// The limit of a quota.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HardLimit {
    /// CPU, as a number of cores or a Kubernetes quantity: `100`, `2.5` or `"500m"`. Exact to a thousandth of a core.
    // Read as raw JSON: a list or a map here must become a readable refusal, not an object that no watch can parse.
    #[schemars(schema_with = "cpu_amount")]
    pub cpu: Value,
}

/// What a quota does when a workload that already runs grows past the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum OnGrowth {
    /// Admitted and counted; the user is warned. Also what an absent field means.
    #[default]
    Warn,
    /// Refused, like a start.
    Enforce,
    /// Admitted and counted without a word.
    Ignore,
}

/// What Sluice knows of a quota: figures for people, and the ledger. Written by Sluice only.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuotaStatus {
    /// The limit that the figures below were computed with, such as `100` or `2.5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hard: Option<String>,
    /// CPU that existing workloads hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<String>,
    /// CPU set aside for requests that were admitted and are not yet seen in the stored objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<String>,
    /// CPU that is left: the limit less used and reserved, at least 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<String>,
    /// `metadata.generation` that the confirmed usage belongs to. While it lags behind, nothing may start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Version of the charge function that wrote the ledger. Absent or 0: not initialised, nothing may start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_version")]
    pub charge_fn: Option<u32>,
    /// Sum of the charges of all workloads as they were at `snapshot`, in thousandths of a core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_milli")]
    pub confirmed_milli: Option<u64>,
    /// For each watched resource (`plural.group`) the resource version that `confirmedMilli` is exact at. Never goes back.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub snapshot: BTreeMap<String, String>,
    /// Increases that were admitted and that `snapshot` does not cover yet, one line each: charge before and after in
    /// thousandths of a core, the workload as plural.group/namespace/name, its uid, the resource version that its write
    /// starts from (0 for a create), the attempt, and the user who asked
    /// (0->3000 flinkdeployments.flink.apache.org/team-a/etl uid=6f1c base=0 id=r1-7 by=ann).
    // Lines, not objects: the API server copies, prunes, validates and encodes every field of every entry some ten times a write,
    // which made 30 holds five to six times as dear (docs/benchmarks.md).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_PENDING))]
    pub pending: Vec<String>,
    /// `Initialised`: the ledger counts everything for this spec. `QuotaExceeded`: usage is above the limit; nothing is stopped for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A number or a quantity: structural schemas have no type for "decimal or text", so the validating call checks it.
fn cpu_amount(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}

/// Thousandths of a core, or absent; int64 is the widest format that an API server knows.
fn optional_milli(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": 0 })
}

/// A small whole number, or absent.
fn optional_version(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int32", "minimum": 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crd(name: &str) -> Value {
        let crds = crate::crds();
        let crd = crds
            .iter()
            .find(|crd| crd.metadata.name.as_deref() == Some(name))
            .expect("registered");
        serde_json::to_value(crd).unwrap()
    }

    #[test]
    fn crds_carry_names_columns_and_status() {
        let namespaced = crd("cpuquotas.sluice.dev");
        assert_eq!(namespaced["spec"]["names"]["shortNames"][0], "fcq");
        assert_eq!(namespaced["spec"]["names"]["categories"][0], "flink");
        assert_eq!(namespaced["spec"]["scope"], "Namespaced");
        let version = &namespaced["spec"]["versions"][0];
        assert!(version["subresources"]["status"].is_object());
        let columns: Vec<_> = version["additionalPrinterColumns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            columns,
            ["Hard", "Used", "Reserved", "Free", "OnGrowth", "Age"]
        );
        let cluster = crd("clustercpuquotas.sluice.dev");
        assert_eq!(cluster["spec"]["names"]["shortNames"][0], "cfcq");
        assert_eq!(cluster["spec"]["scope"], "Cluster");
        let schema = &cluster["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        assert_eq!(schema["spec"]["properties"]["namespaces"]["minItems"], 1);
        assert_eq!(
            schema["status"]["properties"]["pending"]["maxItems"],
            MAX_PENDING
        );
        assert_eq!(
            schema["status"]["properties"]["confirmedMilli"]["format"],
            "int64"
        );
        assert_eq!(
            schema["spec"]["properties"]["hard"]["properties"]["cpu"]["x-kubernetes-preserve-unknown-fields"],
            true
        );
    }

    #[test]
    fn a_limit_of_any_json_type_can_be_read_back() {
        for cpu in ["100", "2.5", "\"500m\"", "true", "[1]", "{\"a\":1}", "null"] {
            let text = format!(r#"{{"hard":{{"cpu":{cpu}}}}}"#);
            let spec: CpuQuotaSpec = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&spec).unwrap(), text);
        }
    }
}
