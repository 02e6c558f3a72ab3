//! The state of the modelled world, and the bounds of a scenario.

use std::sync::Arc;

use sluice_api::quota::OnGrowth;
use sluice_policy::MilliCpu;
use sluice_policy::ledger::{
    Account, Book, CHARGE_FN, Inventory, Listing, ObjectKey, QuotaKey, Revision, Seen, Watched,
};

use crate::variant::Variant;

pub const RESOURCE: &str = "sessionclusters.sluice.dev";
pub const NAMESPACE: &str = "team-a";

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// Creates the object, running.
    Create { to: u64 },
    /// Raises an existing object: starts it, or lets it grow.
    Raise { to: u64 },
    /// The same review again: sent twice, or the first call timed out. Its answer reaches nobody.
    Repeat { of: usize },
}

/// One call of the webhook that may happen, once.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub name: usize,
    pub what: What,
    pub replica: usize,
    pub growth: bool,
}

/// A quota at the start.
#[derive(Clone, Copy, Debug)]
pub struct QuotaPlan {
    pub hard: u64,
    pub on_growth: OnGrowth,
    pub initialised: bool,
}

/// A scenario: what exists, what is asked, and how often the adversary may do what.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Charges of the objects that exist; `None`: the name is free.
    pub objects: Vec<Option<u64>>,
    pub plans: Vec<Plan>,
    pub quotas: Vec<QuotaPlan>,
    pub replicas: usize,
    pub leaders: usize,
    /// Falls of a charge that may happen, as (object, to): users stop, pods end.
    pub falls: Vec<(usize, u64)>,
    /// Edits of a limit that may happen, as (quota, hard).
    pub limits: Vec<(usize, u64)>,
    pub crashes: u8,
    pub deletes: u8,
    /// Writes that change no charge.
    pub touches: u8,
    /// Status writes whose answer is lost.
    pub lost: u8,
    /// Connections that break before the answer.
    pub hangups: u8,
    /// Holds taken for undecided, however young they are.
    pub expiries: u8,
    /// Leaders' looks at the cluster.
    pub looks: u8,
    /// Whether replicas decide from copies of any age, or from current ones.
    pub stale_copies: bool,
    /// Checks a claim that does not hold.
    pub claims_usage_within_limit: bool,
    pub variant: Variant,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            objects: vec![],
            plans: vec![],
            quotas: vec![],
            replicas: 1,
            leaders: 1,
            falls: vec![],
            limits: vec![],
            crashes: 0,
            deletes: 0,
            touches: 0,
            lost: 0,
            hangups: 0,
            expiries: 0,
            looks: 4,
            stale_copies: false,
            claims_usage_within_limit: false,
            variant: Variant::Real,
        }
    }
}

pub fn create(name: usize, to: u64, replica: usize) -> Plan {
    Plan {
        name,
        what: What::Create { to },
        replica,
        growth: false,
    }
}

pub fn raise(name: usize, to: u64, replica: usize) -> Plan {
    Plan {
        name,
        what: What::Raise { to },
        replica,
        growth: false,
    }
}

pub fn grow(name: usize, to: u64, replica: usize) -> Plan {
    Plan {
        growth: true,
        ..raise(name, to, replica)
    }
}

pub fn repeat(of: usize, name: usize, replica: usize) -> Plan {
    Plan {
        name,
        what: What::Repeat { of },
        replica,
        growth: false,
    }
}

pub fn quota(hard: u64) -> QuotaPlan {
    QuotaPlan {
        hard,
        on_growth: OnGrowth::Enforce,
        initialised: true,
    }
}

/// A stored workload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    pub uid: String,
    pub revision: u64,
    pub charge: u64,
}

/// A stored quota.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    /// Its resource version.
    pub version: u64,
    pub account: Account,
}

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    Idle,
    /// In the webhook, waiting for this quota.
    Waiting(usize),
    /// Holds in every quota; nobody knows yet.
    Granted,
    /// The API server knows; the write may land at any time.
    Allowed,
    /// Landed, failed, refused or dead.
    Over,
}

/// A request on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attempt {
    pub phase: Phase,
    pub uid: String,
    pub base: u64,
    pub from: u64,
    pub to: u64,
}

/// What a leader saw last.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    pub inventory: Inventory,
    /// Charge of everything at that moment, told by the world and not by the code under test.
    pub truth: u64,
}

