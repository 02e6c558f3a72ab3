//! Several replicas against one API: one CA, bundles that all leaves verify against, readiness that tells the truth.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic
)] // a test's own failures

mod fake;

use fake::{Fake, Shared};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use sluice_certs::authority;
use sluice_certs::bundle::{Target, TargetKind};
use sluice_certs::generations::{Generations, certificates};
use sluice_certs::{Keeper, LeafResolver, Pace, Settings, State};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECRET: &str = "/api/v1/namespaces/sluice-system/secrets/sluice-ca";
const MUTATING: &str = "mutatingwebhookconfigurations/sluice";
const VALIDATING: &str = "validatingwebhookconfigurations/sluice";

fn settings() -> Settings {
    Settings {
        namespace: "sluice-system".to_owned(),
        secret: "sluice-ca".to_owned(),
        names: vec![
            "sluice.sluice-system.svc".to_owned(),
            "127.0.0.1".to_owned(),
        ],
        targets: [TargetKind::Mutating, TargetKind::Validating]
            .map(|kind| Target {
                kind,
                name: "sluice".to_owned(),
            })
            .to_vec(),
        tick: Duration::from_mins(1),
        pace: Pace::default(),
    }
}

fn keeper(fake: &Shared) -> (Keeper, Arc<LeafResolver>) {
    let resolver = Arc::new(LeafResolver::default());
    let (keeper, _) = Keeper::new(fake::client(fake), settings(), Arc::clone(&resolver));
    (keeper, resolver)
}

