//! The ledger's actors against a store in memory that can conflict, hang, fail and lie about what it did. The same against a
//! real API server is in the `tests` crate.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic
)] // helpers of tests

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use serde_json::json;
use sluice_api::quota::CpuQuota;
use sluice_policy::MilliCpu;
use sluice_policy::ledger::{
    Account, Ask, Book, Enforcement, ObjectKey, QuotaKey, Reason, Revision, Run,
};
use sluice_webhook::ledger::{
    Ledger, LedgerMetrics, QuotaStore, Reserve, Settings, StoreError, Stored, Verdict,
};
use tokio::sync::Notify;
use tokio::time::Instant;

/// What the next write meets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// It is refused.
    Lost,
    /// It happens, and the answer is lost.
    Unheard,
    /// It waits until it is let go.
    Held,
}

struct Memory {
    quotas: Mutex<HashMap<QuotaKey, CpuQuota>>,
    fault: Mutex<Fault>,
    go: Notify,
    arrived: Notify,
    version: AtomicU64,
    reads: AtomicU64,
    /// A watch that has stopped at this copy.
    stale: Mutex<Option<Stored>>,
    /// Somebody else writes right after each read, and the watch tells of it at once.
    busy: AtomicBool,
    /// Somebody else always writes first.
    overtaken: AtomicBool,
}

fn key(name: &str) -> QuotaKey {
    QuotaKey::Namespaced {
        namespace: "team-a".into(),
        name: name.into(),
    }
}

impl Memory {
    fn with(quotas: &[(&str, u64)]) -> Arc<Self> {
        let quotas = quotas.iter().map(|(name, cpu)| {
            let quota = json!({
                "apiVersion": "sluice.dev/v1alpha1", "kind": "CpuQuota",
                "metadata": {"name": name, "namespace": "team-a", "generation": 1, "resourceVersion": "1"},
                "spec": {"hard": {"cpu": cpu}},
                "status": {"chargeFn": 3, "observedGeneration": 1, "confirmedMilli": 0, "snapshot": {"sessionclusters.sluice.dev": "1"}},
            });
            (key(name), serde_json::from_value(quota).unwrap())
        });
        Arc::new(Self {
            quotas: Mutex::new(quotas.collect()),
            fault: Mutex::new(Fault::None),
            go: Notify::new(),
            arrived: Notify::new(),
            version: AtomicU64::new(1),
            reads: AtomicU64::new(0),
            stale: Mutex::new(None),
            busy: AtomicBool::new(false),
            overtaken: AtomicBool::new(false),
        })
    }

    fn fault(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    fn stored(&self, key: &QuotaKey) -> Result<Stored, StoreError> {
        let quotas = self.quotas.lock().unwrap();
        quotas
            .get(key)
            .map(|quota| Stored::namespaced(Arc::new(quota.clone())))
            .ok_or(StoreError::Gone)
    }

    fn book(&self, name: &str) -> Book {
        self.stored(&key(name)).unwrap().account.unwrap().book
    }

    fn commit(&self, copy: &Stored, account: &Account, book: &Book) -> Result<Stored, StoreError> {
        let mut quotas = self.quotas.lock().unwrap();
        let quota = quotas.get_mut(&account.key).ok_or(StoreError::Gone)?;
        if quota.metadata.resource_version.as_deref() != Some(&copy.version) {
            return Err(StoreError::Conflict);
        }
        let version = self.version.fetch_add(1, Ordering::Relaxed) + 1;
        quota.metadata.resource_version = Some(version.to_string());
        book.write(account.hard, quota.status.get_or_insert_default());
        Ok(Stored::namespaced(Arc::new(quota.clone())))
    }

    /// A write that changes nothing that counts.
    fn touch(&self, key: &QuotaKey) {
        let copy = self.stored(key).unwrap();
        let account = copy.account.clone().unwrap();
        self.commit(&copy, &account, &account.book).unwrap();
    }

    /// Waits for a state of the ledger, with a deadline.
    async fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !condition() {
            assert!(Instant::now() < deadline, "waited in vain until {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl QuotaStore for Memory {
    fn newest(&self, key: &QuotaKey) -> Option<Stored> {
        if self.busy.load(Ordering::Relaxed) {
            return self.stored(key).ok();
        }
        self.stale.lock().unwrap().clone()
    }

    fn read<'a>(&'a self, key: &'a QuotaKey) -> BoxFuture<'a, Result<Stored, StoreError>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        async {
            let read = self.stored(key);
            if self.busy.load(Ordering::Relaxed) {
                self.touch(key);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            read
        }
        .boxed()
    }

    fn write<'a>(
        &'a self,
        copy: &'a Stored,
        account: &'a Account,
        book: &'a Book,
    ) -> BoxFuture<'a, Result<Stored, StoreError>> {
        async move {
            tokio::task::yield_now().await;
            if self.overtaken.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(1)).await;
                return Err(StoreError::Conflict);
            }
            let fault = std::mem::replace(&mut *self.fault.lock().unwrap(), Fault::None);
            match fault {
                Fault::None => self.commit(copy, account, book),
                Fault::Lost => Err(StoreError::Failed("connection refused".into())),
                Fault::Unheard => {
                    self.commit(copy, account, book)?;
                    Err(StoreError::Failed("connection reset".into()))
                }
                Fault::Held => {
                    self.arrived.notify_one();
                    self.go.notified().await;
                    self.commit(copy, account, book)
                }
            }
        }
        .boxed()
    }
}

