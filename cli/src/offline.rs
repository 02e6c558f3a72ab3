//! The gate without a cluster: what files hold stands in for the API server, the caches and the quota ledger.
//!
//! The decisions are those of the webhook, made by the same functions of `sluice-policy`; this module only plays the
//! parts around them. [`world`] answers look-ups, [`usage`] is the ledger, [`server`] does to an object what the API
//! server does between the two calls, `existing` is told what is there before the first request, and [`Gate::judge`] leads one request
//! through all of it.

mod existing;
mod idle;
mod kinds;
pub mod manifest;
pub(crate) mod names;
mod served;
pub mod server;
mod texts;
pub mod usage;
pub mod world;

use crate::exit::Failure;
use crate::input::Document;
use json_patch::PatchOperation;
use manifest::{Manifest, ObjectId};
use serde_json::Value;
use sluice_policy::admit;
use sluice_policy::defaults::Filled;
use sluice_policy::review::Part;
use sluice_policy::{Cause, Code, Dialect, MilliCpu, Operation, Review, World};
use std::collections::BTreeMap;
use std::sync::Arc;
use usage::{Answer, Increase, Usage};
use world::{FileWorld, Knowledge};

/// What is asked of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// It is new.
    Create,
    /// It is stored already.
    Update,
}

impl Verb {
    /// As reviews spell it.
    pub fn word(self) -> &'static str {
        match self {
            Verb::Create => "CREATE",
            Verb::Update => "UPDATE",
        }
    }
}

/// Why an object is refused, as the user would see it.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The rule's id.
    pub rule: &'static str,
    /// The HTTP code.
    pub code: Code,
    /// The message, ending in the rule's id.
    pub message: String,
    /// One entry per offending field.
    pub causes: Vec<Cause>,
}

impl From<sluice_policy::Refusal> for Refused {
    fn from(refusal: sluice_policy::Refusal) -> Self {
        Self {
            rule: refusal.rule.id,
            code: refusal.code,
            message: refusal.message,
            causes: refusal.causes,
        }
    }
}

/// What becomes of one request.
#[derive(Debug)]
pub struct Verdict {
    /// Which object.
    pub id: ObjectId,
    /// Its `apiVersion`.
    pub api_version: String,
    /// What was asked.
    pub verb: Verb,
    /// Why it is refused, if it is.
    pub refused: Option<Refused>,
    /// Admission warnings, without repetition.
    pub warnings: Vec<String>,
    /// What it costs as it would be stored.
    pub charge: MilliCpu,
    /// What the mutating call changes.
    pub patch: Vec<PatchOperation>,
    /// What was set and from where.
    pub filled: Vec<Filled>,
    /// The object as it would be stored, if it is admitted.
    pub object: Value,
    /// Whether the gate knows the kind at all; other kinds never reach it.
    pub known: bool,
}

/// What exists, and what is admitted on top of it.
#[derive(Debug)]
pub struct Gate {
    world: FileWorld,
    usage: Usage,
    old: BTreeMap<ObjectId, Arc<Value>>,
    namespace: String,
    user: String,
}

impl Gate {
    /// A gate in front of an empty cluster. `namespace` is where objects without one go, `user` is who asks.
    pub fn new(namespace: &str, user: &str, knowledge: Knowledge) -> Self {
        Self {
            world: FileWorld::new(knowledge),
            usage: Usage::default(),
            old: BTreeMap::new(),
            namespace: namespace.to_owned(),
            user: user.to_owned(),
        }
    }

    /// What look-ups see.
    pub fn world(&self) -> &FileWorld {
        &self.world
    }

    /// Reads a document as a manifest of this gate's default namespace.
    pub fn manifest(&self, document: &Document) -> Result<Manifest, Failure> {
        Manifest::of(document, &self.namespace).map_err(Failure::Input)
    }

    /// Whether look-ups find this object although a request for it is a create.
    pub fn exists_unasked(&self, id: &ObjectId) -> bool {
        !self.old.contains_key(id) && self.world.get(id).is_some()
    }

    /// Who asks from now on.
    pub fn asked_by(&mut self, user: &str) {
        user.clone_into(&mut self.user);
    }

    /// Whether an object exists.
    pub fn has(&self, id: &ObjectId) -> bool {
        self.world.get(id).is_some()
    }

    /// Makes the next request for an object that exists an update of it; `false` if it does not exist.
    pub fn updates(&mut self, id: &ObjectId) -> bool {
        let stored = self.world.get(id).cloned();
        if let Some(stored) = stored {
            self.old.entry(id.clone()).or_insert(stored);
            return true;
        }
        false
    }

    /// Deletes an object, which nobody is asked about; `false` if it does not exist.
    pub fn delete(&mut self, id: &ObjectId, dialect: &'static dyn Dialect) -> bool {
        self.old.remove(id);
        self.usage.count(id, dialect, MilliCpu::ZERO);
        self.usage.forget(id);
        self.world.remove(id)
    }

