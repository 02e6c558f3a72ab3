//! Histories made by hand: a good one, and for each promise one that breaks it.

use super::*;
use crate::history::{Held, Limit, Told};
use crate::place::Kind;

fn place(namespace: &str, name: &str) -> Place {
    Place {
        kind: Kind::SessionCluster,
        namespace: namespace.into(),
        name: name.into(),
    }
}

fn workload(uid: &str, generation: i64, charge: u64, operation: u64) -> Workload {
    Workload {
        uid: uid.into(),
        generation,
        charge,
        operation: Some(operation),
        missing: Vec::new(),
    }
}

fn held(uid: &str, base: u64, to: u64) -> Held {
    Held {
        id: format!("r-{uid}"),
        place: place("a", uid),
        uid: uid.into(),
        base,
        from: 0,
        to,
    }
}

/// A history in the making; revisions count up by themselves.
#[derive(Default)]
struct Scene {
    history: Vec<Change>,
    attempts: Attempts,
    limit: (u64, u64),
}

impl Scene {
    fn next(&self) -> u64 {
        self.history.len() as u64 + 10
    }

    fn push(mut self, what: Written) -> Self {
        let revision = self.next();
        self.history.push(Change { revision, what });
        self
    }

    /// The quota of namespace `a`: its limit, and what its ledger counts.
    fn quota(mut self, hard: u64, usage: u64) -> Self {
        self.limit = (hard, usage);
        let limit = Limit {
            hard,
            generation: 1,
            namespaces: Some(vec!["a".into(), "lenient".into()]),
            ledger: Some(Told {
                observed: 1,
                confirmed: 0, // nothing, in no snapshot
                usage,
                holds: Vec::new(),
                snapshot: BTreeMap::new(),
                used: sluice_policy::MilliCpu(usage).to_string(),
            }),
        };
        self.push(Written::Quota(Quota::Of("a".into()), Some(limit)))
    }

    /// The ledger takes in more.
    fn usage(self, usage: u64) -> Self {
        let hard = self.limit.0;
        self.quota(hard, usage)
    }

    /// A create that was sent when the newest revision was this long ago.
    fn create(mut self, at: &Place, charge: u64, operation: u64, ago: u64) -> Self {
        let sent = self.next() - 1 - ago;
        self.attempts.creates.insert(operation, sent);
        let uid = format!("uid-{operation}");
        self.hold(&uid, 0, charge).push(Written::Workload(
            at.clone(),
            Some(workload(&uid, 1, charge, operation)),
        ))
    }

    /// The newest writing of the quota has a hold more.
    fn hold(mut self, uid: &str, base: u64, to: u64) -> Self {
        let newest = self
            .history
            .iter_mut()
            .rev()
            .find_map(|change| match &mut change.what {
                Written::Quota(_, Some(limit)) => limit.ledger.as_mut(),
                _ => None,
            });
        if let Some(told) = newest {
            told.holds.push(held(uid, base, to));
        }
        self
    }

    fn check(&self) -> Verdict {
        check(&self.history, &self.attempts, |namespace| {
            namespace != "lenient"
        })
    }

    fn broken(&self) -> Vec<(Promise, u64)> {
        let violations = self.check().violations;
        violations
            .iter()
            .map(|one| (one.promise, one.revision.unwrap()))
            .collect()
    }
}

#[test]
fn a_count_from_an_older_view_is_found() {
    let mut scene = Scene::default();
    for at in [20, 20, 25, 24] {
        scene = scene.quota(9000, 0);
        if let Some(Written::Quota(_, Some(limit))) =
            scene.history.last_mut().map(|change| &mut change.what)
        {
            let snapshot = &mut limit.ledger.as_mut().unwrap().snapshot;
            snapshot.insert("sessionclusters.sluice.dev".into(), at);
        }
    }
    assert_eq!(scene.broken(), [(Promise::Monotonic, 13)]);
    assert_eq!(
        scene.check().violations[0].seen,
        "CpuQuota a/default: sessionclusters.sluice.dev at revision 24, and at 25 before"
    );
}

