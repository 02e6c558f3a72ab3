//! Bytes change a complete object of a kind here and there; then both calls judge it, as a create and as an update.

use crate::edits::{self, Bytes};
use serde_json::{Value, json};
use sluice_policy::dialect::{Class, dialect_for};
use sluice_policy::world::{Layer, Lookup};
use sluice_policy::{
    Dialect, FieldPath, KindInfo, Mode, Modes, Operation, Review, World, admit, review::Part,
};
use std::sync::Arc;

/// One input: which base, what an admin's settings are, the stored object, the object sent.
pub fn fuzz(bases: &[&str], data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let base: Value =
        serde_json::from_str(bases[bytes.below(bases.len())]).expect("a base is JSON");
    let Some(dialect) = dialect_of(&base) else {
        return; // its dialect is not built yet
    };
    let mut world = Admins::default();
    let settings = bytes.byte();
    if settings & 1 != 0 {
        world.defaults = layer(dialect, "DeploymentDefaults", &base, &mut bytes);
    }
    if settings & 2 != 0 {
        world.environment = layer(dialect, "Environment", &base, &mut bytes);
    }
    if settings & 0x20 != 0 {
        world.operator = Some(Arc::new(operator_configuration()));
    }
    if settings & 0x40 != 0 {
        world.cluster_defaults = layer(dialect, "DeploymentDefaults", &base, &mut bytes);
    }
    if settings & 0x80 != 0 {
        world.modes.defaults = Mode::Warn;
    }
    let mut object = base;
    edits::apply(&mut object, &mut bytes);
    let stored = judge(dialect, &object, None, &world);
    if bytes.is_empty() {
        return;
    }
    // Stored objects may be anything: they may have been written while the webhook was away.
    let mut old = if bytes.byte() & 1 == 0 {
        stored
    } else {
        object
    };
    edits::apply(&mut old, &mut bytes);
    let mut new = old.clone();
    edits::apply(&mut new, &mut bytes);
    judge(dialect, &new, Some(&old), &world);
}

/// Judges as both calls would, and checks what holds for every object. Returns it as it would be stored.
pub fn judge(
    dialect: &'static dyn Dialect,
    object: &Value,
    old: Option<&Value>,
    world: &dyn World,
) -> Value {
    let review = Review {
        dialect,
        operation: old.map_or(Operation::Create, |old| Operation::Update { old }),
        part: Part::Whole,
        namespace: "n",
        name: "a",
        object,
    };
    let mutation = admit::mutate(&review, world);
    let made = mutation.object.into_owned();
    let mut replayed = object.clone();
    json_patch::patch(&mut replayed, &mutation.patch)
        .expect("the patch applies to the object sent");
    assert_eq!(replayed, made, "the patch leads to the object");
    if mutation.refusal.is_none() && made["metadata"].is_object() {
        let again = admit::mutate(&review.about(&made), world);
        assert_eq!(again.patch, Vec::new(), "mutation is idempotent on {made}");
    }
    // Where the first call refuses, the second is never made; it must stand the object all the same.
    let mutated = mutation.refusal.is_none() && made["metadata"].is_object();
    let judgement = admit::validate(&review.about(&made), world);
    for refusal in mutation.refusal.iter().chain(&judgement.refusal) {
        assert!(
            refusal.message.ends_with(&format!("[{}]", refusal.rule.id)),
            "{}",
            refusal.message
        );
        for cause in &refusal.causes {
            assert!(!cause.message.is_empty(), "{cause:?}");
            assert!(
                refusal.rule.id == "defaults/incomplete" || cause.field != FieldPath::default(),
                "{cause:?}"
            );
        }
        assert!(
            refusal.rule.id != "defaults/incomplete" || !mutated,
            "what was mutated is complete: {} {made}",
            refusal.message
        );
    }
    for warning in judgement.warnings.iter().chain(&mutation.warnings) {
        assert!(warning.len() < 256 && !warning.contains('\n'), "{warning}");
    }
    let charge = admit::charge(dialect, &made, world);
    assert!(
        dialect.class() == Class::Workload || charge.0 == 0,
        "configuration costs nothing"
    );
    if let Some(demand) = judgement.demand {
        assert!(
            judgement.refusal.is_none() && demand.to > demand.from,
            "{demand:?}"
        );
    }
    let _ = dialect.facts(&made);
    made
}

