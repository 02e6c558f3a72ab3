//! The leader's loop: takes in news of workloads and quotas, and counts each quota when it is due.

use std::collections::BTreeMap;
use std::time::Duration;

use sluice_api::quota::{ClusterCpuQuota, CpuQuota};
use sluice_policy::ledger::{
    Account, Behind, Book, CHARGE_FN, Hold, Inventory, QuotaKey, Scope, Step, Watched, confirm,
    expire,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, sleep_until};

use super::LedgerKeeper;
use super::absence::Absences;
use super::first_look::{self, FirstLook};
use super::looks::{Ended, Looks, Subject};
use super::quotas::{self, Kind, QuotaCopy, QuotaError, QuotaNews};
use super::resources::{self, News};
use super::standing::{Answer, Counted, Question, Questions, Standing};
use super::undecided;
use crate::metrics::metrics;

/// Attempts at one count while others keep writing first; then it is due again.
const ATTEMPTS: u32 = 8;
/// Least time between two writes to one quota, so that a mass deletion is not one write per object.
const LEAST_GAP: Duration = Duration::from_millis(25);
/// Pause after something failed. It doubles each time, up to [`RETRY_AT_MOST`]; news of what was missing is heeded at once.
const RETRY: Duration = Duration::from_secs(1);
/// The longest such pause.
const RETRY_AT_MOST: Duration = Duration::from_secs(5);
/// How many quotas are counted before news, questions and holds have their turn.
const COUNTS_PER_TURN: usize = 16;
/// How long counting waits for charges that are being computed anew. Whoever changes clusters all the time must not end all counting.
const CHARGES_PATIENCE: Duration = Duration::from_secs(10);
/// From how many holds on the debounce is shortened: each batch rewrites all of them.
const MANY_HOLDS: usize = 64;
/// How long what a look has found is waited for before all is listed again: a deletion may be forgotten that was never seen here.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Holds looked at per quota and tick.
const HOLDS_PER_TICK: usize = 64;

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
            self.looked = None;
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
                keeper.see_to_undecided().await;
                ticks.reset();
            }
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => keeper.count_due().await,
        }
    }
}