#[test]
fn what_fits_is_no_violation() {
    let scene = Scene::default()
        .quota(4000, 4000)
        .create(&place("a", "x"), 3000, 1, 0)
        .create(&place("a", "y"), 1000, 2, 0);
    let verdict = scene.check();
    assert_eq!(verdict.violations, []);
    assert_eq!(
        (verdict.changes, verdict.increases, verdict.sums),
        (3, 2, 2)
    );
}

#[test]
fn one_thousandth_above_the_limit_is_found() {
    let scene = Scene::default()
        .quota(4000, 4001)
        .create(&place("a", "x"), 3000, 1, 0)
        .create(&place("a", "y"), 1001, 2, 0);
    assert_eq!(scene.broken(), [(Promise::WithinLimit, 12)]);
    let found = &scene.check().violations[0];
    assert_eq!(found.operation, Some(2));
    assert_eq!(
        found.seen,
        "SessionCluster a/y from 0 m to 1001 m: CpuQuota a/default allowed 4000 m since revision 11, and 4001 m live"
    );
}

#[test]
fn a_lowered_limit_binds_only_who_asks_after_it() {
    let lowered = Scene::default()
        .quota(4000, 4000)
        .create(&place("a", "x"), 2000, 1, 0);
    let lowered = lowered.quota(1000, 4000);
    assert_eq!(
        lowered.broken(),
        [],
        "lowering under usage takes nothing away"
    );
    // Sent before the limit was lowered: its hold may be older than the edit.
    let scene = Scene {
        history: lowered.history.clone(),
        attempts: lowered.attempts.clone(),
        limit: lowered.limit,
    };
    assert_eq!(scene.create(&place("a", "y"), 1000, 2, 1).broken(), []);
    // Sent after it.
    let late = lowered.create(&place("a", "y"), 1000, 2, 0);
    assert_eq!(late.broken(), [(Promise::WithinLimit, 13)]);
}

#[test]
fn a_wider_scope_binds_only_who_asks_after_it() {
    let widened = Scene::default()
        .quota(4000, 4000)
        .create(&place("b", "x"), 3000, 1, 0)
        .create(&place("a", "y"), 3000, 2, 0);
    let widened = widened.quota(4000, 4000);
    let mut wider = Scene {
        history: widened.history.clone(),
        attempts: widened.attempts.clone(),
        limit: widened.limit,
    };
    if let Some(Written::Quota(_, Some(limit))) =
        wider.history.last_mut().map(|change| &mut change.what)
    {
        limit.namespaces = Some(vec!["a".into(), "b".into()]);
    }
    let before = |scene: &Scene| Scene {
        history: scene.history.clone(),
        attempts: scene.attempts.clone(),
        limit: scene.limit,
    };
    let within = |scene: Scene| {
        let broken = scene.broken();
        broken
            .iter()
            .any(|(promise, _)| *promise == Promise::WithinLimit)
    };
    // Sent before: its hold may be older than the edit.
    assert!(!within(before(&wider).create(&place("a", "z"), 1000, 3, 1)));
    // Sent after it, and sent before it where it did not fit then either.
    assert!(within(before(&wider).create(&place("a", "z"), 1000, 3, 0)));
    assert!(within(before(&wider).create(&place("a", "z"), 1001, 3, 1)));
}

#[test]
fn what_a_lenient_namespace_holds_is_not_laid_to_the_others() {
    let scene = Scene::default()
        .quota(4000, 3000)
        .create(&place("lenient", "x"), 9000, 1, 0)
        .create(&place("a", "y"), 3000, 2, 0);
    assert_eq!(scene.broken(), []);
    let scene = scene.usage(4001).create(&place("a", "z"), 1001, 3, 0);
    assert_eq!(scene.broken(), [(Promise::WithinLimit, 14)]);
}

