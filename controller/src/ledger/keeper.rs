//! The leader's loop: takes in news of workloads and quotas, and counts each quota when it is due.

mod count;
mod holds;
mod learn;
mod tell;

use std::collections::BTreeMap;
use std::time::Duration;

use sluice_api::quota::{ClusterCpuQuota, CpuQuota};
use sluice_policy::ledger::{Inventory, ObjectKey, QuotaKey, Scope};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until};

use super::LedgerKeeper;
use super::absence::Absences;
use super::first_look::FirstLook;
use super::looks::{Looks, Subject};
use super::quotas::{self, Kind, QuotaCopy};
use super::resources;
use super::standing::{Question, Questions};
use crate::metrics::metrics;

/// What is known of a quota.
struct Known {
    copy: QuotaCopy,
    /// The generation and the scope that it was last counted in, as far as this process knows.
    counted: Option<(i64, Scope)>,
    /// What existed in a scope that was not counted before.
    looked: Option<Looked>,
    due: Option<Instant>,
    not_before: Instant,
    /// How often it could not be counted since it was.
    failures: u32,
    /// The last object of an undecided hold that was looked for.
    looked_for: Option<ObjectKey>,
}

/// A look at a quota that is over.
struct Looked {
    subject: Subject,
    look: FirstLook,
    at: Instant,
}

impl Known {
    fn take(&mut self, copy: QuotaCopy) {
        if let Ok(account) = &copy.account
            && account.book.observed_generation == account.generation
        {
            self.counted = Some((account.generation, copy.scope.clone()));
        }
        self.copy = copy;
    }
}

struct Keeper<'a> {
    of: &'a LedgerKeeper,
    inventory: Inventory,
    quotas: BTreeMap<QuotaKey, Known>,
    /// Kinds of quotas that have been listed.
    listed: Vec<Kind>,
    /// By resource, what its charges had been looked up in when it was listed last ([`super::facts::Facts::epoch`]).
    epochs: BTreeMap<String, u64>,
    /// Whether every resource has been listed once with everything known that its charges look up. The lists come in any order: jobs
    /// that are listed before the cluster that they run on are charged by Flink's defaults until they are listed again.
    settled: bool,
    /// Since when charges of something listed wait to be computed anew.
    charges_old_since: Option<Instant>,
    looks: Looks,
    absences: Absences,
}

/// Keeps all ledgers for ever. Dropping the future ends its watches.
pub async fn keep(of: &LedgerKeeper, mut questions: Option<Questions>) {
    let _shown = metrics().keeping();
    let mut watches = JoinSet::new();
    let (tell, mut news) = mpsc::channel(4096);
    for resource in &of.resources {
        watches.spawn(resources::follow(
            of.client.clone(),
            resource.clone(),
            of.charge.clone(),
            of.facts.clone(),
            of.settings,
            tell.clone(),
        ));
    }
    let (tell_quotas, mut quota_news) = mpsc::channel(1024);
    watches.spawn(quotas::follow::<CpuQuota>(
        of.client.clone(),
        Kind::Namespaced,
        tell_quotas.clone(),
    ));
    watches.spawn(quotas::follow::<ClusterCpuQuota>(
        of.client.clone(),
        Kind::Cluster,
        tell_quotas,
    ));
    let mut keeper = Keeper {
        of,
        inventory: Inventory::of(of.resources.iter().map(super::Resource::key)),
        quotas: BTreeMap::new(),
        listed: Vec::new(),
        epochs: BTreeMap::new(),
        settled: false,
        charges_old_since: None,
        looks: Looks::new(of.client.clone(), of.settings.page),
        absences: Absences::default(),
    };
    let mut ticks = interval(of.settings.expiry_tick);
    loop {
        let next = keeper
            .quotas
            .values()
            .filter_map(|known| known.due.map(|due| due.max(known.not_before)))
            .min();
        tokio::select! {
            biased;
            Some((resource, what)) = news.recv() => keeper.learn(&resource, what),
            Some(what) = quota_news.recv() => keeper.learn_quota(what),
            Some(ended) = keeper.looks.ended() => keeper.take_look(ended),
            Some(question) = heard(questions.as_mut()) => keeper.answer(question),
            // Before the counts: there may always be one that is due. Its time begins anew once it is over, so the counts have theirs.
            _ = ticks.tick() => {
                keeper.settle(); // whoever asks waits for it, also where there is no quota to count
                keeper.see_to_undecided().await;
                ticks.reset();
            }
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => keeper.count_due().await,
        }
    }
}

impl Keeper<'_> {
    fn forget(&mut self, key: &QuotaKey) {
        self.quotas.remove(key);
        metrics().no_quota(key);
    }

    fn mark(&mut self, due: impl Fn(&Known) -> Option<Instant>) {
        for known in self.quotas.values_mut() {
            known.due = earlier(known.due, due(known));
        }
    }

    fn again(&mut self, key: &QuotaKey, after: Duration) {
        if let Some(known) = self.quotas.get_mut(key) {
            known.due = earlier(known.due, Some(Instant::now() + after));
        }
    }
}

/// In the metrics. What cannot be read has no figures.
fn show(copy: &QuotaCopy) {
    match &copy.account {
        Ok(account) => metrics().quota(account),
        Err(_) => metrics().no_quota(&copy.key),
    }
}

/// The next question; never one where nobody can ask.
async fn heard(questions: Option<&mut Questions>) -> Option<Question> {
    match questions {
        Some(questions) => match questions.0.recv().await {
            Some(question) => Some(question),
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

fn holds(known: &Known) -> bool {
    known
        .copy
        .account
        .as_ref()
        .is_ok_and(|account| !account.book.pending.is_empty())
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