impl Keeper<'_> {
    fn learn(&mut self, resource: &str, what: News) {
        let now = Instant::now();
        let later = now + self.of.settings.debounce;
        match what {
            News::Listed { listing, epoch } => {
                self.epochs.insert(resource.to_owned(), epoch);
                let listing = match self.inventory.get(resource) {
                    Some(Watched::At(older)) => listing.after(older),
                    _ => listing,
                };
                self.inventory.set(resource, Watched::At(listing));
                self.settle();
                self.mark(|_| Some(now));
            }
            News::Absent => {
                if !matches!(self.inventory.get(resource), Some(Watched::Absent)) {
                    self.inventory.set(resource, Watched::Absent);
                    self.settle();
                    self.mark(|_| Some(now));
                }
            }
            News::Put { uid, seen } => {
                let Some(listing) = self.inventory.listing_mut(resource) else {
                    return;
                };
                let before = listing
                    .get(&uid)
                    .map(|before| before.charge)
                    .unwrap_or_default();
                let (charge, namespace) = (seen.charge, seen.namespace.clone());
                listing.put(uid, seen);
                self.mark(|known| {
                    let counts = known.copy.scope.contains(&namespace);
                    match charge.cmp(&before) {
                        std::cmp::Ordering::Less if counts => Some(now),
                        std::cmp::Ordering::Greater if counts => Some(later),
                        _ => holds(known).then_some(later),
                    }
                });
            }
            News::Deleted { uid, at } => {
                let Some(listing) = self.inventory.listing_mut(resource) else {
                    return;
                };
                let before = listing.get(&uid).cloned();
                listing.delete(&uid, at);
                self.mark(|known| match &before {
                    Some(seen)
                        if seen.charge.0 > 0 && known.copy.scope.contains(&seen.namespace) =>
                    {
                        Some(now)
                    }
                    _ => holds(known).then_some(later),
                });
            }
            News::Bookmark(at) => {
                if let Some(listing) = self.inventory.listing_mut(resource) {
                    listing.advance(at);
                }
                self.mark(|known| holds(known).then_some(later));
            }
        }
    }

    /// Takes note once everything is known for the first time.
    fn settle(&mut self) {
        let is_listed = |resource: &super::Resource| {
            let watched = self.inventory.get(&resource.key());
            !matches!(watched, None | Some(Watched::Unknown))
        };
        if self.charges_are_new() {
            self.charges_old_since = None;
            self.settled = self.settled || self.of.resources.iter().all(is_listed);
        }
    }

    /// Whether what is listed was charged by all that is known of what charges look up.
    fn charges_are_new(&self) -> bool {
        self.of.facts.as_ref().is_none_or(|facts| {
            self.of.resources.iter().all(|resource| {
                let key = resource.key();
                !matches!(self.inventory.get(&key), Some(Watched::At(_)))
                    || self.epochs.get(&key) == Some(&facts.epoch(resource))
            })
        })
    }

    /// Whether charges are about to be computed anew. Until then a hold could be given back for less than what it was taken for.
    fn wait_for_charges(&mut self) -> bool {
        if self.charges_are_new() {
            self.charges_old_since = None;
            return false;
        }
        let since = self.charges_old_since.get_or_insert_with(Instant::now);
        since.elapsed() < CHARGES_PATIENCE
    }

    fn learn_quota(&mut self, what: QuotaNews) {
        self.of.sightings.learn(&what);
        match what {
            QuotaNews::Listed(kind, copies) => {
                if !self.listed.contains(&kind) {
                    self.listed.push(kind);
                }
                self.quotas.retain(|key, _| {
                    let stays = !kind.has(key) || copies.iter().any(|copy| copy.key == *key);
                    if !stays {
                        metrics().no_quota(key);
                    }
                    stays
                });
                for copy in copies {
                    self.put_quota(copy);
                }
            }
            QuotaNews::Put(copy) => self.put_quota(copy),
            QuotaNews::Deleted(key) => self.forget(&key),
        }
    }

    fn forget(&mut self, key: &QuotaKey) {
        self.quotas.remove(key);
        metrics().no_quota(key);
    }

    fn put_quota(&mut self, copy: QuotaCopy) {
        show(&copy);
        let now = Instant::now();
        let (due, log) = match &copy.account {
            Err(error) => (None, Some(error.to_string())),
            Ok(account) => {
                let book = &account.book;
                let urgent =
                    book.charge_fn != CHARGE_FN || book.observed_generation != account.generation;
                let debounce = if book.pending.len() > MANY_HOLDS {
                    self.of.settings.debounce / 4
                } else {
                    self.of.settings.debounce
                };
                let stale = !book.pending.is_empty()
                    || book.confirmed != self.inventory.charge(&copy.scope);
                let due = if urgent {
                    Some(now)
                } else {
                    stale.then_some(now + debounce)
                };
                (due, None)
            }
        };
        if let Some(error) = log {
            tracing::warn!(quota = %copy.key, error, "a quota cannot be read; nothing starts in its scope until it is corrected");
        }
        let known = self
            .quotas
            .entry(copy.key.clone())
            .or_insert_with(|| Known {
                copy: copy.clone(),
                counted: None,
                looked: None,
                due: None,
                not_before: now,
                failures: 0,
            });
        known.take(copy);
        known.due = earlier(known.due, due);
    }

    /// Tells what the ledgers say of an object.
    fn answer(&self, question: Question) {
        let answer = if self.listed.len() == 2 && self.settled {
            let counting = self
                .quotas
                .values()
                .filter(|known| known.copy.scope.contains(&question.namespace));
            Answer::Quotas(
                counting
                    .map(|known| self.standing(&known.copy, &question))
                    .collect(),
            )
        } else {
            Answer::NotYet
        };
        // Whoever has asked may have lost interest.
        let _ = question.answer.send(answer);
    }

    fn standing(&self, copy: &QuotaCopy, question: &Question) -> Standing {
        let counted = copy.account.as_ref().map_or(Counted::No, |account| {
            let held = account
                .book
                .pending
                .iter()
                .filter(|hold| hold.uid == question.uid)
                .map(|hold| hold.to)
                .max();
            let seen = match self.inventory.get(&question.resource) {
                Some(Watched::At(listing)) => listing.get(&question.uid),
                _ => None,
            };
            match (held, seen) {
                (Some(to), _) => Counted::Held(to),
                // What is in the book is what is in the inventory, and this very object is.
                (None, Some(seen))
                    if seen.revision >= question.revision
                        && account.book.confirmed == self.inventory.charge(&copy.scope) =>
                {
                    Counted::Confirmed(seen.charge)
                }
                _ => Counted::No,
            }
        });
        Standing {
            quota: copy.key.clone(),
            scope: copy.scope.clone(),
            account: copy.account.clone(),
            counted,
        }
    }

    fn mark(&mut self, due: impl Fn(&Known) -> Option<Instant>) {
        for known in self.quotas.values_mut() {
            known.due = earlier(known.due, due(known));
        }
    }

    /// Counts those that have been due for the longest.
    async fn count_due(&mut self) {
        let now = Instant::now();
        let mut due: Vec<(Instant, QuotaKey)> = self
            .quotas
            .iter()
            .filter_map(|(key, known)| Some((known.due?.max(known.not_before), key.clone())))
            .filter(|(due, _)| *due <= now)
            .collect();
        due.sort_unstable();
        for (_, key) in due.into_iter().take(COUNTS_PER_TURN) {
            self.count(&key).await;
        }
    }

    async fn count(&mut self, key: &QuotaKey) {
        let Some(known) = self.quotas.get_mut(key) else {
            return;
        };
        known.due = None;
        let watched = known.copy.clone();
        if self.looks.is_under_way(key) {
            return; // due again with what it finds
        }
        if !self.settled || self.wait_for_charges() {
            return self.again(key, RETRY); // or as soon as something has been listed
        }
        // The watched copy tells whether there is anything to do; it is seldom new enough to write at.
        match self.decide(&watched) {
            Ok(None) => return self.succeeded(key),
            Err(behind) if self.waits_for_kind(&behind) => return self.failed(key),
            Ok(Some(_)) | Err(_) => {}
        }
        for attempt in 0..ATTEMPTS {
            if attempt > 1 {
                sleep(Duration::from_millis(u64::from(attempt))).await;
            }
            let copy = match QuotaCopy::read(&self.of.client, key).await {
                Ok(copy) => copy,
                Err(QuotaError::Gone) => return self.forget(key),
                Err(error) => {
                    metrics().failure();
                    tracing::warn!(quota = %key, %error, "reading a quota failed; it is counted later");
                    return self.failed(key);
                }
            };
            let Ok(account) = &copy.account else { return };
            let counted = self.quotas.get(key).and_then(|it| it.counted.as_ref());
            let wider = first_look::may_be_wider(account, &copy.scope, counted);
            if !self.is_scope_known(&copy, account, wider) {
                return;
            }
            let book = match self.decide_with_proof(&copy, account, wider).await {
                Ok(Some(book)) => book,
                Ok(None) => return self.succeeded(key),
                Err(behind) => {
                    tracing::debug!(quota = %key, %behind, "a quota is counted later");
                    return self.failed(key);
                }
            };
            match copy.write(&self.of.client, account, &book).await {
                Ok(written) => {
                    metrics().counted();
                    show(&written);
                    if let Some(known) = self.quotas.get_mut(key) {
                        known.take(written);
                        known.not_before = Instant::now() + LEAST_GAP;
                    }
                    return self.succeeded(key);
                }
                Err(QuotaError::Conflict) => metrics().conflict(),
                Err(QuotaError::Gone) => return self.forget(key),
                Err(error) => {
                    metrics().failure();
                    tracing::warn!(quota = %key, %error, "writing a quota failed; it is counted later");
                    return self.failed(key);
                }
            }
        }
        self.again(key, LEAST_GAP);
    }

    fn decide(&self, copy: &QuotaCopy) -> Result<Option<Book>, Behind> {
        copy.account.as_ref().map_or(Ok(None), |account| {
            confirm(account, &copy.scope, &self.inventory)
        })
    }

    /// Whether what is known may be counted in this scope, now that the quota has been read. If not, it is due again in time.
    fn is_scope_known(&mut self, copy: &QuotaCopy, account: &Account, wider: bool) -> bool {
        let resources =
            first_look::open_resources(&self.of.resources, &self.inventory, account, wider);
        if resources.is_empty() {
            return true;
        }
        let Some(known) = self.quotas.get_mut(&copy.key) else {
            return false;
        };
        let subject = Subject {
            uid: copy.uid().to_owned(),
            generation: account.generation,
            resources,
        };
        let still_holds =
            |looked: &Looked| looked.subject == subject && looked.at.elapsed() < LOOK_AGAIN;
        if let Some(mut looked) = known.looked.take().filter(still_holds) {
            let is_known = looked.look.is_known(&self.inventory);
            known.looked = Some(looked);
            if !is_known {
                self.again(&copy.key, self.of.settings.debounce);
            }
            return is_known;
        }
        self.looks.begin(&copy.key, subject, copy.scope.clone());
        false
    }

    /// A look is over: its quota is due again.
    fn take_look(&mut self, ended: Ended) {
        let key = &ended.key;
        match (self.quotas.get_mut(key), ended.look) {
            (None, _) => {}
            (Some(known), Ok(look)) => {
                let at = Instant::now();
                known.looked = Some(Looked {
                    subject: ended.subject,
                    look,
                    at,
                });
                known.due = earlier(known.due, Some(at));
            }
            (Some(_), Err(error)) => {
                metrics().failure();
                tracing::warn!(quota = %key, %error, "what exists in a quota's scope could not be listed; it is counted later");
                self.failed(key);
            }
        }
    }

    /// As [`Self::decide`]; whether a resource that is not served is gone is asked anew, now that the quota has been read. One that this quota
    /// has not counted yet matters where it may count more than before: objects of it may exist that it has no holds for.
    async fn decide_with_proof(
        &mut self,
        copy: &QuotaCopy,
        account: &Account,
        wider: bool,
    ) -> Result<Option<Book>, Behind> {
        let mut proven = Vec::new();
        let mut there = None;
        for resource in &self.of.resources {
            let key = resource.key();
            let matters = wider || account.book.snapshot.contains_key(&key);
            if !matters || !matches!(self.inventory.get(&key), Some(Watched::Absent)) {
                continue;
            }
            if !self.absences.is_gone(&self.of.client, resource).await {
                there = Some(Behind { resource: key });
                break;
            }
            self.inventory.set(&key, Watched::ProvenAbsent);
            proven.push(key);
        }
        let decided = there.map_or_else(|| self.decide(copy), Err);
        for key in proven {
            self.inventory.set(&key, Watched::Absent);
        }
        decided
    }

    /// Whether a quota is behind because of a kind that is not served, and was found not to be gone only a moment ago: no use asking again.
    fn waits_for_kind(&self, behind: &Behind) -> bool {
        let watched = self.inventory.get(&behind.resource);
        matches!(watched, Some(Watched::Absent)) && self.absences.is_there(&behind.resource)
    }

    /// A quota is counted, or needs no count.
    fn succeeded(&mut self, key: &QuotaKey) {
        if let Some(known) = self.quotas.get_mut(key) {
            known.failures = 0;
        }
    }

    /// A quota could not be counted.
    fn failed(&mut self, key: &QuotaKey) {
        if let Some(known) = self.quotas.get_mut(key) {
            let pause = RETRY * 2_u32.saturating_pow(known.failures.min(8));
            known.failures = known.failures.saturating_add(1);
            self.again(key, pause.min(RETRY_AT_MOST));
        }
    }

    fn again(&mut self, key: &QuotaKey, after: Duration) {
        if let Some(known) = self.quotas.get_mut(key) {
            known.due = earlier(known.due, Some(Instant::now() + after));
        }
    }

    async fn see_to_undecided(&mut self) {
        let mut due: Vec<(QuotaKey, Hold)> = Vec::new();
        for (key, known) in &self.quotas {
            if let Ok(account) = &known.copy.account {
                let undecided = self.of.settings.undecided;
                let holds = self.of.sightings.due(key, &account.book, undecided);
                due.extend(
                    holds
                        .into_iter()
                        .take(HOLDS_PER_TICK)
                        .map(|hold| (key.clone(), hold)),
                );
            }
        }
        for (key, hold) in due {
            self.see_to(&key, &hold).await;
        }
    }

    async fn see_to(&mut self, key: &QuotaKey, hold: &Hold) {
        let Some(resource) = self
            .of
            .resources
            .iter()
            .find(|resource| resource.key() == hold.object.resource)
        else {
            tracing::warn!(quota = %key, resource = hold.object.resource, "a hold is for a resource that this version does not know");
            return;
        };
        let found = match undecided::find(&self.of.client, resource, hold).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(quota = %key, hold = hold.id, %error, "the object of an undecided hold could not be read");
                return;
            }
        };
        match expire::decide(hold, &found) {
            Step::LeaveToConfirm => {}
            Step::Fence => {
                if let Err(error) = undecided::fence(&self.of.client, resource, hold).await {
                    tracing::warn!(quota = %key, hold = hold.id, %error, "an undecided hold could not be fenced");
                }
            }
            Step::Drop => self.drop_hold(key, hold).await,
        }
        // Fenced or not, the next count covers what has moved.
        self.again(key, self.of.settings.debounce);
    }

    async fn drop_hold(&mut self, key: &QuotaKey, hold: &Hold) {
        let Ok(copy) = QuotaCopy::read(&self.of.client, key).await else {
            return;
        };
        let Ok(account) = &copy.account else { return };
        let Some(book) = account.book.release(std::slice::from_ref(&hold.id)) else {
            return;
        };
        match copy.write(&self.of.client, account, &book).await {
            Ok(written) => {
                metrics().expired();
                show(&written);
                tracing::info!(quota = %key, hold = hold.id, object = hold.object.name, "dropped the hold of a create that never came");
                if let Some(known) = self.quotas.get_mut(key) {
                    known.take(written);
                }
            }
            // The next tick finds it again.
            Err(error) => {
                tracing::debug!(quota = %key, hold = hold.id, %error, "a hold is dropped later");
            }
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