/// How much the adversary may still do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    pub falls: Vec<bool>,
    pub limits: Vec<bool>,
    pub crashes: u8,
    pub deletes: u8,
    pub touches: u8,
    pub lost: u8,
    pub hangups: u8,
    pub expiries: u8,
    pub looks: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The store's revision.
    pub revision: u64,
    pub objects: Vec<Option<Object>>,
    pub quotas: Vec<Arc<Quota>>,
    /// What each replica believes about each quota.
    pub copies: Vec<Vec<Arc<Quota>>>,
    pub attempts: Vec<Attempt>,
    /// Holds that a replica still has to take back: (replica, quota, attempt).
    pub take_backs: Vec<(usize, usize, usize)>,
    pub views: Vec<Option<Arc<View>>>,
    pub budget: Budget,
    /// Whether usage may be over the limit by right: a limit was lowered, or growth let through.
    pub excused: bool,
    /// The first invariant that a step has broken.
    pub broken: Option<&'static str>,
}

pub fn key(name: usize) -> ObjectKey {
    ObjectKey {
        resource: RESOURCE.into(),
        namespace: NAMESPACE.into(),
        name: format!("n{name}"),
    }
}

pub fn hold_id(attempt: usize) -> String {
    format!("r-{attempt}")
}

impl World {
    pub fn new(scenario: &Scenario) -> Self {
        let objects: Vec<_> = scenario
            .objects
            .iter()
            .enumerate()
            .map(|(name, charge)| {
                charge.map(|charge| Object {
                    uid: format!("o{name}"),
                    revision: 1,
                    charge,
                })
            })
            .collect();
        let live = scenario.objects.iter().flatten().sum();
        let quotas: Vec<_> = scenario
            .quotas
            .iter()
            .enumerate()
            .map(|(index, plan)| {
                let book = if plan.initialised {
                    Book {
                        charge_fn: CHARGE_FN,
                        observed_generation: 1,
                        confirmed: MilliCpu(live),
                        snapshot: [(RESOURCE.to_owned(), Revision(1))].into(),
                        pending: vec![],
                    }
                } else {
                    Book::default()
                };
                let account = Account {
                    key: QuotaKey::Cluster {
                        name: format!("q{index}"),
                    },
                    generation: 1,
                    hard: MilliCpu(plan.hard),
                    on_growth: plan.on_growth,
                    book,
                };
                Arc::new(Quota {
                    version: 1,
                    account,
                })
            })
            .collect();
        Self {
            revision: 1,
            objects,
            copies: if scenario.stale_copies {
                vec![quotas.clone(); scenario.replicas]
            } else {
                vec![]
            },
            quotas,
            attempts: vec![
                Attempt {
                    phase: Phase::Idle,
                    uid: String::new(),
                    base: 0,
                    from: 0,
                    to: 0
                };
                scenario.plans.len()
            ],
            take_backs: vec![],
            views: vec![None; scenario.leaders],
            budget: Budget {
                falls: vec![true; scenario.falls.len()],
                limits: vec![true; scenario.limits.len()],
                crashes: scenario.crashes,
                deletes: scenario.deletes,
                touches: scenario.touches,
                lost: scenario.lost,
                hangups: scenario.hangups,
                expiries: scenario.expiries,
                looks: scenario.looks,
            },
            excused: false,
            broken: None,
        }
    }

    /// CPU that is really charged now.
    pub fn live(&self) -> u64 {
        self.objects
            .iter()
            .flatten()
            .map(|object| object.charge)
            .sum()
    }

    /// What a list and watch knows now, going on from what it knew.
    pub fn look(&self, before: Option<&View>) -> View {
        let mut listing = Listing::new(
            Revision(self.revision),
            self.objects.iter().flatten().map(|object| {
                (
                    object.uid.clone(),
                    Seen {
                        namespace: NAMESPACE.into(),
                        revision: Revision(object.revision),
                        charge: MilliCpu(object.charge),
                    },
                )
            }),
        );
        listing.advance(Revision(self.revision));
        if let Some(Watched::At(older)) = before.and_then(|view| view.inventory.get(RESOURCE)) {
            listing = listing.after(older);
        }
        let mut inventory = Inventory::default();
        inventory.set(RESOURCE, Watched::At(listing));
        View {
            inventory,
            truth: self.live(),
        }
    }

    /// Whether the write of this attempt may still land.
    pub fn may_land(&self, scenario: &Scenario, attempt: usize) -> bool {
        let plan = &scenario.plans[attempt];
        let request = &self.attempts[attempt];
        let under_way = matches!(
            request.phase,
            Phase::Waiting(_) | Phase::Granted | Phase::Allowed
        );
        let possible = match plan.what {
            What::Create { .. } => true,
            What::Raise { .. } => self.objects[plan.name]
                .as_ref()
                .is_some_and(|object| object.uid == request.uid && object.revision == request.base),
            What::Repeat { .. } => false,
        };
        under_way && possible
    }

    /// Puts a new book into a quota.
    pub fn write(&mut self, quota: usize, book: Book) {
        let quota = Arc::make_mut(&mut self.quotas[quota]);
        quota.version += 1;
        quota.account.book = book;
    }

    pub fn break_at(&mut self, invariant: &'static str) {
        self.broken.get_or_insert(invariant);
    }
}
