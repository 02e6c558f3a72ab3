//! The cost of one decision in process: bytes of a review in, bytes of its answer out, and the part of it that decides.

use crate::objects::{self, Kind};
use crate::stats::{Spread, percentile};
use crate::table::Table;
use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};
use sluice_policy::world::Layer;
use sluice_policy::{
    Dialect, KindInfo, Lookup, Modes, Operation, Part, Review, World, dialect_for, mutate, validate,
};
use sluice_webhook::review::request::parse;
use sluice_webhook::review::{Parsed, Reply, Subject};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How much is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// Size of the object in bytes of JSON.
    #[arg(long, default_value_t = 10 * 1024)]
    bytes: usize,
    /// Rounds; all cases take their turn in each.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Decisions a round and case.
    #[arg(long, default_value_t = 1000)]
    decisions: usize,
    /// Only cases whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

/// Measures and prints the table.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let world = Admins::default();
    let mut cases = Vec::new();
    for kind in [
        Kind::SessionCluster,
        Kind::Deployment,
        Kind::FlinkDeployment,
    ] {
        let Some(dialect) = dialect_for(kind.group(), kind.name()) else {
            println!("{}: no dialect, left out", kind.name());
            continue;
        };
        cases.extend(cases_of(kind, dialect, &world, options.bytes)?);
    }
    cases.retain(|case| case.name().contains(&options.only));
    let mut figures: Vec<Figures> = cases.iter().map(|_| Figures::default()).collect();
    for round in 0..=options.rounds {
        for (case, figures) in cases.iter().zip(&mut figures) {
            let taken = measure(case, &world, options.decisions)?;
            if round > 0 {
                figures.add(taken); // the first round only warms up
            }
        }
    }
    let mut table = Table::new([
        "decision",
        "review, bytes",
        "decide p50, µs",
        "decide p99, µs",
        "bytes to bytes p50, µs",
        "bytes to bytes p99, µs",
    ]);
    for (case, figures) in cases.iter().zip(figures) {
        table.row([
            case.name(),
            case.review.len().to_string(),
            Spread::of(figures.decide_p50).show(1),
            Spread::of(figures.decide_p99).show(1),
            Spread::of(figures.whole_p50).show(1),
            Spread::of(figures.whole_p99).show(1),
        ]);
    }
    println!(
        "Object of {} bytes; median (min to max) over {} rounds of {} decisions, all cases taking turns. Bytes to bytes: \
         the webhook's own reading of a review, the decision, and its own writing of the reply; no ledger, no connection.\n",
        options.bytes, options.rounds, options.decisions
    );
    table.print();
    Ok(())
}

/// Which of the two calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Mutate,
    Validate,
}

struct Case {
    kind: Kind,
    dialect: &'static dyn Dialect,
    call: Call,
    operation: &'static str,
    review: Vec<u8>,
}

impl Case {
    fn name(&self) -> String {
        format!(
            "{} {} {}",
            match self.call {
                Call::Mutate => "mutate",
                Call::Validate => "validate",
            },
            self.operation,
            self.kind.name()
        )
    }
}

/// Create and update through both calls. The validating calls get what the mutating ones made.
fn cases_of(
    kind: Kind,
    dialect: &'static dyn Dialect,
    world: &Admins,
    bytes: usize,
) -> anyhow::Result<Vec<Case>> {
    let sent = objects::of_size(kind, bytes);
    let stored = mutated(dialect, &sent, None, world)?;
    let changed = with_a_change(kind, &stored)?;
    let complete = mutated(dialect, &changed, Some(&stored), world)?;
    let case = |call, operation, object: &Value, old: Option<&Value>| Case {
        kind,
        dialect,
        call,
        operation,
        review: envelope(kind, object, old).to_string().into_bytes(),
    };
    Ok(vec![
        case(Call::Mutate, "create", &sent, None),
        case(Call::Validate, "create", &stored, None),
        case(Call::Mutate, "update", &changed, Some(&stored)),
        case(Call::Validate, "update", &complete, Some(&stored)),
    ])
}

/// An edit as people make it: one setting, and more parallelism.
fn with_a_change(kind: Kind, stored: &Value) -> anyhow::Result<Value> {
    let mut changed = stored.clone();
    let (spec, key, value) = match kind {
        Kind::SessionCluster => ("/spec", "numberOfTaskManagers", json!(6)),
        Kind::Deployment => ("/spec/template/spec", "parallelism", json!(12)),
        Kind::FlinkDeployment => ("/spec/job", "parallelism", json!(12)),
    };
    for (pointer, key, value) in [
        (spec, key, value),
        ("/metadata/labels", "env", json!("production")),
    ] {
        changed
            .pointer_mut(pointer)
            .and_then(Value::as_object_mut)
            .with_context(|| format!("{} has no {pointer}", kind.name()))?
            .insert(key.to_owned(), value);
    }
    Ok(changed)
}

fn mutated(
    dialect: &'static dyn Dialect,
    object: &Value,
    old: Option<&Value>,
    world: &Admins,
) -> anyhow::Result<Value> {
    let mutation = mutate(&review(dialect, object, old), world);
    if let Some(refusal) = mutation.refusal {
        bail!("the object to measure is refused: {}", refusal.message);
    }
    let made = mutation.object.into_owned();
    if let Some(refusal) = validate(&review(dialect, &made, old), world).refusal {
        bail!("the object to measure is refused: {}", refusal.message);
    }
    Ok(made)
}

fn review<'a>(
    dialect: &'static dyn Dialect,
    object: &'a Value,
    old: Option<&'a Value>,
) -> Review<'a> {
    Review {
        dialect,
        operation: old.map_or(Operation::Create, |old| Operation::Update { old }),
        part: Part::Whole,
        namespace: "bench",
        name: "clickstream-sessions",
        object,
    }
}