fn dialect_of(object: &Value) -> Option<&'static dyn Dialect> {
    let group = object["apiVersion"].as_str()?.split_once('/')?.0;
    dialect_for(group, object["kind"].as_str()?)
}

/// An admin's settings for the kind: its own spec, changed here and there, as the gate would store it; `None` if the gate
/// refuses it.
fn layer(dialect: &dyn Dialect, kind: &str, base: &Value, bytes: &mut Bytes<'_>) -> Option<Value> {
    let mut changed = json!({ "spec": base["spec"] });
    edits::apply(&mut changed, bytes);
    let spec = changed["spec"].take();
    let spec = match (dialect.kind().kind, kind) {
        ("Deployment", "DeploymentDefaults") => spec,
        (name, "DeploymentDefaults") => json!({ section(name): spec }),
        (name, _) => json!({ "namespaces": ["n"], section(name): spec }),
    };
    let mut object = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": kind, "metadata": {"name": "a"}, "spec": spec});
    if kind == "Environment"
        && let Some(Value::Object(section)) =
            object.pointer_mut(&format!("/spec/{}", section(dialect.kind().kind)))
    {
        // Refused there, so that nothing else would be tried.
        section.shift_remove("state");
        section.shift_remove("numberOfTaskManagers");
    }
    let settings = dialect_for("sluice.dev", kind)?;
    let review = Review {
        dialect: settings,
        operation: Operation::Create,
        part: Part::Whole,
        namespace: "n",
        name: "a",
        object: &object,
    };
    let world = Admins::default();
    let made = admit::mutate(&review, &world).object.into_owned();
    let admitted = admit::validate(&review.about(&made), &world)
        .refusal
        .is_none();
    admitted.then(|| made["spec"].clone())
}

/// `FlinkDeployment` is `flinkDeployment`.
fn section(kind: &str) -> String {
    let (first, rest) = kind.split_at(1);
    first.to_ascii_lowercase() + rest
}

/// Some of each kind of key that the Apache operator's own configuration may hold.
fn operator_configuration() -> Value {
    json!({
        "taskmanager.numberOfTaskSlots": "3",
        "kubernetes.taskmanager.cpu.amount": "0.5",
        "jobmanager.scheduler": "adaptive",
        "kubernetes.operator.default-configuration.namespace.n.taskmanager.cpu.cores": "1.5",
        "kubernetes.operator.default-configuration.flink-version.v1_20.parallelism.default": "4",
    })
}

/// A world with settings and nothing else. Everything that is looked up exists and is empty.
#[derive(Default)]
struct Admins {
    defaults: Option<Value>,
    cluster_defaults: Option<Value>,
    environment: Option<Value>,
    operator: Option<Arc<Value>>,
    modes: Modes,
}

impl Admins {
    fn layers(source: &str, spec: Option<&Value>) -> Vec<Layer> {
        let layer = |spec: &Value| Layer {
            source: source.to_owned(),
            spec: Arc::new(spec.clone()),
        };
        spec.map(layer).into_iter().collect()
    }
}

impl World for Admins {
    fn modes(&self, _: &str) -> Modes {
        self.modes
    }
    fn defaults(&self, _: &str) -> Vec<Layer> {
        let mut layers = Self::layers("DeploymentDefaults n/a", self.defaults.as_ref());
        layers.extend(Self::layers(
            "ClusterDeploymentDefaults a",
            self.cluster_defaults.as_ref(),
        ));
        layers
    }
    fn environments(&self, _: &str) -> Vec<Layer> {
        Self::layers("Environment e", self.environment.as_ref())
    }
    fn lookup(&self, _: &KindInfo, _: &str, name: &str) -> Lookup {
        match name.len() % 3 {
            0 => Lookup::Absent,
            1 => Lookup::Found(Arc::new(json!({}))),
            _ => Lookup::Unknown,
        }
    }
    fn lookup_uid(&self, kind: &KindInfo, namespace: &str, uid: &str) -> Lookup {
        self.lookup(kind, namespace, uid)
    }
    fn namespace_labels(&self, _: &str) -> Option<Arc<Value>> {
        None
    }
    fn operator_configuration(&self) -> Option<Arc<Value>> {
        self.operator.clone()
    }
}