#[tokio::test]
async fn replicas_that_start_at_once_share_one_ca() {
    let fake = Fake::with_configurations(&[MUTATING, VALIDATING]);
    let now = Timestamp::now();
    let mut replicas: Vec<_> = (0..5).map(|_| keeper(&fake)).collect();
    let states =
        futures::future::join_all(replicas.iter_mut().map(|(keeper, _)| keeper.tick(now))).await;
    for state in states {
        assert!(matches!(state, State::Ready { .. }), "{state:?}");
    }
    let fake = fake.lock().unwrap();
    assert_eq!(
        fake.conflicts.iter().filter(|path| *path == SECRET).count(),
        4,
        "all but one lost the race for the Secret"
    );
    let bundle = fake.bundle(VALIDATING);
    assert_eq!(bundle, fake.bundle(MUTATING));
    assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 1);
    let mut keys = Vec::new();
    for (_, resolver) in &replicas {
        let leaf = resolver.current().unwrap();
        leaf.verify(&bundle, "sluice.sluice-system.svc", now)
            .unwrap();
        keys.push(leaf.certified().end_entity_cert().unwrap().to_vec());
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 5, "each has a leaf of its own");
    for (_, query) in &fake.applied {
        assert!(
            query.contains("fieldManager=sluice-certs") && query.contains("force=true"),
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_second_tick_writes_nothing_and_keeps_the_leaf() {
    let fake = Fake::with_configurations(&[MUTATING, VALIDATING]);
    let now = Timestamp::now();
    let (mut keeper, resolver) = keeper(&fake);
    keeper.tick(now).await;
    let (leaf, objects, applied) = {
        let fake = fake.lock().unwrap();
        (
            resolver.current().unwrap(),
            fake.objects.clone(),
            fake.applied.len(),
        )
    };
    let state = keeper.tick(now + SignedDuration::from_mins(1)).await;
    assert!(matches!(state, State::Ready { .. }), "{state:?}");
    assert!(Arc::ptr_eq(&leaf, &resolver.current().unwrap()));
    let fake = fake.lock().unwrap();
    assert_eq!(fake.objects, objects);
    assert_eq!(fake.applied.len(), applied);
}

#[tokio::test]
async fn a_bundle_that_somebody_overwrote_is_set_right() {
    let fake = Fake::with_configurations(&[MUTATING, VALIDATING]);
    let now = Timestamp::now();
    let (mut keeper, _) = keeper(&fake);
    keeper.tick(now).await;
    fake.lock().unwrap().install(VALIDATING);
    assert_eq!(fake.lock().unwrap().bundle(VALIDATING), "");
    let state = keeper.tick(now).await;
    assert!(matches!(state, State::Ready { .. }), "{state:?}");
    let fake = fake.lock().unwrap();
    assert_eq!(fake.bundle(VALIDATING), fake.bundle(MUTATING));
}

#[tokio::test]
async fn not_ready_until_the_configurations_exist_but_serving_already() {
    let fake = Fake::with_configurations(&[MUTATING]);
    let now = Timestamp::now();
    let (mut keeper, resolver) = keeper(&fake);
    assert_eq!(
        keeper.tick(now).await,
        State::NotReady(
            "ValidatingWebhookConfiguration sluice cannot be read: it does not exist; install it (chart, or sluice up)"
                .to_owned()
        )
    );
    assert!(resolver.current().is_some());
    fake.lock().unwrap().install(VALIDATING);
    let state = keeper.tick(now).await;
    assert!(matches!(state, State::Ready { .. }), "{state:?}");
}

#[tokio::test]
async fn an_api_that_is_away_changes_nothing_while_the_leaf_is_good_and_the_leaf_is_renewed_meanwhile()
 {
    let fake = Fake::with_configurations(&[MUTATING, VALIDATING]);
    let now = Timestamp::now();
    let (mut keeper, resolver) = keeper(&fake);
    keeper.tick(now).await;
    let first = resolver.current().unwrap();
    fake.lock().unwrap().down = true;
    let state = keeper.tick(now + SignedDuration::from_hours(1)).await;
    assert!(matches!(state, State::Ready { .. }), "{state:?}");
    let later = now + SignedDuration::from_hours(6 * 24);
    let State::Ready { leaf_ends, .. } = keeper.tick(later).await else {
        panic!("not ready")
    };
    assert!(leaf_ends > first.not_after());
}

#[tokio::test(start_paused = true)]
async fn an_api_that_never_answers_keeps_no_leaf_from_being_renewed() {
    let fake = Fake::with_configurations(&[MUTATING, VALIDATING]);
    let now = Timestamp::now();
    let left = Arc::new(AtomicUsize::new(usize::MAX));
    let resolver = Arc::new(LeafResolver::default());
    let client = fake::client_for(&fake, Arc::clone(&left));
    let (mut keeper, _) = Keeper::new(client, settings(), Arc::clone(&resolver));
    let state = keeper.tick(now).await;
    assert!(matches!(state, State::Ready { .. }), "{state:?}");
    let first = resolver.current().unwrap();
    left.store(0, Relaxed);
    let later = keeper.tick(now + SignedDuration::from_hours(5 * 24));
    let ticked = tokio::time::timeout(Duration::from_mins(5), later).await;
    let Ok(State::Ready { leaf_ends, .. }) = ticked else {
        panic!("{ticked:?}")
    };
    assert!(leaf_ends > first.not_after());
    assert_eq!(resolver.current().unwrap().not_after(), leaf_ends);
    // Once what is known is good no more, nobody is told that all is well.
    let over = keeper.tick(now + authority::LIFETIME * 2).await;
    assert_eq!(
        over,
        State::NotReady(
            "the API server left the CA and the caBundles unanswered for 30 s".to_owned()
        )
    );
}

/// The CAs as they are stored.
fn stored(fake: &Fake) -> Generations {
    let secret: Secret = serde_json::from_value(fake.objects[SECRET].clone()).unwrap();
    Generations::read("test", &secret.data.unwrap()).unwrap()
}

#[tokio::test]
async fn a_ca_that_nears_its_end_is_replaced_in_phases_and_then_left_alone() {
    let fake = Fake::with_configurations(&[MUTATING, VALIDATING]);
    let past = Timestamp::now();
    let (mut keeper, resolver) = keeper(&fake);
    keeper.tick(past).await;
    let trusted = |fake: &Shared| {
        let bundle = fake.lock().unwrap().bundle(VALIDATING);
        bundle.matches("BEGIN CERTIFICATE").count()
    };
    let mut now =
        past + authority::LIFETIME - authority::RENEW_BEFORE + SignedDuration::from_secs(60);
    let old = stored(&fake.lock().unwrap()).current.not_after();
    keeper.tick(now).await;
    assert_eq!(trusted(&fake), 2, "the next one is announced");
    assert_eq!(stored(&fake.lock().unwrap()).current.not_after(), old);
    let pace = Pace::default();
    now += pace.dwell;
    let State::Ready { ca_ends, .. } = keeper.tick(now).await else {
        panic!("not ready")
    };
    assert!(ca_ends > old);
    assert_eq!(trusted(&fake), 2, "the old one is trusted still");
    now += pace.dwell;
    keeper.tick(now).await;
    assert!(
        resolver
            .current()
            .unwrap()
            .verify(
                stored(&fake.lock().unwrap()).current.certificate_pem(),
                "127.0.0.1",
                now
            )
            .is_ok()
    );
    now += pace.retire;
    keeper.tick(now).await;
    assert_eq!(trusted(&fake), 1);
    assert!(!stored(&fake.lock().unwrap()).data().contains_key("since"));
    let before = fake.lock().unwrap().objects.clone();
    keeper.tick(now + SignedDuration::from_hours(24)).await;
    assert_eq!(
        fake.lock().unwrap().objects,
        before,
        "nothing is left to do"
    );
}

#[tokio::test]
async fn a_secret_that_somebody_broke_is_made_anew() {
    let fake = Fake::with_configurations(&[MUTATING, VALIDATING]);
    let now = Timestamp::now();
    let (mut keeper, _) = keeper(&fake);
    keeper.tick(now).await;
    fake.lock().unwrap().objects.get_mut(SECRET).unwrap()["data"]["ca.key"] =
        serde_json::json!("bm9wZQ==");
    let state = keeper.tick(now).await;
    assert!(matches!(state, State::Ready { .. }), "{state:?}");
}

#[tokio::test]
async fn a_secret_that_is_deleted_is_put_back_by_whoever_knows_it() {
    let fake = Fake::with_configurations(&[MUTATING, VALIDATING]);
    let now = Timestamp::now();
    let mut replicas = [keeper(&fake), keeper(&fake)];
    for (keeper, _) in &mut replicas {
        keeper.tick(now).await;
    }
    let before = stored(&fake.lock().unwrap()).data();
    let leaf = replicas[1].1.current().unwrap();
    fake.lock().unwrap().objects.remove(SECRET);
    replicas[0].0.tick(now).await;
    assert_eq!(stored(&fake.lock().unwrap()).data(), before);
    replicas[1].0.tick(now).await;
    assert!(Arc::ptr_eq(&leaf, &replicas[1].1.current().unwrap()));
}

#[tokio::test]
async fn a_secret_that_nobody_knows_is_made_anew_and_leaves_in_use_stay_trusted() {
    let fake = Fake::with_configurations(&[MUTATING, VALIDATING]);
    let now = Timestamp::now();
    let (mut old, resolver) = keeper(&fake);
    old.tick(now).await;
    let leaf = resolver.current().unwrap();
    fake.lock().unwrap().objects.remove(SECRET);
    // One that has just been started is first.
    let (mut new, fresh) = keeper(&fake);
    let state = new.tick(now).await;
    assert!(matches!(state, State::Ready { .. }), "{state:?}");
    let bundle = fake.lock().unwrap().bundle(VALIDATING);
    leaf.verify(&bundle, "127.0.0.1", now).unwrap();
    fresh
        .current()
        .unwrap()
        .verify(&bundle, "127.0.0.1", now)
        .unwrap();
    old.tick(now).await;
    assert!(
        Arc::ptr_eq(&leaf, &resolver.current().unwrap()),
        "API servers may not have heard of the new one"
    );
    old.tick(now + Pace::default().dwell).await;
    assert!(!Arc::ptr_eq(&leaf, &resolver.current().unwrap()));
}

#[tokio::test]
async fn clocks_that_jump_years_ahead_and_back_leave_a_leaf_that_is_valid() {
    let fake = Fake::with_configurations(&[MUTATING, VALIDATING]);
    let now = Timestamp::now();
    let (mut keeper, _) = keeper(&fake);
    keeper.tick(now).await;
    for jump in [
        authority::LIFETIME * 2,
        SignedDuration::ZERO,
        -SignedDuration::from_hours(24),
    ] {
        let state = keeper.tick(now + jump).await;
        let State::Ready { leaf_ends, ca_ends } = state else {
            panic!("{jump:?}: {state:?}")
        };
        assert!(leaf_ends > now + jump && ca_ends > now + jump);
    }
}

#[tokio::test]
async fn whoever_asks_for_another_ca_gets_one_in_phases() {
    let fake = Fake::with_configurations(&[MUTATING, VALIDATING]);
    let now = Timestamp::now();
    let (mut keeper, _) = keeper(&fake);
    keeper.tick(now).await;
    let ask = |value: &str| {
        fake.lock().unwrap().objects.get_mut(SECRET).unwrap()["metadata"]["annotations"] =
            serde_json::json!({"sluice.dev/rotate-ca": value, "kept": "x"});
    };
    ask("sideways");
    keeper.tick(now).await;
    assert!(stored(&fake.lock().unwrap()).next.is_none());
    ask("now");
    keeper.tick(now).await;
    assert!(stored(&fake.lock().unwrap()).next.is_some());
    assert_eq!(
        fake.lock().unwrap().objects[SECRET]["metadata"]["annotations"],
        serde_json::json!({"kept": "x"}),
        "it has been followed"
    );
    let before = fake.lock().unwrap().bundle(VALIDATING);
    ask("distrust");
    let state = keeper.tick(now).await;
    assert!(matches!(state, State::Ready { .. }), "{state:?}");
    let after = fake.lock().unwrap().bundle(VALIDATING);
    assert!(certificates(&after).iter().all(|pem| !before.contains(pem)));
}

/// The clock of the API server moves on to `now`.
fn set_clock(fake: &Shared, now: Timestamp) {
    fake.lock().unwrap().clock = Some(now);
}

fn writes(fake: &Shared) -> usize {
    let fake = fake.lock().unwrap();
    fake.stored.iter().filter(|path| *path == SECRET).count()
}

#[tokio::test]
async fn a_replica_whose_clock_is_behind_says_so_and_does_not_undo_what_the_others_do() {
    let fake = Fake::with_configurations(&[MUTATING, VALIDATING]);
    let mut now = Timestamp::now();
    let lag = SignedDuration::from_hours(2);
    let ((mut right, _), (mut behind, _)) = (keeper(&fake), keeper(&fake));
    set_clock(&fake, now);
    right.tick(now).await;
    let first = stored(&fake.lock().unwrap()).current;
    for _ in 0..10 {
        now += SignedDuration::from_secs(5);
        set_clock(&fake, now);
        let State::NotReady(why) = behind.tick(now - lag).await else {
            panic!("by its clock the CA is not valid yet")
        };
        assert!(why.contains("set this machine's clock"), "{why}");
        let state = right.tick(now).await;
        assert!(matches!(state, State::Ready { .. }), "{state:?}");
    }
    assert_eq!(writes(&fake), 1, "the CA was made, and left alone");
    fake.lock().unwrap().objects.get_mut(SECRET).unwrap()["metadata"]["annotations"] =
        serde_json::json!({"sluice.dev/rotate-ca": "now"});
    let (pace, minute) = (Pace::default(), SignedDuration::from_mins(1));
    for pause in [minute, minute, pace.dwell, minute, minute] {
        now += pause;
        set_clock(&fake, now);
        behind.tick(now - lag).await;
        let state = right.tick(now).await;
        assert!(matches!(state, State::Ready { .. }), "{state:?}");
    }
    let held = stored(&fake.lock().unwrap());
    assert_ne!(held.current.certificate_pem(), first.certificate_pem());
    assert!(held.current.is_valid(now) && held.next.is_none());
    assert_eq!(writes(&fake), 3, "announced, and signs");
}

#[tokio::test]
async fn a_ca_that_a_machine_with_a_wrong_clock_makes_is_valid_for_the_others() {
    let now = Timestamp::now();
    for astray in [-2, 8].map(SignedDuration::from_hours) {
        let fake = Fake::with_configurations(&[MUTATING, VALIDATING]);
        set_clock(&fake, now);
        let ((mut first, leaf), (mut second, _)) = (keeper(&fake), keeper(&fake));
        first.tick(now + astray).await;
        let bundle = fake.lock().unwrap().bundle(VALIDATING);
        let leaf = leaf.current().unwrap();
        leaf.verify(&bundle, "127.0.0.1", now).unwrap();
        let state = second.tick(now).await;
        assert!(matches!(state, State::Ready { .. }), "{astray}: {state:?}");
        assert_eq!(writes(&fake), 1, "{astray}");
    }
}

#[tokio::test]
async fn a_ca_that_is_not_valid_yet_by_the_api_servers_clock_either_is_replaced() {
    let fake = Fake::with_configurations(&[MUTATING, VALIDATING]);
    let now = Timestamp::now();
    let ahead = now + SignedDuration::from_hours(8);
    set_clock(&fake, ahead);
    let (mut keeper, _) = keeper(&fake);
    keeper.tick(ahead).await;
    set_clock(&fake, now);
    let state = keeper.tick(now).await;
    assert!(matches!(state, State::Ready { .. }), "{state:?}");
    assert!(stored(&fake.lock().unwrap()).current.is_valid(now));
}

/// Three replicas rotate; one of them dies after each possible number of calls to the API server. Whatever is stored, and whenever, both
/// bundles trust the leaf of each replica that lives: a request that comes in between is answered.
#[tokio::test(start_paused = true)]
async fn whoever_dies_in_whatever_phase_every_leaf_in_use_is_trusted_at_every_moment() {
    let pace = Pace::default();
    let mut deaths = 0;
    for calls in 1..60 {
        let fake = Fake::with_configurations(&[MUTATING, VALIDATING]);
        let start = Timestamp::now();
        let left = Arc::new(AtomicUsize::new(usize::MAX));
        let mut replicas: Vec<_> = (0..3)
            .map(|index| {
                let client = match index {
                    0 => fake::client_for(&fake, Arc::clone(&left)),
                    _ => fake::client(&fake),
                };
                let resolver = Arc::new(LeafResolver::default());
                let (keeper, _) = Keeper::new(client, settings(), Arc::clone(&resolver));
                (keeper, resolver)
            })
            .collect();
        for (keeper, _) in &mut replicas {
            keeper.tick(start).await;
        }
        let clock = Arc::new(Mutex::new(start));
        let leaves: Vec<_> = replicas.iter().map(|(_, leaf)| Arc::clone(leaf)).collect();
        let (at, alive) = (Arc::clone(&clock), Arc::clone(&left));
        fake.lock().unwrap().check = Some(Box::new(move |fake| {
            let dead = usize::from(alive.load(Relaxed) == 0);
            for bundle in [MUTATING, VALIDATING].map(|name| fake.bundle(name)) {
                for leaf in leaves.iter().skip(dead) {
                    let leaf = leaf.current().unwrap();
                    leaf.verify(&bundle, "127.0.0.1", *at.lock().unwrap())
                        .unwrap();
                }
            }
        }));
        let first = stored(&fake.lock().unwrap());
        fake.lock().unwrap().objects.get_mut(SECRET).unwrap()["metadata"]["annotations"] =
            serde_json::json!({"sluice.dev/rotate-ca": "now"});
        left.store(calls, Relaxed);
        let mut now = start;
        let days = |days: i64| SignedDuration::from_hours(24 * days);
        let minute = SignedDuration::from_mins(1);
        for pause in [minute, pace.dwell, minute, pace.dwell, days(5), days(2)] {
            now += pause;
            *clock.lock().unwrap() = now;
            // The clock of the runtime stands still: it is only when nobody else can go on that whoever died has died.
            let ticks = replicas
                .iter_mut()
                .map(|(keeper, _)| tokio::time::timeout(minute.unsigned_abs(), keeper.tick(now)));
            futures::future::join_all(ticks).await;
        }
        let held = stored(&fake.lock().unwrap());
        let first = first.current.certificate_pem();
        assert_ne!(held.current.certificate_pem(), first, "after {calls} calls");
        let over = held.next.is_none() && held.previous.is_empty();
        assert!(over, "after {calls} calls: {held:?}");
        deaths += usize::from(left.load(Relaxed) == 0);
    }
    assert!(deaths > 20, "{deaths}: too few to speak of every phase");
}
