//! Many creates at once where ten fit: what a limit is worth that is checked against a copy.

use super::proof::ask;
use crate::objects;
use crate::stage::{Side, Stage, eventually};
use crate::table::Table;
use hyper::body::Bytes;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::pinned_kind;
use serde_json::{Value, json};

/// Objects that fit. Each is of 5 CPU: a JobManager of 1 and two TaskManagers of 2.
const FIT: u32 = 10;
const CPU_OF_ONE: u32 = 5;
/// Creates, and connections that send them.
const CREATES: usize = 200;
const CONNECTIONS: usize = 64;

/// Lowers each side's limit, sends the crowd, and counts.
pub async fn run(stage: &Stage, body: &Bytes) -> anyhow::Result<()> {
    let mut table = Table::new(["side", "fit", "asked for", "created", "over the limit"]);
    for side in [Side::InTree, Side::GatekeeperQuota, Side::SluiceQuota] {
        lower(stage, side).await?;
        let mut load = stage.api_server.connect(CONNECTIONS).await?;
        let path = format!(
            "/apis/flink.apache.org/v1beta1/namespaces/{}/flinkdeployments",
            side.namespace()
        );
        let burst = load.fire(&path, body, CREATES).await?;
        let created = burst.latencies.len();
        table.row([
            side.title().to_owned(),
            FIT.to_string(),
            CREATES.to_string(),
            created.to_string(),
            created.saturating_sub(FIT as usize).to_string(),
        ]);
    }
    table.print();
    Ok(())
}

/// Sets a side's limit to what ten objects take, and waits until it holds.
async fn lower(stage: &Stage, side: Side) -> anyhow::Result<()> {
    let cpu = FIT * CPU_OF_ONE;
    let (group, version, kind, name, patch): (_, _, _, _, Value) = match side {
        Side::GatekeeperQuota => (
            "constraints.gatekeeper.sh",
            "v1beta1",
            "BenchCpuQuota",
            "bench-quota",
            json!({"spec": {"parameters": {"cpu": cpu}}}),
        ),
        Side::SluiceQuota => (
            "sluice.dev",
            "v1alpha1",
            "CpuQuota",
            "bench",
            json!({"spec": {"hard": {"cpu": cpu}}}),
        ),
        _ => (
            "",
            "v1",
            "ResourceQuota",
            "count",
            json!({"spec": {"hard": {"count/flinkdeployments.flink.apache.org": FIT.to_string()}}}),
        ),
    };
    let kind = GroupVersionKind::gvk(group, version, kind);
    let (resource, _) = pinned_kind(&stage.client, &kind).await?;
    let api: Api<DynamicObject> = match side {
        Side::GatekeeperQuota => Api::all_with(stage.client.clone(), &resource),
        _ => Api::namespaced_with(stage.client.clone(), side.namespace(), &resource),
    };
    api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await?;
    eventually("the lowered limit holds and nothing lives", async || {
        if side == Side::InTree {
            let status = api.get(name).await?.data;
            let figure = |path: &str| {
                let figures = status.pointer(path)?;
                figures
                    .get("count/flinkdeployments.flink.apache.org")?
                    .as_str()
            };
            let (hard, used) = (figure("/status/hard"), figure("/status/used"));
            return Ok((hard == Some("10") && used == Some("0")).then_some(()));
        }
        // One that takes all there is fits, one that takes more does not.
        let fits = ask(stage, side, of_parallelism(96)).await?.is_ok();
        let not = ask(stage, side, of_parallelism(100)).await?.is_err();
        Ok((fits && not).then_some(()))
    })
    .await
}

/// The benchmark's object with so many slots, of which a TaskManager has four.
fn of_parallelism(slots: u32) -> Value {
    let mut object = objects::to_create(1536);
    if let Some(place) = object.pointer_mut("/spec/job/parallelism") {
        *place = json!(slots);
    }
    object
}
