//! The objects that clients make and change. Defaults are left out on purpose: the gate has to fill them in.

use crate::dice::Dice;
use crate::history::OPERATION;
use crate::place::{Kind, Place};
use serde_json::{Value, json};

/// Keeps an own object until whoever plays its controller says that its pods are gone.
pub const FINALIZER: &str = "chaos.sluice.dev/pods";

/// Whether a new object is told to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// To run.
    Run,
    /// To be stopped or suspended.
    Stop,
}

/// A new object.
pub fn make(place: &Place, operation: u64, roll: u64, told: Told) -> Value {
    let mut dice = Dice::new(roll, 1);
    let count = dice.between(1, 4);
    let cpu = task_manager_cpu(&mut dice);
    let mut object = json!({
        "apiVersion": place.kind.api_version(), "kind": place.kind.name(),
        "metadata": {"name": place.name, "namespace": place.namespace, "annotations": {OPERATION: operation.to_string()}},
    });
    if place.kind != Kind::FlinkDeployment && dice.percent(50) {
        set(&mut object, &["metadata", "finalizers"], json!([FINALIZER]));
    }
    let spec = match place.kind {
        Kind::SessionCluster => json!({
            "flinkVersion": "1.20", "numberOfTaskManagers": count,
            "resources": {"taskmanager": {"cpu": cpu}},
        }),
        Kind::Deployment => json!({"template": {"spec": {
            "artifact": {"flinkVersion": "1.20", "jarUri": "s3://chaos/a.jar"}, "parallelism": 1, "numberOfTaskManagers": count,
            "resources": {"taskmanager": {"cpu": cpu}},
        }}}),
        Kind::FlinkDeployment => json!({
            "image": "flink:1.20", "flinkVersion": "v1_20", "serviceAccount": "flink",
            "flinkConfiguration": {"taskmanager.numberOfTaskSlots": "2", "state.savepoints.dir": "s3://chaos/savepoints",
                "state.checkpoints.dir": "s3://chaos/checkpoints"},
            "jobManager": {"resource": {"cpu": 1, "memory": "2048m"}},
            "taskManager": {"resource": {"cpu": cpu, "memory": "2048m"}},
            "job": {"jarURI": "local:///opt/flink/usrlib/a.jar", "parallelism": count * 2, "upgradeMode": "stateless"},
        }),
    };
    set(&mut object, &["spec"], spec);
    tell(place.kind, &mut object, told);
    object
}

/// The CpuQuota of a namespace.
pub fn quota(namespace: &str, cpu: u64) -> Value {
    json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "CpuQuota", "metadata": {"name": "default", "namespace": namespace},
        "spec": {"hard": {"cpu": cpu}, "onGrowth": "Enforce"},
    })
}

/// Half a core, one, or one and a half.
fn task_manager_cpu(dice: &mut Dice) -> Value {
    let choices = [(2, 1.0), (1, 0.5), (1, 1.5)];
    json!(dice.weighted(&choices, 1.0))
}

/// Where that stands, and its words for running and stopped.
fn words(kind: Kind) -> (&'static [&'static str], &'static str, &'static str) {
    match kind {
        Kind::SessionCluster => (&["spec", "state"], "RUNNING", "STOPPED"),
        Kind::Deployment => (&["spec", "state"], "RUNNING", "SUSPENDED"),
        Kind::FlinkDeployment => (&["spec", "job", "state"], "running", "suspended"),
    }
}

/// What it is told now.
pub fn told(kind: Kind, object: &Value) -> Told {
    let (path, run, _) = words(kind);
    let word = object.pointer(&format!("/{}", path.join("/")));
    if word.and_then(Value::as_str) == Some(run) {
        Told::Run
    } else {
        Told::Stop
    }
}

/// Tells it to run or to stop.
pub fn tell(kind: Kind, object: &mut Value, told: Told) {
    let (path, run, stop) = words(kind);
    set(
        object,
        path,
        json!(if told == Told::Run { run } else { stop }),
    );
}

/// Sets the number of TaskManagers.
pub fn count(kind: Kind, object: &mut Value, count: u64) {
    match kind {
        Kind::SessionCluster => set(object, &["spec", "numberOfTaskManagers"], json!(count)),
        Kind::Deployment => set(
            object,
            &["spec", "template", "spec", "numberOfTaskManagers"],
            json!(count),
        ),
        Kind::FlinkDeployment => set(object, &["spec", "job", "parallelism"], json!(count * 2)),
    }
}

/// Another image and other CPU.
pub fn upgrade(kind: Kind, object: &mut Value, roll: u64) {
    let mut dice = Dice::new(roll, 2);
    let cpu = task_manager_cpu(&mut dice);
    let tag = format!("1.20.{}", dice.below(9));
    match kind {
        Kind::SessionCluster => {
            set(object, &["spec", "flinkImageTag"], json!(tag));
            set(object, &["spec", "resources", "taskmanager", "cpu"], cpu);
        }
        Kind::Deployment => {
            let cluster = ["spec", "template", "spec"];
            set(
                object,
                &[&cluster[..], &["artifact", "flinkImageTag"]].concat(),
                json!(tag),
            );
            set(
                object,
                &[&cluster[..], &["resources", "taskmanager", "cpu"]].concat(),
                cpu,
            );
        }
        Kind::FlinkDeployment => {
            set(object, &["spec", "image"], json!(format!("flink:{tag}")));
            set(object, &["spec", "taskManager", "resource", "cpu"], cpu);
        }
    }
}

/// Sets a value, making what is missing on the way.
pub fn set(object: &mut Value, path: &[&str], value: Value) {
    let mut place = object;
    for key in path {
        if !place.is_object() {
            *place = json!({});
        }
        let Some(map) = place.as_object_mut() else {
            return;
        };
        place = map.entry(*key).or_insert(Value::Null);
    }
    *place = value;
}