fn envelope(kind: Kind, object: &Value, old: Option<&Value>) -> Value {
    let (group, version) = kind.api_version().split_once('/').unwrap_or_default();
    let gvk = json!({"group": group, "version": version, "kind": kind.name()});
    let gvr = json!({"group": group, "version": version, "resource": kind.plural()});
    json!({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": gvk, "resource": gvr, "requestKind": gvk, "requestResource": gvr,
            "name": "clickstream-sessions", "namespace": "bench",
            "operation": if old.is_some() { "UPDATE" } else { "CREATE" },
            "userInfo": {"username": "admin", "uid": "014fbff9a07c", "groups": ["system:authenticated", "my-admin-group"]},
            "object": object, "oldObject": old, "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-create", "fieldValidation": "Strict"},
        },
    })
}

#[derive(Default)]
struct Figures {
    decide_p50: Vec<f64>,
    decide_p99: Vec<f64>,
    whole_p50: Vec<f64>,
    whole_p99: Vec<f64>,
}

impl Figures {
    fn add(&mut self, (mut decide, mut whole): (Vec<Duration>, Vec<Duration>)) {
        let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
        self.decide_p50.push(micros(percentile(&mut decide, 0.5)));
        self.decide_p99.push(micros(percentile(&mut decide, 0.99)));
        self.whole_p50.push(micros(percentile(&mut whole, 0.5)));
        self.whole_p99.push(micros(percentile(&mut whole, 0.99)));
    }
}

/// The times of one round: of the decision alone, and from the review's bytes to the answer's.
fn measure(
    case: &Case,
    world: &Admins,
    decisions: usize,
) -> anyhow::Result<(Vec<Duration>, Vec<Duration>)> {
    let parsed: Value = serde_json::from_slice(&case.review)?;
    let mut decide = Vec::with_capacity(decisions);
    let mut whole = Vec::with_capacity(decisions);
    for _ in 0..decisions {
        let start = Instant::now();
        decision(case, black_box(&parsed), world);
        decide.push(start.elapsed());
        let start = Instant::now();
        black_box(answer(case, black_box(&case.review), world)?);
        whole.push(start.elapsed());
    }
    Ok((decide, whole))
}

/// The decision alone, on what was read before.
fn decision(case: &Case, parsed: &Value, world: &Admins) {
    let null = Value::Null;
    let object = parsed.pointer("/request/object").unwrap_or(&null);
    let old = parsed.pointer("/request/oldObject");
    let review = review(case.dialect, object, old.filter(|old| !old.is_null()));
    match case.call {
        Call::Mutate => drop(black_box(mutate(&review, world))),
        Call::Validate => drop(black_box(validate(&review, world))),
    }
}

/// What the webhook does between the last byte of a review and the first of its reply, but for the ledger: the same reading, the
/// same decision, the same writing.
fn answer(case: &Case, bytes: &[u8], world: &Admins) -> anyhow::Result<Vec<u8>> {
    let Parsed::Request(request) = parse(Some("application/json"), bytes) else {
        bail!("the review to measure cannot be read");
    };
    let old = Some(&request.old_object).filter(|old| !old.is_null());
    let review = review(case.dialect, &request.object, old);
    let reply = Reply {
        uid: &request.uid,
        subject: Subject {
            group: &request.kind.group,
            kind: &request.kind.kind,
            name: &request.name,
        },
        ..Reply::default()
    };
    Ok(match case.call {
        Call::Mutate => {
            let mutation = mutate(&review, world);
            let reply = Reply {
                refusal: mutation.refusal.as_ref(),
                patch: &mutation.patch,
                warnings: &mutation.warnings,
                ..reply
            };
            reply.encode()
        }
        Call::Validate => {
            let judgement = validate(&review, world);
            let reply = Reply {
                refusal: judgement.refusal.as_ref(),
                warnings: &judgement.warnings,
                ..reply
            };
            reply.encode()
        }
    })
}

/// A world with what a platform team configures: defaults of the namespace and the cluster, one Environment.
struct Admins {
    defaults: Vec<Layer>,
    environments: Vec<Layer>,
}

impl Default for Admins {
    fn default() -> Self {
        let settings = |configuration: Value| {
            let own = json!({"flinkConfiguration": configuration});
            Arc::new(json!({
                "sessionCluster": own, "deployment": {"template": {"spec": own}}, "flinkDeployment": own,
            }))
        };
        let layer = |source: &str, configuration| Layer {
            source: source.to_owned(),
            spec: settings(configuration),
        };
        Self {
            defaults: vec![
                layer(
                    "DeploymentDefaults bench/default",
                    json!({"execution.checkpointing.min-pause": "30s", "state.backend.type": "rocksdb"}),
                ),
                layer(
                    "ClusterDeploymentDefaults default",
                    json!({"restart-strategy.type": "exponential-delay", "state.backend.type": "hashmap"}),
                ),
            ],
            environments: vec![layer(
                "Environment production",
                json!({"metrics.reporters": "prom", "metrics.reporter.prom.port": "9249"}),
            )],
        }
    }
}

impl World for Admins {
    fn modes(&self, _: &str) -> Modes {
        Modes::default()
    }
    fn defaults(&self, _: &str) -> Vec<Layer> {
        self.defaults.clone()
    }
    fn environments(&self, _: &str) -> Vec<Layer> {
        self.environments.clone()
    }
    fn lookup(&self, _: &KindInfo, _: &str, _: &str) -> Lookup {
        Lookup::Unknown
    }
    fn lookup_uid(&self, _: &KindInfo, _: &str, _: &str) -> Lookup {
        Lookup::Unknown
    }
    fn namespace_labels(&self, _: &str) -> Option<Arc<Value>> {
        None
    }
}
