//! The service account that webhook and controller run as, with the very rights that `sluice manifests` prints.
//!
//! Never the administrator's token: what runs here must not be able to do what an installation cannot, or nobody would
//! notice a right that is missing there.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use sluice_api::names::field_managers;
use sluice_cluster::Cluster;

use super::install::{SYSTEM, eventually, refused};
use crate::exit::Failure;
use crate::manifests;
use crate::operator::OperatorConfig;

/// How long the token lasts: longer than anybody leaves `sluice up` running.
const TOKEN_SECONDS: i64 = 365 * 24 * 60 * 60;

/// Makes the account and its roles, waits until they are in force, and writes a kubeconfig with a token of it.
pub(super) async fn kubeconfig(
    cluster: &Cluster,
    client: &Client,
    operator: Option<&OperatorConfig>,
) -> Result<PathBuf, Failure> {
    for object in manifests::rights(SYSTEM, operator) {
        let object: DynamicObject =
            serde_json::from_value(object).context("building a role of ours")?;
        apply(client, &object).await?;
    }
    eventually(
        "the rights of Sluice's service account are in force",
        async || {
            let review = SubjectAccessReview {
                spec: SubjectAccessReviewSpec {
                    user: Some(format!(
                        "system:serviceaccount:{SYSTEM}:{}",
                        manifests::NAME
                    )),
                    resource_attributes: Some(ResourceAttributes {
                        group: Some(sluice_api::GROUP.to_owned()),
                        resource: Some("cpuquotas".to_owned()),
                        verb: Some("watch".to_owned()),
                        ..ResourceAttributes::default()
                    }),
                    ..SubjectAccessReviewSpec::default()
                },
                ..SubjectAccessReview::default()
            };
            let answer = Api::<SubjectAccessReview>::all(client.clone())
                .create(&PostParams::default(), &review)
                .await
                .map_err(|error| error.to_string())?;
            let status = answer.status.unwrap_or_default();
            if status.allowed {
                Ok(())
            } else {
                Err(status.reason.unwrap_or_else(|| "not yet".to_owned()))
            }
        },
    )
    .await?;
    let request = TokenRequest {
        spec: TokenRequestSpec {
            expiration_seconds: Some(TOKEN_SECONDS),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let token = Api::<ServiceAccount>::namespaced(client.clone(), SYSTEM)
        .create_token_request(manifests::NAME, &PostParams::default(), &request)
        .await
        .map_err(|error| refused("token of ServiceAccount", manifests::NAME, &error))?
        .status
        .map(|status| status.token)
        .ok_or_else(|| {
            Failure::Unreachable(anyhow!(
                "the API server made no token for Sluice's service account"
            ))
        })?;
    let path = cluster.data_dir().join("sluice.kubeconfig");
    write(&path, cluster, &token).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

async fn apply(client: &Client, object: &DynamicObject) -> Result<(), Failure> {
    let types = object.types.clone().unwrap_or_default();
    let (group, version) = types
        .api_version
        .split_once('/')
        .unwrap_or(("", &types.api_version));
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: types.api_version.clone(),
        kind: types.kind.clone(),
        plural: format!("{}s", types.kind.to_lowercase()),
    };
    let api: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let name = object.name_any();
    api.patch(
        &name,
        &PatchParams::apply(field_managers::CLI).force(),
        &Patch::Apply(object),
    )
    .await
    .map_err(|error| refused(&types.kind, &name, &error))?;
    Ok(())
}

/// JSON, which is YAML too.
fn write(path: &Path, cluster: &Cluster, token: &str) -> std::io::Result<()> {
    let name = manifests::NAME;
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": cluster.server_url(), "certificate-authority": cluster.ca_cert()}}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": SYSTEM}}],
        "current-context": name,
    });
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?
        .write_all(format!("{config:#}\n").as_bytes())
}
