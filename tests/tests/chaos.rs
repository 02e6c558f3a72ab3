//! A short chaos run: three webhooks and two controllers of this build, seeded operations and faults, and a checker that reads etcd. What
//! happens and what must hold is `sluice-chaos`; `sluice-bench chaos` runs it at length.

use sluice_chaos::check::Promise;
use sluice_chaos::{Report, Rest, Settings};
use sluice_cluster::{Assets, Binary};
use sluice_tests::sluice_binary;

/// `None`, with a line that says why, where this machine can have no control plane.
async fn run(operations: u64, seed: u64, sabotage: Option<&str>) -> anyhow::Result<Option<Report>> {
    let Some(assets) = Assets::for_tests(Binary::ALL).await? else {
        return Ok(None);
    };
    let settings = Settings {
        sluice: sluice_binary()?,
        seed,
        operations,
        clients: 8,
        at_most: None,
        assets: Some(assets),
        env: sabotage
            .map(|word| ("SLUICE_SABOTAGE".to_owned(), word.to_owned()))
            .into_iter()
            .collect(),
        rest: if sabotage.is_some() {
            Rest::UnlessBroken
        } else {
            Rest::Always
        },
        command: format!(
            "cargo run --release -p sluice-bench -- chaos --operations {operations} --clients 8 --seed {seed}"
        ),
    };
    let report = sluice_chaos::run(&settings).await?;
    println!("{report}");
    Ok(Some(report))
}

#[tokio::test]
async fn every_promise_holds_under_fire() {
    let Some(report) = run(700, 11, None).await.unwrap() else {
        return;
    };
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.operations, 700);
    // A run in which nothing is admitted or nothing goes wrong proves nothing.
    assert!(report.verdict.increases >= 30, "{report}");
    assert!(report.faults.values().sum::<u64>() >= 8, "{report}");
}

#[tokio::test]
async fn a_ledger_that_forgets_its_holds_is_found_out() {
    let Some(report) = run(200, 1, Some("drop-holds")).await.unwrap() else {
        return;
    };
    assert!(
        report
            .violations()
            .iter()
            .any(|violation| violation.promise == Promise::Covered),
        "the checker saw nothing: {report}"
    );
}
