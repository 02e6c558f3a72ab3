//! Negative controls: each known mistake is found out by the checker, in a scenario that the real code survives.

use crate::check::refuted;
use crate::variant::Variant;
use crate::world::{Scenario, create, quota, raise, repeat};

#[test]
fn a_counter_with_recounts_admits_too_much() {
    let scenario = Scenario {
        objects: vec![None, None],
        plans: vec![create(0, 3, 0), create(1, 3, 1)],
        quotas: vec![quota(4)],
        replicas: 2,
        variant: Variant::CounterAndRecount,
        ..Scenario::default()
    };
    refuted(
        "counter and recount",
        scenario,
        &["S1 live is within the limit"],
    );
}

#[test]
fn a_snapshot_that_goes_back_forgets_what_was_confirmed() {
    let scenario = Scenario {
        objects: vec![None, None],
        plans: vec![create(0, 3, 0), create(1, 3, 1)],
        quotas: vec![quota(4)],
        replicas: 2,
        leaders: 2,
        variant: Variant::SnapshotMayGoBack,
        ..Scenario::default()
    };
    refuted(
        "snapshot may go back",
        scenario,
        &["S4", "S1 live is within usage"],
    );
}

#[test]
fn expiry_by_time_alone_meets_the_late_write() {
    let scenario = Scenario {
        objects: vec![Some(0), None],
        plans: vec![raise(0, 3, 0), create(1, 3, 0)],
        quotas: vec![quota(4)],
        expiries: 2,
        variant: Variant::ExpireByTime,
        ..Scenario::default()
    };
    refuted("expiry by time", scenario, &["S5"]);
}

#[test]
fn confirming_by_value_takes_an_old_charge_for_the_new_one() {
    let scenario = Scenario {
        objects: vec![Some(3), None],
        plans: vec![raise(0, 3, 0), create(1, 3, 0)],
        quotas: vec![quota(6)],
        falls: vec![(0, 0)],
        variant: Variant::ConfirmByValue,
        ..Scenario::default()
    };
    refuted("confirm by value", scenario, &["S5"]);
}

#[test]
fn the_review_uid_as_key_counts_a_retry_twice() {
    let scenario = Scenario {
        objects: vec![Some(0), None],
        plans: vec![raise(0, 2, 0), repeat(0, 0, 1), create(1, 2, 0)],
        quotas: vec![quota(4)],
        replicas: 2,
        variant: Variant::ReviewUidAsKey,
        ..Scenario::default()
    };
    refuted("review uid as key", scenario, &["S6"]);
}

#[test]
fn a_hold_shared_by_two_attempts_is_lost_by_one_of_them() {
    let scenario = Scenario {
        objects: vec![Some(0)],
        plans: vec![raise(0, 3, 0), repeat(0, 0, 1)],
        quotas: vec![quota(4)],
        replicas: 2,
        hangups: 1,
        expiries: 1,
        touches: 1,
        variant: Variant::SharedHold,
        ..Scenario::default()
    };
    refuted("shared hold", scenario, &["S3"]);
}

#[test]
fn a_blind_write_wipes_out_what_others_hold() {
    let scenario = Scenario {
        objects: vec![None, None],
        plans: vec![create(0, 3, 0), create(1, 3, 1)],
        quotas: vec![quota(4)],
        replicas: 2,
        stale_copies: true,
        variant: Variant::BlindWrite,
        ..Scenario::default()
    };
    refuted("blind write", scenario, &["S5"]);
}

#[test]
fn an_old_list_does_not_prove_that_an_object_is_gone() {
    let scenario = Scenario {
        objects: vec![None],
        plans: vec![create(0, 1, 0), raise(0, 3, 0)],
        quotas: vec![quota(4)],
        variant: Variant::AbsentIsGone,
        ..Scenario::default()
    };
    refuted("absent is gone", scenario, &["S5"]);
}