#[test]
fn a_status_write_that_raises_a_charge_is_found() {
    let x = place("a", "x");
    let scene = Scene::default().quota(4000, 4000).create(&x, 1000, 1, 0);
    let scene = scene.push(Written::Workload(x, Some(workload("uid-1", 1, 2000, 1))));
    assert_eq!(scene.broken(), [(Promise::NeverByStatus, 12)]);
}

#[test]
fn what_lives_without_a_hold_is_found() {
    let scene = Scene::default()
        .quota(9000, 0)
        .create(&place("a", "x"), 1000, 1, 0);
    assert_eq!(scene.broken(), [(Promise::Covered, 11)]);
    // A hold that is dropped before its object is counted.
    let scene = Scene::default()
        .quota(9000, 1000)
        .create(&place("a", "x"), 1000, 1, 0);
    assert_eq!(scene.broken(), []);
    assert_eq!(scene.usage(0).broken(), [(Promise::Covered, 12)]);
}

#[test]
fn an_increase_without_its_very_hold_is_found() {
    let x = place("a", "x");
    for (uid, base, to) in [("uid-2", 0, 1000), ("uid-1", 7, 1000), ("uid-1", 0, 999)] {
        let mut scene = Scene::default().quota(9000, 9000).create(&x, 1000, 1, 0);
        if let Written::Quota(_, Some(limit)) = &mut scene.history[0].what {
            limit.ledger.as_mut().unwrap().holds.clear();
        }
        assert_eq!(
            scene.hold(uid, base, to).broken(),
            [(Promise::Held, 11)],
            "room enough, but for another transition: {uid} {base} {to}"
        );
    }
}

#[test]
fn an_update_is_judged_by_what_its_own_sender_knew() {
    let x = place("a", "x");
    let sent = |operation, scales, known| Update {
        operation,
        scales,
        known,
    };
    let mut attempts = Attempts::default();
    let all = vec![
        sent(4, false, 10),
        sent(5, true, 20),
        sent(6, true, 15),
        sent(7, false, 30),
    ];
    attempts.updates.insert((x.clone(), 9), all);
    let known = |operation| attempts.sent(&x, 9, operation);
    assert_eq!(
        known(Some(7)),
        Some(30),
        "not what an earlier sender knew, who was refused"
    );
    assert_eq!(
        known(Some(2)),
        Some(15),
        "a scale leaves the annotation as it was"
    );
    assert_eq!(attempts.sent(&x, 8, Some(7)), None);
}

#[test]
fn a_count_that_is_not_what_lived_at_its_snapshot_is_found() {
    let (x, y) = (place("a", "x"), place("b", "y"));
    let counted = |scene: Scene, confirmed: u64, at: u64| {
        let mut scene = scene.quota(9000, 9000);
        let Some(Written::Quota(_, Some(limit))) =
            scene.history.last_mut().map(|last| &mut last.what)
        else {
            panic!("a quota was written last")
        };
        let told = limit.ledger.as_mut().unwrap();
        told.confirmed = confirmed;
        told.snapshot = BTreeMap::from([("sessionclusters.sluice.dev".to_owned(), at)]);
        scene
    };
    let write = |scene: Scene, place: &Place, charge| {
        scene.push(Written::Workload(
            place.clone(),
            Some(workload("u", 1, charge, 1)),
        ))
    };
    // Revisions 10, 11 and 12; `b` is not in its scope.
    let scene = || write(write(write(Scene::default(), &x, 1000), &y, 500), &x, 4000);
    let broken = |confirmed, at| -> Vec<_> {
        let all = counted(scene(), confirmed, at).broken().into_iter();
        all.filter(|(promise, _)| *promise == Promise::Exact)
            .collect()
    };
    for (confirmed, at) in [(0, 9), (1000, 10), (1000, 11), (4000, 12), (4000, 99)] {
        assert_eq!(broken(confirmed, at), [], "{confirmed} at {at}");
    }
    for (confirmed, at) in [(1000, 12), (4000, 11), (4500, 12)] {
        assert_eq!(
            broken(confirmed, at),
            [(Promise::Exact, 13)],
            "{confirmed} at {at}"
        );
    }
}

