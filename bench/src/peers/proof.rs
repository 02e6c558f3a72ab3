//! That each side judges as it should, before anything is measured: a side that admits everything is fast.

use crate::objects;
use crate::stage::{Side, Stage, eventually};
use anyhow::bail;
use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};

/// Waits until a side refuses what its rules and its limit refuse, and fills in its defaults; or until nothing of that
/// happens, where nobody judges.
pub async fn judges(stage: &Stage, side: Side) -> anyhow::Result<()> {
    let ruled = matches!(side, Side::Policies) || side.is_gatekeepers() || side.is_sluices();
    let limited = matches!(side, Side::GatekeeperQuota | Side::SluiceQuota);
    let what = format!("{} judges as it should", side.title());
    eventually(&what, async || {
        let Ok(created) = ask(stage, side, objects::to_create(1536)).await? else {
            return Ok(None);
        };
        let configured = |key: &str| {
            created
                .data
                .pointer("/spec/flinkConfiguration")?
                .get(key)?
                .as_str()
        };
        let filled = configured("restart-strategy.type") == Some("exponential-delay");
        let kept = configured("execution.checkpointing.interval") == Some("60s");
        let old = with("/spec/flinkVersion", json!("v1_14"));
        let ruled_out = ask(stage, side, old).await?.is_err();
        // A million TaskManagers of two CPU.
        let large = with("/spec/job/parallelism", json!(4_000_000));
        let limited_out = ask(stage, side, large).await?.is_err();
        let as_should = kept && (filled, ruled_out) == (ruled, ruled) && limited_out == limited;
        Ok(as_should.then_some(()))
    })
    .await
}

/// The benchmark's object with another value in one place.
fn with(pointer: &str, value: Value) -> Value {
    let mut object = objects::to_create(1536);
    if let Some(place) = object.pointer_mut(pointer) {
        *place = value;
    }
    object
}

/// A dry-run create: what would be stored, or why it was refused.
pub async fn ask(
    stage: &Stage,
    side: Side,
    object: Value,
) -> anyhow::Result<Result<DynamicObject, String>> {
    let object: DynamicObject = serde_json::from_value(object)?;
    let parameters = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    match stage
        .flink_deployments(side)
        .create(&parameters, &object)
        .await
    {
        Ok(created) => Ok(Ok(created)),
        Err(kube::Error::Api(status)) => Ok(Err(status.message.clone())),
        Err(error) => bail!("{}: {error}", side.title()),
    }
}
