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
use sluice_certs::authority;
use sluice_certs::bundle::{Target, TargetKind};
use sluice_certs::generations::Generations;
use sluice_certs::{Keeper, LeafResolver, Settings, State};
use std::sync::Arc;
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
        fake.conflicts, 4,
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

#[tokio::test]
async fn a_ca_that_nears_its_end_gets_a_successor_and_old_leaves_stay_trusted() {
    let fake = Fake::with_configurations(&[MUTATING, VALIDATING]);
    let past = Timestamp::now();
    let mut replicas = [keeper(&fake), keeper(&fake)];
    for (keeper, _) in &mut replicas {
        keeper.tick(past).await;
    }
    let now = past + authority::LIFETIME - authority::RENEW_BEFORE + SignedDuration::from_secs(60);
    // The replica that has not ticked yet serves a leaf of the old CA. Mint it fresh, so that only its CA is old.
    let stored = fake.lock().unwrap().objects[SECRET].clone();
    let secret: k8s_openapi::api::core::v1::Secret = serde_json::from_value(stored).unwrap();
    let old = Generations::read("test", &secret.data.unwrap()).unwrap();
    let old_leaf = old.current.sign(&["127.0.0.1".to_owned()], now).unwrap();
    let state = replicas[0].0.tick(now).await;
    let State::Ready { ca_ends, .. } = state else {
        panic!("{state:?}")
    };
    assert!(ca_ends > old.current.not_after());
    let bundle = fake.lock().unwrap().bundle(VALIDATING);
    assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 2);
    old_leaf.verify(&bundle, "127.0.0.1", now).unwrap();
    replicas[0]
        .1
        .current()
        .unwrap()
        .verify(&bundle, "127.0.0.1", now)
        .unwrap();
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