#[test]
fn what_a_webhook_could_not_know_yet_may_rise_without_a_hold_until_it_is_counted() {
    let begin = Instant::now();
    let clock = |seconds, revision| (begin + Duration::from_secs(seconds), revision);
    let scene = |sent: u64| {
        let x = place("a", "x");
        let mut scene = Scene::default()
            .push(Written::Workload(place("b", "y"), None)) // 10: the run begins
            .quota(2000, 0); // 11: a new quota
        scene.attempts.clock = vec![clock(0, 10), clock(1, 11), clock(20, 12), clock(27, 13)];
        scene.attempts.creates.insert(1, sent);
        scene.push(Written::Workload(x, Some(workload("u", 1, 3000, 1))))
    };
    assert_eq!(
        scene(12).broken(),
        [],
        "neither held nor within the limit, as nobody could know"
    );
    assert_eq!(
        scene(13).broken()[..1],
        [(Promise::Held, 12)],
        "26 s later everybody knows"
    );
    let counted = |snapshot: u64| {
        let mut scene = scene(12).quota(2000, 0);
        if let Some(Written::Quota(_, Some(limit))) =
            scene.history.last_mut().map(|last| &mut last.what)
        {
            let told = limit.ledger.as_mut().unwrap();
            told.snapshot = BTreeMap::from([("sessionclusters.sluice.dev".to_owned(), snapshot)]);
            told.confirmed = if snapshot < 12 { 0 } else { 3000 };
        }
        scene.broken()
    };
    assert_eq!(counted(11), [], "an older view does not have it");
    assert_eq!(
        counted(12),
        [(Promise::Covered, 13)],
        "a count that has it tells less than lives"
    );
}

/// A quota of `a` that comes to count `b` as well at revision 11, and what is written from 12 on; all within [`NEWS`].
fn comes_to_count_b() -> Scene {
    let begin = Instant::now();
    let mut scene = Scene::default()
        .scope(1, &["a"], 0) // 10: the run begins
        .scope(2, &["a", "b"], 0);
    scene.attempts.clock = vec![
        (begin, 10),
        (begin + Duration::from_secs(1), 11),
        (begin + Duration::from_secs(40), 99),
    ];
    scene
}

impl Scene {
    /// The quota counts these namespaces, and its ledger this much in the scope that it had at this generation.
    fn scope(self, generation: i64, namespaces: &[&str], usage: u64) -> Self {
        let mut scene = self.quota(9000, usage);
        if let Some(Written::Quota(_, Some(limit))) =
            scene.history.last_mut().map(|last| &mut last.what)
        {
            limit.generation = generation;
            limit.namespaces = Some(namespaces.iter().map(|name| (*name).into()).collect());
        }
        scene
    }

    /// An object that nobody has held CPU for, made by somebody who knew of everything.
    fn unheld(mut self, namespace: &str, name: &str, charge: u64, operation: u64) -> Self {
        let known = self.next() - 1;
        self.attempts.creates.insert(operation, known);
        let made = workload(name, 1, charge, operation);
        self.push(Written::Workload(place(namespace, name), Some(made)))
    }
}

#[test]
fn only_what_a_quota_newly_counts_may_be_unknown() {
    assert_eq!(comes_to_count_b().unheld("b", "x", 1000, 1).broken(), []);
    assert_eq!(
        comes_to_count_b().unheld("a", "x", 1000, 1).broken(),
        [(Promise::Held, 12)],
        "it has counted `a` all along"
    );
    let narrowed = comes_to_count_b().scope(3, &["b"], 0);
    let again = narrowed.scope(4, &["a", "b"], 0);
    assert_eq!(again.unheld("a", "x", 1000, 1).broken(), []);
}

