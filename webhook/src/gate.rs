//! One request in, one decision out: which dialect, which review, what policy says, what the ledger says.
//!
//! What is not here: bytes ([`crate::review`]), HTTP ([`crate::http`]), what is right or wrong (`sluice_policy`).

mod collision;
mod patch;
mod scale;
mod size;
mod stored;

use crate::events::Events;
use crate::quota::{Answer, Ask, Hold, QuotaGate, Run};
use crate::review::Request;
use crate::review::rules::{self, MALFORMED};
use json_patch::PatchOperation;
use serde_json::Value;
use sluice_policy::dialect::dialect_for_resource;
use sluice_policy::{
    Demand, Dialect, KindInfo, Operation, Part, Refusal, Review, Rule, World, dialect_for,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

use stored::Reads;
pub use stored::{LiveObjects, StoredObjects};

/// Which of the two calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/mutate`.
    Mutate,
    /// `/validate`.
    Validate,
}

impl Endpoint {
    /// For metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Endpoint::Mutate => "mutate",
            Endpoint::Validate => "validate",
        }
    }
}

/// What is done to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// `CREATE`.
    Create,
    /// `UPDATE` of the object itself.
    Update,
    /// `UPDATE` of its `/scale`.
    Scale,
    /// Anything else; passes.
    Other,
    /// Could not be read.
    Unknown,
}

impl Verb {
    /// What a request does.
    pub fn of(request: &Request<'_>) -> Self {
        match (request.operation.as_ref(), request.sub_resource.as_ref()) {
            ("CREATE", "") => Verb::Create,
            ("UPDATE", "") => Verb::Update,
            ("UPDATE", "scale") => Verb::Scale,
            _ => Verb::Other,
        }
    }

    /// For metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Verb::Create => "CREATE",
            Verb::Update => "UPDATE",
            Verb::Scale => "SCALE",
            Verb::Other => "OTHER",
            Verb::Unknown => "",
        }
    }
}

/// What was decided.
#[derive(Default)]
pub struct Decision {
    /// Changes to the object.
    pub patch: Vec<PatchOperation>,
    /// Warnings.
    pub warnings: Vec<String>,
    /// A refusal, with the mode already applied.
    pub refusal: Option<Refusal>,
    /// The rule that refused before the mode was applied.
    pub raw: Option<&'static Rule>,
    /// The kind, where it is known.
    pub kind: Option<&'static KindInfo>,
    /// How long the ledger took, where it was asked.
    pub ledger: Option<Duration>,
    /// Holds to be freed unless the answer goes out.
    pub hold: Option<Box<dyn Hold>>,
}

impl Decision {
    fn refused(refusal: Refusal) -> Self {
        Self {
            raw: Some(refusal.rule),
            refusal: Some(refusal),
            ..Self::default()
        }
    }

    fn warned(warning: String) -> Self {
        Self {
            warnings: vec![warning],
            ..Self::default()
        }
    }

    fn of(mut self, kind: &'static KindInfo) -> Self {
        self.kind = Some(kind);
        self
    }
}

/// Decides requests.
pub struct Gate {
    world: Arc<dyn World + Send + Sync>,
    quota: Arc<dyn QuotaGate>,
    reads: Reads,
    events: Events,
}

impl Gate {
    /// A gate over what is known, the ledger, the live reads, and where Events go.
    pub fn new(
        world: Arc<dyn World + Send + Sync>,
        quota: Arc<dyn QuotaGate>,
        stored: Arc<dyn StoredObjects>,
        events: Events,
    ) -> Self {
        Self {
            world,
            quota,
            reads: Reads::of(stored),
            events,
        }
    }

    /// Decides one request; `due` is when the answer must be on its way. The ledger keeps a margin under it, so that
    /// its own message reaches the user. Of a request that has to wait for the ledger the objects are gone afterwards.
    pub async fn decide(
        &self,
        endpoint: Endpoint,
        request: &mut Request<'_>,
        due: Instant,
    ) -> Decision {
        let verb = Verb::of(request);
        if verb == Verb::Other {
            return Decision::default();
        }
        let Some(dialect) = dialect_of(request) else {
            return Decision::warned(format!(
                "Sluice knows no {}.{} and admits it unseen; take it out of the webhook's rules",
                request.kind.kind, request.kind.group
            ));
        };
        let unfit = missing(request, verb).or_else(|| size::too_large(request, verb));
        let judged = if let Some(refusal) = unfit {
            Decision::refused(refusal).into()
        } else if verb == Verb::Scale {
            self.scale(endpoint, request, dialect, due).await
        } else {
            let operation = if verb == Verb::Create {
                Operation::Create
            } else {
                Operation::Update {
                    old: &request.old_object,
                }
            };
            let review = Review {
                dialect,
                operation,
                part: Part::Whole,
                namespace: &request.namespace,
                name: name_of(request),
                object: &request.object,
            };
            self.judge(endpoint, &review)
        };
        let decision = match judged.rise {
            None => judged.decision,
            Some(rising) => {
                let_go(request);
                self.hold(request, judged.decision, rising, due).await
            }
        };
        decision.of(dialect.kind())
    }

    fn judge(&self, endpoint: Endpoint, review: &Review<'_>) -> Judged {
        match endpoint {
            Endpoint::Mutate => self.mutate(review).into(),
            Endpoint::Validate => self.validate(review),
        }
    }

