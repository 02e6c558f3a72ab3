//! What the tests of Apache's kinds share: the fixtures, a world of few objects, and short ways to judge an object.

use serde_json::{Value, json};
use sluice_policy::world::EmptyWorld;
use sluice_policy::*;
use std::path::PathBuf;
use std::sync::Arc;

/// A file of the fixtures, `None` (with a message) if they are not there and need not be.
pub fn fixture(name: &str) -> Option<Value> {
    let text = fixture_text(name)?;
    Some(serde_json::from_str(&text).unwrap())
}

pub fn fixture_text(name: &str) -> Option<String> {
    let root = std::env::var_os("SLUICE_FIXTURES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures"),
        PathBuf::from,
    );
    let path = root.join("apache").join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            assert!(
                std::env::var("SLUICE_REQUIRE_FIXTURES").as_deref() != Ok("1"),
                "{} is required: {error}",
                path.display()
            );
            println!("skipped: {} is absent ({error})", path.display());
            None
        }
    }
}

/// RFC 7396.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let map = target.as_object_mut().unwrap();
    for (key, value) in patch {
        if value.is_null() {
            map.remove(key);
        } else {
            merge(map.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

pub fn merged(base: &Value, patch: &Value) -> Value {
    let mut object = base.clone();
    merge(&mut object, patch);
    object
}

/// Puts a spec where the operator keeps the one that it last acted on.
pub fn record(object: &mut Value, spec: &Value) {
    let text = json!({"spec": spec, "resource_metadata": {"apiVersion": "flink.apache.org/v1beta1", "firstDeployment": false}});
    merge(
        object,
        &json!({"status": {"reconciliationStatus": {"lastReconciledSpec": text.to_string()}}}),
    );
}

/// A world of some objects; what is not among them does not exist.
#[derive(Default)]
pub struct Known {
    pub objects: Vec<Value>,
    pub operator: Option<Value>,
    /// Whether any lookup finds the first object, as when a validator is handed one.
    pub any_name: bool,
}

impl World for Known {
    fn modes(&self, _: &str) -> Modes {
        Modes::default()
    }
    fn defaults(&self, _: &str) -> Vec<world::Layer> {
        Vec::new()
    }
    fn environments(&self, _: &str) -> Vec<world::Layer> {
        Vec::new()
    }
    fn lookup(&self, kind: &KindInfo, namespace: &str, name: &str) -> Lookup {
        self.objects
            .iter()
            .filter(|object| object["kind"] == kind.kind)
            .find(|object| {
                self.any_name
                    || (object["metadata"]["name"] == name
                        && object["metadata"]["namespace"].as_str().unwrap_or("") == namespace)
            })
            .map_or(Lookup::Absent, |object| {
                let dialect = dialect_for(kind.group, kind.kind);
                let facts =
                    dialect.map_or_else(|| Some(object.clone()), |dialect| dialect.facts(object));
                Lookup::Found(Arc::new(facts.unwrap_or_else(|| object.clone())))
            })
    }
    fn lookup_uid(&self, _: &KindInfo, _: &str, _: &str) -> Lookup {
        Lookup::Unknown
    }
    fn namespace_labels(&self, _: &str) -> Option<Arc<Value>> {
        None
    }
    fn operator_configuration(&self) -> Option<Arc<Value>> {
        self.operator.clone().map(Arc::new)
    }
}

pub fn dialect_of(object: &Value) -> &'static dyn Dialect {
    let group = object["apiVersion"]
        .as_str()
        .and_then(|version| version.split_once('/'))
        .map_or("", |(group, _)| group);
    dialect_for(group, object["kind"].as_str().unwrap_or("")).unwrap()
}

pub fn review<'a>(object: &'a Value, operation: Operation<'a>) -> Review<'a> {
    Review {
        dialect: dialect_of(object),
        operation,
        part: Part::Whole,
        namespace: object["metadata"]["namespace"].as_str().unwrap_or(""),
        name: object["metadata"]["name"].as_str().unwrap_or(""),
        object,
    }
}

/// The judgement of a create.
pub fn created(object: &Value, world: &dyn World) -> Judgement {
    validate(&review(object, Operation::Create), world)
}

/// The judgement of an update.
pub fn updated(old: &Value, object: &Value, world: &dyn World) -> Judgement {
    validate(&review(object, Operation::Update { old }), world)
}

/// Asserts that an object is admitted.
pub fn admits(object: &Value) {
    let judgement = created(object, &EmptyWorld);
    assert_eq!(judgement.refusal, None);
}

/// Asserts that an object is refused by one rule for one field, with a code and a piece of the message.
pub fn refuses(object: &Value, rule: &str, field: &str, code: u16, piece: &str) {
    refuses_in(object, &EmptyWorld, rule, field, code, piece);
}

pub fn refuses_in(
    object: &Value,
    world: &dyn World,
    rule: &str,
    field: &str,
    code: u16,
    piece: &str,
) {
    let refusal = created(object, world)
        .refusal
        .unwrap_or_else(|| panic!("admitted, but {rule} should refuse {field}"));
    assert_eq!(refusal.code.number(), code, "{}", refusal.message);
    let cause = refusal
        .causes
        .iter()
        .find(|cause| cause.rule.id == rule && cause.field.to_string() == field)
        .unwrap_or_else(|| panic!("no cause {rule} at {field} in: {}", refusal.message));
    assert!(cause.message.contains(piece), "{}", cause.message);
    assert!(refusal.message.contains(field), "{}", refusal.message);
    assert!(
        refusal.message.ends_with(&format!("[{}]", refusal.rule.id)),
        "{}",
        refusal.message
    );
}

/// A FlinkDeployment that is admitted as it stands.
pub fn application() -> Value {
    json!({
        "apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment",
        "metadata": {"name": "orders", "namespace": "team-a", "generation": 1},
        "spec": {
            "image": "flink:1.20", "flinkVersion": "v1_20", "serviceAccount": "flink",
            "flinkConfiguration": {"taskmanager.numberOfTaskSlots": "2"},
            "jobManager": {"resource": {"memory": "2048m", "cpu": 1}},
            "taskManager": {"resource": {"memory": "2048m", "cpu": 1.5}},
            "job": {"jarURI": "local:///opt/job.jar", "parallelism": 4, "upgradeMode": "stateless"}
        }
    })
}

/// A session cluster that is admitted as it stands.
pub fn session() -> Value {
    let mut session = application();
    merge(
        &mut session,
        &json!({"metadata": {"name": "shared"}, "spec": {"job": null}}),
    );
    session
}

/// A job on it.
pub fn session_job() -> Value {
    json!({
        "apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkSessionJob",
        "metadata": {"name": "nightly", "namespace": "team-a", "generation": 1},
        "spec": {"deploymentName": "shared",
            "job": {"jarURI": "https://repo.example.org/job.jar", "parallelism": 4, "upgradeMode": "stateless"}}
    })
}

pub fn with(spec: Value) -> Value {
    merged(&application(), &json!({ "spec": spec }))
}

pub fn configured(configuration: Value) -> Value {
    with(json!({ "flinkConfiguration": configuration }))
}

/// An object as stored after the operator acted on it.
pub fn deployed(object: &Value) -> Value {
    let mut object = object.clone();
    let spec = object["spec"].clone();
    record(&mut object, &spec);
    merge(
        &mut object,
        &json!({"status": {"lifecycleState": "STABLE", "observedGeneration": 1, "jobManagerDeploymentStatus": "READY"}}),
    );
    object
}

pub fn workload_in(object: &Value, world: &dyn World) -> Workload {
    dialect_of(object).workload(object, world).unwrap()
}

pub fn workload(object: &Value) -> Workload {
    workload_in(object, &EmptyWorld)
}

/// The charge of `base` with a merge patch on its spec, in milli-cores.
pub fn milli(base: Value, spec: Value) -> u64 {
    workload(&merged(&base, &json!({ "spec": spec })))
        .charge()
        .0
}

pub fn as_milli(value: &Value) -> u64 {
    MilliCpu::parse(value).unwrap().0
}

/// An object as the operator reports it: recorded with `spec`, and this status.
pub fn reported(object: &Value, recorded: &Value, status: Value) -> Value {
    let mut object = object.clone();
    record(&mut object, &recorded["spec"]);
    merge(&mut object, &json!({ "status": status }));
    object
}