#[test]
fn what_is_set_aside_stays_so_over_another_edit_and_until_a_count_has_it() {
    // A rises with its hold, by a webhook whose ledger does not have what `b` holds.
    let rises = |scene: Scene| scene.usage(9000).create(&place("a", "y"), 9000, 2, 0);
    let within = |scene: Scene| {
        let broken = scene.broken();
        !broken
            .iter()
            .any(|(promise, _)| *promise == Promise::WithinLimit)
    };
    let aside = || comes_to_count_b().unheld("b", "x", 1000, 1);
    assert_eq!(aside().check().set_aside, 1);
    assert!(within(rises(aside())));
    assert!(within(rises(aside().scope(3, &["a", "b", "c"], 0))));
    // The object is gone, and its CPU with it: 9001 of others are too many.
    let gone = aside().push(Written::Workload(place("b", "x"), None));
    let gone = gone.usage(9001).create(&place("a", "y"), 9001, 2, 0);
    assert!(!within(gone));
}

#[test]
fn an_object_without_its_defaults_is_found() {
    let mut bare = workload("u", 1, 0, 1);
    bare.missing = vec!["/spec/logging".to_owned()];
    let scene = Scene::default().push(Written::Workload(place("a", "x"), Some(bare)));
    assert_eq!(scene.broken(), [(Promise::Complete, 10)]);
}

#[test]
fn an_increase_that_nobody_sent_is_found() {
    let x = place("a", "x");
    let scene = Scene::default().quota(9000, 9000).create(&x, 1000, 1, 0);
    let mut scene = scene.push(Written::Workload(
        x.clone(),
        Some(workload("uid-1", 2, 3000, 2)),
    ));
    assert_eq!(scene.broken(), [(Promise::Accounted, 12)]);
    let update = Update {
        operation: 2,
        scales: false,
        known: 11,
    };
    scene.attempts.updates.insert((x, 11), vec![update]);
    assert_eq!(scene.broken(), [(Promise::Held, 12)]);
    assert_eq!(scene.hold("uid-1", 11, 3000).broken(), []);
}

#[test]
fn another_object_of_the_same_name_is_charged_anew() {
    let x = place("a", "x");
    let scene = Scene::default()
        .quota(2000, 4000)
        .create(&x, 2000, 1, 0)
        .push(Written::Workload(x.clone(), None))
        .create(&x, 2000, 2, 0);
    assert_eq!(scene.broken(), []);
    assert_eq!(
        scene.create(&place("a", "y"), 1, 3, 0).broken(),
        [(Promise::WithinLimit, 14)]
    );
}

#[test]
fn rest_is_exact() {
    let x = place("a", "x");
    let mut scene = Scene::default().quota(9000, 2500).push(Written::Workload(
        x.clone(),
        Some(workload("u", 1, 2500, 1)),
    ));
    if let Written::Quota(_, Some(limit)) = &mut scene.history[0].what {
        limit.ledger.as_mut().unwrap().confirmed = 2500;
    }
    assert_eq!(scene.check().state.unrest(), [] as [String; 0]);
    let unrest = scene
        .push(Written::Workload(x, None))
        .check()
        .state
        .unrest();
    assert_eq!(
        unrest,
        ["CpuQuota a/default says used 2.5 (2500 m), but etcd holds 0 m"]
    );

    let mut scene = Scene::default().quota(9000, 0);
    if let Written::Quota(_, Some(limit)) = &mut scene.history[0].what {
        limit.ledger.as_mut().unwrap().holds = vec![held("u", 0, 1)];
        limit.generation = 2;
    }
    assert_eq!(
        scene.check().state.unrest(),
        [
            "CpuQuota a/default has 1 holds left",
            "CpuQuota a/default is not counted for its newest limit"
        ]
    );
    assert_eq!(
        Scene::default()
            .push(Written::Quota(
                Quota::Of("a".into()),
                Some(Limit {
                    hard: 1,
                    generation: 1,
                    namespaces: None,
                    ledger: None
                }),
            ))
            .check()
            .state
            .unrest(),
        ["CpuQuota a/default is not counted"]
    );
}