    fn mutate(&self, review: &Review<'_>) -> Decision {
        let mutation = sluice_policy::mutate(review, self.world.as_ref());
        if mutation.refusal.is_none()
            && let Some(refusal) = patch::too_long(&mutation.patch, review)
        {
            return Decision::refused(refusal);
        }
        Decision {
            patch: mutation.patch,
            warnings: mutation.warnings,
            raw: mutation.refusal.as_ref().map(|refusal| refusal.rule),
            refusal: mutation.refusal,
            ..Decision::default()
        }
    }

    fn validate(&self, review: &Review<'_>) -> Judged {
        let judgement = sluice_policy::validate(review, self.world.as_ref());
        let demand = judgement.demand.filter(|_| judgement.refusal.is_none());
        Judged {
            rise: demand.map(|demand| Rising::of(review, demand)),
            decision: Decision {
                warnings: judgement.warnings,
                refusal: judgement.refusal,
                raw: judgement.raw,
                ..Decision::default()
            },
        }
    }

    /// Takes holds for a charge that rises.
    async fn hold(
        &self,
        request: &Request<'_>,
        mut decision: Decision,
        rising: Rising,
        due: Instant,
    ) -> Decision {
        if let Some(refusal) = self.collides(request, &rising, due).await {
            return Decision {
                warnings: decision.warnings,
                ..Decision::refused(refusal)
            };
        }
        let run = if request.dry_run == Some(true) {
            Run::DryRun
        } else {
            Run::Real
        };
        let ask = Ask {
            kind: rising.kind,
            namespace: &request.namespace,
            name: &rising.name,
            uid: &rising.uid,
            base: &rising.base,
            demand: rising.demand,
            by: &request.user_info.username,
            run,
            mode: self.world.modes(&request.namespace).quota,
        };
        let asked = Instant::now();
        let answer = self.quota.reserve(ask, due).await;
        decision.ledger = Some(asked.elapsed());
        if run == Run::Real {
            self.tell(&request.namespace, &rising, &answer);
        }
        decision.warnings.extend(answer.warnings);
        decision.raw = decision.raw.or(answer.raw);
        decision.refusal = answer.refusal;
        decision.hold = answer.hold;
        decision
    }

    /// An Event on each quota, and on the workload if it exists (what is refused at its creation never does).
    fn tell(&self, namespace: &str, rising: &Rising, answer: &Answer) {
        for incident in &answer.incidents {
            self.events.on_quota(incident);
        }
        if let (Some(incident), Some(old)) = (answer.incidents.first(), &rising.old) {
            self.events
                .on_workload(rising.kind, namespace, &rising.name, old, incident);
        }
    }
}

/// A request that has been judged by itself.
struct Judged {
    decision: Decision,
    /// What is to be held for it, where it is not refused.
    rise: Option<Rising>,
}

impl From<Decision> for Judged {
    fn from(decision: Decision) -> Self {
        Self {
            decision,
            rise: None,
        }
    }
}

/// A charge that rises, and all that has to be known of its object from then on.
struct Rising {
    kind: &'static KindInfo,
    name: String,
    uid: String,
    /// The uid of the stored object; `None` on a create.
    old: Option<String>,
    base: String,
    demand: Demand,
}

impl Rising {
    fn of(review: &Review<'_>, demand: Demand) -> Self {
        let old = review.old();
        let text = |object, key| metadata(object, key).unwrap_or_default().to_owned();
        let base = old.and_then(|old| metadata(old, "resourceVersion"));
        Self {
            kind: review.dialect.kind(),
            name: review.name.to_owned(),
            uid: text(review.object, "uid"),
            old: old.map(|old| text(old, "uid")),
            base: base.unwrap_or("0").to_owned(),
            demand,
        }
    }
}

/// What a request is about, for messages: `sessioncluster "team-a/analytics"`.
pub fn subject(request: &Request<'_>) -> String {
    let kind = dialect_of(request).map_or(request.kind.kind.as_ref(), |d| d.kind().singular);
    let name = match name_of(request) {
        "" => metadata(&request.object, "generateName").unwrap_or("(unnamed)"),
        name => name,
    };
    match request.namespace.as_ref() {
        "" => format!("{kind} \"{name}\""),
        namespace => format!("{kind} \"{namespace}/{name}\""),
    }
}

/// Before anything is waited for: what is parsed takes many times the room of its text, and hundreds may wait at once.
fn let_go(request: &mut Request<'_>) {
    if request.name.is_empty() {
        request.name = name_of(request).to_owned().into(); // generated, and known by the object only
    }
    (request.object, request.old_object) = (Value::Null, Value::Null);
}

fn dialect_of(request: &Request<'_>) -> Option<&'static dyn Dialect> {
    // A subresource's kind is its own (Scale), so the resource decides; the kind serves where no resource is given.
    let resource = &request.resource;
    dialect_for_resource(&resource.group, &resource.resource)
        .or_else(|| dialect_for(&request.kind.group, &request.kind.kind))
}

fn missing(request: &Request<'_>, verb: Verb) -> Option<Refusal> {
    if request.object.is_null() {
        return Some(rules::refusal(
            &MALFORMED,
            "request.object",
            format!("is missing; a {} carries the object", request.operation),
        ));
    }
    if verb != Verb::Create && request.old_object.is_null() {
        return Some(rules::refusal(
            &MALFORMED,
            "request.oldObject",
            "is missing; an UPDATE carries the stored object",
        ));
    }
    None
}

fn name_of<'r>(request: &'r Request<'_>) -> &'r str {
    if request.name.is_empty() {
        metadata(&request.object, "name").unwrap_or_default()
    } else {
        &request.name
    }
}

fn metadata<'v>(object: &'v Value, key: &str) -> Option<&'v str> {
    sluice_policy::json::text(object, &["metadata", key])
}
