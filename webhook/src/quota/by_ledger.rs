//! The gate's questions put to the ledger: which quotas cover the namespace, and what the user and the quota's readers
//! are told of the answer.

use super::{Answer, Ask, Hold, Incident, QuotaGate, QuotaRef, Run, second_look};
use crate::ledger::{Ledger, Reserve, Untold, Verdict};
use crate::world::Caches;
use crate::world::quotas::Quota;
use futures::future::BoxFuture;
use sluice_api::events::EventReason;
use sluice_policy::admit::{Rise, settle};
use sluice_policy::ledger::{
    self, Enforcement, ObjectKey, Over, QUOTA_CPU, QuotaKey, Revision, Why, line,
};
use sluice_policy::{Code, KindInfo, Mode, Modes, Refusal};
use std::sync::Arc;
use tokio::time::Instant;

/// Quotas from the cache, holds from the ledger.
#[derive(Clone)]
pub struct ByLedger {
    caches: Arc<Caches>,
    ledger: Ledger,
}

impl ByLedger {
    /// A gate over these.
    pub fn new(caches: Arc<Caches>, ledger: Ledger) -> Self {
        Self { caches, ledger }
    }

    async fn ask(&self, ask: Ask<'_>, deadline: Instant) -> Answer {
        let quotas = match self.caches.quotas_of(ask.namespace) {
            Ok(quotas) if quotas.is_empty() => return Answer::default(),
            Ok(quotas) => quotas,
            Err(why) => return unknown(&ask, &why),
        };
        let keys: Vec<QuotaKey> = quotas.iter().map(|quota| quota.key.clone()).collect();
        // Taken for a create, the hold of an update would be dropped while its write can still land.
        let Some(base) = Revision::parse(ask.base) else {
            let why = format!("metadata.resourceVersion \"{}\" is no number", ask.base);
            return unknown(&ask, &why);
        };
        let wanted = reserve(&ask, base);
        if let Some(what) = line::impossible(&wanted.object, &wanted.uid) {
            let why = format!("{what} is none that an API server gives");
            return unknown(&ask, &why);
        }
        let (mut verdict, mut untold) = self
            .ledger
            .reserve_untold(&keys, wanted.clone(), deadline)
            .await;
        let until = deadline.min(Instant::now() + second_look::WITHIN);
        for _ in 0..second_look::LOOKS {
            let Verdict::Refused(refusal) = &verdict else {
                break;
            };
            if !second_look::awaited(&self.caches, self.ledger.metrics(), refusal, until).await {
                break;
            }
            (verdict, untold) = self
                .ledger
                .reserve_untold(&keys, wanted.clone(), deadline)
                .await;
        }
        let mut answer = Answer {
            hold: (!untold.is_empty()).then(|| Box::new(untold) as Box<dyn Hold>),
            ..Answer::default()
        };
        match verdict {
            Verdict::Refused(refusal) => {
                let reason = match refusal.ask {
                    ledger::Ask::Start => EventReason::QuotaExceeded,
                    ledger::Ask::Growth => EventReason::GrowthRefused,
                };
                let shown = shown(&ask, &refusal);
                answer.incidents.extend(incident(
                    &ask,
                    &quotas,
                    &refusal.quota,
                    reason,
                    &shown.message,
                ));
                answer.raw = Some(&QUOTA_CPU);
                answer.refusal = Some(shown);
            }
            Verdict::Admitted { over } => {
                for over in over {
                    let_through(&ask, &quotas, &over, &mut answer);
                }
            }
        }
        if ask.run == Run::DryRun {
            answer.incidents.clear();
        }
        answer
    }
}

impl QuotaGate for ByLedger {
    fn reserve<'a>(&'a self, ask: Ask<'a>, deadline: Instant) -> BoxFuture<'a, Answer> {
        Box::pin(self.ask(ask, deadline))
    }

    fn may_strand(&self, kind: &'static KindInfo, namespace: &str, name: &str) -> bool {
        let store = self.caches.store(kind.group, kind.plural);
        let is_known = store.is_some_and(|store| store.has(namespace, name));
        is_known
            && self
                .caches
                .quotas_of(namespace)
                .is_ok_and(|quotas| !quotas.is_empty())
    }
}

