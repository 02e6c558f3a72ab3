//! The real code under everything that the adversary has, in scenarios small enough to be explored to the end.

use std::time::Duration;

use sluice_api::quota::OnGrowth;

use crate::check::{USAGE_WITHIN_LIMIT, holds, run};
use crate::world::{QuotaPlan, Scenario, create, grow, quota, raise, repeat};

#[test]
fn replicas_compete_for_the_last_room_from_stale_copies() {
    holds(
        "three replicas, stale copies",
        Scenario {
            objects: vec![None, None, Some(0)],
            plans: vec![create(0, 2, 0), create(1, 2, 1), raise(2, 2, 2)],
            quotas: vec![quota(5)],
            replicas: 3,
            crashes: 1,
            expiries: 1,
            looks: 2,
            stale_copies: true,
            ..Scenario::default()
        },
    );
}

#[test]
fn replicas_crash_and_connections_break_at_every_step() {
    holds(
        "crashes and broken connections",
        Scenario {
            objects: vec![Some(0), None],
            plans: vec![raise(0, 3, 0), create(1, 2, 1), repeat(0, 0, 1)],
            quotas: vec![quota(5)],
            replicas: 2,
            crashes: 1,
            hangups: 1,
            lost: 1,
            expiries: 1,
            looks: 2,
            ..Scenario::default()
        },
    );
}

#[test]
fn two_leaders_count_from_snapshots_of_any_age() {
    holds(
        "two leaders, rises and falls",
        Scenario {
            objects: vec![Some(3), None],
            plans: vec![raise(0, 4, 0), create(1, 2, 0), raise(0, 3, 0)],
            quotas: vec![quota(5)],
            leaders: 2,
            falls: vec![(0, 0)],
            expiries: 1,
            looks: 3,
            ..Scenario::default()
        },
    );
}

fn reuse() -> Scenario {
    Scenario {
        objects: vec![Some(2)],
        plans: vec![create(0, 3, 0), create(0, 2, 1), raise(0, 4, 0)],
        quotas: vec![quota(6)],
        replicas: 2,
        deletes: 2,
        expiries: 1,
        looks: 3,
        ..Scenario::default()
    }
}

#[test]
fn names_are_used_again() {
    holds("delete and create again", reuse());
}

/// Counting may raise usage, without anything having been admitted: two holds under one name overlap while neither is counted,
/// and add up once the first is. What holds instead is checked everywhere: an admission leaves usage within the limit,
/// and what is really charged stays within usage and within the limit.
#[test]
fn usage_may_pass_the_limit_while_the_charge_does_not() {
    let claim = Scenario {
        claims_usage_within_limit: true,
        ..reuse()
    };
    let report = run("usage within the limit", claim, Duration::from_mins(5));
    let refuted: Vec<_> = report
        .refuted
        .iter()
        .map(|(property, _)| *property)
        .collect();
    assert_eq!(refuted, [USAGE_WITHIN_LIMIT]);
}

#[test]
fn a_late_write_meets_fences_and_status_writes() {
    holds(
        "fences, status writes, late writes",
        Scenario {
            objects: vec![Some(1), Some(0)],
            plans: vec![raise(0, 3, 0), raise(0, 2, 1), raise(1, 2, 0)],
            quotas: vec![quota(5)],
            replicas: 2,
            touches: 1,
            expiries: 1,
            looks: 2,
            ..Scenario::default()
        },
    );
}

#[test]
fn several_quotas_are_taken_together_or_not_at_all() {
    holds(
        "two quotas, take-back",
        Scenario {
            objects: vec![None, Some(0)],
            plans: vec![create(0, 2, 0), raise(1, 2, 1)],
            quotas: vec![quota(4), quota(3)],
            replicas: 2,
            leaders: 2,
            falls: vec![(1, 0)],
            crashes: 1,
            hangups: 1,
            expiries: 1,
            looks: 2,
            ..Scenario::default()
        },
    );
}

#[test]
fn limits_change_while_requests_are_under_way() {
    holds(
        "limits are edited",
        Scenario {
            objects: vec![Some(1), None],
            plans: vec![raise(0, 3, 0), create(1, 2, 0)],
            quotas: vec![quota(5)],
            falls: vec![(0, 0)],
            limits: vec![(0, 2), (0, 6)],
            expiries: 1,
            looks: 3,
            ..Scenario::default()
        },
    );
}

#[test]
fn growth_that_is_let_through_counts_for_the_next_start() {
    holds(
        "growth with onGrowth: Warn",
        Scenario {
            objects: vec![Some(2), None],
            plans: vec![grow(0, 4, 0), create(1, 2, 0), grow(0, 5, 0)],
            quotas: vec![QuotaPlan {
                on_growth: OnGrowth::Warn,
                ..quota(4)
            }],
            falls: vec![(0, 1)],
            expiries: 1,
            looks: 3,
            ..Scenario::default()
        },
    );
}

#[test]
fn nothing_starts_before_the_first_count() {
    holds(
        "not initialised",
        Scenario {
            objects: vec![Some(2), None],
            plans: vec![create(1, 2, 0), raise(0, 3, 1)],
            quotas: vec![QuotaPlan {
                initialised: false,
                ..quota(4)
            }],
            replicas: 2,
            leaders: 2,
            falls: vec![(0, 0)],
            expiries: 1,
            looks: 3,
            ..Scenario::default()
        },
    );
}

/// More of everything, for as long as `SLUICE_MODEL_SECONDS` says (default 600).
#[test]
#[ignore = "takes minutes to hours; run by hand"]
fn large() {
    let seconds = std::env::var("SLUICE_MODEL_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(600);
    let report = run(
        "large",
        Scenario {
            objects: vec![Some(2), None, Some(0)],
            plans: vec![
                raise(0, 4, 0),
                create(1, 2, 1),
                raise(2, 2, 2),
                create(1, 3, 0),
                repeat(0, 0, 1),
            ],
            quotas: vec![quota(6), quota(5)],
            replicas: 3,
            leaders: 2,
            falls: vec![(0, 0), (2, 0)],
            limits: vec![(0, 3)],
            crashes: 1,
            deletes: 1,
            touches: 1,
            lost: 1,
            hangups: 1,
            expiries: 2,
            looks: 4,
            stale_copies: true,
            ..Scenario::default()
        },
        Duration::from_secs(seconds),
    );
    assert!(report.refuted.is_empty(), "{:?}", report.refuted);
}
