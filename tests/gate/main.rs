//! The whole gate in front of a real API server, as kubectl's users see it: one `sluice up` for all tests.
#![allow(missing_docs, clippy::indexing_slicing)] // in tests, as elsewhere

mod decisions;
mod defaults;
mod frozen;
mod guards;
mod quota;
mod scripts;
mod seeds;
mod up;
mod wave;

use anyhow::{Result, anyhow};
use libtest_mimic::{Arguments, Failed, Trial};
use sluice_tests::Gate;
use std::sync::{Arc, OnceLock};

/// Where the Apache operator would keep its configuration.
const OPERATOR_CONFIG: &str = "operator/flink-operator-config";

/// A promise and the test that holds it.
type Promise = (&'static str, fn(&Gate) -> Result<()>);
/// The same, with a `sluice up` of its own, since it kills parts of it.
type AlonePromise = (&'static str, fn() -> Result<()>);

/// The gate that is shared, started by the first test that needs it.
#[derive(Default)]
struct Shared(OnceLock<Result<Gate, String>>);

impl Shared {
    fn gate(&self) -> Result<&Gate> {
        self.0
            .get_or_init(|| start().map_err(|error| format!("{error:#}")))
            .as_ref()
            .map_err(|error| anyhow!("{error}"))
    }
}

fn start() -> Result<Gate> {
    let crds = sluice_tests::fixtures().map(|fixtures| fixtures.path("apache/crds"));
    let crds = crds.as_ref().and_then(|path| path.to_str());
    let mut arguments = vec!["--operator-config", OPERATOR_CONFIG];
    arguments.extend(crds.map(|crds| ["--crds", crds]).into_iter().flatten());
    Gate::up(&arguments)
}

fn main() {
    let mut arguments = Arguments::from_args();
    // Two cores: more at once only makes each slower.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    if !sluice_tests::control_plane() {
        return; // the reason is printed
    }
    let shared = Arc::new(Shared::default());
    let failed = |error: anyhow::Error| Failed::from(format!("{error:?}"));
    let together = [
        seeds::PROMISES,
        defaults::PROMISES,
        frozen::PROMISES,
        quota::PROMISES,
        decisions::PROMISES,
        guards::PROMISES,
        scripts::PROMISES,
    ]
    .concat();
    let alone = [up::PROMISES, scripts::ALONE, wave::PROMISES].concat();
    let mut trials: Vec<Trial> = together
        .into_iter()
        .map(|(name, test)| {
            let shared = Arc::clone(&shared);
            Trial::test(name, move || shared.gate().and_then(test).map_err(failed))
        })
        .collect();
    trials.extend(
        alone
            .into_iter()
            .map(|(name, test)| Trial::test(name, move || test().map_err(failed))),
    );
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(shared);
    conclusion.exit()
}