    /// Judges `/scale` of an object; `None` if it does not exist or its kind has none.
    pub fn scale(
        &mut self,
        id: &ObjectId,
        dialect: &'static dyn Dialect,
        replicas: i64,
    ) -> Option<Verdict> {
        let parent = self.world.get(id)?.clone();
        let object = sluice_policy::review::scaled(dialect, &parent, replicas)?;
        let review = Review {
            dialect,
            operation: Operation::Update { old: &parent },
            part: Part::Scale,
            namespace: id.namespace.as_deref().unwrap_or_default(),
            name: &id.name,
            object: &object,
        };
        let mut warnings = admit::mutate(&review, &self.world).warnings;
        let mut refused = None;
        if !server::scales_unseen(dialect, &parent, replicas) {
            let (judged, more) = self.validate(&review, id);
            refused = judged;
            warnings.extend(more);
        }
        let version = dialect.kind();
        let verdict = Verdict {
            id: id.clone(),
            api_version: format!("{}/{}", version.group, version.version),
            verb: Verb::Update,
            refused,
            warnings,
            charge: admit::charge(dialect, &object, &self.world),
            patch: Vec::new(),
            filled: Vec::new(),
            object,
            known: true,
        };
        if verdict.is_admitted() {
            let object = Arc::new(verdict.object.clone());
            self.world.put(id.clone(), object.clone());
            self.usage.count(id, dialect, verdict.charge);
            self.old.insert(id.clone(), object);
        }
        Some(verdict)
    }

    /// The validating call and the ledger: a refusal, and warnings.
    fn validate(&mut self, review: &Review<'_>, id: &ObjectId) -> (Option<Refused>, Vec<String>) {
        let judgement = admit::validate(review, &self.world);
        let mut warnings = judgement.warnings;
        let mut refused = judgement.refusal.map(Refused::from);
        if let (None, Some(demand)) = (&refused, judgement.demand) {
            let answer = self.usage.ask(&Increase {
                id,
                dialect: review.dialect,
                demand,
                mode: self.world.modes(review.namespace).quota,
                user: &self.user,
            });
            match answer {
                Answer::Granted(more) => warnings.extend(more),
                Answer::Refused(why) => refused = Some(why),
            }
        }
        (refused, warnings)
    }

    /// Judges one request. What is admitted exists from then on.
    pub fn judge(&mut self, manifest: &Manifest) -> Verdict {
        let old = self.old.get(&manifest.id).cloned();
        let verb = if old.is_some() {
            Verb::Update
        } else {
            Verb::Create
        };
        let Some(dialect) = manifest.dialect else {
            let object = server::stored(manifest);
            self.world
                .put(manifest.id.clone(), Arc::new(object.clone()));
            return Verdict {
                verb,
                object,
                ..Verdict::unknown(manifest)
            };
        };
        let verdict = self.decide(manifest, dialect, old.as_deref(), verb);
        if verdict.refused.is_none() {
            let object = Arc::new(verdict.object.clone());
            self.world.put(manifest.id.clone(), object.clone());
            // The gate has judged it, so it can be read.
            let _ = self.usage.learn(&manifest.id, &object);
            self.usage.count(&manifest.id, dialect, verdict.charge);
            self.old.insert(manifest.id.clone(), object);
        }
        verdict
    }

    fn decide(
        &mut self,
        manifest: &Manifest,
        dialect: &'static dyn Dialect,
        old: Option<&Value>,
        verb: Verb,
    ) -> Verdict {
        let sent = server::received(manifest, old);
        let review = Review {
            dialect,
            operation: old.map_or(Operation::Create, |old| Operation::Update { old }),
            part: Part::Whole,
            namespace: manifest.id.namespace.as_deref().unwrap_or_default(),
            name: &manifest.id.name,
            object: &sent,
        };
        let mutation = admit::mutate(&review, &self.world);
        let mut warnings = mutation.warnings;
        let object = server::before_storing(mutation.object.into_owned(), &manifest.id, old);
        let mut refused = mutation.refusal.map(Refused::from);
        if refused.is_none() {
            let (judged, more) = self.validate(&review.about(&object), &manifest.id);
            refused = judged;
            warnings.extend(more);
        }
        let mut seen = Vec::new();
        warnings.retain(|warning| {
            let new = !seen.contains(warning);
            seen.push(warning.clone());
            new
        });
        Verdict {
            verb,
            refused,
            warnings,
            charge: admit::charge(dialect, &object, &self.world),
            patch: mutation.patch,
            filled: mutation.filled,
            object,
            known: true,
            ..Verdict::unknown(manifest)
        }
    }
}

impl Verdict {
    /// Whether nothing stands in its way.
    pub fn is_admitted(&self) -> bool {
        self.refused.is_none()
    }

    /// The verdict on a kind that never reaches the gate.
    fn unknown(manifest: &Manifest) -> Self {
        Self {
            id: manifest.id.clone(),
            api_version: manifest.api_version.clone(),
            verb: Verb::Create,
            refused: None,
            warnings: Vec::new(),
            charge: MilliCpu::ZERO,
            patch: Vec::new(),
            filled: Vec::new(),
            object: Value::Null,
            known: false,
        }
    }
}
