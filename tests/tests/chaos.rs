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
            Rest::Never
        } else {
            Rest::Always
        },
        keep: None,
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
    let Some(report) = run(400, 40, None).await.unwrap() else {
        return;
    };
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.operations, 400);
    // A run in which little is admitted or nothing goes wrong proves nothing.
    assert!(report.verdict.increases >= 60, "{report}");
    assert!(report.faults.values().sum::<u64>() >= 5, "{report}");
}

#[tokio::test]
async fn ledgers_that_are_broken_on_purpose_are_found_out() {
    for word in ["last-write-wins", "drop-holds"] {
        let Some(report) = run(120, 41, Some(word)).await.unwrap() else {
            return;
        };
        let mut violations = report.violations().iter();
        let loses_holds = violations
            .any(|violation| matches!(violation.promise, Promise::Covered | Promise::Held));
        assert!(loses_holds, "{word}: the checker saw nothing: {report}");
    }
}
