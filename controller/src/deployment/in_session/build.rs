//! The SessionJob of a Deployment, as the spec asks for it: a function of the Deployment and of how often its job has been
//! recovered. What the session cluster decides (image, TaskManagers, resources, logging, pods) is left out.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sluice_api::names::{annotations, labels};
use sluice_api::{
    Deployment, DesiredState, Object, Scalar, SessionJob, SessionJobSpec, SessionJobTask,
};
use sluice_policy::flink::is_read_by_clusters_only;

use crate::objects::{hash, words};
use kube::Resource;

/// The session cluster that the spec names.
pub fn named(deployment: &Deployment) -> Option<&str> {
    let name = deployment.spec.session_cluster_name.as_deref();
    name.filter(|name| !name.is_empty())
}

/// The spec of the SessionJob.
///
/// # Errors
/// What of the Deployment's spec no job can be made of: field and remedy.
pub fn spec(
    deployment: &Deployment,
    state: DesiredState,
    recoveries: i64,
) -> Result<SessionJobSpec, String> {
    let template = deployment.spec.template.as_ref();
    let template = template
        .and_then(|all| all.spec.clone())
        .unwrap_or_default();
    let artifact = template.artifact.unwrap_or_default();
    let text = |text: Option<String>| text.filter(|text| !text.is_empty());
    let (jar_uri, entry_class) = (text(artifact.jar_uri), text(artifact.entry_class));
    if jar_uri.is_none() && entry_class.is_none() {
        return Err(
            "spec.template.spec.artifact.jarUri: is needed to run; write where the jar is, or in entryClass a class of the session \
             cluster's jars"
                .to_owned(),
        );
    }
    let line = artifact.main_args.as_ref().and_then(Scalar::text);
    let words = words::split(line.as_deref().unwrap_or_default()).ok_or(
        "spec.template.spec.artifact.mainArgs: a quotation mark is not closed; close it, or write a backslash before it",
    )?;
    // Nothing here alters what a cluster alone reads, so a change of it is no reason for another run.
    let configuration: Object = template
        .flink_configuration
        .unwrap_or_default()
        .into_iter()
        .filter(|(key, _)| !is_read_by_clusters_only(key))
        .collect();
    Ok(SessionJobSpec {
        state: Some(state),
        session_cluster_name: deployment.spec.session_cluster_name.clone(),
        job: Some(SessionJobTask {
            entry_class,
            args: (!words.is_empty()).then(|| words.into_iter().map(Scalar::from).collect()),
            jar_uri,
            parallelism: Some(template.parallelism.unwrap_or(1)),
        }),
        flink_configuration: (!configuration.is_empty()).then_some(configuration),
        restore_strategy: deployment.spec.restore_strategy.clone(),
        upgrade_strategy: deployment.spec.upgrade_strategy.clone(),
        max_savepoint_creation_attempts: deployment.spec.max_savepoint_creation_attempts,
        max_job_creation_attempts: deployment.spec.max_job_creation_attempts,
        restart_nonce: nonce(deployment.spec.restart_nonce, recoveries),
    })
}

/// The user's `restartNonce`, and another number for each recovery: either changing starts the job anew.
fn nonce(asked: Option<i64>, recoveries: i64) -> Option<i64> {
    if recoveries == 0 {
        return asked;
    }
    let digest = Sha256::digest(format!("recovery {asked:?} {recoveries}"));
    // Six bytes, so that it is a number to those too who know no others than JavaScript's.
    let number = digest.iter().take(6);
    Some(number.fold(0, |number, byte| (number << 8) | i64::from(*byte)))
}

/// The object, to be created.
pub fn object(deployment: &Deployment, spec: SessionJobSpec) -> SessionJob {
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    let mut job = SessionJob::new(name, SessionJobSpec::default());
    job.metadata
        .namespace
        .clone_from(&deployment.metadata.namespace);
    job.metadata.owner_references =
        Some(deployment.controller_owner_ref(&()).into_iter().collect());
    let managed = (
        labels::MANAGED_BY.to_owned(),
        labels::MANAGED_BY_SLUICE.to_owned(),
    );
    job.metadata.labels = Some([managed].into());
    written(job, spec)
}

/// The object as it stands, with another spec.
pub fn written(mut job: SessionJob, spec: SessionJobSpec) -> SessionJob {
    let mark = mark(&spec);
    job.metadata
        .annotations
        .get_or_insert_default()
        .insert(annotations::INPUT.to_owned(), mark);
    job.spec = spec;
    job
}

/// A fingerprint of what was written. What stands may be more: defaults of admins are filled in on the way.
pub fn mark(spec: &SessionJobSpec) -> String {
    let value: Value = serde_json::to_value(spec).unwrap_or(Value::Null);
    hash(&json!(["sessionjob", value]))
}

/// The fingerprint of what was written last.
pub fn marked(job: &SessionJob) -> Option<&str> {
    let annotations = job.metadata.annotations.as_ref()?;
    annotations.get(annotations::INPUT).map(String::as_str)
}

/// Whether the object is of this very Deployment.
pub fn is_of(job: &SessionJob, deployment: &Deployment) -> bool {
    let mut owners = job.metadata.owner_references.iter().flatten();
    owners.any(|owner| {
        owner.controller == Some(true) && Some(&owner.uid) == deployment.metadata.uid.as_ref()
    })
}
