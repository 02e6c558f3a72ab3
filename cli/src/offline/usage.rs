//! The quota ledger without a cluster: usage is what the files say runs, and every hold is confirmed at once.
//!
//! Figures, order and texts are the ledger's own ([`sluice_policy::ledger`]).

use super::Refused;
use super::manifest::ObjectId;
use serde_json::Value;
use sluice_api::quota::{ClusterCpuQuota, CpuQuota};
use sluice_policy::admit::{Demand, Rise};
use sluice_policy::ledger::account::cluster_scope;
use sluice_policy::ledger::{
    Account, Ask, Book, CHARGE_FN, Enforcement, Hold, Inventory, Listing, ObjectKey, Outcome,
    QUOTA_CPU, QuotaKey, Request, Revision, Run, Scope, Seen, Watched, Why, reserve,
};
use sluice_policy::{Dialect, MilliCpu, Mode};
use std::collections::BTreeMap;

/// What runs, and what may run.
#[derive(Debug, Default)]
pub struct Usage {
    quotas: BTreeMap<QuotaKey, (Scope, Account)>,
    running: Inventory,
    /// What each object costs, to take the place of what it cost before.
    asked: u64,
}

/// A charge that wants to rise.
pub struct Increase<'a> {
    /// Which object.
    pub id: &'a ObjectId,
    /// Its dialect.
    pub dialect: &'static dyn Dialect,
    /// From what to what.
    pub demand: Demand,
    /// The namespace's mode for quotas.
    pub mode: Mode,
    /// Who asks.
    pub user: &'a str,
}

/// What the quotas say.
pub enum Answer {
    /// There is room, or it does not matter; with warnings.
    Granted(Vec<String>),
    /// There is none.
    Refused(Refused),
}

impl Usage {
    /// Takes notice of an object if it is a quota. The error says why it cannot be read.
    pub fn learn(&mut self, id: &ObjectId, object: &Value) -> Result<(), String> {
        if id.group != sluice_api::GROUP {
            return Ok(());
        }
        let (scope, account) = match id.kind.as_str() {
            "CpuQuota" => {
                let quota: CpuQuota = read(id, object)?;
                let scope = Scope::namespace(id.namespace.clone().unwrap_or_default());
                (scope, Account::of(&quota))
            }
            "ClusterCpuQuota" => {
                let quota: ClusterCpuQuota = read(id, object)?;
                (cluster_scope(&quota), Account::of_cluster(&quota))
            }
            _ => return Ok(()),
        };
        let account = account.map_err(|error| format!("{id}: {error}"))?;
        self.quotas.insert(account.key.clone(), (scope, account));
        Ok(())
    }

    /// Forgets an object if it is a quota.
    pub fn forget(&mut self, id: &ObjectId) {
        let key = match (id.kind.as_str(), &id.namespace) {
            ("CpuQuota", Some(namespace)) => QuotaKey::Namespaced {
                namespace: namespace.clone(),
                name: id.name.clone(),
            },
            ("ClusterCpuQuota", None) => QuotaKey::Cluster {
                name: id.name.clone(),
            },
            _ => return,
        };
        self.quotas.remove(&key);
    }

    /// An object costs this from now on.
    pub fn count(&mut self, id: &ObjectId, dialect: &dyn Dialect, charge: MilliCpu) {
        let resource = resource(dialect);
        if self.running.listing_mut(&resource).is_none() {
            self.running.set(&resource, Watched::At(Listing::default()));
        }
        let namespace = id.namespace.clone().unwrap_or_default();
        if let Some(listing) = self.running.listing_mut(&resource) {
            listing.put(
                key(id),
                Seen {
                    namespace,
                    revision: Revision::NONE,
                    charge,
                },
            );
        }
    }

    /// Asks every quota that counts the object's namespace.
    pub fn ask(&mut self, increase: &Increase<'_>) -> Answer {
        self.asked += 1;
        let id = increase.id;
        let namespace = id.namespace.as_deref().unwrap_or_default();
        let singular = increase.dialect.kind().singular;
        let request = self.request(increase);
        // An object of that name that a create replaces in a file cannot run beside it.
        let replaced = match self.running.get(&resource(increase.dialect)) {
            Some(Watched::At(listing)) => listing
                .get(&key(id))
                .map(|seen| seen.charge)
                .unwrap_or_default(),
            _ => MilliCpu::ZERO,
        };
        let replaced = replaced.minus(increase.demand.from);
        let mut warnings = Vec::new();
        for (scope, account) in self.quotas.values() {
            if !scope.contains(namespace) {
                continue;
            }
            let book = Book {
                charge_fn: CHARGE_FN,
                observed_generation: account.generation,
                confirmed: self.running.charge(scope).minus(replaced),
                ..Book::default()
            };
            let account = Account {
                book,
                ..account.clone()
            };
            match reserve(&account, std::slice::from_ref(&request))
                .outcomes
                .into_iter()
                .next()
            {
                Some(Outcome::Refused(refusal)) => {
                    return Answer::Refused(Refused {
                        rule: QUOTA_CPU.id,
                        code: refusal.code(),
                        message: refusal.message(singular, &id.name),
                        causes: Vec::new(),
                    });
                }
                Some(Outcome::Admitted { over: Some(over) }) => {
                    let silent = over.why == Why::GrowthIgnored
                        || (over.why == Why::NotEnforced && increase.mode == Mode::Off);
                    if !silent {
                        warnings.push(sluice_policy::finding::one_line(
                            &over.refusal.warning(singular, &id.name),
                        ));
                    }
                }
                Some(Outcome::Unneeded | Outcome::Admitted { over: None }) | None => {}
            }
        }
        Answer::Granted(warnings)
    }

    fn request(&self, increase: &Increase<'_>) -> Request {
        let id = increase.id;
        Request {
            hold: Hold {
                id: format!("check-{}", self.asked),
                object: ObjectKey {
                    resource: resource(increase.dialect),
                    namespace: id.namespace.clone().unwrap_or_default(),
                    name: id.name.clone(),
                },
                uid: key(id),
                base: Revision::NONE,
                from: increase.demand.from,
                to: increase.demand.to,
                by: increase.user.to_owned(),
            },
            ask: match increase.demand.rise {
                Rise::Start => Ask::Start,
                Rise::Growth => Ask::Growth,
            },
            enforcement: match increase.mode {
                Mode::Enforce => Enforcement::Enforce,
                Mode::Warn | Mode::Off => Enforcement::LetThrough,
            },
            run: Run::Real,
        }
    }
}

fn read<Q: serde::de::DeserializeOwned>(id: &ObjectId, object: &Value) -> Result<Q, String> {
    serde_json::from_value(object.clone()).map_err(|error| format!("{id} cannot be read: {error}"))
}

fn resource(dialect: &dyn Dialect) -> String {
    let kind = dialect.kind();
    format!("{}.{}", kind.plural, kind.group)
}

fn key(id: &ObjectId) -> String {
    format!(
        "{}/{}",
        id.namespace.as_deref().unwrap_or_default(),
        id.name
    )
}
