//! What quotas count beyond what could be seen: other namespaces, and kinds that may not be listed.
//!
//! The gate adds up what was seen, so by itself it would call free what others hold. How much that is stands in each quota's status,
//! whoever may read the rest.

use super::super::view::{self, Quota};
use crate::exit::Failure;
use crate::live::snapshot::Snapshot;
use crate::offline::manifest::ObjectId;
use crate::offline::usage::{Answer, Increase, Usage};
use crate::offline::{Gate, Verdict};
use serde_json::Value;
use sluice_policy::ledger::{QUOTA_CPU, QuotaKey, Scope};
use sluice_policy::{Dialect, MilliCpu, Operation, Part, Review, World, admit, dialects};

/// Quotas that count more than was seen.
pub(super) struct Rest {
    quotas: Vec<Counted>,
}

/// One of them, with all that it counts.
struct Counted {
    id: ObjectId,
    key: QuotaKey,
    usage: Usage,
}

impl Rest {
    /// What was seen, and for each quota the rest of what its status counts.
    pub(super) fn of(snapshot: &Snapshot, quotas: &[Quota], gate: &Gate) -> Result<Self, Failure> {
        let mut seen = Vec::new();
        let mut all = Vec::new();
        for document in snapshot.documents() {
            let manifest = gate.manifest(&document)?;
            if let Some(dialect) = manifest.dialect {
                let charge = admit::charge(dialect, &manifest.object, gate.world());
                if charge > MilliCpu::ZERO {
                    seen.push((manifest.id.clone(), dialect, charge));
                }
            }
            let key = view::quota(&manifest).map(|quota| quota.key);
            if let Some(quota) = quotas.iter().find(|quota| Some(&quota.key) == key.as_ref())
                && quota.elsewhere() > MilliCpu::ZERO
            {
                all.push((quota, manifest));
            }
        }
        let mut counted = Vec::new();
        for (quota, manifest) in all {
            let mut usage = Usage::default();
            usage
                .learn(&manifest.id, &manifest.object)
                .map_err(Failure::Input)?;
            for (id, dialect, charge) in &seen {
                usage.count(id, *dialect, *charge);
            }
            if let Some(dialect) = dialects().first() {
                usage.count(
                    &nameless(*dialect, &quota.scope),
                    *dialect,
                    quota.elsewhere(),
                );
            }
            counted.push(Counted {
                id: manifest.id,
                key: quota.key.clone(),
                usage,
            });
        }
        Ok(Self { quotas: counted })
    }

    /// Asks them about what the gate has admitted, and about what it has refused by figures that are too small.
    pub(super) fn settle(
        &mut self,
        dialect: &'static dyn Dialect,
        old: Option<&Value>,
        verdict: &mut Verdict,
        gate: &Gate,
    ) {
        let by_quota = |rule| rule == QUOTA_CPU.id;
        let refused = verdict.refused.as_ref().map(|refused| refused.rule);
        if self.quotas.is_empty() || refused.is_some_and(|rule| !by_quota(rule)) {
            return;
        }
        let namespace = verdict.id.namespace.clone().unwrap_or_default();
        let review = Review {
            dialect,
            operation: old.map_or(Operation::Create, |old| Operation::Update { old }),
            part: Part::Whole,
            namespace: &namespace,
            name: &verdict.id.name,
            object: &verdict.object,
        };
        if let Some(demand) = admit::validate(&review, gate.world()).demand {
            let increase = Increase {
                id: &verdict.id,
                dialect,
                demand,
                mode: gate.world().modes(&namespace).quota,
                user: view::USER,
            };
            for counted in &mut self.quotas {
                match counted.usage.ask(&increase) {
                    Answer::Refused(why) => {
                        verdict.refused = Some(why);
                        break;
                    }
                    Answer::Granted(warnings) if !warnings.is_empty() => {
                        // The gate's own words about this quota have the smaller figures.
                        let said_of_it = counted.key.to_string();
                        verdict
                            .warnings
                            .retain(|warning| !warning.starts_with(&said_of_it));
                        verdict.warnings.extend(warnings);
                    }
                    Answer::Granted(_) => {}
                }
            }
        }
        if verdict.is_admitted() {
            for counted in &mut self.quotas {
                counted.usage.count(&verdict.id, dialect, verdict.charge);
                if counted.id == verdict.id {
                    // Its limit is another one from here on. The gate has judged it, so it can be read.
                    let _ = counted.usage.learn(&verdict.id, &verdict.object);
                }
            }
        }
    }
}

/// Stands for all that was not seen, somewhere in the quota's scope. No object is without a name.
fn nameless(dialect: &dyn Dialect, scope: &Scope) -> ObjectId {
    let namespace = match scope {
        Scope::Everywhere => None,
        Scope::Namespaces(names) => names.first().cloned(),
    };
    ObjectId {
        group: dialect.kind().group.to_owned(),
        kind: dialect.kind().kind.to_owned(),
        namespace: Some(namespace.unwrap_or_default()),
        name: String::new(),
    }
}