fn replica(store: &Arc<Memory>) -> Ledger {
    let store: Arc<dyn QuotaStore> = Arc::clone(store) as Arc<dyn QuotaStore>;
    Ledger::new(store, Settings::default(), LedgerMetrics::default())
}

fn start(name: &str, cpu: u64) -> Reserve {
    Reserve {
        object: ObjectKey {
            resource: "sessionclusters.sluice.dev".into(),
            namespace: "team-a".into(),
            name: name.into(),
        },
        uid: format!("uid-{name}"),
        base: Revision::NONE,
        from: MilliCpu(0),
        to: MilliCpu(cpu * 1000),
        by: "ann".into(),
        ask: Ask::Start,
        enforcement: Enforcement::Enforce,
        run: Run::Real,
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn admitted(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Admitted { over } if over.is_empty())
}

fn reason(verdict: &Verdict) -> &Reason {
    match verdict {
        Verdict::Refused(refusal) => &refusal.reason,
        Verdict::Admitted { .. } => panic!("admitted: {verdict:?}"),
    }
}

#[tokio::test]
async fn replicas_together_admit_exactly_what_fits() {
    let store = Memory::with(&[("default", 50)]);
    let replicas = [replica(&store), replica(&store), replica(&store)];
    let requests = (0..200usize).map(|index| {
        let ledger = replicas.get(index % 3).unwrap().clone();
        tokio::spawn(async move {
            ledger
                .reserve(&[key("default")], start(&format!("c{index}"), 1), soon())
                .await
        })
    });
    let verdicts: Vec<_> = join_all(requests)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(
        verdicts.iter().filter(|verdict| admitted(verdict)).count(),
        50
    );
    assert!(
        verdicts
            .iter()
            .filter(|verdict| !admitted(verdict))
            .all(|verdict| *reason(verdict) == Reason::HoldsInTheWay)
    );
    let book = store.book("default");
    assert_eq!((book.pending.len(), book.usage()), (50, MilliCpu(50_000)));
}

#[tokio::test]
async fn requests_that_come_together_share_a_write() {
    let store = Memory::with(&[("default", 1000)]);
    let metrics = LedgerMetrics::default();
    let ledger = Ledger::new(
        Arc::clone(&store) as Arc<dyn QuotaStore>,
        Settings::default(),
        metrics.clone(),
    );
    let quotas = [key("default")];
    let names: Vec<_> = (0..100).map(|index| format!("c{index}")).collect();
    let verdicts = join_all(
        names
            .iter()
            .map(|name| ledger.reserve(&quotas, start(name, 1), soon())),
    )
    .await;
    assert!(verdicts.iter().all(admitted));
    assert!(
        metrics.writes() <= 3,
        "{} writes for 100 requests at once",
        metrics.writes()
    );
}

#[tokio::test]
async fn a_refusal_from_an_old_copy_is_checked_live_first() {
    let store = Memory::with(&[("default", 2)]);
    let ledger = replica(&store);
    assert!(admitted(
        &ledger
            .reserve(&[key("default")], start("a", 2), soon())
            .await
    ));
    *store.stale.lock().unwrap() = Some(store.stored(&key("default")).unwrap());
    // Elsewhere the hold is confirmed and the cluster is gone again.
    let copy = store.stored(&key("default")).unwrap();
    let account = copy.account.clone().unwrap();
    store
        .commit(
            &copy,
            &account,
            &Book {
                pending: vec![],
                ..account.book.clone()
            },
        )
        .unwrap();
    assert!(admitted(
        &ledger
            .reserve(&[key("default")], start("b", 2), soon())
            .await
    ));
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_others_write_to_all_the_time_is_read_once() {
    let store = Memory::with(&[("default", 2)]);
    store.busy.store(true, Ordering::Relaxed);
    let ledger = replica(&store);
    let within = Duration::from_secs(1);
    for run in [Run::Real, Run::DryRun] {
        let too_much = Reserve {
            run,
            ..start("a", 3)
        };
        store.reads.store(0, Ordering::Relaxed);
        let verdict = ledger
            .reserve(&[key("default")], too_much, Instant::now() + within)
            .await;
        assert_eq!(*reason(&verdict), Reason::OverLimit, "{run:?}");
        assert!(store.reads.load(Ordering::Relaxed) <= 2, "{run:?}");
    }
    tokio::time::sleep(within).await;
    let verdict = ledger
        .reserve(&[key("default")], start("b", 2), Instant::now() + within)
        .await;
    assert!(admitted(&verdict), "{verdict:?}");
}

#[tokio::test(start_paused = true)]
async fn who_has_departed_is_not_decided_again_and_again() {
    let store = Memory::with(&[("default", 5)]);
    store.overtaken.store(true, Ordering::Relaxed);
    let ledger = replica(&store);
    let within = Duration::from_secs(1);
    let verdict = ledger
        .reserve(&[key("default")], start("a", 2), Instant::now() + within)
        .await;
    assert_eq!(*reason(&verdict), Reason::Contended);
    tokio::time::sleep(within).await;
    let reads = store.reads.load(Ordering::Relaxed);
    tokio::time::sleep(within).await;
    assert_eq!(store.reads.load(Ordering::Relaxed), reads);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asks_for_is_kept_by_nobody() {
    let names: Vec<_> = (0..1000).map(|index| format!("q{index}")).collect();
    let quotas: Vec<_> = names.iter().map(|name| (name.as_str(), 5)).collect();
    let store = Memory::with(&quotas);
    let ledger = replica(&store);
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    for name in &names {
        let verdict = ledger.reserve(&[key(name)], start("a", 1), soon()).await;
        assert!(admitted(&verdict), "{verdict:?}");
    }
    assert_eq!(tasks(), before + names.len());
    tokio::time::sleep(Duration::from_mins(11)).await;
    assert_eq!(tasks(), before);
    for name in names.iter().take(2) {
        let verdict = ledger.reserve(&[key(name)], start("b", 1), soon()).await;
        assert!(admitted(&verdict), "{verdict:?}");
        assert_eq!(store.book(name).pending.len(), 2);
    }
    assert_eq!(tasks(), before + 2);
}

#[tokio::test]
async fn a_write_that_happened_unheard_is_not_made_twice() {
    for fault in [Fault::Unheard, Fault::Lost] {
        let store = Memory::with(&[("default", 5)]);
        store.fault(fault);
        let verdict = replica(&store)
            .reserve(&[key("default")], start("a", 3), soon())
            .await;
        assert!(admitted(&verdict), "{verdict:?}");
        assert_eq!(store.book("default").pending.len(), 1);
    }
}

#[tokio::test]
async fn a_handler_that_goes_away_leaves_no_hold() {
    let store = Memory::with(&[("default", 5)]);
    let ledger = replica(&store);
    store.fault(Fault::Held);
    let quotas = [key("default")];
    let gone = {
        let request = ledger.reserve(&quotas, start("a", 3), soon());
        tokio::select! { _ = request => false, () = store.arrived.notified() => true }
    };
    assert!(gone, "the write was to be held up");
    store.go.notify_one();
    store
        .until("the write has happened", || {
            store.version.load(Ordering::Relaxed) > 1
        })
        .await;
    store
        .until("the hold is taken back", || {
            store.book("default").pending.is_empty()
        })
        .await;
}

#[tokio::test]
async fn what_is_not_decided_by_the_deadline_asks_to_come_again_and_holds_nothing() {
    let store = Memory::with(&[("default", 5)]);
    store.fault(Fault::Held);
    let ledger = replica(&store);
    let verdict = ledger
        .reserve(
            &[key("default")],
            start("a", 3),
            Instant::now() + Duration::from_millis(200),
        )
        .await;
    let unheard = Reason::Unreachable("no answer in time".to_owned());
    assert_eq!(*reason(&verdict), unheard);
    let Verdict::Refused(refusal) = &verdict else {
        panic!()
    };
    assert_eq!(
        (refusal.code().number(), refusal.retry_after_seconds()),
        (429, Some(1))
    );
    store.go.notify_one();
    store
        .until("the write has happened", || {
            store.version.load(Ordering::Relaxed) > 1
        })
        .await;
    store
        .until("the hold is taken back", || {
            store.book("default").pending.is_empty()
        })
        .await;
}

#[tokio::test]
async fn several_quotas_hold_together_or_not_at_all() {
    let store = Memory::with(&[("a", 10), ("b", 10), ("small", 2)]);
    let ledger = replica(&store);
    let all = [key("small"), key("b"), key("a"), key("a")];
    let verdict = ledger.reserve(&all, start("x", 3), soon()).await;
    assert_eq!(*reason(&verdict), Reason::OverLimit);
    let Verdict::Refused(refusal) = &verdict else {
        panic!()
    };
    assert_eq!(refusal.quota, key("small"));
    store
        .until("the others are taken back", || {
            ["a", "b"]
                .iter()
                .all(|name| store.book(name).pending.is_empty())
        })
        .await;
    assert!(admitted(&ledger.reserve(&all, start("y", 2), soon()).await));
    assert!(
        ["a", "b", "small"]
            .iter()
            .all(|name| store.book(name).pending.len() == 1)
    );
}

#[tokio::test]
async fn modes_that_do_not_enforce_hold_wherever_they_can() {
    let store = Memory::with(&[("a", 2), ("b", 10)]);
    store
        .quotas
        .lock()
        .unwrap()
        .get_mut(&key("b"))
        .unwrap()
        .status = None;
    let request = Reserve {
        enforcement: Enforcement::LetThrough,
        ..start("x", 3)
    };
    let verdict = replica(&store)
        .reserve(&[key("a"), key("b")], request, soon())
        .await;
    let Verdict::Admitted { over } = verdict else {
        panic!("{verdict:?}")
    };
    let reasons: Vec<_> = over
        .iter()
        .map(|over| over.refusal.reason.clone())
        .collect();
    assert_eq!(reasons, [Reason::OverLimit, Reason::NotInitialised]);
    assert_eq!(store.book("a").pending.len(), 1);
}

#[tokio::test]
async fn a_dry_run_and_a_decrease_write_nothing() {
    let store = Memory::with(&[("default", 5)]);
    let ledger = replica(&store);
    let dry = |cpu| Reserve {
        run: Run::DryRun,
        ..start("a", cpu)
    };
    assert!(admitted(
        &ledger.reserve(&[key("default")], dry(5), soon()).await
    ));
    assert_eq!(
        *reason(&ledger.reserve(&[key("default")], dry(6), soon()).await),
        Reason::OverLimit
    );
    let reads = store.reads.load(Ordering::Relaxed);
    let less = Reserve {
        from: MilliCpu(9000),
        ..start("a", 8)
    };
    assert!(admitted(
        &ledger
            .reserve(&[key("absent"), key("default")], less, soon())
            .await
    ));
    assert_eq!(
        store.reads.load(Ordering::Relaxed),
        reads,
        "a decrease asks nobody"
    );
    assert_eq!(store.version.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_quota_that_is_gone_limits_nothing_and_a_broken_one_says_so() {
    let store = Memory::with(&[("broken", 5)]);
    store
        .quotas
        .lock()
        .unwrap()
        .get_mut(&key("broken"))
        .unwrap()
        .spec
        .hard
        .cpu = json!("many");
    let ledger = replica(&store);
    assert!(admitted(
        &ledger
            .reserve(&[key("deleted")], start("a", 3), soon())
            .await
    ));
    let verdict = ledger
        .reserve(&[key("broken")], start("a", 3), soon())
        .await;
    let Verdict::Refused(refusal) = &verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!(
        refusal.message("sessioncluster", "a"),
        "CpuQuota \"team-a/broken\": starting sessioncluster \"a\" needs 3 CPU, but the quota cannot be read: spec.hard.cpu must be \
         a number of CPUs such as 0.5, 2 or \"500m\". Nothing was changed; try again in a moment. If this lasts, correct the \
         quota. [quota/cpu]"
    );
}

/// Found by tracing the code: all that were asked for counted, whether they were there or not.
#[tokio::test]
async fn only_holds_that_were_there_count_as_taken_back() {
    let store = Memory::with(&[("default", 50)]);
    let ledger = replica(&store);
    let mut untold = Vec::new();
    for name in ["a", "b"] {
        let (verdict, holds) = ledger
            .reserve_untold(&[key("default")], start(name, 1), soon())
            .await;
        assert!(admitted(&verdict));
        untold.push(holds);
    }
    // The leader has dropped one of them in the meantime.
    let copy = store.stored(&key("default")).unwrap();
    let account = copy.account.clone().unwrap();
    let first = account.book.pending[0].id.clone();
    let book = account.book.release(&[first]).unwrap();
    store.commit(&copy, &account, &book).unwrap();
    drop(untold);
    store
        .until("the other is taken back", || {
            store.book("default").pending.is_empty()
        })
        .await;
    store
        .until("it is counted", || ledger.metrics().taken_back() > 0)
        .await;
    assert_eq!(ledger.metrics().taken_back(), 1);
}
