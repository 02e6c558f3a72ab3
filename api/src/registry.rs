//! The CRDs: which there are, and their YAML. What they hold is in `kinds`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceValidation, JSONSchemaProps, ValidationRule,
};
use kube::CustomResourceExt;
use schemars::JsonSchema;

use crate::kinds::{
    ClusterDeploymentDefaults, Deployment, DeploymentDefaults, DeploymentTarget, Environment,
    FlinkApplication, Job, Savepoint, SessionCluster, SessionJob,
};
use crate::quota::{ClusterCpuQuota, CpuQuota};
use crate::schema::structural;

/// Whether names of a kind become names of Services, pods and labels of pods.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// They do: DNS-1035 labels of at most 45 characters, which leaves room for what is appended.
    Workload,
    /// They do not: whatever Kubernetes takes.
    Any,
}

/// The CRDs that every installation needs, ready to be applied.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![
        crd::<SessionCluster>(Naming::Workload),
        crd::<SessionJob>(Naming::Workload),
        crd::<Deployment>(Naming::Workload),
        crd::<Job>(Naming::Any),
        crd::<Savepoint>(Naming::Any),
        crd::<DeploymentTarget>(Naming::Any),
        crd::<DeploymentDefaults>(Naming::Any),
        crd::<ClusterDeploymentDefaults>(Naming::Any),
        crd::<Environment>(Naming::Any),
        crd::<CpuQuota>(Naming::Any),
        crd::<ClusterCpuQuota>(Naming::Any),
    ]
}

/// CRDs of other people's kinds that are installed only where they are asked for: `cmf.confluent.io/v1`
/// `FlinkApplication`, which Confluent serves over REST only.
pub fn optional_crds() -> Vec<CustomResourceDefinition> {
    vec![crd::<FlinkApplication>(Naming::Any)]
}

fn crd<K: CustomResourceExt + JsonSchema>(naming: Naming) -> CustomResourceDefinition {
    let mut crd = K::crd();
    // A type whose schema cannot be built is a mistake in this crate that every test of it meets; the empty schema
    // that stands in for it is refused by the API server, so it cannot be installed unseen.
    let mut schema = structural::<K>().unwrap_or_default();
    schema.description = crd.spec.versions.first().and_then(description);
    if naming == Naming::Workload {
        schema.x_kubernetes_validations = Some(vec![name_rule()]);
        let properties = schema.properties.get_or_insert_default();
        properties.insert("metadata".into(), metadata_with_name());
    }
    for version in &mut crd.spec.versions {
        version.schema = Some(CustomResourceValidation {
            open_api_v3_schema: Some(schema.clone()),
        });
    }
    crd
}

fn description(
    version: &k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionVersion,
) -> Option<String> {
    let schema: &JSONSchemaProps = version.schema.as_ref()?.open_api_v3_schema.as_ref()?;
    schema.description.clone()
}

/// What makes `.metadata.name` a path that a rule may point at. Kubernetes knows metadata itself and refuses a CRD that
/// says more about it, a description included.
fn metadata_with_name() -> JSONSchemaProps {
    let of_type = |name: &str| JSONSchemaProps {
        type_: Some(name.into()),
        ..JSONSchemaProps::default()
    };
    JSONSchemaProps {
        properties: Some([("name".into(), of_type("string"))].into()),
        ..of_type("object")
    }
}

fn name_rule() -> ValidationRule {
    ValidationRule {
        rule: "self.metadata.name.size() <= 45 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')".into(),
        message: Some(
            "must be a DNS label of at most 45 characters: a-z, 0-9 and '-', starting with a letter and \
             not ending in '-', as names of pods and services are made from it. Choose a shorter or simpler name."
                .into(),
        ),
        field_path: Some(".metadata.name".into()),
        ..ValidationRule::default()
    }
}

/// A generated file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Path below `api/crds/`.
    pub path: String,
    /// The file's YAML.
    pub yaml: String,
}

/// A CRD that has no YAML.
#[derive(Debug, thiserror::Error)]
#[error("writing CRD {name} as YAML: {source}")]
pub struct ManifestError {
    /// Name of the CRD.
    pub name: String,
    /// What the serialiser said.
    pub source: serde_saphyr::SerializeError,
}

/// Every file under `api/crds/`, as `cargo run -p sluice-api --example crds` writes them.
pub fn manifests() -> Result<Vec<Manifest>, ManifestError> {
    let required = crds().into_iter().map(|crd| ("", crd));
    let optional = optional_crds().into_iter().map(|crd| ("optional/", crd));
    required
        .chain(optional)
        .map(|(folder, crd)| manifest(folder, &crd))
        .collect()
}

fn manifest(folder: &str, crd: &CustomResourceDefinition) -> Result<Manifest, ManifestError> {
    let name = crd.metadata.name.clone().unwrap_or_default();
    let body = serde_saphyr::to_string(crd).map_err(|source| ManifestError {
        name: name.clone(),
        source,
    })?;
    let yaml = format!(
        "# Generated by `cargo run -p sluice-api --example crds`; edit the types in api/src/kinds.\n{body}"
    );
    Ok(Manifest {
        path: format!("{folder}{name}.yaml"),
        yaml,
    })
}