impl Hold for Untold {
    fn delivered(self: Box<Self>) {
        self.told();
    }
}

/// Without knowing the quotas nothing may rise where they are enforced; what does not rise is not asked here. Where they are not, it
/// rises without a hold, as with a quota that is known and cannot be written.
fn unknown(ask: &Ask<'_>, why: &str) -> Answer {
    let message = format!(
        "{} \"{}\": the quotas of namespace {} are not known yet ({why}); nothing was changed, try again in a moment [{}]",
        ask.kind.singular, ask.name, ask.namespace, QUOTA_CPU.id
    );
    let refusal = Refusal {
        rule: &QUOTA_CPU,
        code: Code::TooManyRequests,
        message,
        causes: Vec::new(),
        retry_after: Some(1),
    };
    let mut answer = Answer {
        raw: Some(&QUOTA_CPU),
        ..Answer::default()
    };
    answer.refusal = settle(modes(ask), refusal, &mut answer.warnings);
    answer
}

/// The namespace's modes, as far as they matter here.
fn modes(ask: &Ask<'_>) -> Modes {
    Modes {
        quota: ask.mode,
        ..Modes::default()
    }
}

fn reserve(ask: &Ask<'_>, base: Revision) -> Reserve {
    Reserve {
        object: ObjectKey {
            resource: format!("{}.{}", ask.kind.plural, ask.kind.group),
            namespace: ask.namespace.to_owned(),
            name: ask.name.to_owned(),
        },
        uid: ask.uid.to_owned(),
        base,
        from: ask.demand.from,
        to: ask.demand.to,
        by: ask.by.to_owned(),
        ask: match ask.demand.rise {
            Rise::Start => ledger::Ask::Start,
            Rise::Growth => ledger::Ask::Growth,
        },
        enforcement: match ask.mode {
            Mode::Enforce => Enforcement::Enforce,
            Mode::Warn | Mode::Off => Enforcement::LetThrough,
        },
        run: match ask.run {
            Run::Real => ledger::Run::Real,
            Run::DryRun => ledger::Run::DryRun,
        },
    }
}

/// The ledger's refusal as the user sees it.
fn shown(ask: &Ask<'_>, refusal: &ledger::Refusal) -> Refusal {
    Refusal {
        rule: &QUOTA_CPU,
        code: refusal.code(),
        message: refusal.message(ask.kind.singular, ask.name),
        causes: Vec::new(),
        retry_after: refusal.retry_after_seconds(),
    }
}

fn let_through(ask: &Ask<'_>, quotas: &[Arc<Quota>], over: &Over, answer: &mut Answer) {
    let refusal = &over.refusal;
    match over.why {
        Why::GrowthIgnored => {}
        Why::GrowthWarned => {
            let warning = refusal.warning(ask.kind.singular, ask.name);
            let reason = EventReason::QuotaOvercommitted;
            answer
                .incidents
                .extend(incident(ask, quotas, &refusal.quota, reason, &warning));
            answer.warnings.push(warning);
        }
        Why::NotEnforced => {
            answer.raw = Some(&QUOTA_CPU);
            // The mode is not `enforce`, so this becomes a warning or nothing.
            answer.refusal = settle(modes(ask), shown(ask, refusal), &mut answer.warnings);
        }
    }
}

fn incident(
    ask: &Ask<'_>,
    quotas: &[Arc<Quota>],
    key: &QuotaKey,
    reason: EventReason,
    note: &str,
) -> Option<Incident> {
    let quota = quotas.iter().find(|quota| quota.key == *key)?;
    let (kind, namespace, name) = match key {
        QuotaKey::Namespaced { namespace, name } => ("CpuQuota", namespace.clone(), name.clone()),
        QuotaKey::Cluster { name } => ("ClusterCpuQuota", String::new(), name.clone()),
    };
    Some(Incident {
        quota: QuotaRef {
            kind,
            namespace,
            name,
            uid: quota.uid.clone(),
        },
        subject: format!("{}/{}/{}", ask.kind.plural, ask.namespace, ask.name),
        reason,
        note: note.to_owned(),
    })
}
